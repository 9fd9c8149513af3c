"""One fold of one member: trained, or gone on with, until its weights stand in its folder."""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.files import atomic_path, read_json, sweep_partials, write_json
from maskwright.core.progress import Reporter, Silent, Tick
from maskwright.core.stop import Stop
from maskwright.data.dataset import Batch, TrainSet, TrainSpec, ValidSet
from maskwright.models.adapt import SegModel, freeze_unused, needs_two
from maskwright.models.build import build_model
from maskwright.models.tensors import read_facts
from maskwright.models.weights import save_weights
from maskwright.scoring.scores import score
from maskwright.training.checkpoint import Checkpoints, State, load_optimizer, optimizer_tensors, pack, unpack
from maskwright.training.cluster import Cluster
from maskwright.training.ema import Ema
from maskwright.training.job import FoldJob, memory_explained
from maskwright.training.loader import Samples, read_batches
from maskwright.training.loop import Kit, StepRecord, train_step
from maskwright.training.losses.table import build_loss
from maskwright.training.mining import Ledger, item_errors
from maskwright.training.optim import build_optimizer
from maskwright.training.plan import Deal, Plan, check_share, digest_of_keys, make_plan
from maskwright.training.precision import precision_of, repeatable
from maskwright.training.records import Records
from maskwright.training.schedule import build_schedule
from maskwright.training.validate import Exam, evaluate

__all__ = ["BEST", "DONE", "LAST", "FoldJob", "fit_fold"]

