"""Names of timm's classifiers and feature extractors, whose encoders start a training."""

from __future__ import annotations

from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
CLASSIFIER = Rule(r"(?:head|fc|classifier|norm|head_drop)\..*", (), why="of the classifier")
SAME: Rules = (CLASSIFIER, Rule(r"(.*)", r"encoder.\1"))
"""Encoders of timm keep their names."""

SWIN: Rules = (
    Rule(r".*\.(?:attn_mask|relative_position_index)", (), why="worked out from the window"),
    Rule(rf"layers[._]0\.blocks\.{N}\.(.*)", r"encoder.layers.0.blocks.\1.\2"),
    *(
        Rule(rf"layers[._]{stage}\.downsample\.(.*)", rf"encoder.layers.{stage - 1}.downsample.\1")
        for stage in (1, 2, 3)
    ),
    Rule(rf"layers[._]{N}\.blocks\.{N}\.(.*)", r"encoder.layers.\1.blocks.\2.\3"),
    Rule(r"patch_embed\.(.*)", r"encoder.patch_embed.\1"),
    CLASSIFIER,
)
"""timm merges patches where a stage begins, the published code where one ends."""

CONVNEXT: Rules = (
    Rule(rf"stem[._]{N}\.(.*)", r"encoder.stem.\1.\2"),
    Rule(rf"stages[._]{N}\.(.*)", r"encoder.stages.\1.\2"),
    CLASSIFIER,
)
"""timm's ConvNeXt."""

INSIDE: Rules = (CLASSIFIER, Rule(r"(.*)", r"encoder.network.\1"))
"""Networks of timm that an encoder of ours holds."""

HRNET: Rules = (
    Rule(r"(?:incre_modules|downsamp_modules|final_layer)\..*", (), why="of the classifier"),
    *INSIDE,
)
"""timm's HRNet."""
