"""Recipe block of self-training: teachers label what nobody has labelled, students learn from it, evidence decides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Discriminator, Field, Tag, field_validator, model_validator

from maskwright.core.errors import near
from maskwright.core.labels import Task
from maskwright.core.recipe import presets
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.sources import MergeSource, PartName, Source

Share = Annotated[float, Field(gt=0, lt=1)]
MOST_ROUNDS = 20


def _some(given: tuple[float, ...]) -> tuple[float, ...]:
    if not 1 <= len(given) <= MOST_ROUNDS:
        raise ValueError(f"{len(given)} weights; give a number, or one for each of at most {MOST_ROUNDS} rounds")
    return given


def _way(given: object) -> str:
    return "rounds" if isinstance(given, list | tuple) else "one"


Weight = Annotated[float, Field(gt=0, le=1000)]
Weights = Annotated[
    Annotated[Weight, Tag("one")] | Annotated[tuple[Weight, ...], AfterValidator(_some), Tag("rounds")],
    Discriminator(_way),
]
"""One weight, or a list of one for each round from 1 on; the last holds for the rounds after it."""
Drawn = Annotated[float, Field(ge=0, le=1000)]
Draws = Annotated[
    Annotated[Drawn, Tag("one")] | Annotated[tuple[Drawn, ...], AfterValidator(_some), Tag("rounds")],
    Discriminator(_way),
]
"""The same, and 0 is allowed."""


def in_round(given: float | tuple[float, ...], number: int) -> float:
    """Return what a weight, or a list of weights by round, says of a round.

    Args:
        given: see Weights.
        number: of the round, from 1.
    """
    return given[min(number, len(given)) - 1] if isinstance(given, tuple) else given


class Mix(Block):
    """How samples with a teacher's labels come in beside the labelled ones: one of the two keys."""

    every: int | None = Field(default=None, ge=1, le=1000)
    """In every so many steps a further batch of train.batch_size; its gradient is added to the step's (SEEDS 004.4)."""
    share: Annotated[float, Field(gt=0, le=0.75)] | None = None
    """This share of each batch, rounded to samples, at least one; the steps stay as many as they were."""

    @model_validator(mode="after")
    def _one_of_them(self) -> Mix:
        if (self.every is None) == (self.share is None):
            raise ValueError("mix is {every: 5} or {share: 0.25}; give one of the two")
        return self


class Noise(Block):
    """What makes it harder for students than it was for teachers (Xie et al. 2020, Noisy student)."""

    augment: tuple[dict[str, dict[str, Any]], ...] = presets.PRESETS["strong"]
    """Augmentation of the samples with a teacher's labels, as a member's `augment`."""
    drop_path: Share | None = None
    """Stochastic depth of the students' encoders, e.g. 0.5: the rate of the last block, where rates grow linearly; for
    tu- encoders and for those of our own that have it. None: as the members say."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Laid over the students' model.options, e.g. {encoder: {drop_connect: 0.5}}."""

    @field_validator("augment", mode="before")
    @classmethod
    def _expanded(cls, given: Any) -> Any:
        return presets.expand(given)

    @model_validator(mode="after")
    def _one_name_each(self) -> Noise:
        for entry in self.augment:
            if len(entry) != 1:
                raise ValueError(f"each augmentation is one name with its parameters, got {sorted(entry)}")
        return self


