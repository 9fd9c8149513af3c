"""Recipe blocks of one ensemble member: model, loss, optimiser, schedule, training, prediction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag, field_validator, model_validator

from maskwright.core.recipe import presets
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.first import Weights, way
from maskwright.core.recipe.heads import Heads
from maskwright.core.recipe.keeping import EarlyStop, KeepBest, Swa
from maskwright.core.recipe.predicting import Predict, Size, Whole
from maskwright.core.recipe.spectral import Spectral, channels_alone

Beta = Annotated[float, Field(ge=0, lt=1)]


class Model(Block):
    """Which network, and where its first weights come from."""

    architecture: str = "unet"
    """A name from models/build.py, e.g. unet, fpn, pan, segformer."""
    encoder: str = "resnet34"
    """An SMP encoder name, or a timm name with the prefix tu-."""
    weights: Annotated[
        Annotated[str, Tag("text")] | Annotated[Weights, Tag("block")] | Annotated[None, Tag("none")],
        Discriminator(way),
    ] = None
    """None: random; a path ending in .safetensors (relative to the recipe): that file; another text: a pretrained
    tag that SMP knows, such as imagenet; {member: NAME}: another member's, fold by fold; or a block that also says
    whose they are and under what licence."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Further constructor arguments of the architecture, passed as they are."""
    stem: Literal["repeat", "share", "mean", "zero", "random"] = "repeat"
    """How the first layer of pretrained weights meets another number of bands. repeat: bands in turn, all scaled by
    old / new, as timm and SMP; share: bands in turn, each copy with its share (fewer: folded), so that sums stay exact;
    mean: every band the mean, scaled so; zero: the first bands as they were, further ones 0; random: learned anew."""
    spectral: Annotated[Spectral | None, BeforeValidator(channels_alone)] = None
    """1 x 1 convolutions before the network that learn to mix bands pixel by pixel, e.g. 32; None: none."""
    aux: Heads = Heads()
    """Heads that learn beside the main one, in training alone, e.g. {fcn: 0.4, classify: {}}."""

    @property
    def first(self) -> Weights | None:
        """The first weights as a block, whichever way they were written; None: random."""
        if not isinstance(self.weights, str):
            return self.weights
        if self.weights.endswith(".safetensors"):
            return Weights(file=self.weights)
        return Weights(tag=self.weights)

    @property
    def queries(self) -> str | None:
        """How the queries of a mask transformer answer: classes, planes or maps; None: it is none."""
        return str(self.options.get("answer", "classes")) if self.architecture == "mask2former" else None

    @property
    def tag(self) -> str | None:
        """The pretrained tag to fetch, if the first weights are one."""
        return None if self.first is None else self.first.tag

    @property
    def local_file(self) -> str | None:
        """The weights file beside the recipe, if the first weights are one."""
        return None if self.first is None or self.first.hub is not None else self.first.file

    @property
    def other(self) -> str | None:
        """The member whose weights it starts from, if it does."""
        return None if self.first is None else self.first.member


def without_terms(model: Mapping[str, Any]) -> dict[str, Any]:
    """Return a plain model block whose weights are said without licence, source and use, which train nothing.

    What a text could say becomes a text again, so that a run may be told the licence later without training anew.
    """
    weights = model["weights"]
    if not isinstance(weights, Mapping):
        return dict(model)
    if weights["member"] is not None:
        return {**model, "weights": {"member": weights["member"]}}
    if weights["hub"] is None:
        return {**model, "weights": weights["tag"] or weights["file"]}
    return {**model, "weights": {key: weights[key] for key in ("hub", "file", "revision")}}


