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
    Rule(BLOCK + r"\.attention\.relative_position_bias\.(relative_position_bias_table)", OURS + r".attn.\3"),
    Rule(BLOCK + r"\.attention\.(?:self\.query|q_proj)\.(.*)", OURS + r".attn.qkv.\3", piece=(0, 3)),
    Rule(BLOCK + r"\.attention\.(?:self\.key|k_proj)\.(.*)", OURS + r".attn.qkv.\3", piece=(1, 3)),
    Rule(BLOCK + r"\.attention\.(?:self\.value|v_proj)\.(.*)", OURS + r".attn.qkv.\3", piece=(2, 3)),
    Rule(BLOCK + r"\.attention\.(?:output\.dense|o_proj)\.(.*)", OURS + r".attn.proj.\3"),
    Rule(BLOCK + r"\.layernorm_before\.(.*)", OURS + r".norm1.\3"),
    Rule(BLOCK + r"\.layernorm_after\.(.*)", OURS + r".norm2.\3"),
    Rule(BLOCK + r"\.(?:intermediate\.dense|mlp\.fc1)\.(.*)", OURS + r".mlp.fc1.\3"),
    Rule(BLOCK + r"\.(?:output\.dense|mlp\.fc2)\.(.*)", OURS + r".mlp.fc2.\3"),
    Rule(ANY + r"swin\.layernorm\.(.*)", (), why="of the classifier"),
    Rule(ANY + rf"encoder\.layers\.{N}\.downsample\.(.*)", r"encoder.layers.\1.downsample.\2"),
    *(Rule(ANY + rf"hidden_states_norms\.stage{stage + 1}\.(.*)", rf"encoder.norms.{stage}.\1") for stage in range(4)),
)
"""SwinBackbone, under the names of transformers 4 and 5."""

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

MIT_BLOCK = ANY + rf"(?:encoder\.block|stages)\.{N}\.(?:blocks\.)?{N}"
OUR_BLOCK = r"encoder.stages.\1.blocks.\2"

MIT: Rules = (
    Rule(ANY + rf"encoder\.patch_embeddings\.{N}\.proj\.(.*)", r"encoder.stages.\1.patch.proj.\2"),
    Rule(ANY + rf"encoder\.patch_embeddings\.{N}\.layer_norm\.(.*)", r"encoder.stages.\1.patch.norm.\2"),
    Rule(ANY + rf"stages\.{N}\.patch_embeddings\.proj\.(.*)", r"encoder.stages.\1.patch.proj.\2"),
    Rule(ANY + rf"stages\.{N}\.patch_embeddings\.layer_norm\.(.*)", r"encoder.stages.\1.patch.norm.\2"),
    Rule(MIT_BLOCK + r"\.(?:layer_norm_1|layernorm_before)\.(.*)", OUR_BLOCK + r".norm1.\3"),
    Rule(MIT_BLOCK + r"\.(?:layer_norm_2|layernorm_after)\.(.*)", OUR_BLOCK + r".norm2.\3"),
    Rule(MIT_BLOCK + r"\.attention\.(?:self\.query|q_proj)\.(.*)", OUR_BLOCK + r".attn.q.\3"),
    Rule(MIT_BLOCK + r"\.attention\.(?:self\.key|k_proj)\.(.*)", OUR_BLOCK + r".attn.kv.\3", piece=(0, 2)),
    Rule(MIT_BLOCK + r"\.attention\.(?:self\.value|v_proj)\.(.*)", OUR_BLOCK + r".attn.kv.\3", piece=(1, 2)),
    Rule(
        MIT_BLOCK + r"\.attention\.(?:self\.sr|sequence_reduction\.sequence_reduction)\.(.*)",
        OUR_BLOCK + r".attn.sr.\3",
    ),
    Rule(MIT_BLOCK + r"\.attention\.(?:self|sequence_reduction)\.layer_norm\.(.*)", OUR_BLOCK + r".attn.norm.\3"),
    Rule(MIT_BLOCK + r"\.attention\.(?:output\.dense|o_proj)\.(.*)", OUR_BLOCK + r".attn.proj.\3"),
    Rule(MIT_BLOCK + r"\.mlp\.(?:dense|fc)([12])\.weight", OUR_BLOCK + r".mlp.fc\3.weight", change="linear_to_conv"),
    Rule(MIT_BLOCK + r"\.mlp\.(?:dense|fc)([12])\.bias", OUR_BLOCK + r".mlp.fc\3.bias"),
    Rule(MIT_BLOCK + r"\.mlp\.dwconv\.dwconv\.(.*)", OUR_BLOCK + r".mlp.dwconv.\3"),
    Rule(ANY + rf"encoder\.layer_norm\.{N}\.(.*)", r"encoder.stages.\1.norm.\2"),
    Rule(ANY + rf"stages\.{N}\.layer_norm\.(.*)", r"encoder.stages.\1.norm.\2"),
)
"""SegformerModel, under the names of transformers 4 and 5; its norms have the epsilon 1e-5."""

LINEAR = ANY + rf"decode_head\.linear_(?:c|projections)\.{N}\.proj"

