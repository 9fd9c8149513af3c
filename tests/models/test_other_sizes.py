"""What further checkpoints of the podium's kinds may differ in: sides, widths, options, and how files keep them."""

import argparse

import pytest
import torch
from torch import nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.build import build_model
from maskwright.models.imports.convert import Wanted, convert
from maskwright.models.imports.origins import ORIGINS, rules_of
from maskwright.models.imports.reading import read_checkpoint
from maskwright.models.imports.rules import apply_rules
from maskwright.models.zoo.dcn import Deform, Guide
from maskwright.models.zoo.internimage import InternImageOptions, LastBatchNorm, Level
from maskwright.models.zoo.parts import mish, swish

SWIN = {"embed": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "window": 4}
MAPS = {
    "answer": "maps",
    "encoder": SWIN,
    "queries": 4,
    "channels": 32,
    "pixel_layers": 1,
    "pixel_hidden": 8,
    "layers": 1,
    "hidden": 8,
}
UNET = Model(architecture="unet", encoder="resnet18", options={"decoder_channels": [8, 8, 8, 8, 8]})


@pytest.mark.parametrize(
    ("block", "sides"),
    [
        (Model(architecture="unet3plus", encoder="plain", options={"encoder": {"widths": [4, 4, 4, 4, 4]}}), (48, 80)),
        (Model(architecture="pan", encoder="swin_tiny", options={"encoder": SWIN}), (260, 300)),
        (Model(architecture="mask2former", encoder="swin_tiny", options=MAPS), (100, 84)),
    ],
    ids=["unet3plus", "pan", "maps"],
)
@torch.no_grad()
def test_what_the_original_takes_as_it_is_gets_no_border(block, sides):
    torch.manual_seed(3)
    model, image = build_model(block, 3, 2).eval(), torch.rand(1, 3, *sides)
    assert torch.equal(model(image), model.network(image))


def test_maps_of_seven_levels_halve_exactly():
    deep = Model(architecture="unet3plus", encoder="plain", options={"encoder": {"widths": [2] * 7}})
    assert build_model(deep, 3, 1).stride == 64


def test_pixels_and_queries_of_mask2former_may_have_other_widths():
    options = {**MAPS, "pixel_channels": 64, "pixel_heads": 4, "mask_channels": 24}
    block = Model(architecture="mask2former", encoder="swin_tiny", options=options)
    model = build_model(block, 3, 2).eval()
    with torch.no_grad():
        assert model.decoder.pixel(model.encoder(torch.rand(1, 3, 64, 64)))[0].shape == (1, 24, 16, 16)
        assert model(torch.rand(1, 3, 64, 64)).shape == (1, 2, 64, 64)
    own = {name.removeprefix("network."): tensor for name, tensor in model.state_dict().items()}
    theirs = {
        "mmseg": ("decode_head.decoder_input_projs.2.", "decode_head.pixel_decoder.mask_feature."),
        "hf": ("model.transformer_module.input_projections.2.", "pixel_level_module.decoder.mask_projection."),
    }
    for origin, names in theirs.items():
        given = {
            f"{name}{kind}": own[f"{ours}.{kind}"]
            for name, ours in zip(names, ("decoder.inputs.2", "decoder.pixel.mask"), strict=True)
            for kind in ("weight", "bias")
        }
        found = apply_rules(rules_of(ORIGINS[origin], block), given).filled
        assert {name: own[name].shape for name in found} == {name: each.shape for name, each in found.items()}
        assert len(found) == 4
    with pytest.raises(InputError, match="64 channels do not divide by 3 heads"):
        build_model(block.model_copy(update={"options": {**options, "pixel_heads": 3}}), 3, 2)


