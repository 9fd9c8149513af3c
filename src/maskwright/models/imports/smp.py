"""Names of segmentation-models-pytorch, of any version whose decoders are named alike, and of encoders set into it."""

from __future__ import annotations

from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
DECODERS = (
    "deeplabv3", "deeplabv3plus", "dpt", "fpn", "linknet", "manet", "pan", "pspnet", "segformer", "unet",
    "unetplusplus", "upernet",
)  # fmt: skip
"""Architectures of the library: their names are ours."""
SAME: Rules = (Rule(r"((?:decoder|segmentation_head)\..*)", r"\1"),)
"""Decoders and heads keep their names; so does a library's encoder, see LIBRARY."""
LIBRARY: Rules = (Rule(r"(encoder\..*)", r"\1"),)
"""An encoder of the library in its own architectures."""

START = r"(?:encoder\.)?(?:model\.)?"
BLOCK = START + rf"layers[._]{N}\.blocks\.{N}"

SWIN: Rules = (
    Rule(
        BLOCK + r"\.attn\.relative_position_index",
        r"encoder.layers.\1.blocks.\2.attn.relative_position_index",
        constant=True,
    ),
    Rule(BLOCK + r"\.attn_mask", (), why="worked out from the size of the image"),
    Rule(BLOCK + r"\.(.*)", r"encoder.layers.\1.blocks.\2.\3"),
    Rule(START + rf"layers\.{N}\.downsample\.(.*)", r"encoder.layers.\1.downsample.\2"),
    Rule(START + r"patch_embed\.(.*)", r"encoder.patch_embed.\1"),
    Rule(START + rf"norm{N}\.(.*)", r"encoder.norms.\1.\2"),
)
"""The Swin code its authors published, as SEEDS 001 registered it with the library."""


def _stage(number: int) -> Rules:
    source, ours = number + 1, f"encoder.stages.{number}"
    block = START + rf"block{source}\.{N}"
    return (
        Rule(START + rf"patch_embed{source}\.(.*)", ours + r".patch.\1"),
        Rule(START + rf"norm{source}\.(.*)", ours + r".norm.\1"),
        Rule(block + r"\.mlp\.fc([12])\.weight", ours + r".blocks.\1.mlp.fc\2.weight", change="linear_to_conv"),
        Rule(block + r"\.mlp\.dwconv\.dwconv\.(.*)", ours + r".blocks.\1.mlp.dwconv.\2"),
        Rule(block + r"\.(.*)", ours + r".blocks.\1.\2"),
    )


MIT: Rules = tuple(rule for number in range(4) for rule in _stage(number))
"""The MiT code of SegFormer's authors, which the library carries."""

CONVS = ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28))
"""Where the convolutions of VGG16's stages lie in torchvision's list."""
VGG: Rules = tuple(
    Rule(rf"(?:encoder\.)?features\.{place}\.(.*)", rf"encoder.stages.{stage}.{2 * number}.\1")
    for stage, places in enumerate(CONVS)
    for number, place in enumerate(places)
)
"""torchvision's VGG16."""
