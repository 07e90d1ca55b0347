"""The dearest pictures there are, sent and read: python -m tests.proofs.worst_pictures.

`digits run` serves on one core, in a control group of 420 MB where this kernel has them and root
runs this: a stand-in for the board. Each hostile file is sent over HTTP, the dearest eight at once,
then random ones with changed headers; the same files are read with `digits read`. The table tells
of each how much memory the process had at most (VmHWM), for how long it had the core, with what the
loop read meanwhile, and the answer.
Ends with a line "N passed, N failed": a file passes with at most 150 MB and 2 seconds and an answer
that is no failure, or a sentence; the service lives through all of it and reads on.

--code DIR runs the program of another checkout, for a comparison.
"""

import argparse
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests import hostile_pictures
from tests.proofs.neighbour import ROOT, get_json, wait_for

MOST_MEMORY, MOST_SECONDS = 150e6, 2.0
GROUP_BYTES = 420 << 20
ORDERLY = 200, 413, 415, 503
"""What a hostile file is answered with: it is read, or a sentence says why not."""


class Result(NamedTuple):
    """What one file came to: bytes at most, seconds, and the answer."""

    name: str
    size: int
    memory: int
    seconds: float
    answer: str
    orderly: bool

    @property
    def passed(self) -> bool:
        return self.orderly and self.memory <= MOST_MEMORY and self.seconds <= MOST_SECONDS

    def line(self) -> str:
        return (
            f"{'' if self.passed else 'FAILED '}{self.memory / 1e6:6.1f} MB {self.seconds:6.2f} s "
            f"{self.size / 1e6:7.3f} MB  {self.name}: {self.answer}"
        )


class Group:
    """A control group with a bound on its memory; without one `path` is None."""

    def __init__(self) -> None:
        self.path: Path | None = None
        self._first = Path("/sys/fs/cgroup/memory").is_dir()
        base = Path("/sys/fs/cgroup") / ("memory" if self._first else "")
        path = base / f"digits-{os.getpid()}"
        with suppress(OSError):
            path.mkdir()
            self.path = path
            bound = "memory.limit_in_bytes" if self._first else "memory.max"
            (path / bound).write_text(str(GROUP_BYTES))

    def killed(self) -> int:
        """Return how many processes the kernel has ended for their memory."""
        if self.path is None:
            return 0
        file = self.path / ("memory.oom_control" if self._first else "memory.events")
        told = dict(line.split() for line in file.read_text().splitlines())
        return int(told.get("oom_kill", 0))

    def close(self) -> None:
        if self.path is not None:
            with suppress(OSError):
                self.path.rmdir()


class Service:
    """`digits run` of a checkout, in a group and on one core."""

    def __init__(self, code: Path, group: Group, core: int) -> None:
        self.group = group
        self.state = Path(tempfile.mkdtemp(prefix="digits-"))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        config = self.state / "digits.toml"
        config.write_text(
            "[camera]\nrate = 4\npicture_seconds = 0.5\n[web]\nupload_megabytes = 64\n"
        )
        enter = f"echo $$ >{group.path}/cgroup.procs; " if group.path else ""
        self.process = subprocess.Popen(
            ["sh", "-c", f'{enter}exec "$@"', "sh", "taskset", "-c", str(core),
             sys.executable, "-m", "appliance", "run", "--camera", "folder:data/samples",
             "--leds", "none", "--host", "127.0.0.1", "--port", str(self.port),
             "--state", str(self.state / "state"), "--config", str(config)],
            cwd=code, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            env=unit_environment(code),
        )  # fmt: skip
        self.page = f"http://127.0.0.1:{self.port}"
        wait_for(f"{self.page}/api/v1/reading")

    @property
    def lives(self) -> bool:
        return self.process.poll() is None

    def reads_on(self) -> bool:
        """Tell whether there is another reading within ten seconds."""
        try:
            before = get_json(f"{self.page}/api/v1/health")["readings"]
            for _ in range(100):
                time.sleep(0.1)
                if get_json(f"{self.page}/api/v1/health")["readings"] > before:
                    return True
        except OSError:
            pass
        return False

    def memory(self, what: str = "VmHWM") -> int:
        try:
            return parse_status(Path(f"/proc/{self.process.pid}/status").read_text(), what)
        except (OSError, StopIteration):
            return 0

    def busy(self) -> float:
        """Return for how many seconds the process has had its core: others have this machine's."""
        with suppress(OSError):
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        return 0.0

    def forget_peak(self) -> None:
        with suppress(OSError):
            Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")

    def send(self, data: bytes, query: str = "", form: bool = False) -> tuple[str, bool]:
        """Return the answer to a picture, and whether it is an orderly one."""
        headers = {"Content-Type": "application/octet-stream"}
        if form:
            headers["Content-Type"] = "multipart/form-data; boundary=b"
            head = b'--b\r\nContent-Disposition: form-data; name="a"; filename="a"\r\n\r\n'
            data = head + data + b"\r\n--b--\r\n"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            connection.request("POST", f"/api/v1/read{query}", data, headers)
            answer = connection.getresponse()
            said = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return f"no answer ({type(error).__name__})", False
        finally:
            connection.close()
        detail = said.get("detail") or said.get("reason") or said.get("digit")
        return f"{answer.status} {detail}", answer.status in ORDERLY

    def close(self) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.state, ignore_errors=True)


