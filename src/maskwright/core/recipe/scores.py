"""Recipe block of what is scored beside the decision's metric."""

from __future__ import annotations

from maskwright.core.recipe.base import Block


class Scores(Block):
    """What is scored beside the decision's metric, out of fold and under the final decision."""

    objects: bool = False
    """Whether objects are scored too (binary tasks): F1 at an IoU of 0.5 by SpaceNet's rule, scene by scene."""
