"""Names of mmsegmentation 1.x (and 0.x, where they are the same) and of what it builds on."""

from __future__ import annotations

from maskwright.core.recipe.heads import FcnHead
from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
"""A number in a name."""
INDEX = r"\.relative_position_index"
BLOCK = rf"backbone\.stages\.{N}\.blocks\.{N}"
OURS = r"encoder.layers.\1.blocks.\2"

BESIDE: Rules = (Rule(r"ema_.*", (), why="the other set of weights that mmcv's EMAHook keeps"),)
"""Buffers of mmcv 1.x, whose names have no dots."""

SWIN: Rules = (
    Rule(r"backbone\.patch_embed\.projection\.(.*)", r"encoder.patch_embed.proj.\1"),
    Rule(r"backbone\.patch_embed\.norm\.(.*)", r"encoder.patch_embed.norm.\1"),
    Rule(BLOCK + r"\.attn\.w_msa" + INDEX, OURS + r".attn.relative_position_index", constant=True),
    Rule(BLOCK + r"\.attn\.w_msa\.(.*)", OURS + r".attn.\3"),
    Rule(BLOCK + r"\.norm([12])\.(.*)", OURS + r".norm\3.\4"),
    Rule(BLOCK + r"\.ffn\.layers\.0\.0\.(.*)", OURS + r".mlp.fc1.\3"),
    Rule(BLOCK + r"\.ffn\.layers\.1\.(.*)", OURS + r".mlp.fc2.\3"),
    Rule(
        rf"backbone\.stages\.{N}\.downsample\.(norm|reduction)\.(weight|bias)",
        r"encoder.layers.\1.downsample.\2.\3",
        change="unfold_to_concat",
    ),
    Rule(rf"backbone\.norm{N}\.(.*)", r"encoder.norms.\1.\2"),
)
"""mmseg.models.backbones.SwinTransformer; it merges patches in the order of torch's unfold."""

STAGE = rf"backbone\.stages\.{N}\.{N}"
OUR_STAGE = r"encoder.stages.\1.blocks.\2"

CONVNEXT: Rules = (
    Rule(rf"backbone\.downsample_layers\.0\.{N}\.(.*)", r"encoder.stem.\1.\2"),
    Rule(rf"backbone\.downsample_layers\.{N}\.{N}\.(.*)", r"encoder.stages.\1.downsample.\2.\3"),
    Rule(STAGE + r"\.(?:depthwise_conv|dwconv)\.(.*)", OUR_STAGE + r".conv_dw.\3"),
    Rule(STAGE + r"\.(?:pointwise_conv|pwconv)([12])\.(.*)", OUR_STAGE + r".mlp.fc\3.\4"),
    Rule(STAGE + r"\.(norm\..*|gamma)", OUR_STAGE + r".\3"),
    Rule(rf"backbone\.norm{N}\.(.*)", r"encoder.norms.\1.\2"),
)
"""mmpretrain's ConvNeXt, and the one of mmsegmentation 0.x."""

LAYER = rf"backbone\.layers\.{N}\.1\.{N}"
OUR_BLOCK = r"encoder.stages.\1.blocks.\2"

MIT: Rules = (
    Rule(rf"backbone\.layers\.{N}\.0\.projection\.(.*)", r"encoder.stages.\1.patch.proj.\2"),
    Rule(rf"backbone\.layers\.{N}\.0\.norm\.(.*)", r"encoder.stages.\1.patch.norm.\2"),
    Rule(
        LAYER + r"\.attn\.attn\.in_proj_(weight|bias)",
        (OUR_BLOCK + r".attn.q.\3", OUR_BLOCK + r".attn.kv.\3"),
        shares=(1, 2),
    ),
    Rule(LAYER + r"\.attn\.attn\.out_proj\.(.*)", OUR_BLOCK + r".attn.proj.\3"),
    Rule(LAYER + r"\.attn\.(sr|norm)\.(.*)", OUR_BLOCK + r".attn.\3.\4"),
    Rule(LAYER + r"\.norm([12])\.(.*)", OUR_BLOCK + r".norm\3.\4"),
    Rule(LAYER + r"\.ffn\.layers\.0\.(.*)", OUR_BLOCK + r".mlp.fc1.\3"),
    Rule(LAYER + r"\.ffn\.layers\.1\.(.*)", OUR_BLOCK + r".mlp.dwconv.\3"),
    Rule(LAYER + r"\.ffn\.layers\.4\.(.*)", OUR_BLOCK + r".mlp.fc2.\3"),
    Rule(rf"backbone\.layers\.{N}\.2\.(.*)", r"encoder.stages.\1.norm.\2"),
)
"""mmseg.models.backbones.MixVisionTransformer."""

UPERNET: Rules = (
    Rule(rf"decode_head\.psp_modules\.{N}\.1\.(.*)", r"decoder.pools.\1.1.\2"),
    Rule(rf"decode_head\.lateral_convs\.{N}\.(.*)", r"decoder.laterals.\1.\2"),
    Rule(rf"decode_head\.fpn_convs\.{N}\.(.*)", r"decoder.smooths.\1.\2"),
    Rule(r"decode_head\.bottleneck\.(.*)", r"decoder.bottleneck.\1"),
    Rule(r"decode_head\.fpn_bottleneck\.(.*)", r"decoder.fuse.\1"),
    Rule(r"decode_head\.conv_seg\.(.*)", r"segmentation_head.1.\1"),
)
"""mmseg.models.decode_heads.UPerHead."""

SEGFORMER: Rules = (
    Rule(rf"decode_head\.convs\.{N}\.(.*)", r"decoder.levels.\1.\2"),
    Rule(r"decode_head\.fusion_conv\.(.*)", r"decoder.fuse.\1"),
    Rule(r"decode_head\.conv_seg\.(.*)", r"segmentation_head.1.\1"),
)
"""mmseg.models.decode_heads.SegformerHead."""