class Optimizer(Block):
    """How weights move."""

    name: str = "adamw"
    """A name from training/optim.py: adamw, sgd, radam, ralamb (RAdam with LARS), lookahead, over9000 (both)."""
    lr: float = Field(default=1e-3, gt=0, le=10)
    """Peak learning rate of the decoder and the head."""
    encoder_lr: float = Field(default=1.0, ge=0, le=100)
    """Multiplier of lr for the encoder; 0 freezes it."""
    freeze: tuple[str, ...] = ()
    """Parts that do not learn, running statistics included, by name or pattern, e.g. [encoder.layer1, encoder.*bn*]."""
    layer_decay: float | None = Field(default=None, gt=0, le=1)
    """Each encoder block learns this much slower than the one after it, e.g. 0.94; None: all alike."""
    weight_decay: float = Field(default=1e-2, ge=0, le=10)
    """Decoupled weight decay."""
    decay_norms: bool = False
    """Whether norms and biases decay too."""
    betas: tuple[Beta, Beta] = (0.9, 0.999)
    """Adam's running-average factors."""
    momentum: Beta = 0.9
    """Of sgd, with Nesterov's step where it is above 0."""
    lookahead: tuple[int, float] = (6, 0.5)
    """Of lookahead (RAdam inside) and over9000 (ralamb inside): every so many steps the slow weights go this share of
    the way to the fast."""

    @field_validator("lookahead")
    @classmethod
    def _some_way(cls, given: tuple[int, float]) -> tuple[int, float]:
        if not (1 <= given[0] <= 10_000 and 0 < given[1] <= 1):
            raise ValueError(f"lookahead is [steps >= 1, share above 0 and at most 1], got {list(given)}")
        return given


class Schedule(Block):
    """How the learning rate changes, step by step."""

    name: str = "poly"
    """A name from training/schedule.py: poly, cosine, constant, one_cycle, restarts, step, plateau."""
    warmup: float = Field(default=0.05, ge=0)
    """Linear warm-up (for one_cycle its rise, by cosine): a fraction of all steps if below 1, else a number of
    steps."""
    per: Literal["step", "epoch"] = "step"
    """epoch: the rate stays what it is at an epoch's first step; warm-up goes by steps all the same."""
    power: float = Field(default=0.9, gt=0, le=10)
    """Exponent of poly."""
    floor: float = Field(default=0.0, ge=0, lt=1)
    """Where the rate ends, as a share of lr."""
    every: float = Field(default=10.0, gt=0)
    """Epochs between steps down (step), or of the first cycle (restarts)."""
    gamma: float = Field(default=0.5, gt=0, le=1)
    """What the rate is multiplied by at each step down (step, plateau)."""
    patience: int = Field(default=5, ge=0)
    """Validations in a row without a better one before the rate steps down at the next (plateau)."""
    by: str = "valid_loss"
    """What plateau watches: valid_loss, or a score (iou, dice, precision, recall, accuracy, f0.5, f2)."""
    threshold: float = Field(default=0.0, ge=0)
    """By how much a validation must be better than the best so far to count as better (plateau)."""
    fade: float = Field(default=1.0, gt=0, le=1)
    """What the peak is multiplied by from cycle to cycle (restarts)."""
    growth: float = Field(default=1.0, ge=1, le=10)
    """How much longer each cycle of restarts is than the one before."""
    rise: float = Field(default=0.0, ge=0)
    """Epochs in which each cycle of restarts but the first rises linearly to its peak."""


SPEED = ("workers", "save_every", "compile", "checkpointing", "sharding")
"""Keys of train that decide how fast and in how much memory, and not what comes out (but for its last digits)."""


