"""Names of the third place's EfficientFPN in the Open Cities AI challenge, on efficientnet-pytorch (SEEDS 004)."""

from __future__ import annotations

from maskwright.core.recipe.members import Model
from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
BLOCK = rf"_blocks\.{N}\."
OURS = r"encoder.blocks.\1."

ENCODER: Rules = (
    Rule(r"_conv_stem\.(.*)", r"encoder.stem.\1"),
    Rule(r"_bn0\.(.*)", r"encoder.stem_norm.\1"),
    Rule(BLOCK + r"_expand_conv\.(.*)", OURS + r"expand.\2"),
    Rule(BLOCK + r"_bn0\.(.*)", OURS + r"expand_norm.\2"),
    Rule(BLOCK + r"_depthwise_conv\.(.*)", OURS + r"depthwise.\2"),
    Rule(BLOCK + r"_bn1\.(.*)", OURS + r"depthwise_norm.\2"),
    Rule(BLOCK + r"_se_reduce\.(.*)", OURS + r"squeeze.\2"),
    Rule(BLOCK + r"_se_expand\.(.*)", OURS + r"excite.\2"),
    Rule(BLOCK + r"_project_conv\.(.*)", OURS + r"project.\2"),
    Rule(BLOCK + r"_bn2\.(.*)", OURS + r"project_norm.\2"),
    Rule(r"_conv_head\.(.*)", r"encoder.head.\1"),
    Rule(r"_bn1\.(.*)", r"encoder.head_norm.\1"),
)
"""efficientnet-pytorch: batch norms count from the widening, which the first blocks lack."""


def context_block(source: str, ours: str) -> Rules:
    """Return the rules of a global context block.

    Args:
        source: its name there, as a regular expression.
        ours: its name here.
    """
    return (
        Rule(source + r"\.conv_mask\.(.*)", ours + r".attend.\1"),
        Rule(source + r"\.channel_add_conv\.0\.(.*)", ours + r".narrow.\1"),
        Rule(source + r"\.channel_add_conv\.1\.(.*)", ours + r".norm.\1"),
        Rule(source + r"\.channel_add_conv\.3\.(.*)", ours + r".widen.\1"),
    )


def decoder(block: Model) -> Rules:
    """Return the rules of pyramid and heads: a second context block moves what comes after it by one place.

    Args:
        block: the recipe's model.
    """
    twice = bool(block.options.get("context")) and not block.encoder.endswith("b2")
    first = 1 if twice else 0
    return (
        *(Rule(rf"lateral{3 - place}\.(.*)", rf"decoder.laterals.{place}.\1") for place in range(4)),
        Rule(r"top1\.([01])\.conv\.(.*)", r"decoder.ups.2.\1.conv.\2"),
        Rule(r"top1\.([01])\.gn\.(.*)", r"decoder.ups.2.\1.norm.\2"),
        Rule(r"top2\.0\.conv\.(.*)", r"decoder.ups.1.conv.\1"),
        Rule(r"top2\.0\.gn\.(.*)", r"decoder.ups.1.norm.\1"),
        Rule(r"top3\.0\.(.*)", r"decoder.ups.0.\1"),
        *context_block("ctx", "decoder.context"),
        *context_block(r"top4\.0", "decoder.inner_context"),
        Rule(rf"top4\.{first}\.(.*)", r"decoder.mix.\1"),
        Rule(rf"top4\.{first + 1}\.(.*)", r"decoder.mix_norm.\1"),
        Rule(r"aspp\.atrous0\.0\.(.*)", r"decoder.aspp.convs.0.\1"),
        Rule(r"aspp\.atrous0\.1\.(.*)", r"decoder.aspp.norms.0.\1"),
        Rule(r"aspp\.atrous([123])\.module\.0\.(.*)", r"decoder.aspp.convs.\1.\2"),
        Rule(r"aspp\.atrous([123])\.module\.1\.(.*)", r"decoder.aspp.norms.\1.\2"),
        Rule(r"aspp\.atrous4\.module\.1\.(.*)", r"decoder.aspp.convs.4.\1"),
        Rule(r"aspp\.atrous4\.module\.2\.(.*)", r"decoder.aspp.norms.4.\1"),
        Rule(r"aspp\.combine\.0\.(.*)", r"decoder.aspp.mix.\1"),
        Rule(r"aspp\.combine\.1\.(.*)", r"decoder.aspp.mix_norm.\1"),
        Rule(r"conv_att\.(.*)", r"decoder.gate.\1"),
        Rule(r"bce_logit\.(.*)", r"segmentation_head.\1"),
        Rule(r"dice\.(.*)", r"twin.\1"),
        Rule(r"_fc\.(.*)", r"presence.\1"),
        Rule(r"_fc2\.(.*)", r"scale.\1"),
    )