PIXEL = r"decode_head\.pixel_decoder"
PIXEL_LAYER = PIXEL + rf"\.encoder\.layers\.{N}"
QUERY_LAYER = rf"decode_head\.transformer_decoder\.layers\.{N}"

MASK2FORMER: Rules = (
    Rule(PIXEL + rf"\.input_convs\.{N}\.conv\.(.*)", r"decoder.pixel.inputs.\1.0.\2"),
    Rule(PIXEL + rf"\.input_convs\.{N}\.gn\.(.*)", r"decoder.pixel.inputs.\1.1.\2"),
    Rule(PIXEL + r"\.level_encoding\.weight", r"decoder.pixel.levels"),
    Rule(PIXEL_LAYER + r"\.self_attn\.sampling_offsets\.(.*)", r"decoder.pixel.layers.\1.attn.offsets.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.attention_weights\.(.*)", r"decoder.pixel.layers.\1.attn.weights.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.value_proj\.(.*)", r"decoder.pixel.layers.\1.attn.value.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.output_proj\.(.*)", r"decoder.pixel.layers.\1.attn.out.\2"),
    Rule(PIXEL_LAYER + r"\.ffn\.layers\.0\.0\.(.*)", r"decoder.pixel.layers.\1.fc1.\2"),
    Rule(PIXEL_LAYER + r"\.ffn\.layers\.1\.(.*)", r"decoder.pixel.layers.\1.fc2.\2"),
    *(Rule(PIXEL_LAYER + rf"\.norms\.{n}\.(.*)", rf"decoder.pixel.layers.\1.norm{n + 1}.\2") for n in range(2)),
    Rule(PIXEL + rf"\.lateral_convs\.{N}\.conv\.(.*)", r"decoder.pixel.laterals.\1.0.\2"),
    Rule(PIXEL + rf"\.lateral_convs\.{N}\.gn\.(.*)", r"decoder.pixel.laterals.\1.1.\2"),
    Rule(PIXEL + rf"\.output_convs\.{N}\.conv\.(.*)", r"decoder.pixel.smooths.\1.0.\2"),
    Rule(PIXEL + rf"\.output_convs\.{N}\.gn\.(.*)", r"decoder.pixel.smooths.\1.1.\2"),
    Rule(PIXEL + r"\.mask_feature\.(.*)", r"decoder.pixel.mask.\1"),
    Rule(rf"decode_head\.decoder_input_projs\.{N}\.(.*)", r"decoder.inputs.\1.\2"),
    Rule(QUERY_LAYER + r"\.cross_attn\.attn\.in_proj_(.*)", r"decoder.layers.\1.cross.qkv.\2"),
    Rule(QUERY_LAYER + r"\.cross_attn\.attn\.out_proj\.(.*)", r"decoder.layers.\1.cross.out.\2"),
    Rule(QUERY_LAYER + r"\.self_attn\.attn\.in_proj_(.*)", r"decoder.layers.\1.among.qkv.\2"),
    Rule(QUERY_LAYER + r"\.self_attn\.attn\.out_proj\.(.*)", r"decoder.layers.\1.among.out.\2"),
    Rule(QUERY_LAYER + r"\.ffn\.layers\.0\.0\.(.*)", r"decoder.layers.\1.fc1.\2"),
    Rule(QUERY_LAYER + r"\.ffn\.layers\.1\.(.*)", r"decoder.layers.\1.fc2.\2"),
    *(Rule(QUERY_LAYER + rf"\.norms\.{n}\.(.*)", rf"decoder.layers.\1.norm{n + 1}.\2") for n in range(3)),
    Rule(r"decode_head\.transformer_decoder\.post_norm\.(.*)", r"decoder.norm.\1"),
    Rule(r"decode_head\.query_embed\.weight", r"decoder.places.weight"),
    Rule(r"decode_head\.query_feat\.weight", r"decoder.features.weight"),
    Rule(r"decode_head\.level_embed\.weight", r"decoder.level_embed.weight"),
    Rule(rf"decode_head\.mask_embed\.{N}\.(.*)", r"decoder.mask_embed.\1.\2"),
    Rule(r"decode_head\.cls_embed\.(.*)", r"segmentation_head.\1"),
    Rule(r"decode_head\.loss_cls\.class_weight", (), why="weights of classes in the training loss"),
)
"""mmseg.models.decode_heads.Mask2FormerHead with mmdet's pixel decoder."""


def fcn(head: FcnHead) -> Rules:
    """Return the rules of an auxiliary FCNHead: in ours convolution, norm and ReLU follow one another in one list.

    Args:
        head: the recipe's aux.fcn.
    """
    return fcn_rules(head, "bn", "conv_seg")


def fcn_rules(head: FcnHead, norm: str, last: str) -> Rules:
    """Return the rules of an auxiliary FCN head.

    Args:
        head: the recipe's aux.fcn.
        norm: what the source calls a batch norm.
        last: what it calls the convolution that gives the logits.
    """
    found: list[Rule] = []
    for place in range(head.convs):
        source = rf"(?:model\.)?auxiliary_head\.convs\.{place}"
        found.append(Rule(rf"{source}\.conv\.(.*)", rf"auxiliary.parts.fcn.layers.{3 * place}.\1"))
        found.append(Rule(rf"{source}\.{norm}\.(.*)", rf"auxiliary.parts.fcn.layers.{3 * place + 1}.\1"))
    end = 3 * head.convs + 1
    return (*found, Rule(rf"(?:model\.)?auxiliary_head\.{last}\.(.*)", rf"auxiliary.parts.fcn.layers.{end}.\1"))