class SelfTrain(Block):
    """Rounds of teachers and students."""

    unlabelled: Source | None = None
    """Images without labels, or with labels that are not looked at (a noisier tier); None: --unlabelled says it."""
    rounds: int = Field(default=1, ge=1, le=MOST_ROUNDS)
    """Rounds at most; they end with the first one that is not better out of fold."""
    labels: Literal["soft", "hard"] = "soft"
    """soft: the teachers' probabilities; hard: classes, where the teachers are sure enough for `band`."""
    band: tuple[Share, Share] = (0.4, 0.6)
    """For hard labels: a probability below the first is background, one above the second the class, and pixels between
    do not count. In a multiclass task the likeliest class counts where its probability is above the second."""
    portion: Share | None = None
    """Of the pixels that teachers give to a class only this share counts, the surest, for each class alike, so that
    rare classes are not crowded out (Zou et al. 2018, class-balanced self-training). None: all."""
    least: float = Field(default=0.0, ge=0, lt=1)
    """Items whose mean confidence (of the likeliest answer) is lower are left out."""
    mix: Mix = Mix(every=5)
    """How these samples come in."""
    loss: dict[str, float | dict[str, Any]] = Field(default_factory=dict)
    """Loss of these samples, as a member's; empty: {kl: 1} for soft labels, the member's own for hard ones."""
    weight: Weights = 1.0
    """Of that loss, against the labelled samples'; or a list by round, e.g. [0.5, 1]: the last holds on."""
    parts: dict[PartName, Draws] = Field(default_factory=dict)
    """Name of a part of data.train (or of `unlabelled`), if that is a merge -> how often students draw its items, in
    the place of the part's own `weight`; or a list by round, e.g. {web: [0.5, 0.1, 0]}. 0: not drawn."""
    noise: Noise = Noise()
    """What makes it harder for students."""
    start: Literal["first", "teacher"] = "first"
    """first: from the first weights that the recipe gives its members; teacher: from the teacher's of the same fold,
    so that students have been trained longer than their teachers."""

    @field_validator("band")
    @classmethod
    def _in_order(cls, band: tuple[float, float]) -> tuple[float, float]:
        if band[0] > band[1]:
            raise ValueError(f"band is [low, high], got {list(band)}")
        return band

    def of_round(self, number: int) -> SelfTrain:
        """Return the same with the weights of one round, from 1."""
        parts = {name: in_round(given, number) for name, given in self.parts.items()}
        return self.model_copy(update={"weight": in_round(self.weight, number), "parts": parts})

    def loss_of(self, own: dict[str, float | dict[str, Any]]) -> dict[str, float | dict[str, Any]]:
        """Return the loss of samples with a teacher's labels; `own` is the member's."""
        return self.loss or ({"kl": 1.0} if self.labels == "soft" else own)


def selftrain_clashes(block: SelfTrain | None, task: Task, folds: str, train: Source | None = None) -> list[str]:
    """List where self-training disagrees with the rest of the recipe, in words.

    Args:
        block: None: nothing to disagree.
        task: what is predicted.
        folds: kind of the folds.
        train: data.train.
    """
    if block is None:
        return []
    found = []
    if folds == "all":
        found.append(
            "selftrain: rounds are kept by their out-of-fold score, and folds.kind: all has none; use other folds"
        )
    if block.portion is not None and task.kind == "multilabel":
        found.append("selftrain.portion: planes of a multilabel task have no likeliest class; use band, or least")
    return found + _part_clashes(block, train)


def weights_of_parts(source: Source | None) -> dict[str, float]:
    """Return part -> weight of a merge; nothing for another source."""
    if not isinstance(source, MergeSource):
        return {}
    return {name: part.weight for name, part in source.parts.items()}


def _part_clashes(block: SelfTrain, train: Source | None) -> list[str]:
    """List what is wrong with weights of parts."""
    sources = {"data.train": weights_of_parts(train), "selftrain.unlabelled": weights_of_parts(block.unlabelled)}
    names = [name for parts in sources.values() for name in parts]
    found = []
    for name in block.parts:
        if names.count(name) > 1:
            found.append(f"selftrain.parts: '{name}' is a part of both {' and '.join(sources)}; rename one of them")
        elif name not in names:
            listed = f"use one of: {', '.join(names)}" if names else "neither is a merge; leave it out"
            whose = " or ".join(sources)
            found.append(f"selftrain.parts: '{name}' is no part of {whose}{near(name, names)}; {listed}")
    rounds = max((len(given) for given in block.parts.values() if isinstance(given, tuple)), default=1)
    for number in range(1, rounds + 1):
        for whose, parts in sources.items():
            if parts and not any(weights_in(parts, block.parts, number).values()):
                found.append(f"selftrain.parts: in round {number} no part of {whose} is drawn; leave one above 0")
    return found


def weights_in(
    own: Mapping[str, float], given: Mapping[str, float | tuple[float, ...]], number: int
) -> dict[str, float]:
    """Return part -> weight in a round.

    Args:
        own: part -> weight that the source says.
        given: selftrain.parts.
        number: of the round, from 1.
    """
    return {name: in_round(given.get(name, weight), number) for name, weight in own.items()}
