"""InternImage, EfficientFPN and UNet3+ give what their originals computed, from their own checkpoints."""

import pytest
import torch
from parity import Fixture

from maskwright.core.recipe.members import Model
from maskwright.models.imports.heads import Surgery

INTERN = Model(
    architecture="upernet_mmseg",
    encoder="internimage_l",
    options={
        "channels": 32,
        "encoder": {"channels": 16, "depths": [1, 1, 2, 1], "groups": [1, 2, 4, 8]},
    },
    aux={"fcn": {"channels": 24}},
)
EFFICIENT = Model(architecture="efficient_fpn", encoder="mish_efficientnet_b1")
BONES = Model(architecture="unet3plus", encoder="plain", options={"encoder": {"widths": [8, 16, 24, 32, 48]}})


def hear(module, into, name):
    module.register_forward_hook(lambda _module, _given, output: into.update({name: output}))


@pytest.mark.parametrize("file", ["weights.safetensors", "checkpoint.pth"])
def test_internimage_with_upernet(file):
    original = Fixture("internimage_upernet")
    model = original.imported(INTERN, 2, "internimage", file).model.eval()
    seen = {}
    first = model.encoder.levels[0].blocks[0].dcn
    first.register_forward_hook(
        lambda _module, given, output: seen.update({"dcn.input": given[0], "dcn.output": output})
    )
    image = original.io["in.input"]
    with torch.no_grad():
        seen |= {f"backbone.{place}": each for place, each in enumerate(model.encoder(image))}
        seen["logits_before_upsampling"] = model.network.coarse(image)
        seen["logits_full"] = model(image)
        seen["aux_logits_before_upsampling"] = model.auxiliary.parts["fcn"](model.encoder(image))[""]
    for name, found in seen.items():
        original.close(found, name)


def test_internimage_end_to_end_at_odd_sizes():
    original = Fixture("internimage_upernet")
    model = original.imported(INTERN, 2, "internimage").model.eval()
    image = original.io["in.e2e.image_bgr_uint8"].flip(0)[None].float()
    mean, std = (torch.tensor(original.config["model"]["data_preprocessor"][name]) for name in ("mean", "std"))
    ready = (image - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    original.close(ready, "e2e.network_input")
    with torch.no_grad():
        logits = model(ready)
    size = original.config["e2e"]["ori_shape_hw"]
    scores = torch.nn.functional.interpolate(logits, size=size, mode="bilinear", align_corners=False)
    original.close(scores[0], "e2e.scores_at_original_size")
    assert torch.equal(scores.argmax(1).to(torch.uint8), original.io["out.e2e.labels_at_original_size"])


def at_256(maps):
    return torch.nn.functional.interpolate(maps, size=(256, 256), mode="bilinear", align_corners=False)


def efficient(name, model):
    original = Fixture(name)
    seen = {}
    for place in (5, 16, 22):
        hear(model.encoder.blocks[place], seen, f"feat.block{place}")
    for place in range(4):
        hear(model.decoder.laterals[3 - place], seen, f"feat.lateral{place}")
    if name == "efficientfpn_b1":
        hear(model.decoder.mix_norm, seen, "mix")
    with torch.no_grad():
        told = model.network.raw(original.io["in.input"])
        seen["prob_at_256"] = at_256(told.logits.softmax(1))[:, 1]
    if "mix" in seen:
        seen["feat.top4"] = seen.pop("mix").relu()
    seen["bce_logits_stride4"], heads = told.logits, told.heads
    seen["dice_logit_stride4"], seen["scale_regression"] = heads["twin"], heads["scale"]
    seen["building_present_logits"] = heads["presence"]
    seen["prob_stride4"] = told.logits.softmax(1)[:, 1]
    for output, found in seen.items():
        original.close(found, output)


def test_efficientfpn_with_its_four_heads():
    model = Fixture("efficientfpn_b1").imported(EFFICIENT, 2, "open-cities").model
    efficient("efficientfpn_b1", model.eval())


def test_two_softmax_classes_become_one_plane():
    original = Fixture("efficientfpn_b1")
    model = original.imported(EFFICIENT, 1, "open-cities", surgery=Surgery(difference=True)).model.eval()
    with torch.no_grad():
        coarse = model.network.coarse(original.io["in.input"]).sigmoid()
        answer = model.answer(original.io["in.input"], torch.sigmoid)
    original.close(coarse[:, 0], "prob_stride4")
    original.close(at_256(coarse)[:, 0], "prob_at_256")
    # prediction enlarges probabilities too
    large = torch.nn.functional.interpolate(coarse, scale_factor=4, mode="bilinear", align_corners=False)
    torch.testing.assert_close(answer, large)


def test_efficientfpn_with_context_blocks(tmp_path):
    """Its weights are kept as what they differ in from those of b1."""
    from safetensors.torch import load_file, save_file

    base, more = Fixture("efficientfpn_b1"), Fixture("efficientfpn_b1_context")
    tensors = load_file(base.folder / "weights.safetensors")
    tensors = {name: tensor for name, tensor in tensors.items() if not name.startswith("top4.")}
    save_file(tensors | load_file(more.folder / "weights.safetensors"), tmp_path / "weights.safetensors")
    more.folder = tmp_path
    block = EFFICIENT.model_copy(update={"options": {"context": True}})
    efficient("efficientfpn_b1_context", more.imported(block, 2, "open-cities").model.eval())


def test_unet3plus():
    original = Fixture("boostcamp_unet3plus")
    model = original.imported(BONES, 29, "hand-bone").model.eval()
    with torch.no_grad():
        logits = model(original.io["in.input"])
    original.close(logits, "logits")
    # the real solution enlarges logits, then asks for probabilities
    large = torch.nn.functional.interpolate(logits, size=(48, 64), mode="bilinear", align_corners=False)
    original.close(large.sigmoid(), "probability_at_48x64")
