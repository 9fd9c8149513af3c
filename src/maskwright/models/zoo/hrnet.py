"""timm's HRNet with the four branches that keep their sizes."""

from __future__ import annotations

from typing import Any, Literal

from torch import Tensor, nn
from torch.nn import functional

from maskwright.core.grid import padding_to_multiple
from maskwright.core.recipe.base import Block

HRNET_STRIDE = 32
"""What sides must divide by, so that branches meet."""


class HrNetOptions(Block):
    """Which HRNet."""

    width: Literal[18, 30, 32, 40, 44, 48, 64] = 48
    """Channels of the finest branch."""
    small: Literal["", "v1", "v2"] = ""
    """The smaller ones of width 18."""


class HrNet(nn.Module):
    """The branches of timm's HRNet (Wang et al. 2020, arXiv:1908.07919) at strides 4, 8, 16 and 32.

    Args:
        options: which.
        bands: C of the image.
    """

    def __init__(self, options: HrNetOptions, bands: int) -> None:
        super().__init__()
        import timm

        self.network: Any = timm.create_model(
            hrnet_name(options), features_only=True, feature_location="", out_indices=(1, 2, 3, 4), in_chans=bands
        )
        self.out_channels = tuple(self.network.feature_info.channels())
        self.strides = (4, 8, 16, 32)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return the maps, finest first; an image of other sides is padded with zeros, and the maps cut."""
        height, width = image.shape[-2:]
        below, right = padding_to_multiple((height, width), HRNET_STRIDE)
        if not (below or right):
            return list(self.network(image))
        maps = self.network(functional.pad(image, (0, right, 0, below)))
        return [
            each[..., : -(-height // stride), : -(-width // stride)]
            for each, stride in zip(maps, self.strides, strict=True)
        ]


def hrnet_name(options: HrNetOptions) -> str:
    """Return timm's name of it."""
    return f"hrnet_w{options.width}" + {"": "", "v1": "_small", "v2": "_small_v2"}[options.small]
