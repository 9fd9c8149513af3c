import pytest
import torch
from safetensors.torch import save_file

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models import build as building
from maskwright.models.adapt import STEMS, adapt_bands
from maskwright.models.build import build_model
from maskwright.models.smp import Smp
from maskwright.models.weights import load_model, save_weights

BLOCK = Model(architecture="unet", encoder="tu-mobilenetv3_small_050")
FIRST = "model.conv_stem.weight"


def response(weight, image):
    return torch.nn.functional.conv2d(image, weight)


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 7, 10])
@pytest.mark.parametrize("how", ["share", "mean"])
def test_an_image_of_equal_bands_gets_the_response_it_had(how, bands):
    weight, grey = torch.randn(4, 3, 3, 3, dtype=torch.float64), torch.rand(1, 1, 8, 8, dtype=torch.float64)
    old = response(weight, grey.expand(-1, 3, -1, -1))
    new = response(adapt_bands(weight, bands, how), grey.expand(-1, bands, -1, -1))
    torch.testing.assert_close(new, old)


@pytest.mark.parametrize("bands", [2, 3, 5])
def test_zero_leaves_the_first_bands_alone(bands):
    weight, image = torch.randn(4, 3, 3, 3), torch.rand(1, bands, 8, 8)
    image[:, 3:] = 0 if bands == 5 else image[:, 3:]
    kept = torch.cat([image[:, :3], torch.zeros(1, max(3 - bands, 0), 8, 8)], 1)
    torch.testing.assert_close(response(adapt_bands(weight, bands, "zero"), image), response(weight, kept))


def test_what_each_band_gets():
    weight = torch.tensor([1.0, 2.0, 6.0]).reshape(1, 3, 1, 1)
    found = {how: adapt_bands(weight, 4, how).flatten().tolist() for how in STEMS}
    assert found == {
        "repeat": [0.75, 1.5, 4.5, 0.75],
        "share": [0.5, 2.0, 6.0, 0.5],
        "mean": [2.25, 2.25, 2.25, 2.25],
        "zero": [1.0, 2.0, 6.0, 0.0],
    }
    assert adapt_bands(weight, 2, "share").flatten().tolist() == [7.0, 2.0]
    assert all(torch.equal(adapt_bands(weight, 3, how), weight) for how in ("repeat", "share", "zero"))


@pytest.fixture(scope="module")
def donor():
    torch.manual_seed(0)
    return build_model(BLOCK, 3, 2)


@pytest.mark.parametrize("how", [*STEMS, "random"])
def test_weights_of_a_file_and_of_a_tag_meet_other_bands_alike(tmp_path, monkeypatch, donor, how):
    save_file(donor.encoder.state_dict(), tmp_path / "start.safetensors")
    real = Smp.build

    def build(self, block, bands, planes, where, *, pretrained):
        model = real(self, block.model_copy(update={"weights": None}), bands, planes, where, pretrained=False)
        if pretrained:  # as if fetched; the library's own way is what repeat is
            given = {**donor.encoder.state_dict()}
            given[FIRST] = adapt_bands(given[FIRST], bands)
            model.encoder.load_state_dict(given)
        return model

    monkeypatch.setattr(Smp, "build", build)
    for weights in ("start.safetensors", "imagenet"):
        block = BLOCK.model_copy(update={"weights": weights, "stem": how})
        torch.manual_seed(5)
        state = build_model(block, 5, 2, recipe_dir=tmp_path).encoder.state_dict()
        torch.manual_seed(5)
        fresh = building.ARCHITECTURES["unet"].build(BLOCK, 5, 2, "m", pretrained=False).encoder.state_dict()
        given = donor.encoder.state_dict()
        wanted = fresh[FIRST] if how == "random" else adapt_bands(given[FIRST], 5, how)
        assert torch.equal(state[FIRST], wanted), weights
        assert all(torch.equal(tensor, given[name]) for name, tensor in state.items() if name != FIRST)


def test_a_trained_member_with_another_stem_comes_back(tmp_path, donor):
    path = tmp_path / "w.safetensors"
    block = BLOCK.model_copy(update={"weights": "start.safetensors", "stem": "mean"})
    save_weights(path, donor.state_dict(), {"model": block.model_dump(mode="json"), "bands": 3, "planes": 2})
    assert torch.equal(load_model(path)[0].state_dict()[f"network.encoder.{FIRST}"], donor.encoder.state_dict()[FIRST])


def test_a_stem_without_pretrained_weights_is_refused():
    with pytest.raises(InputError) as caught:
        build_model(Model(stem="mean"), 4, 1, where="m")
    assert str(caught.value) == (
        "m.stem: 'mean' says how pretrained weights meet other bands, and there are none; set weights, or leave stem "
        "out"
    )