class Train(Block):
    """How long, how much at once, and how safely."""

    epochs: int = Field(default=20, ge=1, le=100_000)
    """Epochs, each followed by a validation and a saved state."""
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Optimiser steps in an epoch; None: as many as it takes to draw each item once."""
    batch_size: int = Field(default=8, ge=1, le=65_536)
    """Samples per optimiser step over all devices, before accumulation is multiplied in."""
    accumulate: int = Field(default=1, ge=1, le=4096)
    """Batches whose gradients are summed into one step."""
    crop: Size | tuple[Size, Size] | Whole = 256
    """Random windows of this side or (height, width) in pixels, or whole images."""
    resize: Size | tuple[Size, Size] | None = None
    """Side of a square, or [height, width], that whole items are brought to before windows are cut from them, e.g.
    1024; scored windows too. None: their own size. Say the same in predict.sizes."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """auto: bf16 where the chip has it natively, else fp32; fp16: with loss scaling, for GPUs without bf16 (on a CPU it
    works and is slow)."""
    compile: bool = False
    """Whether torch.compile makes faster code of the model in its first steps; needs a C++ compiler."""
    checkpointing: bool = False
    """Whether the encoder's activations are computed again in the backward pass instead of kept: less memory, more
    time, the same result."""
    sharding: Literal["none", "fsdp"] = "none"
    """fsdp: several processes divide weights, gradients and the optimiser's averages between them and gather them stage
    by stage, for networks that do not fit (with the plain layout, whatever channels_last says); none: each has a copy.
    One process alone has nothing to divide."""
    channels_last: bool = True
    """Layout of images in memory; faster for convolutions nearly everywhere."""
    clip: float | None = Field(default=1.0, gt=0)
    """Largest gradient norm; None: no clipping."""
    ema: float | None = Field(default=None, gt=0, lt=1)
    """Decay of the exponential moving average of the weights, e.g. 0.999; None: none. Averaged weights
    are the ones validated and kept."""
    workers: int = Field(default=0, ge=0, le=256)
    """Processes that read and augment; 0: the training process itself. The samples are the same."""
    validate_every: int = Field(default=1, ge=1)
    """Epochs between validations; the last epoch is always validated."""
    save_every: int | None = Field(default=None, ge=1)
    """Steps between crash-safe states; None: at the end of each epoch."""
    early_stop: EarlyStop | None = None
    """Ends the training when held-out windows no longer gain; None: all epochs."""
    keep_best: KeepBest = KeepBest()
    """Which of the validated weights are kept."""
    swa: Swa | None = None
    """Averages the weights of the last epochs into last.safetensors; None: no."""
    snapshots: bool = False
    """Keeps the weights at each minimum of the schedule restarts, for predict.weights: snapshots and for soups."""

    @model_validator(mode="after")
    def _not_both(self) -> Train:
        if self.compile and self.checkpointing:
            raise ValueError("compile and checkpointing do not go together; choose one")
        if self.compile and self.sharding != "none":
            raise ValueError("compile and sharding do not go together; choose one")
        return self

    @property
    def resize_shape(self) -> tuple[int, int] | None:
        """(height, width) that items are brought to, None for their own."""
        return (self.resize, self.resize) if isinstance(self.resize, int) else self.resize

    @property
    def crop_shape(self) -> tuple[int, int] | None:
        """(height, width) of the training window, None for whole images."""
        if self.crop == "whole":
            return None
        return (self.crop, self.crop) if isinstance(self.crop, int) else self.crop

    @model_validator(mode="after")
    def _goes_to_its_end(self) -> Train:
        if self.early_stop is not None and (self.swa is not None or self.snapshots):
            other = "swa" if self.swa is not None else "snapshots"
            raise ValueError(f"early_stop would end the training before {other} is complete; use one of the two")
        return self


class Sampling(Block):
    """Which item and which window a training draws next."""

    windows: Literal["uniform", "balanced", "objects", "hard"] = "uniform"
    """uniform: every item equally often (but for its source's weight), every place equally likely; balanced: a class
    first, then an item that has it, then a window around one of its pixels; objects: a window on a connected
    object; hard: items by their training error in the epoch before."""
    p: float = Field(default=0.5, ge=0, le=1)
    """Share of draws that follow the rule; the others are uniform."""
    classes: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Classes that balanced and objects draw; None: for balanced all of the task, for objects all but a background."""
    class_odds: Literal["equal", "inverse_sqrt"] = "equal"
    """How balanced draws classes: equally often, or by one over the square root of their pixels."""
    jitter: float = Field(default=0.25, ge=0, le=1)
    """How far, as a share of the window, an object may lie from its middle; for objects alone."""
    max_class_share: float | None = Field(default=None, gt=0, le=1)
    """A window is drawn anew while one class has more than this share of its pixels, e.g. 0.75; None: never."""
    tries: int = Field(default=10, ge=1, le=100)
    """Windows drawn at most for max_class_share; if none will do, the one with the smallest share is taken."""

    @model_validator(mode="after")
    def _fits_rule(self) -> Sampling:
        if self.classes is not None and self.windows not in ("balanced", "objects"):
            raise ValueError(f"classes are drawn by balanced and objects; windows is {self.windows}")
        return self


class Member(Block):
    """One member of the ensemble: trained once per fold."""

    model: Model = Model()
    """The network."""
    augment: tuple[dict[str, dict[str, Any]], ...] = ({"hflip": {}}, {"vflip": {}})
    """Names from data/augment/table.py in order, each with its parameters: [hflip, {rotate: {limit: 20}}]; a
    preset's name stands for its entries: strong, or [strong, {rotate: {limit: 5}}]; none: nothing."""
    loss: dict[str, float | dict[str, Any]] = Field(default_factory=dict)
    """Loss name -> weight, or weight and settings, e.g. {dice: 1, focal: {weight: 0.5, gamma: 2}}; empty: what
    suits the task (see training/losses)."""
    loss_weights: Literal["given", "learned"] = "given"
    """learned: each loss (and each auxiliary head's) counts weight x (value x exp(-s) + s), and s is learned with the
    network, so that losses of different size share the work (Kendall et al. 2018)."""
    optimizer: Optimizer = Optimizer()
    """How weights move."""
    schedule: Schedule = Schedule()
    """How the learning rate changes."""
    sampling: Sampling = Sampling()
    """Which item and which window comes next."""
    train: Train = Train()
    """How long, how much at once."""
    predict: Predict = Predict()
    """How probabilities are made."""

    @field_validator("augment", mode="before")
    @classmethod
    def _expanded(cls, given: Any) -> Any:
        return presets.expand(given)

    @field_validator("loss")
    @classmethod
    def _finite(cls, loss: dict[str, float | dict[str, Any]]) -> dict[str, float | dict[str, Any]]:
        for name, weight in loss.items():
            if isinstance(weight, float) and not weight > 0:
                raise ValueError(f"weight of loss '{name}' must be above 0, got {weight}; leave the loss out instead")
        return loss

    @model_validator(mode="after")
    def _snapshots_have_minima(self) -> Member:
        if self.train.snapshots:
            if self.schedule.name != "restarts":
                raise ValueError(
                    f"train.snapshots are taken at the minima of the schedule restarts, not of {self.schedule.name}; "
                    "use schedule.name: restarts"
                )
            warmup = self.schedule.warmup * self.train.epochs if self.schedule.warmup < 1 else 0
            end = warmup + self.schedule.every
            if end > self.train.epochs:
                raise ValueError(
                    f"train.snapshots: the first cycle ends after {end:g} epochs, the training after "
                    f"{self.train.epochs}; use a smaller schedule.every"
                )
        elif self.predict.weights == "snapshots":
            raise ValueError("predict.weights: snapshots needs train.snapshots: true")
        return self

    @model_validator(mode="after")
    def _one_size(self) -> Member:
        if self.train.resize is None:
            return self
        if self.predict.window == "whole" and not (self.predict.sizes or self.predict.scales):
            raise ValueError("train.resize: whole images would be predicted at another size; give predict.sizes too")
        if self.model.aux.scale is not None or any("gsd_scale" in entry for entry in self.augment):
            raise ValueError("train.resize does not go with gsd_scale or the head scale, which measure on the ground")
        return self

    @model_validator(mode="after")
    def _one_name_each(self) -> Member:
        for entry in self.augment:
            if len(entry) != 1:
                raise ValueError(f"each augmentation is one name with its parameters, got {sorted(entry)}")
        return self

    def trained_by(self) -> dict[str, Any]:
        """Return as plain data what the weights depend on, without prediction and speed.

        Keys that are younger than the first runs are left out where they say what was always done, so that
        finished folds stay valid.
        """
        plain = self.model_dump(mode="json", exclude={"predict"})
        plain["model"] = without_terms(plain["model"])
        for name in SPEED:
            plain["train"].pop(name)
        for block, keys in YOUNG.items():
            usual = type(getattr(self, block))().model_dump(mode="json")
            for key in keys:
                if plain[block][key] == usual[key]:
                    plain[block].pop(key)
        aux = plain["model"].get("aux", {})
        for name in YOUNG_HEADS:
            if name in aux and aux[name] is None:
                aux.pop(name)
        if plain["loss_weights"] == "given":
            plain.pop("loss_weights")
        return plain


YOUNG: dict[str, tuple[str, ...]] = {
    "model": ("aux", "stem"),
    "optimizer": ("freeze",),
    "schedule": ("patience", "by", "threshold"),
    "train": ("early_stop", "keep_best", "swa", "snapshots", "resize"),
}
"""Keys that came after runs were made that should stay valid; at their default they change nothing."""
YOUNG_HEADS = ("twin", "presence", "scale", "regions")
"""Heads of model.aux that came after such runs."""