SEGFORMER: Rules = (
    Rule(LINEAR + r"\.weight", r"decoder.levels.\1.weight", change="linear_to_conv"),
    Rule(LINEAR + r"\.bias", r"decoder.levels.\1.bias"),
    Rule(ANY + r"decode_head\.linear_fuse\.(.*)", r"decoder.fuse.conv.\1"),
    Rule(ANY + r"decode_head\.batch_norm\.(.*)", r"decoder.fuse.bn.\1"),
    Rule(ANY + r"decode_head\.classifier\.(.*)", r"segmentation_head.1.\1"),
)
"""SegformerForSemanticSegmentation."""

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

PIXEL = ANY + r"pixel_level_module\.decoder"
PIXEL_LAYER = PIXEL + rf"\.encoder\.layers\.{N}"
QUERIES = ANY + r"transformer_module"
QUERY_LAYER = QUERIES + rf"\.decoder\.layers\.{N}"

MASK2FORMER: Rules = (
    Rule(PIXEL + rf"\.input_projections\.{N}\.(.*)", r"decoder.pixel.inputs.\1.\2"),
    Rule(PIXEL + r"\.level_embed", r"decoder.pixel.levels"),
    Rule(PIXEL_LAYER + r"\.self_attn\.sampling_offsets\.(.*)", r"decoder.pixel.layers.\1.attn.offsets.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.attention_weights\.(.*)", r"decoder.pixel.layers.\1.attn.weights.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.value_proj\.(.*)", r"decoder.pixel.layers.\1.attn.value.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn\.output_proj\.(.*)", r"decoder.pixel.layers.\1.attn.out.\2"),
    Rule(PIXEL_LAYER + r"\.self_attn_layer_norm\.(.*)", r"decoder.pixel.layers.\1.norm1.\2"),
    Rule(PIXEL_LAYER + r"\.final_layer_norm\.(.*)", r"decoder.pixel.layers.\1.norm2.\2"),
    Rule(PIXEL_LAYER + r"\.(fc[12])\.(.*)", r"decoder.pixel.layers.\1.\2.\3"),
    Rule(PIXEL + r"\.adapter_1\.(.*)", r"decoder.pixel.laterals.0.\1"),
    Rule(PIXEL + r"\.layer_1\.(.*)", r"decoder.pixel.smooths.0.\1"),
    Rule(PIXEL + r"\.mask_projection\.(.*)", r"decoder.pixel.mask.\1"),
    Rule(QUERIES + rf"\.input_projections\.{N}\.(.*)", r"decoder.inputs.\1.\2"),
    Rule(QUERY_LAYER + r"\.cross_attn\.in_proj_(.*)", r"decoder.layers.\1.cross.qkv.\2"),
    Rule(QUERY_LAYER + r"\.cross_attn\.out_proj\.(.*)", r"decoder.layers.\1.cross.out.\2"),
    Rule(QUERY_LAYER + r"\.cross_attn_layer_norm\.(.*)", r"decoder.layers.\1.norm1.\2"),
    Rule(QUERY_LAYER + r"\.self_attn\.q_proj\.(.*)", r"decoder.layers.\1.among.qkv.\2", piece=(0, 3)),
    Rule(QUERY_LAYER + r"\.self_attn\.k_proj\.(.*)", r"decoder.layers.\1.among.qkv.\2", piece=(1, 3)),
    Rule(QUERY_LAYER + r"\.self_attn\.v_proj\.(.*)", r"decoder.layers.\1.among.qkv.\2", piece=(2, 3)),
    Rule(QUERY_LAYER + r"\.self_attn\.out_proj\.(.*)", r"decoder.layers.\1.among.out.\2"),
    Rule(QUERY_LAYER + r"\.self_attn_layer_norm\.(.*)", r"decoder.layers.\1.norm2.\2"),
    Rule(QUERY_LAYER + r"\.final_layer_norm\.(.*)", r"decoder.layers.\1.norm3.\2"),
    Rule(QUERY_LAYER + r"\.(fc[12])\.(.*)", r"decoder.layers.\1.\2.\3"),
    Rule(QUERIES + r"\.decoder\.layernorm\.(.*)", r"decoder.norm.\1"),
    *(
        Rule(QUERIES + rf"\.decoder\.mask_predictor\.mask_embedder\.{n}\.0\.(.*)", rf"decoder.mask_embed.{2 * n}.\1")
        for n in range(3)
    ),
    Rule(QUERIES + r"\.queries_embedder\.weight", r"decoder.places.weight"),
    Rule(QUERIES + r"\.queries_features\.weight", r"decoder.features.weight"),
    Rule(QUERIES + r"\.level_embed\.weight", r"decoder.level_embed.weight"),
    Rule(ANY + r"class_predictor\.(.*)", r"segmentation_head.\1"),
    Rule(ANY + r"criterion\.empty_weight", (), why="weights of classes in the training loss"),
)
"""Mask2FormerForUniversalSegmentation."""


def fcn(head: FcnHead) -> Rules:
    """Return the rules of UperNet's auxiliary head.

    Args:
        head: the recipe's aux.fcn.
    """
    return fcn_rules(head, "batch_norm", "classifier")
