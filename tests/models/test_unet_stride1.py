import numpy as np
import parity
import pytest
import torch
from safetensors.torch import save_file

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.core.recipe.plain import read_yaml
from maskwright.core.recipe.spectral import Spectral
from maskwright.data.preprocess import Preprocess
from maskwright.models.adapt import adapt_bands
from maskwright.models.build import build_model, check
from maskwright.models.imports.convert import Wanted, convert
from maskwright.models.weights import load_model, save_weights
from maskwright.workflows.session import packaged_recipes

MODEL = Model(architecture="unet_stride1", encoder="tu-regnetx_002", spectral=Spectral(channels=32))


def refusal(block):
    with pytest.raises(InputError) as caught:
        check(block, "m")
    return str(caught.value)


def test_maps_are_as_fine_as_the_seed_says():
    model = build_model(MODEL, bands=14, planes=1).eval()
    assert (model.stride, model.minimum) == (16, 16)
    with torch.no_grad():
        maps = model.encoder(model.spectral(torch.rand(1, 14, 64, 64)))
    assert [tuple(each.shape[1:]) for each in maps] == [
        (32, 64, 64),
        (24, 32, 32),
        (56, 16, 16),
        (152, 8, 8),
        (368, 4, 4),
    ]
    assert [block.conv2[0].out_channels for block in model.decoder.blocks] == [128, 64, 48, 32]
    assert sum(parameter.numel() for parameter in model.parameters()) == 3_307_409  # SEEDS 002 and the parity fixture


def theirs(name):
    """Return what the original calls a tensor."""
    for ours, other in (("spectral.", "unet.encoder.conv0."), ("segmentation_head.", "unet.head0.")):
        if name.startswith(ours):
            return f"module.{other}{name.removeprefix(ours)}"
    return f"module.unet.{name}"


def test_a_checkpoint_of_the_original_is_brought_in_whole(tmp_path):
    torch.manual_seed(4)
    model = build_model(MODEL, 14, 1).eval()
    given = {theirs(name.removeprefix("network.")): each for name, each in model.state_dict().items()}
    assert len(given) == 318
    torch.save({"meta": {"epoch": 130}, "state_dict": given, "message_hub": {}}, tmp_path / "epoch_130.pth")
    found = convert(tmp_path / "epoch_130.pth", "wildfire", Wanted(MODEL, 1))
    assert (found.bands, found.missing, found.unused, len(found.rows)) == (14, [], [], 318)
    image = torch.rand(1, 14, 48, 48)
    with torch.no_grad():
        assert torch.equal(found.model(image), model(image))
    given["module.unet.head1.0.bias"] = given.pop("module.unet.head0.0.bias")
    torch.save({"state_dict": given}, tmp_path / "other.pth")
    with pytest.raises(InputError, match=r"1 tensors are missing, first segmentation_head\.0\.bias, 1 of the file's"):
        convert(tmp_path / "other.pth", "wildfire", Wanted(MODEL, 1))


def test_the_original_checkpoint_gives_what_the_original_gave():
    fixture = parity.Fixture("wildfire_regnet_unet")
    model = fixture.imported(MODEL, 1, "wildfire").model
    image = fixture.io["in.input"]
    with torch.no_grad():
        maps = model.encoder(model.spectral(image))
        found = maps[-1]
        for place, block in enumerate(model.decoder.blocks):
            found = block(found, maps[-2 - place])
            fixture.close(found, f"decoder.{place}")
        for place, each in enumerate(maps):
            fixture.close(each, f"encoder.{place}")
        fixture.close(model(image), "logits")
        turned = [model(image.flip(axes)).sigmoid().flip(axes) for axes in ([], [2], [3], [2, 3])]
    mean = torch.stack(turned).mean(0)[0]
    fixture.close(mean, "tta4_mean_probability_of_item0")
    assert torch.equal((mean > 0.5).to(torch.uint8), fixture.io["out.tta4_mask_of_item0"])


def test_the_seeds_preprocessing_is_what_the_recipe_says():
    """Seven of ten uint16 bands over 65535, and the mean of each over its pixels above 0."""
    fixture = parity.Fixture("wildfire_regnet_unet")
    raw = fixture.io["in.raw_10_bands_as_int32"].numpy().astype(np.uint16)
    data = read_yaml(packaged_recipes()["wildfire"])["data"]
    prepared = Preprocess(
        bands=tuple(band - 1 for band in data["bands"]),
        divide=data["divide"],
        mean=(0.0,) * 7,
        std=(1.0,) * 7,
        derived=tuple(data["derived"]),
    )(np.moveaxis(raw, 0, -1))
    assert np.abs(prepared - fixture.io["in.input"][0].numpy()).max() < 1e-7


