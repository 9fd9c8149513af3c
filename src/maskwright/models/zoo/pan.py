"""PAN (Li et al. 2018, arXiv:1805.10180) of segmentation-models-pytorch on an encoder of ours (SEEDS 001)."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from torch import Tensor, nn

from maskwright.core.recipe.base import Block
from maskwright.models.zoo.own import need_maps


class PanOptions(Block):
    """What the decoder is made of; the names are the library's."""

    decoder_channels: int = Field(default=32, ge=1)
    """Of all its maps."""


class Pan(nn.Module):
    """Encoder, the library's decoder and head; all enlargement aligns corners, as the library's does.

    Args:
        encoder: maps at strides 4, 8, 16, 32.
        options: widths.
        planes: K.
    """

    def __init__(self, encoder: Any, options: PanOptions, planes: int) -> None:
        from segmentation_models_pytorch.base import SegmentationHead
        from segmentation_models_pytorch.decoders.pan.decoder import PANDecoder

        super().__init__()
        self.encoder = encoder
        self.decoder = PANDecoder([0, 0, *encoder.out_channels], 5, options.decoder_channels)
        self.segmentation_head = SegmentationHead(options.decoder_channels, planes, 3, upsampling=4)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, K, H, W) of an image (B, C, H, W) whose sides divide by 4."""
        maps = self.encoder(image)
        logits: Tensor = self.segmentation_head(self.decoder([image, image, *maps]))
        return logits


def make_pan(encoder: Any, options: PanOptions, planes: int) -> nn.Module:
    """Join encoder and decoder.

    Raises:
        ValueError: the encoder has not four maps.
    """
    need_maps(encoder, 4)
    if tuple(encoder.strides) != (4, 8, 16, 32):
        raise ValueError(f"it needs maps at strides 4, 8, 16, 32, the encoder has {encoder.strides}")
    return Pan(encoder, options, planes)