BEST = "best.safetensors"
LAST = "last.safetensors"
DONE = "done.json"
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
        check_share(train, cluster.size, str(folder))
        self.plan: Plan = make_plan(train, len(job.train_keys), job.seed)
        self.lots = job.lots(self.plan.draws)
        self.ledger = Ledger(len(job.train_keys)) if job.member.sampling.windows == "hard" else None
        self.checkpoints = Checkpoints(folder, job.digest)
        self.save_every, self.on_cpu = train.save_every, cluster.device.type == "cpu"
        self.step = self.saved = 0
        self.epoch_open = False
        self.loss_sum = 0.0
        self.best: dict[str, Any] = {}
        self.sizes: dict[str, int] = {}
        self.pending: list[StepRecord] = []
        self.began = time.perf_counter()
        self.model = self.build()
        self.optimizer = build_optimizer(self.model, job.member.optimizer)
        self.kit = self._kit()
        self._restore()
        self.exam = self._exam()
        self.records = Records(folder, self.sizes) if cluster.main else None

    def build(self) -> SegModel:
        """Return the network with its first weights."""
        job, train = self.job, self.job.member.train
        torch.manual_seed(job.seed)
        bands = len(job.preprocess.bands)
        model = build_model(job.member.model, bands, job.task.planes, job.recipe_dir)
        layout = torch.channels_last if train.channels_last else torch.contiguous_format
        model = model.to(self.cluster.device).to(memory_format=layout)
        freeze_unused(model, bands)
        if train.batch_size == self.cluster.size and needs_two(model, bands, train.crop_shape):
            raise InputError(
                "with one sample in each process the batch norm of this model has nothing to average over",
                where=self.folder,
                fix=f"use train.batch_size={2 * self.cluster.size} or more, or another architecture",
            )
        return model.train()

    def _restore(self) -> None:
        state: State | None = None
        if self.cluster.main:
            state = self.checkpoints.newest(self.reporter.warn)
        step = self.cluster.from_main(0 if state is None else state.step)
        if step == 0:
            return
        state = state or self.checkpoints.read(step)
        self.step = self.saved = step
        self.model.load_state_dict(unpack("model", state.tensors))
        load_optimizer(self.optimizer, self.model, unpack("optimizer", state.tensors))
        if self.ema is not None:
            self.ema.load_state_dict(unpack("ema", state.tensors))
        if self.ledger is not None:
            self.ledger.load_state_dict(unpack("ledger", state.tensors))
        facts = state.facts
        self.epoch_open, self.loss_sum, self.best, self.sizes = (
            facts[name] for name in ("epoch_open", "loss_sum", "best", "sizes")
        )
        if facts["threads"] != torch.get_num_threads():
            self.reporter.warn(
                f"{self.folder}: begun with {facts['threads']} threads, gone on with {torch.get_num_threads()}; "
                "weights may differ in the last digits from an undisturbed run"
            )

    def _kit(self) -> Kit:
        member, cluster = self.job.member, self.cluster
        # the optimiser stays bare: accelerate's wrapper serves loss scaling, which bf16 does not need, and takes its
        # time in every step
        model = cluster.prepare(self.model)
        # only now: accelerate gives weights and buffers new memory, and an average must follow what is trained
        self.ema = Ema(self.model, member.train.ema) if member.train.ema is not None else None
        return Kit(
            model=model,
            optimizer=self.optimizer,
            parameters=tuple(parameter for group in self.optimizer.param_groups for parameter in group["params"]),
            loss=build_loss(
                member.loss,
                self.job.task,
                cluster.pool if cluster.size > 1 else None,
                frequency=self.job.frequency,
            ),
            multiplier=build_schedule(member.schedule, self.plan.total, steps_per_epoch=self.plan.steps_per_epoch),
            ema=self.ema,
            cluster=cluster,
            train=member.train,
            bf16=precision_of(member.train, cluster.device) == "bf16",
            seed=self.job.seed,
            errors=None if self.ledger is None else partial(item_errors, task=self.job.task),
        )

    def _exam(self) -> Exam | None:
        job, train = self.job, self.job.member.train
        if not job.valid_keys:
            return None
        windows = ValidSet(
            job.source, job.valid_keys, job.task, job.preprocess, train.crop_shape, job.max_pixels, job.cache
        )
        size = 1 if train.crop_shape is None else job.member.predict.batch_size
        loss = build_loss(job.member.loss, job.task, frequency=job.frequency)
        return Exam(windows, job.task, size, train.workers, self.kit.bf16, train.channels_last, loss)

    def run(self) -> None:
        """Take all steps that are left and write the final files."""
        self.began = time.perf_counter()
        try:
            name = f"training {self.folder.parent.name}/{self.folder.name}"
            with self.reporter.task(name, self.plan.total, self.step) as tick:
                self._train(tick)
            if self.cluster.main:
                self._finish()
        finally:
            if self.records is not None:
                self.records.close()
        self.cluster.wait()

    def _train(self, tick: Tick) -> None:
        if self.epoch_open:
            self._end_epoch()
        samples = self.samples()
        workers, pin = self.job.member.train.workers, self.cluster.device.type == "cuda"
        while self.step < self.plan.total:
            last = self.plan.total
            if self.ledger is not None:  # workers read ahead, so they begin anew when the errors are known
                self.lots.learn(self.ledger.last)
                last = self.plan.epoch_end(self.step)
            deal = Deal(self.plan, self.step, self.cluster.rank, self.cluster.size, last)
            with closing(read_batches(samples, deal, workers, pin=pin)) as batches:
                while self.step < last:
                    self.take_step(batches, tick)

    def take_step(self, batches: Iterator[Batch], tick: Tick) -> None:
        """Take one step and do what is due after it: log, validate, save, stop."""
        self.pending.append(train_step(self.kit, batches, self.step))
        self.step += 1
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

    def samples(self) -> Samples:
        """Return what batches are read from, by (epoch, index)."""
        job, train = self.job, self.job.member.train
        return TrainSet(
            TrainSpec(
                source=job.source,
                keys=job.train_keys,
                task=job.task,
                preprocess=job.preprocess,
                crop_shape=train.crop_shape,
                augment=job.member.augment,
                max_pixels=job.max_pixels,
                seed=job.seed,
                draws=self.plan.draws,
                cache=job.cache,
                lots=self.lots,
                classes=job.drawn_classes,
                pixels=None if job.pixels is None else tuple(job.pixels.sum(0).tolist()),
            )
        )

    def _look(self, tick: Tick) -> None:
        """Bring home what recent steps left on the device; stop at a loss that is no number."""
        for record in self.pending:
            loss, norm = float(record.loss), float(record.norm)
            keys = [self.job.train_keys[item] for item in self.plan.items_of(record.step, self.lots)]
            if not (math.isfinite(loss) and math.isfinite(norm)):
                raise self._no_number(record.step, loss, norm, keys)
            self.loss_sum += loss
            if self.ledger is not None:
                for items, errors in record.watched:
                    self.ledger.add(items.numpy(), errors.cpu().numpy())
            if self.records is not None:
                epoch = record.step // self.plan.steps_per_epoch + 1
                rate = self.job.member.optimizer.lr * record.rate
                self.records.step(
                    {"step": record.step + 1, "epoch": epoch, "loss": loss, "lr": rate, "norm": norm}
                    | {"items": digest_of_keys(keys)}
                )
            tick.advance(1, f"loss {loss:.4f}")
        self.pending.clear()

    def _no_number(self, step: int, loss: float, norm: float, keys: list[str]) -> InputError:
        what = f"the loss is {loss}" if not math.isfinite(loss) else f"the gradient's norm is {norm}"
        shown = ", ".join(keys[:8]) + (f" and {len(keys) - 8} more" if len(keys) > 8 else "")
        return InputError(
            f"{what} at step {step + 1}, items {shown}; the state after step {self.saved} is kept",
            where=self.folder,
            fix="look at these items, or lower optimizer.lr",
        )

    def _end_epoch(self) -> None:
        """Validate where it is due, write the history's row, save; a stop leaves the epoch open."""
        epoch = self.step // self.plan.steps_per_epoch
        held_out = None
        due = epoch % self.job.member.train.validate_every == 0 or self.step == self.plan.total
        if self.exam is not None and due:
            held_out = self._validate(self.exam)
        if self.records is not None:
            rate = self.job.member.optimizer.lr * self.kit.multiplier(self.step - 1)
            self.records.epoch(epoch, self.step, rate, self.loss_sum / self.plan.steps_per_epoch, held_out)
            seconds = round(time.perf_counter() - self.began, 3)
            self.records.timing({"epoch": epoch, "step": self.step, "seconds": seconds})
        self.began = time.perf_counter()
        self.epoch_open, self.loss_sum = False, 0.0
        if self.ledger is not None:
            self.ledger.pool(self.cluster)
            self.ledger.end_epoch()
        self._save()

    def _validate(self, exam: Exam) -> tuple[float, float]:
        """Return loss and score on the held-out windows; keep the weights if they are the best so far."""
        self.cluster.share(self._weights().values())
        with self.ema.applied() if self.ema is not None else nullcontext():
            verdict = evaluate(self.model, exam, self.cluster, self._asked)
        if verdict is None:
            self._interrupted(self.cluster.agree(self.stop.signal_number or 0))
        value = score(verdict.counts, self.job.metric)
        if value > self.best.get("score", -math.inf):
            self.best = {"step": self.step, "score": value}
            if self.cluster.main:
                facts = {**self._facts(), "score": value, "metric": self.job.metric}
                save_weights(self.checkpoints.best_path(self.step), self._weights(), facts)
        return verdict.loss, value

    def _asked(self) -> bool:
        return bool(self.cluster.agree(self.stop.signal_number or 0))

    def _interrupted(self, signal_number: int) -> NoReturn:
        self._save()
        raise Interrupted(signal_number, f"training stopped after step {self.step} of {self.plan.total}, saved")

    def _save(self) -> None:
        if self.saved == self.step and self.epoch_open:
            return
        self.saved = self.step
        if self.ledger is not None:
            self.ledger.pool(self.cluster)
        if self.records is None:
            return
        tensors = pack("model", self.model.state_dict())
        tensors |= pack("optimizer", optimizer_tensors(self.optimizer, self.model))
        if self.ema is not None:
            tensors |= pack("ema", self.ema.state_dict())
        if self.ledger is not None:
            tensors |= pack("ledger", self.ledger.state_dict())
        facts = {"epoch_open": self.epoch_open, "loss_sum": self.loss_sum, "best": self.best}
        sizes = self.records.sync()
        self.checkpoints.save(self.step, tensors, {**facts, "sizes": sizes, "threads": torch.get_num_threads()})
        self._publish()

    def _publish(self) -> None:
        """Copy the best weights to their final name, after the state that calls them so is safe."""
        step = self.best.get("step")
        target = self.folder / BEST
        if step is None or (target.exists() and read_facts(target).get("step") == step):
            return
        with atomic_path(target) as temporary:
            shutil.copyfile(self.checkpoints.best_path(step), temporary)

    def _weights(self) -> Mapping[str, Tensor]:
        return self.model.state_dict() if self.ema is None else self.ema.state_dict()

    def _facts(self) -> dict[str, Any]:
        job = self.job
        return {
            "model": job.member.model.model_dump(mode="json"),
            "bands": len(job.preprocess.bands),
            "planes": job.task.planes,
            "preprocess": job.preprocess.to_plain(),
            "task": job.task.model_dump(mode="json"),
            "step": self.step,
            **job.facts,
        }

    def _finish(self) -> None:
        save_weights(self.folder / LAST, self._weights(), self._facts())
        self._publish()
        if not self.best:
            save_weights(self.folder / BEST, self._weights(), self._facts())
        told = {"job": self.job.digest, "step": self.step, "metric": self.job.metric, "best": self.best or None}
        write_json(self.folder / DONE, told)
        shutil.rmtree(self.folder / "state", ignore_errors=True)
