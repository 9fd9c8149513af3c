"""One fold of one member: trained, or gone on with, until its weights stand in its folder."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.files import read_json, sweep_partials
from maskwright.core.progress import Reporter, Silent, Tick
from maskwright.core.stop import Stop
from maskwright.data.dataset import Batch
from maskwright.models.adapt import SegModel
from maskwright.scoring.scores import per_class, score
from maskwright.training.beside import check_shares, read_steps
from maskwright.training.checkpoint import Checkpoints, State, ranked
from maskwright.training.cluster import Cluster
from maskwright.training.job import FoldJob, memory_explained
from maskwright.training.keep import BEST, DONE, LAST, Keeper
from maskwright.training.loader import Samples, read_batches
from maskwright.training.loop import StepRecord, train_step
from maskwright.training.mining import Ledger
from maskwright.training.parts import Validated
from maskwright.training.pieces import gathered
from maskwright.training.plan import Deal, Plan, digest_of_keys
from maskwright.training.precision import repeatable
from maskwright.training.records import HeldOut, Records
from maskwright.training.schedule import minima
from maskwright.training.setup import (
    build_exam,
    build_kit,
    build_network,
    build_others,
    build_parts,
    build_samples,
    statistics_tickets,
)
from maskwright.training.swa import Swa, renew_norms
from maskwright.training.trackers.follow import Follower
from maskwright.training.validate import Exam, evaluate
from maskwright.training.watch import Stopper

__all__ = ["BEST", "DONE", "LAST", "FoldJob", "fit_fold"]

LOOK = 32
"""Steps after which a GPU is waited for, so that losses can be looked at and logged."""


def fit_fold(job: FoldJob, folder: Path, reporter: Reporter, stop: Stop) -> None:
    """Train one fold, or go on where its newest state stands; a finished fold returns at once.

    Args:
        job: what to train.
        folder: the fold's folder; holds last.safetensors, best.safetensors, history.csv, log.jsonl
            and done.json in the end, and state/ until then.
        reporter: where progress goes; used by the main process alone.
        stop: asked after each step.

    Raises:
        Interrupted: a stop was asked for; the state is saved.
        InputError: contradictions, unreadable items, a loss that is no number, another training's results.
        MemoryLimitError: the step does not fit.
        StorageError: the state cannot be written.
    """
    cluster = Cluster()
    if cluster.from_main(_finished(job, folder)):
        shutil.rmtree(folder / "state", ignore_errors=True)
        return
    if cluster.main:
        sweep_partials(folder)
    try:
        with memory_explained(job, folder), repeatable(cluster.device):
            Training(job, folder, reporter if cluster.main else Silent(), stop, cluster).run()
    finally:
        cluster.release()


def _finished(job: FoldJob, folder: Path) -> bool:
    """Say whether a fold's results are there; refuse those of another training."""
    if not (folder / DONE).exists():
        return False
    told = read_json(folder / DONE)
    if not isinstance(told, dict) or told.get("job") != job.digest:
        raise InputError(
            "holds the results of a training with another recipe, fold or data",
            where=folder,
            fix="move it away, or train again: maskwright train --redo",
        )
    return True