@contextmanager
def service(code: Path, core: int) -> Iterator[Callable[[], Service]]:
    """Yield what returns the service; it is started again where it has ended."""
    group = Group()
    running: list[Service] = []

    def living() -> Service:
        if not running or not running[-1].lives:
            running.append(Service(code, group, core))
        return running[-1]

    try:
        yield living
    finally:
        for each in running:
            each.close()
        group.close()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--code", type=Path, default=ROOT, help="the checkout to run")
    parser.add_argument("--mutations", type=int, default=1000, help="so many random files")
    parser.add_argument("--seed", type=int, default=0, help="of the random files")
    parser.add_argument("--core", type=int, default=min(os.sched_getaffinity(0)))
    parser.add_argument("--only", default="", help="files whose names have this in them")
    args = parser.parse_args()
    made = {
        name: make
        for name, make in {
            **hostile_pictures.ordinary_pictures(),
            **hostile_pictures.known_attacks(),
            **hostile_pictures.largest_accepted(),
        }.items()
        if args.only in name
    }
    checks: Counter[bool] = Counter()

    def check(passed: bool, sentence: str) -> None:
        checks[passed] += 1
        print(f"{'passed' if passed else 'FAILED'}: {sentence}", flush=True)

    with service(args.code, args.core) as living:
        alone = living()
        where = f"in a group of {GROUP_BYTES >> 20} MB" if alone.group.path else "without a group"
        print(f"digits run, {where}; at rest {alone.memory('VmRSS') / 1e6:.1f} MB", flush=True)
        results = [send_and_print(living(), name, make(), checks) for name, make in made.items()]
        print("the same as the file of a form:")
        big = [each for each in results if each.size > 10e6 or each.memory > 130e6]
        results += [
            send_and_print(living(), each.name, made[each.name](), checks, True) for each in big
        ]
        check(living() is alone and alone.reads_on(), "it lives and reads on: one after the other")

        dearest = sorted(results, key=lambda each: -each.memory)[:6]
        dearest += sorted(results, key=lambda each: -each.seconds)[:2]
        files = [made[each.name]() for each in dearest]
        send_at_once(living(), "the eight dearest at once", files, check)
        for each in dearest[:4]:
            send_at_once(living(), f"eight times {each.name}", [made[each.name]()] * 8, check)
        panorama = hostile_pictures.ordinary_pictures()["panorama, 60 MP"]()
        for _ in range(8):
            living().send(panorama, "?pictures")
        kept = living().memory("VmRSS")
        check(kept <= MOST_MEMORY, f"with eight panoramas read it has {kept / 1e6:.1f} MB")
        check(living() is alone and alone.reads_on(), "it lives and reads on: eight at once")

        worst = send_random_files(living, args.mutations, args.seed, check)
        check(living() is alone and alone.reads_on(), "it lives and reads on: random ones")
        check(alone.group.killed() == 0, f"the kernel ended {alone.group.killed()} of them")

    print("digits read:", flush=True)
    with tempfile.TemporaryDirectory(prefix="digits-") as folder:
        commands = []
        for name, make in made.items():
            commands.append(run_digits_read(args.code, args.core, name, make(), Path(folder)))
            checks[commands[-1].passed] += 1
            print(commands[-1].line(), flush=True)
    print("the most of digits run, alone:")
    for each in sorted(results, key=lambda each: -each.memory)[:12]:
        print(each.line())
    for each in sorted(results, key=lambda each: -each.seconds)[:12]:
        print(each.line())
    print("the most of the random ones:")
    for each in worst:
        print(each.line())
    print(f"{checks[True]} passed, {checks[False]} failed")
    return 1 if checks[False] else 0


