"""The networks of the books and articles that the project grew from, trained again.

A row is a function that trains what its source trained and returns their figures and ours:
accuracies on MNIST's test digits, of one seed, unless a line says otherwise.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from model import weights
from model.books import first_networks
from model.books.backquery import backquery
from model.books.workbench import Figure, Outcome, Plot, Workbench, percent
from model.cost import PI_ZERO, multiply_adds
from model.datasets import Scaling, Split
from model.errors import DatasetError
from model.evaluate import evaluate
from model.layers import Array
from model.losses import one_hot
from model.network import NOT_A_DIGIT, Network
from model.presets import get_preset
from model.train import train


def one_figure(bench: Workbench, name: str, theirs: str) -> Outcome:
    """A preset trained as it is, and its accuracy on the test digits."""
    recipe = get_preset(name)
    accuracies = bench.train(recipe)[0]
    kept = ", the best by validation digits" if recipe.validation else ""
    lines = [Figure(f"{recipe.epochs} epochs{kept}", theirs, bench.format_accuracy(accuracies[-1]))]
    if not recipe.validation and len(accuracies) > 1:
        best = int(np.argmax(accuracies))
        lines.append(
            Figure(
                "best epoch on the test digits",
                "–",
                f"{bench.format_accuracy(accuracies[best])}, epoch {best + 1}",
            )
        )
    return Outcome(recipe.summary, lines)


def neuron(bench: Workbench) -> Outcome:
    steps = 10_000
    return Outcome(
        f"one sigmoid of 3 inputs, {steps:,} full-batch steps, asked [1,0,0]",
        [Figure("answer", "0.99993704", f"{first_networks.neuron(steps):.8f}")],
        "Ours is float32, of which 7 digits count.",
    )


def eleven_lines(bench: Workbench) -> Outcome:
    error = first_networks.eleven_lines(1000 if bench.quick else 60_000)
    return Outcome(
        "3-4-1 sigmoids on the XOR of two inputs, 60,000 full-batch steps",
        [Figure("mean error", "below 0.01", f"{error:.5f}")],
    )


def logic(bench: Workbench) -> Outcome:
    epochs = 500 if bench.quick else 5000
    errors = {gate: first_networks.logic(gate, epochs=epochs) for gate in first_networks.GATES}
    return Outcome(
        f"2-3-1 sigmoids with biases on OR, AND and XOR of 0.1 and 0.9, {epochs:,} epochs",
        [
            Figure(f"sum-squared error, {gate}", "learned", f"{values[0]:.3f} → {values[-1]:.1e}")
            for gate, values in errors.items()
        ],
        plot=Plot(
            "Sum-squared error of an epoch", "epoch", "error",
            {gate: (range(1, 1001), values[:1000]) for gate, values in errors.items()},
        ),
    )  # fmt: skip


def hill_climb(bench: Workbench) -> Outcome:
    errors = list(first_networks.hill_climb(tries=2000 if bench.quick else 20_000))
    return Outcome(
        f"the XOR network again: {len(errors):,} random changes, of which those that help are kept",
        [Figure("sum-squared error", "falls", f"{errors[0]:.3f} → {errors[-1]:.1e}")],
        plot=Plot(
            "Sum-squared error of XOR so far", "tries", "error",
            {"": (range(1, 1001), errors[:1000])},
        ),
    )  # fmt: skip


BY_HAND = {
    "b2": -0.1081007630517096,
    "w2": 2.451433410952623,
    "b1": -0.13913864659816227,
    "w1": 1.5806890827214704,
    "cost before": 0.011164479170294499,
    "cost after": 0.011095884100559231,
}


def by_hand(bench: Workbench) -> Outcome:
    ours = first_networks.by_hand()
    return Outcome(
        "1-1-1 sigmoids, one step of 0.1 worked on paper, in float64 for this one row",
        [Figure(name, repr(theirs), repr(ours[name])) for name, theirs in BY_HAND.items()],
        f"Largest difference {max(abs(ours[n] - v) for n, v in BY_HAND.items()):.1e}.",
    )


def scratch_100(bench: Workbench) -> Outcome:
    theirs = {0.3: "94.73 %", 0.1: "95.23 %", 0.2: "95.37 %", 0.6: "90.47 %", 0.01: "92.41 %"}
    recipe = get_preset("scratch-100")
    lines = [
        Figure(
            f"learning rate {rate}",
            their,
            bench.format_accuracy(bench.train(replace(recipe, learning_rate=rate))[0][-1]),
        )
        for rate, their in theirs.items()
    ]
    network = bench.train(recipe)[1]
    training = bench.mnist()[0]
    share = _share_near(network, training, recipe.targets)
    lines.append(
        Figure("training digits with sum-squared error below 0.1", "about 80 %", percent(share))
    )
    return Outcome(recipe.summary, lines, "The share of training digits is after the epoch.")


def scratch_tiny(bench: Workbench) -> Outcome:
    training, test = bench.mnist()
    recipe = get_preset("scratch-tiny")

    def right(seed: int) -> int:
        result = train(recipe, recipe.training_part(training), seed=seed, epochs=recipe.epochs)
        if result.interrupted:
            raise KeyboardInterrupt
        return evaluate(recipe.for_pixels(result.network), test.first(10)).right

    counts = [right(seed) for seed in range(1, 21)]
    return Outcome(
        f"784-100-10 on the first 100 training digits, learning rate {recipe.learning_rate}, "
        f"{recipe.epochs} epoch, asked the first 10 test digits",
        [
            Figure(
                "right of 10",
                "6",
                f"{counts[0]} (20 seeds: {min(counts)}–{max(counts)}, mean {np.mean(counts):.1f})",
            )
        ],
    )


def scratch_epochs(bench: Workbench) -> Outcome:
    recipe = get_preset("scratch-epochs")
    curves = {
        rate: bench.train(replace(recipe, learning_rate=rate, epochs=epochs))[0]
        for rate, epochs in ((0.2, 20), (0.1, 50), (0.01, 50))
    }

    def best(rate: float) -> str:
        first = curves[rate][:20]
        return f"{bench.format_accuracy(max(first))} after {int(np.argmax(first)) + 1} epochs"

    at_7, at_5 = (curves[rate][min(n, len(curves[rate])) - 1] for rate, n in ((0.2, 7), (0.1, 5)))
    return Outcome(
        "784-100-10, accuracy after each of 20 epochs of learning rate 0.2, 50 of 0.1 and 0.01",
        [
            Figure(
                "learning rate 0.2, 7 epochs", "96.28 % (their best)", bench.format_accuracy(at_7)
            ),
            Figure("learning rate 0.2, best of 20 epochs", "96.28 % (7 epochs)", best(0.2)),
            Figure(
                "learning rate 0.1, 5 epochs", "96.89 % (their best)", bench.format_accuracy(at_5)
            ),
            Figure("learning rate 0.1, best of 20 epochs", "96.89 % (5 epochs)", best(0.1)),
            Figure(
                "50 epochs, learning rate 0.1", "97–97.5 %", bench.format_accuracy(curves[0.1][-1])
            ),
            Figure(
                "50 epochs, learning rate 0.01",
                "97–97.5 %",
                bench.format_accuracy(curves[0.01][-1]),
            ),
        ],
        "The learning rate of their 50 epochs is not known.",
        plot=Plot(
            "784-100-10: accuracy after each epoch",
            "epoch",
            "accuracy on the test digits",
            {f"learning rate {s}": (range(1, len(c) + 1), c) for s, c in curves.items()},
        ),
    )


def scratch_hidden(bench: Workbench) -> Outcome:
    recipe = get_preset("scratch-200")
    theirs = {5: "70.01 %", 10: "89.98 %", 100: "–", 200: "97.51 %"}
    accuracies = {}
    for hidden in theirs:
        layers = (("dense", 784, hidden, False), ("sigmoid",), ("book-output", hidden, 10))
        accuracies[hidden] = bench.train(replace(recipe, layers=layers))[0][-1]
        if hidden == 5:
            others = [
                bench.train(replace(recipe, layers=layers), seed=seed)[0][-1] for seed in (2, 3)
            ]
    return Outcome(
        "784-n-10, 5 epochs of learning rate 0.1",
        [
            *(
                Figure(f"{hidden} hidden nodes", their, bench.format_accuracy(accuracies[hidden]))
                for hidden, their in theirs.items()
            ),
            Figure("5 nodes, seeds 2 and 3", "–", ", ".join(map(bench.format_accuracy, others))),
        ],
        "What five nodes can hold is a matter of where they begin.",
        plot=Plot(
            "Accuracy by hidden nodes", "hidden nodes", "accuracy on the test digits",
            {"": (list(accuracies), list(accuracies.values()))},
        ),
    )  # fmt: skip


def scratch_rotated(bench: Workbench) -> Outcome:
    recipe = get_preset("scratch-rotated")
    full = bench.train(recipe)[0]
    sweep = {
        angle: bench.train(replace(recipe, copies=(angle, -angle), epochs=1))[0][-1]
        for angle in (5.0, 10.0, 15.0, 20.0, 30.0)
    }
    best = max(sweep, key=lambda angle: sweep[angle])
    larger = bench.train(replace(recipe, learning_rate=0.1, epochs=1))[0][-1]
    return Outcome(
        "784-200-10 that learns each digit and its copies at ±10°, rate 0.01; other angles",
        [
            Figure("1 epoch", "96.69 %", bench.format_accuracy(full[0])),
            Figure("1 epoch, learning rate 0.1", "–", bench.format_accuracy(larger)),
            Figure("10 epochs", "97.87 %", bench.format_accuracy(full[-1])),
            Figure(
                "best angle of the sweep",
                "near ±10°",
                f"±{best:.0f}° ("
                + ", ".join(f"{each:.0f}°: {bench.format_accuracy(sweep[each])}" for each in sweep)
                + ")",
            ),
        ],
        plot=Plot(
            "Copies turned by ± an angle, 1 epoch", "degrees", "accuracy on the test digits",
            {"": (list(sweep), list(sweep.values()))},
        ),
    )  # fmt: skip


def pi_zero(bench: Workbench) -> Outcome:
    recipe = get_preset("pi-zero")
    started = time.monotonic()
    share = bench.train(recipe)[0][-1]
    seconds = time.monotonic() - started
    cost = multiply_adds(recipe, 60_000, 1)
    return Outcome(
        recipe.summary,
        [
            Figure("accuracy", "–", bench.format_accuracy(share)),
            Figure("time", "about 25 minutes on a Pi Zero", f"{seconds:.0f} s on this machine"),
            Figure("products", "–", f"{cost:.1e} MAC, {2 * cost / PI_ZERO:.0f} s on a Zero's BLAS"),
        ],
        "Ours has not been timed on a Pi Zero. One digit at a time it is the steps between the "
        "products that cost, not the products.",
    )  # fmt: skip


def sgd_none(bench: Workbench) -> Outcome:
    outcome = one_figure(bench, "sgd-none", "about 75 %")
    recipe = get_preset("sgd-none")
    others = [bench.train(recipe, seed=seed)[0][-1] for seed in (2, 3)]
    gentle = bench.train(replace(recipe, initial="scaled", learning_rate=0.5))[0][-1]
    return replace(
        outcome,
        lines=[
            *outcome.lines,
            Figure("seeds 2 and 3", "–", ", ".join(map(bench.format_accuracy, others))),
            Figure("scaled initial weights, learning rate 0.5", "–", bench.format_accuracy(gentle)),
        ],
        note="With initial weights of variance 1, some outputs begin at 0 or 1, where the squared "
        "error of a sigmoid has no slope, and whole digits are never answered: how many is a "
        "matter of the seed. Initial weights scaled to their inputs, with a smaller learning rate, "
        "learn all ten.",
    )


def own_handwriting(bench: Workbench) -> Outcome:
    if not bench.drawings:
        raise DatasetError(
            "the author's six pictures are not here: name their folder with --drawings"
        )
    lines = []
    for name in ("scratch-100", "scratch-200", "sgd-30", "appliance"):
        network = (
            weights.load(weights.SHIPPED)[0]
            if name == "appliance"
            else bench.train(get_preset(name))[1]
        )
        x = Scaling()(np.stack([drawing.pixels for drawing in bench.drawings]))
        answers = network.forward(x).argmax(axis=1)
        wrong = [
            f"{drawing.name} {'refused' if answer == NOT_A_DIGIT else f'as {answer}'}"
            for drawing, answer in zip(bench.drawings, answers, strict=True)
            if drawing.label != answer
        ]
        text = f"{len(x) - len(wrong)} of {len(x)}" + (f", {'; '.join(wrong)}" if wrong else "")
        lines.append(Figure(name, "all but the noisy 6", text))
    return Outcome("the networks above on the book author's own six 28×28 digits", lines)


def back_query(bench: Workbench) -> Outcome:
    network = bench.train(get_preset("scratch-200"))[1]
    pictures = [backquery(network, digit) for digit in range(10)]
    x = np.stack([picture.ravel() for picture in pictures])
    right = int((network.forward(x).argmax(axis=1) == np.arange(10)).sum())
    return Outcome(
        "each label fed backwards through scratch-200, with logit and rescaling",
        [
            Figure("ten 28×28 pictures", "recognisable shapes", "see the picture"),
            Figure("read forwards as the same digit", "–", f"{right} of 10"),
        ],
        plot=Plot("What scratch-200 makes of its labels", pictures=[p.tolist() for p in pictures]),
    )


def appliance(bench: Workbench) -> Outcome:
    """The shipped network, and its recipe with three seeds."""
    recipe = get_preset("appliance").for_camera()
    network, _ = weights.load(weights.SHIPPED)
    tally = evaluate(network, bench.mnist()[1])
    by_seed = [bench.train(recipe, seed=seed)[0][-1] for seed in (1, 2, 3)]
    cost = multiply_adds(recipe, 60_000, recipe.epochs)
    return Outcome(
        f"{recipe.summary}, and through the camera",
        [
            Figure("the file that ships", "–", f"{tally.right} of {tally.total} right"),
            *(Figure(f"seed {n}", "–", bench.format_accuracy(s)) for n, s in enumerate(by_seed, 1)),
            Figure("mean of three seeds", "–", f"{np.mean(by_seed):.3%}"),
            Figure("parameters", "12,674 (99.46 %)", f"{network.parameter_count():,}"),
            Figure("multiply-adds a digit", "–", f"{network.multiply_adds():,}"),
            Figure("multiply-adds of the training", "–", f"{cost:.2e}"),
        ],
    )  # fmt: skip


def _share_near(network: Network, data: Split, targets: tuple[float, float]) -> float:
    """Return the share of digits whose sum-squared error is below 0.1."""
    near = 0
    for start in range(0, len(data), 500):
        images, labels = data.take(np.arange(start, min(start + 500, len(data))))
        errors: Array = network.forward(Scaling()(images)) - one_hot(labels, *targets)
        near += int(np.count_nonzero(np.square(errors).sum(axis=1) < 0.1))
    return near / len(data)


ROWS: dict[str, Callable[[Workbench], Outcome]] = {
    "neuron": neuron,
    "eleven-lines": eleven_lines,
    "logic": logic,
    "hill-climb": hill_climb,
    "by-hand": by_hand,
    "scratch-100": scratch_100,
    "scratch-tiny": scratch_tiny,
    "scratch-epochs": scratch_epochs,
    "scratch-200": partial(one_figure, name="scratch-200", theirs="97.51 %"),
    "scratch-500": partial(one_figure, name="scratch-500", theirs="97.62 %"),
    "scratch-hidden": scratch_hidden,
    "scratch-rotated": scratch_rotated,
    "pi-zero": pi_zero,
    "sgd-30": partial(one_figure, name="sgd-30", theirs="94.58 %"),
    "sgd-16-16": partial(one_figure, name="sgd-16-16", theirs="93.85 %"),
    "sgd-none": sgd_none,
    "deep-300-100": partial(one_figure, name="deep-300-100", theirs="–"),
    "own-handwriting": own_handwriting,
    "back-query": back_query,
    "simard-800": partial(one_figure, name="simard-800", theirs="99.3 %"),
    "appliance": appliance,
}