@torch.no_grad()
def test_the_huge_internimage():
    torch.manual_seed(5)
    x = torch.rand(1, 7, 9, 8)
    sampled, mixed = Deform(8, 2), Deform(8, 2, guide=Guide(5), centre=True)
    sampled.load_state_dict({**mixed.state_dict(), "depthwise.weight": sampled.depthwise.weight}, strict=False)
    assert mixed.depthwise.weight.shape == (8, 1, 5, 5)
    mixed.centre.bias.fill_(100)
    torch.testing.assert_close(mixed(x), mixed.output_proj(mixed.input_proj(x)))
    mixed.centre.bias.fill_(-100)  # offsets and weights begin at 0, so nothing else is seen of the guide
    torch.testing.assert_close(mixed(x), sampled(x))

    wanted = {"channels": 2, "depths": (1, 1, 3), "groups": (1, 1, 1), "layer_scale": None}
    options = InternImageOptions(**wanted, inner_norm=True, extra_norms=(0, 2), centre_scale=True)
    level = Level(options, 2, [0.0] * 3).eval()
    for norm in level.modules():
        if isinstance(norm, nn.LayerNorm):
            nn.init.normal_(norm.weight)
    by_hand = x
    for place, block in enumerate(level.blocks):
        by_hand = by_hand + block.inner1(block.dcn(block.norm1(by_hand)))
        by_hand = by_hand + block.inner2(block.mlp(block.norm2(by_hand)))
        if place in (0, 2):
            by_hand = level.extra_norms[place // 2](by_hand)
    torch.testing.assert_close(level(x)[0], level.norm(by_hand))
    given = {
        "levels.2.blocks.1.dcn.center_feature_scale_proj_weight": "encoder.levels.2.blocks.1.dcn.centre.weight",
        "backbone.levels.2.blocks.1.res_post_norm2.0.bias": "encoder.levels.2.blocks.1.inner2.bias",
        "backbone.levels.2.post_norms.1.0.weight": "encoder.levels.2.extra_norms.1.weight",
    }
    block = Model(architecture="upernet_mmseg", encoder="internimage_h")
    found = apply_rules(rules_of(ORIGINS["internimage"], block), dict.fromkeys(given, torch.zeros(1)))
    assert [row.target for row in found.rows] == list(given.values())
    batch = Level(InternImageOptions(**wanted, norm="batch", activation="silu"), 0, [0.0]).eval()
    assert isinstance(batch.norm, nn.LayerNorm)
    assert isinstance(batch.downsample.norm, LastBatchNorm)
    assert isinstance(batch.blocks[0].dcn.norm, LastBatchNorm)
    assert batch(torch.rand(1, 7, 9, 2))[1].shape == (1, 4, 5, 4)
    for fault in ({"extra_norms": (0, 3)}, {"extra_norms": (1, 1)}, {"inner_norm": True, "post_norm": True}):
        with pytest.raises(ValueError, match=r"extra_norms|inner_norm"):
            InternImageOptions(**{**wanted, **fault})


@torch.no_grad()
def test_the_wildfire_decoder_has_the_options_of_its_code():
    torch.manual_seed(6)
    options = {"decoder_channels": [8, 8, 8, 4], "upsample": "bilinear", "batch_norm": False, "unseen": [0]}
    block = Model(architecture="unet_stride1", encoder="tu-regnetx_002", options=options)
    model, image = build_model(block, 3, 1).eval(), torch.rand(1, 3, 32, 32)
    last = model.decoder.blocks[-1]
    assert last.conv1[0].weight.shape == (4, 8, 3, 3)  # nothing of the finest map
    assert last.conv1[0].bias is not None
    seen = []
    last.register_forward_hook(lambda _module, given, out: seen.extend([given[0], out]))
    assert model(image).shape == (1, 1, 32, 32)
    finer = nn.functional.interpolate(seen[0], scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(seen[1], last.conv2(last.conv1(finer)))
    with pytest.raises(InputError, match="the maps before the deepest are 0 to 3, got"):
        build_model(block.model_copy(update={"options": {**options, "unseen": [4]}}), 3, 1)


def test_activations_are_written_out_but_in_training():
    x = torch.randn(1000) * 4
    assert torch.equal(mish(x, training=False), x * torch.tanh(nn.functional.softplus(x)))
    assert torch.equal(swish(x, training=False), x * torch.sigmoid(x))
    torch.testing.assert_close(mish(x, training=True), mish(x, training=False))
    torch.testing.assert_close(swish(x, training=True), swish(x, training=False))


def test_averages_and_wrappers_are_opened(tmp_path):
    torch.manual_seed(7)
    path, plain = tmp_path / "w.pth", build_model(UNET, 3, 2).network.state_dict()
    averaged = {"steps": torch.tensor(9), **{f"module.{name}": each for name, each in plain.items()}}
    torch.save({"state_dict": {}, "ema_state_dict": averaged}, path)
    found = convert(path, "smp", Wanted(UNET, 2, key="ema_state_dict"))
    assert found.checkpoint.odd == ("steps",)
    torch.save({"checkpoint": {"model": {f"model.{name}": each for name, each in plain.items()}}}, path)
    assert convert(path, "smp", Wanted(UNET, 2, key="checkpoint.model")).checkpoint.part == "checkpoint.model"

    # in the way of torch before 1.6, with what trainers keep beside the weights
    torch.save({"state_dict": plain, "args": argparse.Namespace(lr=1)}, path, _use_new_zipfile_serialization=False)
    assert read_checkpoint(path, ("state_dict",)).tensors.keys() == plain.keys()
    torch.save(nn.Linear(2, 2), path, _use_new_zipfile_serialization=False)
    with pytest.raises(InputError, match=r"refused: opening it would call the classes of a whole model"):
        read_checkpoint(path, ())

    mm = rules_of(ORIGINS["mmseg"], Model(architecture="segformer_mmseg", encoder="mit_b0"))
    assert apply_rules(mm, {"ema_backbone_layers_0_0_norm_weight": torch.zeros(2)}).unused == []


def test_broken_values_and_wrong_files_are_refused(tmp_path):
    torch.manual_seed(8)
    path, plain = tmp_path / "w.pth", build_model(UNET, 3, 2).network.state_dict()
    first = "encoder.conv1.weight"
    for fault, said in (
        (plain[first] * float("nan"), "encoder.conv1.weight has 9408 of 9408 values in the file that are no finite"),
        (plain[first].int(), "encoder.conv1.weight holds int32 in the file, and is a float"),
    ):
        torch.save({**plain, first: fault}, path)
        with pytest.raises(InputError, match=said):
            convert(path, "smp", Wanted(UNET, 2))
    for start, said in (
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS"),
        (b"<!DOCTYPE html>\n<html>", "a web page, not a checkpoint"),
    ):
        path.write_bytes(start)
        with pytest.raises(InputError, match=said):
            read_checkpoint(path, ())
    with pytest.raises(InputError, match="hold no architecture 'unet'; give --from smp, or another architecture"):
        convert(path, "mmseg", Wanted(UNET, 2))


def test_what_only_a_classifier_has_is_left_out(tmp_path):
    import timm

    theirs = timm.create_model("tf_efficientnet_b0", num_classes=3)
    torch.save(theirs.state_dict(), tmp_path / "w.pth")
    block = UNET.model_copy(update={"encoder": "tu-tf_efficientnet_b0"})
    found = convert(tmp_path / "w.pth", "timm", Wanted(block, 2))
    assert {name.partition(".")[0] for name in found.left_out} == {"conv_head", "bn2", "classifier"}


@pytest.mark.parametrize("architecture", ["segformer", "pan"])
def test_a_name_of_both_means_the_encoder_that_the_architecture_takes(architecture, tmp_path):
    import segmentation_models_pytorch

    torch.manual_seed(9)
    block = Model(architecture="segformer", encoder="mit_b0", options={"decoder_segmentation_channels": 8})
    theirs = segmentation_models_pytorch.Segformer(
        "mit_b0", encoder_weights=None, classes=2, decoder_segmentation_channels=8
    ).eval()
    given = theirs.state_dict()
    if architecture == "pan":  # on our own encoder, whose names differ
        block = Model(architecture="pan", encoder="mit_b0")
        rest = build_model(block, 3, 2).network.state_dict()
        given = {name: each for name, each in given.items() if name.startswith("encoder.")}
        given |= {name: each for name, each in rest.items() if not name.startswith("encoder.")}
    torch.save(given, tmp_path / "w.pth")
    model = convert(tmp_path / "w.pth", "smp", Wanted(block, 2)).model
    image = torch.rand(1, 3, 64, 64)
    near = 0.0 if architecture == "segformer" else 1e-3  # two epsilons in the library's, one in ours
    with torch.no_grad():
        maps = model.encoder(image)[-4:]
        torch.testing.assert_close(list(maps), list(theirs.encoder(image)[-4:]), atol=near, rtol=near)
