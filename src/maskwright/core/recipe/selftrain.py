"""Recipe block of self-training: teachers label what nobody has labelled, students learn from it, evidence decides."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from maskwright.core.labels import Task
from maskwright.core.recipe import presets
from maskwright.core.recipe.base import Block
from maskwright.core.recipe.sources import Source

Share = Annotated[float, Field(gt=0, lt=1)]


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
    rounds: int = Field(default=1, ge=1, le=20)
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
    weight: float = Field(default=1.0, gt=0, le=1000)
    """Of that loss, against the labelled samples'."""
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

    def loss_of(self, own: dict[str, float | dict[str, Any]]) -> dict[str, float | dict[str, Any]]:
        """Return the loss of samples with a teacher's labels; `own` is the member's."""
        return self.loss or ({"kl": 1.0} if self.labels == "soft" else own)


def selftrain_clashes(block: SelfTrain | None, task: Task, folds: str) -> list[str]:
    """List where self-training disagrees with the rest of the recipe, in words.

    Args:
        block: None: nothing to disagree.
        task: what is predicted.
        folds: kind of the folds.
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
    return found
