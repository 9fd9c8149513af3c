"""Recipe block of a dense conditional random field on labels (Kraehenbuehl and Koltun 2011, arXiv:1210.5644)."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from maskwright.core.recipe.base import Block


class Colours(Block):
    """The usual second kernel: near in space and alike in colour."""

    sxy: float = Field(default=8.0, gt=0, le=50)
    """Standard deviation in pixels. The work of a step grows with its square: (6 sxy)^2 neighbours a pixel."""
    srgb: float = Field(default=13.0, gt=0, le=500)
    """Standard deviation of each colour, 0..255."""
    compat: float = Field(default=10.0, gt=0, le=1000)
    """How much neighbours of another class cost (Potts)."""


class Crf(Block):
    """How labels are smoothed by their neighbourhood; names and defaults are those of SEEDS 000.6."""

    gt_prob: float = Field(default=0.78, ge=0.5, lt=1)
    """How sure each pixel is of its label; the rest is shared by the other classes."""
    sxy: float = Field(default=3.0, gt=0, le=50)
    """Standard deviation in pixels of the Gaussian that neighbours count by."""
    compat: float = Field(default=3.0, gt=0, le=1000)
    """How much neighbours of another class cost (Potts)."""
    steps: int = Field(default=10, ge=1, le=1000)
    """Of mean-field inference."""
    colours: Colours | None = None
    """A kernel that looks at colours besides, e.g. {sxy: 8, srgb: 13}: of the first three bands that the models get,
    which must be of 8 bits. None: neighbours count by distance alone, as in SEEDS 000.6."""


class CrfChoice(Crf):
    """The same as a step of the decision, before cleaning."""

    keep: Literal["evidence", "always"] = "evidence"
    """evidence: where nested evidence says so; always: without asking."""

    @property
    def crf(self) -> Crf:
        """What is done, whoever asked for it."""
        return Crf(**self.model_dump(exclude={"keep"}))
