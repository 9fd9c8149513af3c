"""Names of InternImage's authors: segmentation and detection checkpoints, and classifiers."""

from __future__ import annotations

from maskwright.models.imports.rules import Rule, Rules

N = r"(\d+)"
START = r"(?:backbone\.)?"
BLOCK = START + rf"levels\.{N}\.blocks\.{N}"
OURS = r"encoder.levels.\1.blocks.\2"

INTERNIMAGE: Rules = (
    Rule(START + r"patch_embed\.conv([12])\.(.*)", r"encoder.stem.conv\1.\2"),
    Rule(START + r"patch_embed\.norm([12])\.[01]\.(.*)", r"encoder.stem.norm\1.\2"),
    Rule(BLOCK + r"\.dcn\.dw_conv\.0\.(.*)", OURS + r".dcn.depthwise.\3"),
    Rule(BLOCK + r"\.dcn\.dw_conv\.1\.[01]\.(.*)", OURS + r".dcn.norm.\3"),
    Rule(BLOCK + r"\.dcn\.((?:offset|mask|input_proj|output_proj)\..*)", OURS + r".dcn.\3"),
    Rule(BLOCK + r"\.dcn\.center_feature_scale_proj_(.*)", OURS + r".dcn.centre.\3"),
    Rule(BLOCK + r"\.res_post_norm([12])\.0\.(.*)", OURS + r".inner\3.\4"),
    Rule(BLOCK + r"\.norm([12])\.0\.(.*)", OURS + r".norm\3.\4"),
    Rule(BLOCK + r"\.(gamma[12]|mlp\..*)", OURS + r".\3"),
    Rule(START + rf"levels\.{N}\.norm\.0\.(.*)", r"encoder.levels.\1.norm.\2"),
    Rule(START + rf"levels\.{N}\.post_norms\.{N}\.0\.(.*)", r"encoder.levels.\1.extra_norms.\2.\3"),
    Rule(START + rf"levels\.{N}\.downsample\.conv\.(.*)", r"encoder.levels.\1.downsample.conv.\2"),
    Rule(START + rf"levels\.{N}\.downsample\.norm\.[01]\.(.*)", r"encoder.levels.\1.downsample.norm.\2"),
    Rule(r"(?:conv_head|head|clip_projector|fc_norm)\..*", (), why="of the classifier"),
)
"""Stem, levels and their blocks; norms lie in lists beside what turns axes: batch norms first."""
