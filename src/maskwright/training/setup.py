"""What a training works with, made from its job: network, step, exam and samples."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Train
from maskwright.data.dataset import TrainSet, TrainSpec, ValidSet
from maskwright.data.sampling import Lots, sample_seed
from maskwright.models.adapt import SegModel, freeze_unused, needs_two
from maskwright.models.build import build_model
from maskwright.models.initial import load_into
from maskwright.models.recompute import recompute_encoder
from maskwright.training.beside import STREAM, Beside, BesideKit, smallest_batch
from maskwright.training.cluster import Cluster
from maskwright.training.ema import Ema
from maskwright.training.job import FoldJob
from maskwright.training.loop import Kit
from maskwright.training.losses.table import build_loss, member_loss
from maskwright.training.mining import Ledger, item_errors
from maskwright.training.optim import build_optimizer
from maskwright.training.parts import OptimizerPart, Part, Parts, Stateful
from maskwright.training.plan import Plan, Ticket
from maskwright.training.precision import Scaler, compile_model, half_of
from maskwright.training.schedule import Multiplier, Tail, build_schedule
from maskwright.training.sharding import PiecedOptimizer, Shards
from maskwright.training.swa import MOST, Swa
from maskwright.training.validate import Exam
from maskwright.training.watch import Stopper


def build_network(job: FoldJob, cluster: Cluster, folder: Path) -> SegModel:
    """Return the network with its first weights, on the device and in training mode.

    Raises:
        InputError: it cannot be built, or its batch norm has nothing to average over.
    """
    train, bands = job.member.train, job.preprocess.channels
    torch.manual_seed(job.seed)
    model = build_model(job.member.model, bands, job.task.planes, job.recipe_dir)
    if job.first is not None:
        load_into(model, job.first, bands)
    layout = torch.channels_last if settings_of(job, cluster).channels_last else torch.contiguous_format
    model = model.to(cluster.device).to(memory_format=layout)
    freeze_unused(model, bands)
    if smallest_batch(train, job.beside) == cluster.size and needs_two(model, bands, train.crop_shape):
        raise InputError(
            "with one sample in each process the batch norm of this model has nothing to average over",
            where=folder,
            fix=f"use train.batch_size={2 * cluster.size} or more"
            + (", or another selftrain.mix" if job.beside is not None else "")
            + ", or another architecture",
        )
    if train.checkpointing:
        recompute_encoder(model, bands)
    return model.train()


def is_divided(job: FoldJob, cluster: Cluster) -> bool:
    """Say whether weights are divided over the processes; one process has all of them."""
    return job.member.train.sharding == "fsdp" and cluster.size > 1


def settings_of(job: FoldJob, cluster: Cluster) -> Train:
    """Return the train block as it can be followed: torch divides weights in their plain layout alone."""
    train = job.member.train
    return train.model_copy(update={"channels_last": False}) if is_divided(job, cluster) else train


def build_kit(job: FoldJob, plan: Plan, cluster: Cluster, model: SegModel, *, errors: bool) -> Kit:
    """Return what a step works with.

    Args:
        job: what to train.
        plan: its steps.
        cluster: the processes.
        model: from build_network.
        errors: whether each sample's error is asked for.
    """
    member = job.member
    pool = cluster.pool if cluster.size > 1 else None
    loss = member_loss(member, job.task, job.frequency, model.head_names, pool, cluster.device)
    if loss.learns and not job.valid_keys:
        raise InputError(
            "a loss that learns from validations, and no item is held out",
            where="members.loss",
            fix="use another loss than cdb, or folds that hold items out",
        )
    own = loss.named_parameters()
    optimizer = build_optimizer(model, member.optimizer, own.values(), job.where("optimizer"))
    if member.train.compile:
        compile_model(model, cluster.device)
    # the optimiser stays bare: accelerate's wrapper serves loss scaling, which is ours (Scaler), and takes its
    # time in every step
    divided = is_divided(job, cluster)
    shards = Shards(model, job.preprocess.channels, optimizer, cluster.device) if divided else None
    return Kit(
        model=model if divided else cluster.prepare(model),
        optimizer=optimizer,
        parameters=tuple(parameter for group in optimizer.param_groups for parameter in group["params"]),
        loss=loss,
        multiplier=build_rate(job, plan),
        # only now: accelerate gives weights and buffers new memory, and an average must follow what is trained
        ema=Ema(model, member.train.ema) if member.train.ema is not None else None,
        cluster=cluster,
        train=settings_of(job, cluster),
        half=half_of(member.train, cluster.device),
        scaler=Scaler(cluster.device) if member.train.precision == "fp16" else None,
        seed=job.seed,
        shards=shards,
        errors=partial(item_errors, task=job.task) if errors else None,
        shared=tuple(own.values()),
        beside=_beside_kit(job, cluster),
    )


def _beside_kit(job: FoldJob, cluster: Cluster) -> BesideKit | None:
    if job.beside is None:
        return None
    pool = cluster.pool if cluster.size > 1 else None
    return BesideKit(job.beside, build_loss(job.beside.loss, job.task, pool, "selftrain.loss", job.frequency))


def build_rate(job: FoldJob, plan: Plan) -> Multiplier:
    """Return the schedule, its end held where SWA asks for it."""
    train = job.member.train
    schedule = build_schedule(job.member.schedule, plan.total, steps_per_epoch=plan.steps_per_epoch)
    if train.swa is None or train.swa.lr is None:
        return schedule
    return Tail(schedule, int(train.swa.start * plan.epochs) * plan.steps_per_epoch, train.swa.lr)


def build_parts(job: FoldJob, model: SegModel, kit: Kit, ledger: Ledger | None) -> Parts:
    """Return everything that has state, under the names that crash-safe states use."""
    own = {f"loss.{name}": parameter for name, parameter in kit.loss.named_parameters().items()}
    moved = (
        OptimizerPart(kit.optimizer, {**dict(model.named_parameters()), **own})
        if kit.shards is None
        else PiecedOptimizer(kit.optimizer, kit.shards, own)
    )
    planned = kit.multiplier.planned if isinstance(kit.multiplier, Tail) else kit.multiplier
    train = job.member.train
    maybe: dict[str, Stateful | None] = {
        "ema": kit.ema,
        "scaler": kit.scaler,
        "ledger": ledger,
        "schedule": planned if isinstance(planned, Part) else None,
        "early_stop": None if train.early_stop is None else Stopper(train.early_stop),
        "swa": None if train.swa is None else Swa(model, int(train.swa.start * train.epochs)),
    }
    parts = Parts({"model": kit.shards or model, "optimizer": moved, "loss": kit.loss})
    parts.named |= {name: part for name, part in maybe.items() if part is not None}
    return parts


def build_exam(job: FoldJob, kit: Kit) -> Exam | None:
    """Return what the model is examined on; None without held-out items."""
    train = job.member.train
    if not job.valid_keys:
        return None
    windows, size = build_windows(job)
    idle = None
    if kit.shards is not None:
        least = kit.shards.model.minimum
        idle = torch.zeros(1, job.preprocess.channels, least, least, device=kit.cluster.device)
    loss = kit.loss.alone()
    return Exam(windows, job.task, size, train.workers, kit.half, kit.train.channels_last, loss, idle)


def build_windows(job: FoldJob) -> tuple[ValidSet, int]:
    """Return the held-out windows, and how many of them are looked at together; whole images go one by one."""
    shape = job.member.train.crop_shape
    source, keys, resize = job.source, job.valid_keys, job.member.train.resize_shape
    windows = ValidSet(source, keys, job.task, job.preprocess, shape, job.max_pixels, job.cache, resize)
    return windows, 1 if shape is None else job.member.predict.batch_size


def build_samples(job: FoldJob, plan: Plan, lots: Lots) -> TrainSet:
    """Return what batches are read from, by (epoch, index)."""
    return TrainSet(
        TrainSpec(
            source=job.source,
            keys=job.train_keys,
            task=job.task,
            preprocess=job.preprocess,
            crop_shape=job.member.train.crop_shape,
            augment=job.member.augment,
            max_pixels=job.max_pixels,
            seed=job.seed,
            draws=plan.draws,
            cache=job.cache,
            lots=lots,
            classes=job.drawn_classes,
            pixels=None if job.pixels is None else tuple(job.pixels.sum(0).tolist()),
            sizes=job.member.model.aux.scale is not None,
            resize=job.member.train.resize_shape,
            spots=job.spots,
        )
    )


def build_others(job: FoldJob) -> tuple[Beside, TrainSet] | None:
    """Return other items that some batches are of, and what those are read from."""
    beside = job.beside
    if beside is None:
        return None
    samples = TrainSet(
        TrainSpec(
            source=beside.source,
            keys=beside.keys,
            task=job.task,
            preprocess=job.preprocess,
            crop_shape=job.member.train.crop_shape,
            augment=beside.augment,
            max_pixels=job.max_pixels,
            seed=sample_seed(job.seed, STREAM, 1),
            draws=1,
            lots=beside.lots(job.seed),
        )
    )
    return beside, samples


def statistics_tickets(plan: Plan) -> list[list[Ticket]]:
    """Return the batches that running statistics are made anew from: those an epoch after the last would have."""
    steps = range(plan.total, plan.total + plan.steps_per_epoch)
    lots = [plan.tickets(step, micro, 0, 1) for step in steps for micro in range(plan.accumulate)]
    return lots[:MOST]
