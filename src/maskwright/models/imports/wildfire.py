"""Names of the wildfire solution's checkpoints (SEEDS 002) in a unet_stride1 with a spectral stem."""

from __future__ import annotations

from maskwright.models.imports.rules import Rule, Rules

ENCODER: Rules = (Rule(r"unet\.encoder\.model\.(.+)", r"encoder.model.\1"),)
"""RegNet with timm's names."""
UNET: Rules = (
    Rule(r"unet\.encoder\.conv0\.(.+)", r"spectral.\1"),
    Rule(r"unet\.decoder\.blocks\.(.+)", r"decoder.blocks.\1"),
    Rule(r"unet\.head0\.(.+)", r"segmentation_head.\1"),
)
"""The two 1 x 1 convolutions before the encoder, the decoder, the head at full size."""
