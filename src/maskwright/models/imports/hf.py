"""Names of Hugging Face transformers, with what a wrapper class may put before them."""

from __future__ import annotations

from maskwright.core.recipe.heads import FcnHead
from maskwright.models.imports.mmseg import fcn_rules
from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
ANY = r"(?:.*\.)?"
"""A wrapper's prefix, and where in a model the encoder lies."""
BLOCK = ANY + rf"encoder\.layers\.{N}\.blocks\.{N}"
OURS = r"encoder.layers.\1.blocks.\2"

SWIN: Rules = (
    Rule(ANY + r"embeddings\.patch_embeddings\.projection\.(.*)", r"encoder.patch_embed.proj.\1"),
    Rule(ANY + r"embeddings\.norm\.(.*)", r"encoder.patch_embed.norm.\1"),
    Rule(BLOCK + r"\.attention\.self\.relative_position_index", OURS + r".attn.relative_position_index", constant=True),
    Rule(BLOCK + r"\.attention\.self\.(relative_position_bias_table)", OURS + r".attn.\3"),
    Rule(BLOCK + r"\.attention\.self\.query\.(.*)", OURS + r".attn.qkv.\3", piece=(0, 3)),
    Rule(BLOCK + r"\.attention\.self\.key\.(.*)", OURS + r".attn.qkv.\3", piece=(1, 3)),
    Rule(BLOCK + r"\.attention\.self\.value\.(.*)", OURS + r".attn.qkv.\3", piece=(2, 3)),
    Rule(BLOCK + r"\.attention\.output\.dense\.(.*)", OURS + r".attn.proj.\3"),
    Rule(BLOCK + r"\.layernorm_before\.(.*)", OURS + r".norm1.\3"),
    Rule(BLOCK + r"\.layernorm_after\.(.*)", OURS + r".norm2.\3"),
    Rule(BLOCK + r"\.intermediate\.dense\.(.*)", OURS + r".mlp.fc1.\3"),
    Rule(BLOCK + r"\.output\.dense\.(.*)", OURS + r".mlp.fc2.\3"),
    Rule(ANY + rf"encoder\.layers\.{N}\.downsample\.(.*)", r"encoder.layers.\1.downsample.\2"),
    *(Rule(ANY + rf"hidden_states_norms\.stage{stage + 1}\.(.*)", rf"encoder.norms.{stage}.\1") for stage in range(4)),
)
"""SwinBackbone."""

LAYER = ANY + rf"encoder\.stages\.{N}\.layers\.{N}"
OUR_LAYER = r"encoder.stages.\1.blocks.\2"

CONVNEXT: Rules = (
    Rule(ANY + r"embeddings\.patch_embeddings\.(.*)", r"encoder.stem.0.\1"),
    Rule(ANY + r"embeddings\.layernorm\.(.*)", r"encoder.stem.1.\1"),
    Rule(ANY + rf"encoder\.stages\.{N}\.downsampling_layer\.{N}\.(.*)", r"encoder.stages.\1.downsample.\2.\3"),
    Rule(LAYER + r"\.layer_scale_parameter", OUR_LAYER + r".gamma"),
    Rule(LAYER + r"\.dwconv\.(.*)", OUR_LAYER + r".conv_dw.\3"),
    Rule(LAYER + r"\.layernorm\.(.*)", OUR_LAYER + r".norm.\3"),
    Rule(LAYER + r"\.pwconv([12])\.(.*)", OUR_LAYER + r".mlp.fc\3.\4"),
    *(Rule(ANY + rf"hidden_states_norms\.stage{stage + 1}\.(.*)", rf"encoder.norms.{stage}.\1") for stage in range(4)),
)
"""ConvNextBackbone."""

HEAD = r"(?:model\.)?decode_head"
NORM = r"\.batch_norm\.(.*)"

UPERNET: Rules = (
    Rule(HEAD + rf"\.psp_modules\.{N}\.1\.conv\.(.*)", r"decoder.pools.\1.1.conv.\2"),
    Rule(HEAD + rf"\.psp_modules\.{N}\.1" + NORM, r"decoder.pools.\1.1.bn.\2"),
    Rule(HEAD + rf"\.lateral_convs\.{N}\.conv\.(.*)", r"decoder.laterals.\1.conv.\2"),
    Rule(HEAD + rf"\.lateral_convs\.{N}" + NORM, r"decoder.laterals.\1.bn.\2"),
    Rule(HEAD + rf"\.fpn_convs\.{N}\.conv\.(.*)", r"decoder.smooths.\1.conv.\2"),
    Rule(HEAD + rf"\.fpn_convs\.{N}" + NORM, r"decoder.smooths.\1.bn.\2"),
    Rule(HEAD + r"\.bottleneck\.conv\.(.*)", r"decoder.bottleneck.conv.\1"),
    Rule(HEAD + r"\.bottleneck" + NORM, r"decoder.bottleneck.bn.\1"),
    Rule(HEAD + r"\.fpn_bottleneck\.conv\.(.*)", r"decoder.fuse.conv.\1"),
    Rule(HEAD + r"\.fpn_bottleneck" + NORM, r"decoder.fuse.bn.\1"),
    Rule(HEAD + r"\.classifier\.(.*)", r"segmentation_head.1.\1"),
)
"""UperNetForSemanticSegmentation."""

MASK2FORMER: Rules = ()
"""Mask2FormerForUniversalSegmentation."""


def fcn(head: FcnHead) -> Rules:
    """Return the rules of UperNet's auxiliary head.

    Args:
        head: the recipe's aux.fcn.
    """
    return fcn_rules(head, "batch_norm", "classifier")
