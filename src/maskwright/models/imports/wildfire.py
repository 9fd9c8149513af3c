"""Checkpoints of the wildfire solution (SEEDS 002): names of their tensors in a `unet_stride1` with a spectral stem."""

from __future__ import annotations

import re
from collections.abc import Mapping

from maskwright.core.recipe.members import Model
from maskwright.core.recipe.spectral import Spectral

RULES: Mapping[str, str] = {
    r"unet\.encoder\.conv0\.(.+)": r"spectral.\1",
    r"unet\.encoder\.model\.(.+)": r"encoder.model.\1",
    r"unet\.decoder\.blocks\.(.+)": r"decoder.blocks.\1",
    r"unet\.head0\.(.+)": r"segmentation_head.\1",
}
"""Pattern of a name in the checkpoint (`module.` before it taken off) -> the name in a SegModel, without `network.`."""
MODEL = Model(architecture="unet_stride1", encoder="tu-regnetx_002", spectral=Spectral(channels=32))
"""The network whose tensors these are; channels: 7 bands and their means."""


def our_name(name: str) -> str | None:
    """Return the name that a tensor of the checkpoint has in our network; None: it has no place there.

    Args:
        name: as in the checkpoint's state dict; training with several processes puts `module.` before it.
    """
    plain = name.removeprefix("module.")
    for pattern, ours in RULES.items():
        found = re.fullmatch(pattern, plain)
        if found is not None:
            return found.expand(ours)
    return None