def test_rgb_weights_meet_the_stem_tiled_and_scaled(tmp_path):
    torch.manual_seed(0)
    donor = build_model(MODEL.model_copy(update={"spectral": None}), 3, 1)
    save_file(donor.encoder.state_dict(), tmp_path / "rgb.safetensors")
    block = MODEL.model_copy(update={"weights": "rgb.safetensors"})
    state = build_model(block, 14, 1, recipe_dir=tmp_path).encoder.state_dict()
    kernel = donor.encoder.state_dict()["model.stem.conv.weight"]
    assert torch.equal(state["model.stem.conv.weight"], adapt_bands(kernel, 32))
    assert torch.equal(state["model.stem.conv.weight"][:, 31], kernel[:, 1] * (3 / 32))
    assert torch.equal(
        state["model.s4.b1.conv1.conv.weight"], donor.encoder.state_dict()["model.s4.b1.conv1.conv.weight"]
    )


@pytest.mark.parametrize("architecture", ["unet", "fpn", "unet_stride1"])
def test_a_spectral_stem_goes_before_any_network_and_comes_back_from_a_file(tmp_path, architecture):
    block = Model(
        architecture=architecture,
        encoder="tu-resnet10t",
        spectral={"channels": 6, "hidden": 5},
        aux={"fcn": {"stage": 0}},
    )
    torch.manual_seed(1)
    model = build_model(block, 9, 2)
    assert [tuple(p.shape) for p in model.spectral.parameters()] == [(5, 9, 1, 1), (5,), (6, 5, 1, 1), (6,)]
    model.train()
    outputs = model(torch.rand(2, 9, 70, 50))
    assert outputs.logits.shape == outputs.heads["fcn"].shape == (2, 2, 70, 50)
    outputs.logits.square().mean().backward()
    assert model.spectral[0].weight.grad.abs().sum() > 0
    facts = {"model": block.model_dump(mode="json"), "bands": 9, "planes": 2}
    save_weights(tmp_path / "w.safetensors", model.state_dict(), facts)
    back, image = load_model(tmp_path / "w.safetensors")[0], torch.rand(1, 9, 40, 40)
    first = build_model(block.model_copy(update={"weights": "w.safetensors"}), 9, 2, recipe_dir=tmp_path)
    with torch.no_grad():
        assert torch.equal(back(image), model.eval()(image))
        assert torch.equal(first.eval()(image), model(image))
    assert set(model.freeze("spectral.0")) == {"spectral.0.weight", "spectral.0.bias"}


def test_a_file_and_a_model_must_agree_about_the_stem(tmp_path):
    block = Model(architecture="unet", encoder="tu-resnet10t", spectral=3)
    save_file(build_model(block, 9, 1).state_dict(), tmp_path / "w.safetensors")
    for asked, bands, said in (
        (block.model_copy(update={"spectral": None}), 3, "the file has a spectral stem and the model has none"),
        (block, 8, "spectral.0.weight is (3, 9, 1, 1) in the file and (3, 8, 1, 1) in the model"),
    ):
        with pytest.raises(InputError) as caught:
            build_model(asked.model_copy(update={"weights": "w.safetensors"}), bands, 1, recipe_dir=tmp_path)
        assert said in str(caught.value)


def test_the_finest_map_is_a_map_even_where_it_looks_like_the_image():
    block = MODEL.model_copy(update={"aux": Model(aux={"fcn": {"stage": 0, "channels": 4}, "deep": {}}).aux})
    model = build_model(block, 14, 1).train()
    assert model.auxiliary.parts["fcn"].layers[0].in_channels == 32
    assert set(model(torch.rand(2, 14, 32, 32)).heads) == {"fcn", "deep.0", "deep.1", "deep.2"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"encoder": "tu-convnext_atto"},
            "m: architecture 'unet_stride1' cannot use encoder 'tu-convnext_atto': its first layer has stride 4 and "
            "cannot be made finer; choose an encoder that begins with a convolution of stride 2, such as "
            "tu-regnetx_002",
        ),
        (
            {"options": {"decoder_channels": [8, 8]}},
            "m.options.decoder_channels: tu-regnetx_002 has 5 maps, so the decoder has 4 blocks, got 2 numbers; give "
            "one for each block, the deepest first",
        ),
        (
            {"options": {"decoder_chanels": [8]}},
            "m.options: unknown key 'decoder_chanels' (did you mean 'decoder_channels'?); use one of: "
            "batch_norm, decoder_channels, drop_path_rate, unseen, upsample",
        ),
        (
            {"options": {"decoder_channels": 8}},
            "m.options.decoder_channels: input should be a valid tuple, got 8; see docs/reference/names.md",
        ),
    ],
)
def test_what_cannot_be_built_is_refused(changed, said):
    assert refusal(MODEL.model_copy(update=changed)) == said


def test_an_encoder_that_does_not_exist():
    assert refusal(MODEL.model_copy(update={"encoder": "tu-regnetx_2"})).startswith(
        "m.encoder: unknown timm encoder 'tu-regnetx_2' (did you mean 'tu-regnet"
    )
