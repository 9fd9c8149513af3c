"""Recipe block of prediction: windows, symmetries, sizes, and which weights answer."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from maskwright.core.grid import SYMMETRIES
from maskwright.core.recipe.base import Block

Size = Annotated[int, Field(ge=1, le=65536)]
Scale = Annotated[float, Field(ge=0.1, le=8)]
Whole = Literal["whole"]


class Predict(Block):
    """How probabilities are made from a trained member."""

    window: Size | tuple[Size, Size] | Whole = "whole"
    """Whole images, or sliding windows of this side or (height, width) in pixels."""
    overlap: float = Field(default=0.5, ge=0, lt=0.95)
    """Share of a window that the next one covers again."""
    seam: Literal["constant", "hann", "gaussian"] = "hann"
    """How overlapping windows are weighted."""
    tta: tuple[str, ...] = ()
    """Symmetries averaged beside the image itself, e.g. hflip, vflip, rot90, transpose; d4: all eight."""
    scales: tuple[Scale, ...] = ()
    """What the sides of an image are multiplied with before the network sees it, e.g. [0.75, 1, 1.5]; answers come back
    to its own size and are averaged. Of a window, where there are windows. Empty: as it is."""
    sizes: tuple[Size | tuple[Size, Size], ...] = ()
    """Sides of squares, or [height, width], that an image (or a window) is brought to before the network sees it, e.g.
    [672, 1024], whatever its own size is; averaged, together with scales if there are any."""
    votes: float | None = Field(default=None, gt=0)
    """Instead of the mean over scales and sizes: each one answers with its label, labels come back to the image's size
    as numbers and are added up, and a pixel is set where the sum is at least this. Not for multiclass."""
    model_votes: float | None = Field(default=None, gt=0, le=1)
    """Instead of the mean over models (snapshots; and folds, of test items): each one answers with its label, and a
    pixel is set where at least this share of them says so, e.g. 1 for all. Not for multiclass."""
    batch_size: int = Field(default=4, ge=1, le=4096)
    """Most windows or equal-sized images in one forward pass."""
    bits: Literal[8, 16] = 8
    """Bits of a stored probability."""
    keep_folds: bool = False
    """Whether what each fold's model answers to data.test is kept beside their mean, so that folds can vote (output of
    format vote, members NAME.folds or NAME.fold0)."""
    weights: Literal["last", "best", "snapshots", "soup"] = "last"
    """Which weights of a fold. snapshots: the mean of what all snapshots answer. soup: several kept weights mixed
    into one. best and soup were picked on the held-out fold, so their score is a little rosy."""
    soup: Literal["greedy", "uniform"] = "greedy"
    """How weights are mixed where weights is soup: greedy, one after another, while the held-out score does not fall;
    or uniform, all of them."""

    @property
    def window_shape(self) -> tuple[int, int] | None:
        """(height, width) of the sliding window, None for whole images."""
        if self.window == "whole":
            return None
        return (self.window, self.window) if isinstance(self.window, int) else self.window

    @property
    def size_shapes(self) -> tuple[tuple[int, int], ...]:
        """(height, width) of each of sizes."""
        return tuple((size, size) if isinstance(size, int) else size for size in self.sizes)

    @model_validator(mode="after")
    def _something_votes(self) -> Predict:
        if self.votes is not None and not (self.scales or self.sizes):
            raise ValueError("votes are of several scales or sizes; give some, or leave votes out")
        return self

    @field_validator("tta", mode="before")
    @classmethod
    def _d4(cls, given: Any) -> Any:
        return tuple(SYMMETRIES[1:]) if given in ("d4", ["d4"]) else given

    @field_validator("tta")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            if name not in SYMMETRIES[1:]:
                raise ValueError(f"unknown symmetry '{name}'; use some of: {', '.join(SYMMETRIES[1:])}, or d4")
        if len(set(names)) != len(names):
            raise ValueError("a symmetry is named twice")
        return names