def send_and_print(
    service: Service, name: str, data: bytes, checks: Counter[bool], form: bool = False
) -> Result:
    """Send a file alone and print what it came to."""
    result = send_file(service, name, data, form)
    checks[result.passed] += 1
    print(result.line(), flush=True)
    return result


def send_file(service: Service, name: str, data: bytes, form: bool = False) -> Result:
    service.forget_peak()
    began = service.busy()
    answer, orderly = service.send(data, form=form)
    seconds = service.busy() - began
    # A process that was ended has nothing to tell.
    memory = service.memory() or GROUP_BYTES
    return Result(name, len(data), memory, seconds, answer[:110], orderly and service.lives)


def send_at_once(
    service: Service, name: str, files: list[bytes], check: Callable[[bool, str], None]
) -> None:
    """Send files from as many clients at once."""
    service.forget_peak()
    answers: list[tuple[str, bool]] = []
    threads = [
        threading.Thread(target=lambda data=each: answers.append(service.send(data)))  # type: ignore[misc]
        for each in files
    ]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds, memory = time.monotonic() - began, service.memory() or GROUP_BYTES
    codes = dict(Counter(said.split()[0] for said, _ in answers))
    orderly = all(each for _, each in answers) and service.lives
    check(
        orderly and memory <= MOST_MEMORY,
        f"{name}: {memory / 1e6:.1f} MB, {seconds:.2f} s, answers {codes}",
    )


def send_random_files(
    living: Callable[[], Service], count: int, seed: int, check: Callable[[bool, str], None]
) -> list[Result]:
    """Send random files; return the dearest three by memory and by time."""
    results = []
    for place, data in enumerate(hostile_pictures.mutate_headers(count, seed)):
        results.append(send_file(living(), f"random file {place}", data))
        if not results[-1].passed:
            print(results[-1].line(), flush=True)
    codes = dict(Counter(each.answer.split()[0] for each in results))
    failed = sum(not each.passed for each in results)
    check(not failed, f"{count} random files: {failed} failed, answers {codes}")
    by_time = sorted(results, key=lambda each: -each.seconds)[:3]
    return sorted(results, key=lambda each: -each.memory)[:3] + by_time


def run_digits_read(code: Path, core: int, name: str, data: bytes, folder: Path) -> Result:
    """Read a file with `digits read`; the time is the processor's, without the start of Python."""
    file = folder / "picture"
    file.write_bytes(data)
    # The peak is the program's own to tell: a child's resource usage has its parent's in it.
    script = (
        "import sys, time; from appliance.__main__ import main; import appliance.commands.read\n"
        "import appliance.picture, appliance.reader.reader, numpy\n"
        "began = time.process_time(); code = main(['read', sys.argv[1]])\n"
        "print(code, time.process_time() - began); print(open('/proc/self/status').read())"
    )
    done = subprocess.run(
        ["taskset", "-c", str(core), sys.executable, "-c", script, str(file)],
        cwd=code, capture_output=True, text=True, check=False, env=unit_environment(code),
    )  # fmt: skip
    lines = done.stdout.splitlines()
    said = (done.stderr or lines[0]).strip().splitlines()[-1].replace(f"{file}", "it")
    with suppress(StopIteration, IndexError, ValueError):
        at = next(i for i, line in enumerate(lines) if line[:2] in ("0 ", "2 "))
        memory = parse_status(done.stdout, "VmHWM")
        return Result(name, len(data), memory, float(lines[at].split()[1]), said[:110], True)
    return Result(name, len(data), GROUP_BYTES, 0.0, f"ended with {done.returncode}: {said}", False)


def parse_status(status: str, what: str) -> int:
    """Return a number of bytes of a process's status."""
    line = next(line for line in status.splitlines() if line.startswith(f"{what}:"))
    return int(line.split()[1]) * 1024


def unit_environment(code: Path) -> dict[str, str]:
    """Return the environment that a checkout's unit gives the program."""
    unit = (code / "systemd" / "digits.service").read_text().splitlines()
    given = dict(
        line.removeprefix("Environment=").split("=", 1)
        for line in unit
        if line.startswith("Environment=MALLOC_")
    )
    return {**os.environ, **given}


if __name__ == "__main__":
    raise SystemExit(main())
