"""Encoders of segmentation-models-pytorch and timm with the interface of ours: maps from stride 4 on."""

from __future__ import annotations

import warnings
from typing import Any

from torch import Tensor, nn

FINEST = 4
"""Pixels; finer maps are not given on, as decoders here begin at this stride."""


class LibraryEncoder(nn.Module):
    """A library's encoder whose identity, empty and finest maps are left out.

    Args:
        name: as in the recipe, an SMP name or tu- and a timm name.
        bands: C of the image.
        weights: a tag of SMP's, True for timm's own, None for random ones.
        options: further constructor arguments.
    """

    def __init__(self, name: str, bands: int, weights: str | bool | None, options: dict[str, Any]) -> None:
        from segmentation_models_pytorch.encoders import get_encoder

        super().__init__()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self.model = get_encoder(name, in_channels=bands, depth=5, weights=weights, **options)
        channels = list(self.model.out_channels)
        strides = [2**place for place in range(len(channels))]
        self._taken = [place for place, wide in enumerate(channels) if wide > 0 and strides[place] >= FINEST]
        self.out_channels = tuple(channels[place] for place in self._taken)
        self.strides = tuple(strides[place] for place in self._taken)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Return maps (B, C, h, w) of an image (B, bands, H, W), finest first."""
        maps = self.model(image)
        return [maps[place] for place in self._taken]
