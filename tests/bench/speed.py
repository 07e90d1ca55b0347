"""networks: how fast they train and answer, beside what else there is, in one run.

Every contender runs in a process of its own, on one thread, in turn; the turns are repeated and the
fastest counts, since a machine's other work can only slow one down.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from appliance.commands.options import add_command, check_writable, positive_int
from appliance.console import say
from tests.bench.contenders import NETWORKS, TASKS, build_untrained
from tests.bench.contenders import measure as run_contender


def add(parsers: Any) -> None:
    parser = add_command(
        parsers,
        "networks",
        "measure training, answering and memory beside other libraries, in one run",
        "python -m tests.bench networks --markdown docs/measured/benchmark.md\n"
        "PyTorch, scikit-learn and ONNX Runtime take part where they are installed (the extra\n"
        "'bench').",
    )
    # What stands before the word `networks` is not undone by a default after it.
    add_options(parser, argument_default=argparse.SUPPRESS)
    parser.set_defaults(measure=measure)


def add_options(parser: argparse.ArgumentParser, argument_default: Any = None) -> None:
    parser.add_argument(
        "--rounds", type=positive_int, default=argument_default or 3, metavar="N",
        help="turns (default: 3)",
    )  # fmt: skip
    parser.add_argument(
        "--markdown", type=Path, default=argument_default, metavar="FILE",
        help="also write the tables here",
    )  # fmt: skip
    parser.add_argument(
        "--json", type=Path, default=argument_default, metavar="FILE",
        help="also write the figures here",
    )  # fmt: skip
    parser.add_argument("--contender", nargs=2, default=argument_default, help=argparse.SUPPRESS)


def measure(args: argparse.Namespace) -> None:
    from model.files import replace_file

    if args.contender:
        print(json.dumps(run_contender(*args.contender)))
        return
    for option, file in (("--markdown", args.markdown), ("--json", args.json)):
        if file:
            check_writable(option, file)
    figures: dict[str, dict[str, dict[str, float]]] = {}
    for turn in range(args.rounds):
        for task, contenders in TASKS.items():
            # Memory is the same every time.
            for contender in contenders if turn == 0 or task != "remember" else ():
                figure = _run_in_own_process(task, contender)
                if figure is None:
                    continue
                say(f"{turn + 1}: {task}, {contender}: {figure['value']:,.5g}")
                best = figures.setdefault(task, {}).setdefault(contender, figure)
                better = min if task.startswith(("answer", "convolve", "remember")) else max
                best["value"] = better(best["value"], figure["value"])
    text = _make_tables(figures)
    print(text)
    for file, content in (
        (args.markdown, HEAD + text),
        (args.json, json.dumps(figures, indent=1)),
    ):
        if file:
            with replace_file(file) as target:
                target.write(content.encode() + b"\n")


def _run_in_own_process(task: str, contender: str) -> dict[str, float] | None:
    """Return what a contender takes in a process of its own, or None where it is not installed."""
    command = [sys.executable, "-m", "tests.bench", "--contender", task, contender]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        say(f"{task}, {contender}: not measured ({last[0]})")
        return None
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


HEAD = """\
# Benchmark

Written by `python -m tests.bench --markdown docs/measured/benchmark.md --json
docs/measured/benchmark.json`. Every contender runs in a process of its own, on one thread,
in turn, three turns; the fastest counts. A ratio above 1 is in our
favour. Training is forward, loss, backward and step on batches of random pixels that are in memory,
without augmentation. The book's loop is float64 and one digit at a time; all else is
float32. Peak memory is the whole process, Python and libraries included; that of a training grows
a little with its number of steps, not with its data set: two epochs of 60,000 digits peak where one
of 120,000 does.

"""


def _make_tables(figures: dict[str, dict[str, dict[str, float]]]) -> str:
    """Return the tables: training, answering, convolving, memory."""
    ceiling = figures.get("multiply", {}).get("sgemm", {}).get("value", 0.0)
    lines = [f"sgemm of this machine's BLAS, 512×512, one thread: {ceiling:.1f} GFLOP/s."]
    titles = {
        "train scratch-200": (
            f"Training `scratch-200` (784-200-10), batches of {NETWORKS['scratch-200']}",
            "digits/s",
        ),
        "train appliance": (
            f"Training `appliance`, batches of {NETWORKS['appliance']}",
            "digits/s",
        ),
        "answer scratch-200": ("One digit through `scratch-200`", "µs"),
        "answer appliance": ("One digit through `appliance`", "µs"),
        "convolve": ("The second convolution of `appliance`, forward, a batch of 128", "µs"),
        "remember": ("One epoch of the `appliance` recipe on a memory-mapped set", "MB"),
    }
    for task, (title, unit) in titles.items():
        if task not in figures:
            continue
        lines += [
            f"\n## {title}\n",
            f"| | {unit} | ours is better by | peak MB |",
            "|---|---:|---:|---:|",
        ]
        first = figures[task].get(TASKS[task][0], {}).get("value")
        if first is None:
            continue
        for contender, figure in figures[task].items():
            ratio = first / figure["value"] if unit == "digits/s" else figure["value"] / first
            advantage = "" if contender == "ours" or task == "remember" else f"{ratio:.2f}×"
            lines.append(
                f"| {contender} | {figure['value']:,.0f} | {advantage} | {figure['peak_mb']:.0f} |"
            )
        if task.startswith("train") and ceiling:
            cost = 2 * build_untrained(task.split()[1]).training_multiply_adds()
            share = first * cost / 1e9 / ceiling
            lines.append(f"\nOurs is {first * cost / 1e9:.1f} GFLOP/s, {share:.0%} of sgemm's.")
    return "\n".join(lines)
