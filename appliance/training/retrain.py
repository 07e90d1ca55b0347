"""A night of learning: captures and base set → candidate → gate → promote or keep, in its time."""

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
from appliance.networks.vault import LoadedNetwork, Vault
from appliance.storage.layout import StateDirectory
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
from appliance.training.resumable_run import SEED, MakeExamples, ResumableRun, Sizes, delete_run
from model import weights
from model.calibration import calibrate
from model.datasets import Split
from model.network import Network
from model.train import Epoch, Training, TrainingRun, batches

log = logging.getLogger(__name__)

CHECKPOINT_SECONDS = 3600.0
"""A checkpoint has half a megabyte: more often would wear the SD card."""
_SHOW_SECONDS = 5.0
_HEAT_SECONDS = 10.0
_COOL_DOWN = 5.0
"""Degrees below the hottest at which a training that waited goes on."""
_CURVE_POINTS = 60


@dataclass(frozen=True)
class Limits:
    """A night ends after so many `seconds`, or at the time `until` (Unix seconds).

    It waits while the processor is hotter than `hottest` °C.
    """

    seconds: float
    until: float | None = None
    hottest: float = 75.0


class Retraining:
    """One `digits retrain`: goes on with the last run or begins one, and judges what it learned.

    `stopping` is asked after each batch whether to end; `clock` is monotonic.
    """

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
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._state, self._vault, self._captures = state, vault, captures
        self._base, self._limits = base, limits
        self._make_examples, self._from_scratch = make_examples, from_scratch
        self._sizes = sizes or Sizes()
        self._stopping, self._clock, self._sleep = stopping, clock, sleep
        self._started = self._saved_at = clock()
        self._cpu_started = time.process_time()
        # Until here the plan's seconds have counted.
        self._counted, self._cpu_counted = self._started, self._cpu_started
        self._shown_at = self._heat_checked_at = -1e9
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
            # Such a night has no record: the page shows this sentence.
            self.progress.sentence = str(error) or type(error).__name__
            raise
        finally:
            self.progress.state = "ended"
            self.progress.seconds_left = None
            self.progress.save()

    def _run(self) -> dict[str, Any]:
        loaded = self._vault.load_current()
        if loaded.problem:
            log.warning("%s", loaded.problem)
        self._show("preparing", "looks at what there is to learn from")
        if self._base is not None:
            check_base_set(self._base, loaded.network)
        night = self._open_run(loaded)
        if night.plan.decided:
            record = self._carry_out(night, night.plan.decided)
            if record["finished"]:
                return record
            loaded = self._vault.load_current()
        training, lost = night.load_training()
        if lost:
            log.warning("%s", lost)
        self._announce(night, training)
        self._learn(night, training)
        best = max((epoch.number for epoch in training.epochs if epoch.best), default=0)
        if training.finished or (best > night.plan.gated and not self._stopping()):
            return self._decide(night, training, loaded)
        reason = "it was told to end" if self._stopping() else "its time is over"
        why = f"{reason} after {training.progress:.0%}: it goes on the next night"
        log.info("%s", why)
        record = self._make_record(night, "left", why)
        append_night(self._state, record)
        return record

    # ---- before ----

    def _open_run(self, current: LoadedNetwork) -> ResumableRun:
        """Return the run that was begun if it still fits, else a new one."""
        folder = StateDirectory(self._state).night
        if (folder / "plan.json").exists():
            try:
                night = ResumableRun(folder, self._base, self._sizes)
                if self._from_scratch and not night.plan.from_scratch:
                    log.info("what was begun is put aside: from scratch was asked for")
                elif current.id in night.plan.accepts:
                    return night
                else:
                    log.info(
                        "network %s reads now: what was begun with another is over", current.id
                    )
            except StateError as error:
                log.warning("%s", error)
        check_captures(self._captures)
        if not self._from_scratch:
            check_outputs(current.network, current.id)
        if self._base is None:
            log.warning(
                "no base set is installed: 'digits data fetch' brings MNIST; this night the "
                "network in use is the teacher of what it knows"
            )
        self._show("preparing", "simulates photographs, so that nothing is forgotten")
        return ResumableRun.create(
            folder,
            parent=current.network,
            card=current.card,
            captures=self._captures,
            base=self._base,
            make_examples=self._make_examples,
            from_scratch=self._from_scratch,
            sizes=self._sizes,
        )

    def _announce(self, night: ResumableRun, training: TrainingRun) -> None:
        """Log what the night learns from, and have the progress begin where the last one ended."""
        epochs, captures = night.recipe.epochs, night.plan.captures
        self.progress.of = epochs
        self.progress.epochs = [asdict(epoch) for epoch in training.epochs]
        if training.progress:
            self.progress.curve = [(share, loss) for share, loss in night.plan.curve]
        log.info(
            "network %s learns from %d captures, %d more are held out, %s; %d epochs%s",
            night.plan.parent,
            captures["learned"],
            captures["held_out"],
            "without a base set: the network in use is its own teacher"
            if night.base is None
            else f"with {len(night.base):,} digits of the base set",
            epochs,
            f", {training.progress:.0%} done before" if training.progress else "",
        )

    # ---- meanwhile ----

    def _learn(self, night: ResumableRun, training: TrainingRun) -> None:
        """Go on with a training until it is finished or the night is over, and save it."""
        recipe, rate = night.recipe, Rate(self._clock)
        pictures = len(night.pictures.examples if night.base is None else night.base)
        self._saved_at = self._clock()

        def on_batch(epoch: int, share: float) -> None:
            rate.count(recipe.batch)
            self._show_progress(training, epoch, rate, pictures * recipe.epochs)

        def should_stop() -> bool:
            if self._clock() - self._saved_at >= CHECKPOINT_SECONDS:
                self._save(night, training)
            self._wait_while_hot()
            return self._stopping() or self._is_over()

        training.train(on_epoch=self._log_epoch, on_batch=on_batch, should_stop=should_stop)
        if training.finished and training.result().interrupted:
            # Ctrl-C cut its last epoch short: the checkpoint before goes on with the same bits.
            raise KeyboardInterrupt
        self._save(night, training)

    def _save(self, night: ResumableRun, training: TrainingRun) -> None:
        """Save a checkpoint, and add the time since the last one to the plan's."""
        night.save_checkpoint(training)
        now, cpu = self._clock(), time.process_time()
        night.update_plan(
            seconds=night.plan.seconds + now - self._counted,
            cpu_seconds=night.plan.cpu_seconds + cpu - self._cpu_counted,
            curve=[list(point) for point in self.progress.curve],
        )
        self._saved_at, self._counted, self._cpu_counted = now, now, cpu

    def _is_over(self) -> bool:
        until = self._limits.until
        return self._clock() - self._started >= self._limits.seconds or (
            until is not None and time.time() >= until
        )

    def _wait_while_hot(self) -> None:
        if self._clock() - self._heat_checked_at < _HEAT_SECONDS:
            return
        waited = False
        while not self._stopping() and not self._is_over():
            reason = self._reason_to_wait(waited)
            if not reason:
                break
            if not waited:
                log.info("waits: %s", reason)
            waited = True
            self._show("waiting", f"waits: {reason}")
            self._sleep(_HEAT_SECONDS)
        self._heat_checked_at = self._clock()
        if waited:
            log.info("goes on")

    def _reason_to_wait(self, waited: bool) -> str | None:
        """Return why the processor must rest; one that `waited` cools down by some degrees."""
        degrees = self.progress.temperature = machine.temperature()
        limit = self._limits.hottest - (_COOL_DOWN if waited else 0)
        if degrees is not None and degrees > limit:
            return f"the processor is at {degrees:.0f} °C"
        return machine.throttled()

    def _show_progress(self, training: TrainingRun, epoch: int, rate: Rate, total: int) -> None:
        progress = self.progress
        progress.progress, progress.epoch = training.progress, epoch
        progress.loss = training.loss
        due = training.progress * _CURVE_POINTS >= len(progress.curve) + 1
        if due and training.loss is not None:
            progress.curve.append((round(training.progress, 4), round(training.loss, 4)))
        if self._clock() - self._shown_at < _SHOW_SECONDS:
            return
        progress.pictures_per_second = rate.per_second()
        if progress.pictures_per_second:
            left = (1 - training.progress) * total / progress.pictures_per_second
            progress.seconds_left = round(left)
        self._shown_at = self._clock()
        self._show("training", f"epoch {epoch} of {progress.of}")

    def _log_epoch(self, epoch: Epoch, network: Network) -> None:
        self.progress.epochs.append(asdict(epoch))
        others = "" if epoch.camera is None else f", {epoch.camera:.2%} of the other hands"
        log.info(
            "epoch %d of %d: loss %.4f, reads %.2f%% of the held-out digits%s%s",
            epoch.number, epoch.of, epoch.loss, 100 * (epoch.validation or 0), others,
            ", the best so far" if epoch.best else "",
        )  # fmt: skip

    def _show(self, state: str, sentence: str) -> None:
        self.progress.state, self.progress.sentence = state, sentence
        self.progress.save()

    # ---- after ----

    def _decide(
        self, night: ResumableRun, run: TrainingRun, current: LoadedNetwork
    ) -> dict[str, Any]:
        """Compare the best network so far with the current one; promote it if it is better."""
        self._show("deciding", "compares the candidate with the network in use")
        training = run.result()
        if training.best is None:
            why = "the training diverged: the network in use stays"
            return self._commit(night, self._make_record(night, "diverged", why, finished=True))
        log.info("epoch %d was the best: the candidate is compared", training.best.number)
        network = self._calibrate(night, training)
        comparisons, contradictions = compare_networks(current.network, network, night.gate_sets())
        verdict = judge_candidate(comparisons, contradictions)
        candidate = weights.checksum(network)[:12]
        if candidate == current.id:
            verdict = Verdict(False, "the best of this training reads already")
        else:
            self._vault.add(network, self._make_card(night, training, comparisons, verdict))
        outcome = "promoted" if verdict.promoted else "kept"
        record = self._make_record(night, outcome, verdict.why, finished=run.finished) | {
            "parent": current.id,
            "candidate": candidate,
            "outcomes": {name: each.to_json() for name, each in comparisons.items()},
        }
        return self._commit(night, record, gated=training.best.number)

    def _calibrate(self, night: ResumableRun, training: Training) -> Network:
        """Return the best network with its temperature; the owner's held-out digits are no part."""
        sets = [each for name, each in night.gate_sets().items() if name != OWN_DIGITS]
        held_out = (
            batch for data, rows in sets for batch in batches(data, rows, night.recipe.batch)
        )
        return calibrate(night.recipe.for_pixels(training.network), held_out).network

    def _commit(self, night: ResumableRun, record: dict[str, Any], **facts: Any) -> dict[str, Any]:
        """Write a decision down, then carry it out: a power cut between the two undoes nothing."""
        candidates = [record["candidate"]] if record["candidate"] else []
        night.update_plan(decided=record, accepts=[*night.plan.accepts, *candidates], **facts)
        return self._carry_out(night, record)

    def _carry_out(self, night: ResumableRun, record: dict[str, Any]) -> dict[str, Any]:
        """Do what was decided, or the part of it that a power cut left undone."""
        candidate = record["candidate"]
        if record["outcome"] == "promoted" and self._vault.load_current().id != candidate:
            try:
                self._vault.promote(candidate)
            except VaultError as error:
                # Its file was damaged or removed meanwhile.
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
        if not record["finished"]:
            night.update_plan(decided=None)
            return record
        try:
            delete_run(night.folder)
        except OSError as error:
            raise StateError(
                f"{night.folder}: cannot be removed ({error.strerror}): check who owns it"
            ) from None
        return record

    def _make_card(
        self,
        night: ResumableRun,
        training: Training,
        comparisons: dict[str, Comparison],
        verdict: Verdict,
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
                "promoted": verdict.promoted,
                "why": verdict.why,
                "outcomes": {name: each.to_json() for name, each in comparisons.items()},
            },
        }

    def _make_record(
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
            "cpu_seconds": round(time.process_time() - self._cpu_started, 1),
            "written": count_written_bytes(),
            "curve": self.progress.curve,
            "epochs": self.progress.epochs,
        }
