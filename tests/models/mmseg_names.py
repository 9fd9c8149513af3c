"""A model's tensors under the names that mmsegmentation gives them: what its checkpoints would hold of our own."""

import re

NAMES = [
    (r"network\.encoder\.patch_embed\.proj", "backbone.patch_embed.projection"),
    (r"network\.encoder\.patch_embed\.norm", "backbone.patch_embed.norm"),
    (r"network\.encoder\.layers\.(\d)\.blocks\.(\d)\.attn", r"backbone.stages.\1.blocks.\2.attn.w_msa"),
    (r"network\.encoder\.layers\.(\d)\.blocks\.(\d)\.mlp\.fc1", r"backbone.stages.\1.blocks.\2.ffn.layers.0.0"),
    (r"network\.encoder\.layers\.(\d)\.blocks\.(\d)\.mlp\.fc2", r"backbone.stages.\1.blocks.\2.ffn.layers.1"),
    (r"network\.encoder\.layers", "backbone.stages"),
    (r"network\.encoder\.norms\.(\d)", r"backbone.norm\1"),
    (r"network\.decoder\.pools", "decode_head.psp_modules"),
    (r"network\.decoder\.laterals", "decode_head.lateral_convs"),
    (r"network\.decoder\.smooths", "decode_head.fpn_convs"),
    (r"network\.decoder\.bottleneck", "decode_head.bottleneck"),
    (r"network\.decoder\.fuse", "decode_head.fpn_bottleneck"),
    (r"network\.segmentation_head\.1", "decode_head.conv_seg"),
    (r"auxiliary\.parts\.fcn\.layers\.0", "auxiliary_head.convs.0.conv"),
    (r"auxiliary\.parts\.fcn\.layers\.1", "auxiliary_head.convs.0.bn"),
    (r"auxiliary\.parts\.fcn\.layers\.4", "auxiliary_head.conv_seg"),
]


def as_mmseg(model):
    """Return the state dict of a upernet_mmseg on Swin as mmsegmentation would name and order it."""
    found = {_named(name): _unfolded(name, tensor) for name, tensor in model.state_dict().items()}
    for stage, layer in enumerate(model.encoder.layers):
        for place, block in enumerate(layer.blocks):
            found[f"backbone.stages.{stage}.blocks.{place}.attn.w_msa.relative_position_index"] = (
                block.attn.relative_position_index.clone()
            )
    return found


def _named(name):
    for pattern, target in NAMES:
        changed, times = re.subn(f"^{pattern}(?=\\.)", target, name)
        if times:
            return changed
    return name


def _unfolded(name, tensor):
    if ".downsample." not in name:
        return tensor.detach().clone()
    *lead, last = tensor.shape  # columns, rows, channels become channels, rows, columns
    return tensor.detach().view(*lead, 2, 2, last // 4).movedim((-3, -2), (-1, -2)).reshape(*lead, last).contiguous()
