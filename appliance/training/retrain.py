"""Overnight: captures and base set → candidate → gate → promote or keep; within a budget."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from appliance.captures.store import Captures
from appliance.device import machine
from appliance.errors import StateError, VaultError
from appliance.networks.vault import Vault
from appliance.training.gate import (
    MNIST,
    OWN_DIGITS,
    Comparison,
    Verdict,
    compare_networks,
    judge_candidate,
)
from appliance.training.preflight import check_base_set, check_captures, check_outputs
from appliance.training.records import (
    Progress,
    Rate,
    append_night,
    count_written_bytes,
    load_nights,
    progress_path,
)
from appliance.training.resumable_run import SEED, MakeExamples, ResumableRun, Sizes, discard
from model import weights
from model.calibration import calibrate
from model.datasets import Split
from model.network import Network
from model.train import Epoch, Training, TrainingRun, batches

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 3600.0
"""A checkpoint is half a megabyte, and the card wears: a night is to cost it as little as a day."""
_SHOW_SECONDS = 5.0
_HEAT_SECONDS = 10.0
_COOLER = 5.0
"""So many degrees below the hottest it goes on."""
_CURVE = 60
"""Points of the curve of the loss."""


@dataclass(frozen=True)
class Limits:
    """When a night ends: after so many `seconds`, or at a time `until` (Unix seconds).

    It waits where the processor is hotter than `hottest` °C.
    """

    seconds: float
    until: float | None = None
    hottest: float = 75.0


class Retraining:
    """One `digits retrain`: takes up what was begun or begins anew, and ends with a verdict."""

    def __init__(
        self,
        state: Path,
        *,
        vault: Vault,
        captures: Captures,
        base: Split | None,
        limits: Limits,
        make_examples: MakeExamples,
        from_scratch: bool = False,
        sizes: Sizes | None = None,
        stopping: Callable[[], bool] = lambda: False,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._state, self._vault, self._captures = state, vault, captures
        self._base, self._limits = base, limits
        self._make_examples, self._from_scratch = make_examples, from_scratch
        self._sizes = sizes or Sizes()
        self._stopping, self._clock, self._sleep = stopping, clock, sleep
        self._started = self._kept_at = clock()
        self._cpu = time.process_time()
        # What is already in the plan's seconds.
        self._spent, self._spent_cpu = self._started, self._cpu
        self._shown_at = self._heat_at = -1e9
        self.progress = Progress(progress_path(state))

    def run(self) -> dict[str, Any]:
        """Return the night's record, which is also the last line of `nights.jsonl`.

        Raises TrainingRefused where there is nothing to learn from, StateError where the disk
        refuses.
        """
        try:
            record = self._run()
            self.progress.sentence = record["why"]
            return record
        except Exception as error:
            # There is no record of such a night: the page tells this.
            self.progress.sentence = str(error) or type(error).__name__
            raise
        finally:
            self.progress.state = "ended"
            self.progress.seconds_left = None
            self.progress.save()

    def _run(self) -> dict[str, Any]:
        held = self._vault.load_current()
        if held.problem:
            log.warning("%s", held.problem)
        self._say("preparing", "looks at what there is to learn from")
        if self._base is not None:
            check_base_set(self._base, held.network)
        night = self._night(held.network, held.card, held.id)
        if night.plan.decided:
            record = self._conclude(night, night.plan.decided)
            if record["finished"]:
                return record
            held = self._vault.load_current()
        course, lost = night.course()
        if lost:
            log.warning("%s", lost)
        epochs = night.recipe.epochs
        self.progress.of = epochs
        self.progress.epochs = [asdict(epoch) for epoch in course.epochs]
        if course.progress:
            self.progress.curve = [(share, loss) for share, loss in night.plan.curve]
        log.info(
            "network %s learns from %d captures, %d more are held out, %s; %d epochs%s",
            night.plan.parent,
            night.plan.captures["learned"],
            night.plan.captures["held_out"],
            "without a base set: the network in use is its own teacher"
            if night.base is None
            else f"with {len(night.base):,} digits of the base set",
            epochs,
            f", {course.progress:.0%} done before" if course.progress else "",
        )
        self._learn(night, course)
        best = max((epoch.number for epoch in course.epochs if epoch.best), default=0)
        nothing_new = best <= night.plan.gated
        if not course.finished and (self._stopping() or nothing_new):
            why = "it was told to end" if self._stopping() else "its time is over"
            sentence = f"{why} after {course.progress:.0%}: it goes on the next night"
            log.info("%s", sentence)
            record = self._record_of(night, "left", sentence)
            append_night(self._state, record)
            return record
        return self._decide(night, course, held.id, held.network)

    def _learn(self, night: ResumableRun, course: TrainingRun) -> None:
        """Go on with a course until it is finished or the night is over, and keep it."""
        recipe, rate = night.recipe, Rate(self._clock)
        pictures = len(night.pictures.examples if night.base is None else night.base)
        self._kept_at = self._clock()

        def on_batch(epoch: int, share: float) -> None:
            rate.count(recipe.batch)
            self._tell(course, epoch, rate, pictures * recipe.epochs)

        def leave() -> bool:
            if self._clock() - self._kept_at >= CHECKPOINT_SECONDS:
                self._keep(night, course)
            self._wait_while_hot()
            return self._stopping() or self._over()

        course.run(on_epoch=self._epoch, on_batch=on_batch, should_stop=leave)
        if course.finished and course.result().interrupted:
            # Its last epoch is cut short: what was kept before is what goes on bit for bit.
            raise KeyboardInterrupt
        self._keep(night, course)

    def _keep(self, night: ResumableRun, course: TrainingRun) -> None:
        """Keep where a course stands, and add what it took since it was kept before."""
        night.keep(course)
        now, cpu = self._clock(), time.process_time()
        night.note(
            seconds=night.plan.seconds + now - self._spent,
            cpu_seconds=night.plan.cpu_seconds + cpu - self._spent_cpu,
            curve=[list(point) for point in self.progress.curve],
        )
        self._kept_at, self._spent, self._spent_cpu = now, now, cpu

    # ---- before ----

    def _night(self, network: Network, card: dict[str, Any], id: str) -> ResumableRun:
        """Return what was begun if it still fits, else a new one."""
        folder = self._state / "night"
        if (folder / "plan.json").exists():
            try:
                night = ResumableRun(folder, self._base, self._sizes)
                if self._from_scratch and not night.plan.from_scratch:
                    log.info("what was begun is put aside: from scratch was asked for")
                elif id in night.plan.accepts:
                    return night
                else:
                    log.info("network %s reads now: what was begun with another is over", id)
            except StateError as error:
                log.warning("%s", error)
        check_captures(self._captures)
        if not self._from_scratch:
            check_outputs(network, id)
        if self._base is None:
            log.warning(
                "no base set is installed: 'digits data fetch' brings MNIST; this night the "
                "network in use is the teacher of what it knows"
            )
        self._say("preparing", "simulates photographs, so that nothing is forgotten")
        return ResumableRun.create(
            folder,
            parent=network,
            card=card,
            captures=self._captures,
            base=self._base,
            make_examples=self._make_examples,
            from_scratch=self._from_scratch,
            sizes=self._sizes,
        )

    # ---- meanwhile ----

    def _over(self) -> bool:
        until = self._limits.until
        return self._clock() - self._started >= self._limits.seconds or (
            until is not None and time.time() >= until
        )

    def _wait_while_hot(self) -> None:
        if self._clock() - self._heat_at < _HEAT_SECONDS:
            return
        self._heat_at = self._clock()
        hottest, said = self._limits.hottest, False
        while not self._stopping() and not self._over():
            degrees = self.progress.temperature = machine.temperature()
            least = hottest - _COOLER if said else hottest
            hot = degrees is not None and degrees > least
            why = f"the processor is at {degrees:.0f} °C" if hot else machine.throttled()
            if not why:
                break
            if not said:
                log.info("waits: %s", why)
                said = True
            self._say("waiting", f"waits: {why}")
            self._sleep(_HEAT_SECONDS)
        if said:
            self._heat_at = self._clock()
            log.info("goes on")

    def _tell(self, course: TrainingRun, epoch: int, rate: "Rate", total: int) -> None:
        progress = self.progress
        progress.progress, progress.epoch = course.progress, epoch
        progress.loss = course.loss
        if course.progress * _CURVE >= len(progress.curve) + 1 and course.loss is not None:
            progress.curve.append((round(course.progress, 4), round(course.loss, 4)))
        if self._clock() - self._shown_at < _SHOW_SECONDS:
            return
        progress.pictures_per_second = rate.per_second()
        if progress.pictures_per_second:
            left = (1 - course.progress) * total / progress.pictures_per_second
            progress.seconds_left = round(left)
        self._shown_at = self._clock()
        self._say("training", f"epoch {epoch} of {progress.of}")

    def _epoch(self, epoch: Epoch, network: Network) -> None:
        self.progress.epochs.append(asdict(epoch))
        others = "" if epoch.camera is None else f", {epoch.camera:.2%} of the other hands"
        log.info(
            "epoch %d of %d: loss %.4f, reads %.2f%% of the held-out digits%s%s",
            epoch.number, epoch.of, epoch.loss, 100 * (epoch.validation or 0), others,
            ", the best so far" if epoch.best else "",
        )  # fmt: skip

    def _say(self, state: str, sentence: str) -> None:
        self.progress.state, self.progress.sentence = state, sentence
        self.progress.save()

    # ---- after ----

    def _decide(
        self, night: ResumableRun, course: TrainingRun, id: str, before: Network
    ) -> dict[str, Any]:
        self._say("deciding", "compares the candidate with the network in use")
        finished, training, sets = course.finished, course.result(), night.gate_sets()
        if training.best is None:
            why = "the training diverged: the network in use stays"
            return self._settle(night, self._record_of(night, "diverged", why, finished=True))
        log.info("epoch %d was the best: the candidate is compared", training.best.number)
        network = calibrate(
            night.recipe.for_pixels(training.network),
            (
                batch
                for name, (data, rows) in sets.items()
                if name != OWN_DIGITS
                for batch in batches(data, rows, night.recipe.batch)
            ),
        ).network
        comparisons, contradictions = compare_networks(before, network, sets)
        found = judge_candidate(comparisons, contradictions)
        candidate = weights.checksum(network)[:12]
        if candidate == id:
            found = Verdict(False, "the best of this training reads already")
        else:
            self._vault.add(network, self._card(night, training, comparisons, found))
        record = self._record_of(
            night, "promoted" if found.promoted else "kept", found.why, finished=finished
        )
        record |= {
            "parent": id,
            "candidate": candidate,
            "outcomes": {name: each.as_json() for name, each in comparisons.items()},
        }
        return self._settle(night, record, gated=training.best.number)

    def _settle(self, night: ResumableRun, record: dict[str, Any], **facts: Any) -> dict[str, Any]:
        """Write down what is decided, then do it: after a power cut it is not decided anew."""
        candidates = [record["candidate"]] if record["candidate"] else []
        night.note(decided=record, accepts=[*night.plan.accepts, *candidates], **facts)
        return self._conclude(night, record)

    def _conclude(self, night: ResumableRun, record: dict[str, Any]) -> dict[str, Any]:
        """Do what was decided, or what a power cut left to be done of it."""
        candidate = record["candidate"]
        if record["outcome"] == "promoted" and self._vault.load_current().id != candidate:
            try:
                self._vault.promote(candidate)
            except VaultError as error:
                # Its file was damaged or removed since it was decided.
                record |= {"outcome": "kept", "why": str(error)}
        promoted = "is promoted" if record["outcome"] == "promoted" else "is not promoted"
        log.info(
            "%s%s%s",
            f"{candidate} {promoted}: " if candidate else "",
            record["why"],
            "" if record["finished"] else "; the training goes on the next night",
        )
        if not any(each["at"] == record["at"] for each in load_nights(self._state)):
            append_night(self._state, record)
        if record["finished"]:
            try:
                discard(night.folder)
            except OSError as error:
                raise StateError(
                    f"{night.folder}: cannot be removed ({error.strerror}): check who owns it"
                ) from None
        else:
            night.note(decided=None)
        return record

    def _card(
        self,
        night: ResumableRun,
        training: Training,
        comparisons: dict[str, Comparison],
        found: Verdict,
    ) -> dict[str, Any]:
        own, base = comparisons[OWN_DIGITS], comparisons.get(MNIST)
        assert training.best is not None
        return {
            "preset": "appliance",
            "parent": night.plan.parent,
            "command": f"digits retrain{' --from-scratch' if night.plan.from_scratch else ''}",
            "seed": SEED,
            "epochs": len(training.epochs),
            "best_epoch": training.best.number,
            "made": time.strftime("%Y-%m-%d %H:%M:%S"),
            "seconds": round(night.plan.seconds),
            "cpu_seconds": round(night.plan.cpu_seconds),
            "numpy": np.__version__,
            "data": night.plan.base or {},
            "digits": 0 if night.base is None else len(night.base),
            "captures": {**night.plan.captures, "sha256": night.checksum},
            "own": {"right": own.after, "total": own.total, "before": own.before},
            **({"validation_accuracy": round(base.after / base.total, 4)} if base else {}),
            "report": {
                "promoted": found.promoted,
                "why": found.why,
                "outcomes": {name: each.as_json() for name, each in comparisons.items()},
            },
        }

    def _record_of(
        self, night: ResumableRun, outcome: str, why: str, *, finished: bool = False
    ) -> dict[str, Any]:
        return {
            "at": time.time(),
            "boot": machine.boot(),
            "uptime": machine.uptime(),
            "outcome": outcome,
            "why": why,
            "told": self._stopping(),
            "parent": night.plan.parent,
            "candidate": None,
            "captures": night.plan.captures,
            "change": night.plan.change,
            "outcomes": {},
            "finished": finished,
            "seconds": round(self._clock() - self._started, 1),
            "cpu_seconds": round(time.process_time() - self._cpu, 1),
            "written": count_written_bytes(),
            "curve": self.progress.curve,
            "epochs": self.progress.epochs,
        }