class Training:
    """A training between two steps: what a state holds, and what it takes to go on."""

    def __init__(self, job: FoldJob, folder: Path, reporter: Reporter, stop: Stop, cluster: Cluster) -> None:
        self.job, self.folder, self.reporter, self.stop, self.cluster = job, folder, reporter, stop, cluster
        train = job.member.train
        check_shares(train, job.beside, cluster.size, str(folder))
        self.plan: Plan = job.plan
        self.lots = job.lots(self.plan.draws)
        self.ledger = Ledger(len(job.train_keys)) if job.member.sampling.windows == "hard" else None
        self.checkpoints = Checkpoints(folder, job.digest)
        self.keeper = Keeper(job, folder, self.checkpoints)
        self.save_every, self.on_cpu = train.save_every, cluster.device.type == "cpu"
        self.step = self.saved = 0
        self.epoch_open = False
        self.loss_sum = 0.0
        self.sizes: dict[str, int] = {}
        self.pending: list[StepRecord] = []
        self.began = time.perf_counter()
        self.model = self.build()
        self.kit = build_kit(job, self.plan, cluster, self.model, errors=self.ledger is not None)
        self.parts = build_parts(job, self.model, self.kit, self.ledger)
        self.stopper, self.swa = self.parts.get("early_stop", Stopper), self.parts.get("swa", Swa)
        self.minima = minima(job.member.schedule, self.plan.total, self.plan.steps_per_epoch) if train.snapshots else ()
        self._restore()
        self.exam = build_exam(job, self.kit)
        self.records = Records(folder, self.sizes, job.task.plane_names) if cluster.main else None
        self.follower = self._follow()

    def build(self) -> SegModel:
        """Return the network with its first weights."""
        return build_network(self.job, self.cluster, self.folder)

    def samples(self) -> Samples:
        """Return what batches are read from, by (epoch, index)."""
        return build_samples(self.job, self.plan, self.lots)

    def _restore(self) -> None:
        state: State | None = None
        if self.cluster.main:
            state = self.checkpoints.newest(self.reporter.warn)
        step = self.cluster.from_main(0 if state is None else state.step)
        if step == 0:
            return
        state = state or self.checkpoints.read(step)
        self.step = self.saved = step
        self.parts.unpack(state.tensors)
        facts = state.facts
        self.epoch_open, self.loss_sum, self.sizes = (facts[name] for name in ("epoch_open", "loss_sum", "sizes"))
        self.keeper.ranked = ranked(facts)
        if facts["threads"] != torch.get_num_threads():
            self.reporter.warn(
                f"{self.folder}: begun with {facts['threads']} threads, gone on with {torch.get_num_threads()}; "
                "weights may differ in the last digits from an undisturbed run"
            )

    def run(self) -> None:
        """Take all steps that are left and write the final files."""
        self.began = time.perf_counter()
        try:
            name = f"training {self.folder.parent.name}/{self.folder.name}"
            with self.reporter.task(name, self.plan.total, self.step) as tick:
                self._train(tick)
                if self.over and self.step < self.plan.total:
                    tick.advance(self.plan.total - self.step, "finished early")
            if self.kit.scaler is not None and self.kit.scaler.skipped:
                count = self.kit.scaler.skipped
                self.reporter.say(f"{name}: {count} of {self.plan.total} steps overflowed float16 and were left out")
            self._finish()
        finally:
            self._let_go(finished=False)
            if self.records is not None:
                self.records.close()
        self.cluster.wait()

    def _train(self, tick: Tick) -> None:
        if self.epoch_open:
            self._end_epoch()
        samples, others = self.samples(), build_others(self.job)
        workers, pin = self.job.member.train.workers, self.cluster.device.type == "cuda"
        while not self.over:
            last = self.plan.total
            if self.ledger is not None:  # workers read ahead, so they begin anew when the errors are known
                self.lots.learn(self.ledger.last)
                last = self.plan.epoch_end(self.step)
            deal = Deal(self.plan, self.step, self.cluster.rank, self.cluster.size, last)
            with closing(read_steps(samples, others, deal, workers, pin=pin)) as batches:
                while self.step < last and not self.over:
                    self.take_step(batches, tick)

    @property
    def over(self) -> bool:
        """Whether all steps are done, or no more are worth taking."""
        return self.step >= self.plan.total or (self.stopper is not None and self.stopper.over)

    def take_step(self, batches: Iterator[Batch], tick: Tick) -> None:
        """Take one step and do what is due after it: log, validate, save, stop."""
        self.pending.append(train_step(self.kit, batches, self.step))
        self.step += 1
        self.parts.after_step(self.step)
        if self.step in self.minima:
            weights = self._whole(self._weights())
            if self.cluster.main:
                self.keeper.save_snapshot(weights, self.step)
        self.epoch_open = self.step % self.plan.steps_per_epoch == 0
        due = self.save_every is not None and self.step % self.save_every == 0
        asked = self.cluster.agree(self.stop.signal_number or 0)
        if self.on_cpu or self.epoch_open or due or asked or len(self.pending) >= LOOK:
            self._look(tick)
        if asked:
            self._interrupted(asked)
        if self.epoch_open:
            self._end_epoch()
        elif due:
            self._save()

    def _look(self, tick: Tick) -> None:
        """Bring home what recent steps left on the device; stop at a loss that is no number."""
        for record in self.pending:
            loss, norm = float(record.loss), float(record.norm)
            keys = [self.job.train_keys[item] for item in self.plan.items_of(record.step, self.lots)]
            beside = {} if record.beside is None else {"beside": float(record.beside)}
            if not all(map(math.isfinite, beside.values())):
                loss, keys = beside["beside"], self._beside_keys(record.step)
            skipped = self.kit.scaler is not None and math.isfinite(loss) and not math.isfinite(norm)
            hopeless = self.kit.scaler is not None and self.kit.scaler.note(overflow=skipped)
            if hopeless or not (skipped or (math.isfinite(loss) and math.isfinite(norm))):
                raise self._no_number(record.step, loss, norm, keys)
            self.loss_sum += loss
            if self.ledger is not None:
                for items, errors in record.watched:
                    self.ledger.add(items.numpy(), errors.cpu().numpy())
            if self.records is not None:
                epoch = record.step // self.plan.steps_per_epoch + 1
                rate = self.job.member.optimizer.lr * record.rate
                self.records.step(
                    {"step": record.step + 1, "epoch": epoch, "loss": loss, "lr": rate}
                    | {"norm": None if skipped else norm, "items": digest_of_keys(keys), **beside}
                )
            tick.advance(1, f"loss {loss:.4f}")
        self.pending.clear()

    def _beside_keys(self, step: int) -> list[str]:
        """Return the other items that a step drew."""
        assert self.kit.beside is not None
        return self.kit.beside.keys(step, self.job.seed)

    def _no_number(self, step: int, loss: float, norm: float, keys: list[str]) -> InputError:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
        shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        return InputError(
            f"{what} at step {step + 1}, items {shown}; the state after step {self.saved} is kept",
            where=self.folder,
            fix="look at these items, or lower optimizer.lr"
            + (", or set train.precision=bf16" if self.kit.scaler is not None else ""),
        )

    def _end_epoch(self) -> None:
        """Validate where it is due, write the history's row, save; a stop leaves the epoch open."""
        epoch = self.step // self.plan.steps_per_epoch
        rate = self.job.member.optimizer.lr * self.kit.multiplier(self.step - 1)
        held_out = None
        due = epoch % self.job.member.train.validate_every == 0 or self.step == self.plan.total
        if self.exam is not None and due:
            held_out = self._validate(self.exam)
        if self.records is not None:
            self.records.epoch(epoch, self.step, rate, self.loss_sum / self.plan.steps_per_epoch, held_out)
            seconds = round(time.perf_counter() - self.began, 3)
            self.records.timing({"epoch": epoch, "step": self.step, "seconds": seconds})
        self.began = time.perf_counter()
        self.epoch_open, self.loss_sum = False, 0.0
        self.parts.gather(self.cluster)
        self.parts.after_epoch(epoch)
        self._save()

    def _validate(self, exam: Exam) -> HeldOut:
        """Return loss and scores on the held-out windows; keep the weights if they are the best so far."""
        self.cluster.share(self._weights().values())
        with self.kit.ema.applied() if self.kit.ema is not None else nullcontext():
            verdict = evaluate(self.model, exam, self.cluster, self._asked)
        if verdict is None:
            self._interrupted(self.cluster.agree(self.stop.signal_number or 0))
        value = score(verdict.counts, self.job.metric)
        told = Validated(self.step, verdict.counts, verdict.loss, value)
        if self.keeper.judge(told):
            weights = self._whole(self._weights())
            if self.cluster.main:
                self.keeper.save_best(weights, self.step)
        self.parts.after_validation(told)
        if self.job.witness is not None:
            self.job.witness(self.step, self.plan.total, verdict.counts)
        classes = per_class(verdict.counts, self.job.metric).tolist()
        return verdict.loss, value, [None if math.isnan(one) else one for one in classes]

    def _asked(self) -> bool:
        return bool(self.cluster.agree(self.stop.signal_number or 0))

    def _interrupted(self, signal_number: int) -> NoReturn:
        if not (self.over and not self.epoch_open):  # the last state is there, and averages must not become one
            self._save()
        raise Interrupted(signal_number, f"training stopped after step {self.step} of {self.plan.total}, saved")

    def _save(self) -> None:
        if self.saved == self.step and self.epoch_open:
            return
        self.saved = self.step
        self.parts.gather(self.cluster)
        if self.records is None and self.kit.shards is None:
            return
        tensors = self._whole(self.parts.pack())
        if self.records is None:
            return
        facts = {
            "epoch_open": self.epoch_open,
            "loss_sum": self.loss_sum,
            "best": self.keeper.best,
            "ranked": self.keeper.ranked,
        }
        sizes = self.records.sync()
        told = {**facts, "sizes": sizes, "threads": torch.get_num_threads()}
        self.checkpoints.save(self.step, tensors, told)
        self.keeper.publish()
        self._tell(sizes)

    def _follow(self) -> Follower | None:
        """Begin to tell the recipe's trackers; what a killed process owed them is told at once."""
        tracking, facts = self.job.tracking, self.job.facts
        if tracking is None or not self.cluster.main:
            return None
        follower = tracking.follow(self.folder, str(facts["member"]), int(facts["fold"]), self.reporter.warn)
        if self.sizes and not self.epoch_open:
            follower.tell(self.sizes)
        return follower

    def _tell(self, sizes: Mapping[str, int]) -> None:
        if self.follower is not None and not self.epoch_open:  # a step is told of once, with its epoch's row
            self.follower.tell(sizes)

    def _let_go(self, *, finished: bool) -> None:
        """End what trackers are told; before the fold counts as done, so that a kill in between owes them nothing."""
        if self.follower is not None:
            self.follower.close(finished=finished)
            self.follower = None

    def _weights(self) -> Mapping[str, Tensor]:
        return self.model.state_dict() if self.kit.ema is None else self.kit.ema.state_dict()

    def _whole(self, tensors: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """Return tensors that can be written; called by all processes."""
        return tensors if self.kit.shards is None else gathered(tensors, keep=self.cluster.main)

    def _finish(self) -> None:
        """Average what is to be averaged, and write the final files."""
        told: dict[str, Any] = {}
        if self.stopper is not None and self.step < self.plan.total:
            why = self.stopper.in_words()
            told["early"] = {"steps_planned": self.plan.total, "why": why}
            where = f"{self.folder.parent.name}/{self.folder.name}"
            epochs = f"epoch {self.step // self.plan.steps_per_epoch} of {self.plan.epochs}"
            self.reporter.say(f"{where}: finished early after {epochs}, as {why}")
        if self.swa is not None:
            weights = self._whole(self._weights())
            if self.cluster.main:
                self.keeper.save_raw(weights, self.step)
            told["swa"] = self._average(self.swa)
        self._let_go(finished=True)
        weights = self._whole(self._weights() if self.swa is None else self.model.state_dict())
        if self.cluster.main:
            self.keeper.finish(weights, self.step, told)

    def _average(self, swa: Swa) -> dict[str, Any]:
        """Put the mean of the last epochs' weights into the model, and say how good it is."""
        swa.put_in()
        tickets = statistics_tickets(self.plan)
        workers = self.job.member.train.workers
        with closing(read_batches(self.samples(), tickets, workers, pin=self.cluster.device.type == "cuda")) as read:
            batches = self._unless_asked(read)
            seen = renew_norms(
                self.model, batches, self.cluster.device, self.kit.autocast, channels_last=self.kit.train.channels_last
            )
        told: dict[str, Any] = {"taken": swa.taken, "statistics_from_samples": seen}
        if self.exam is not None:
            self.cluster.share(self.model.state_dict().values())
            verdict = evaluate(self.model, self.exam, self.cluster, self._asked)
            if verdict is None:
                self._interrupted(self.cluster.agree(self.stop.signal_number or 0))
            told |= {"score": score(verdict.counts, self.job.metric), "loss": verdict.loss}
        return told

    def _unless_asked(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Give batches on until a stop is asked for; the state before them is saved already."""
        for batch in batches:
            if self._asked():
                self._interrupted(self.cluster.agree(self.stop.signal_number or 0))
            yield batch
