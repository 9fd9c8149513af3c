import pytest
import torch
from torch import nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import freeze_unused, needs_two
from maskwright.models.build import ARCHITECTURES, build_model, check
from maskwright.models.heads import Outputs
from maskwright.models.weights import load_model, save_weights

TINY = "tu-resnet10t"
TINIER = "tu-mobilenetv3_small_050"
DEEP = {
    "dpt": 3, "fpn": 3, "linknet": 4, "manet": 4, "pan": 2, "unet": 4, "unet3plus": 2, "unetplusplus": 3, "upernet": 3,
}  # fmt: skip
"""How many maps of its decoder an architecture can supervise beside the main head's."""


OTHERS = {
    "deeplabv1": {"encoder": "dilated_vgg16", "options": {"channels": 16, "encoder": {"widths": [4, 4, 8, 8, 8]}}},
    "deeplabv2": {"encoder": "dilated_resnet50", "options": {"encoder": {"depth": 18}}},
    "efficient_fpn": {"encoder": "mish_efficientnet_b0"},
    "ocrnet": {"options": {"channels": 16, "keys": 8}},
}
"""What an architecture is tried with that does not take any encoder, or is slow with any."""


def block(architecture="unet", **aux):
    return Model(architecture=architecture, encoder=TINY, aux=aux)


def built(given, bands=3, planes=2):
    torch.manual_seed(0)
    return build_model(given, bands, planes)


def refusal(action, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_every_architecture_gives_what_its_heads_say_in_training_and_its_answer_alone_else(name):
    aux = {"fcn": 0.4, "classify": {}} | ({"deep": {}} if name in DEEP else {})
    model = built(Model(**{"architecture": name, "encoder": TINY, **OTHERS.get(name, {})}, aux=aux), bands=5, planes=3)
    image = torch.rand(2, 5, model.minimum + 5, model.minimum - 3)
    model.eval()
    with torch.no_grad():
        alone = model(image)
        whole = model.outputs(image)
    if name == "mask2former":  # for training it answers at the masks' own size, which is then enlarged
        torch.testing.assert_close(alone, whole.logits, atol=0.05, rtol=0.05)
    else:
        assert torch.equal(alone, whole.logits)
    wanted = {"fcn", "classify", *(f"deep.{place}" for place in range(DEEP.get(name, 0)))}
    assert whole.heads.keys() == wanted == set(model.head_names)
    for head, logits in whole.heads.items():
        assert logits.shape == ((2, 3) if head == "classify" else (2, 3, *image.shape[-2:]))
        assert logits.isfinite().all()

    # every parameter that is left gets a gradient, those of the heads among them
    frozen = freeze_unused(model.train(), 5)
    assert not [parameter for parameter in frozen if parameter.startswith("auxiliary")]
    output = model(torch.rand(2, 5, model.minimum, model.minimum))
    assert isinstance(output, Outputs)
    assert output.heads.keys() == wanted
    torch.autograd.backward([each.square().sum() for each in (output.logits, *output.heads.values())])
    for parameter_name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (parameter_name in frozen) == (not parameter.requires_grad), parameter_name


def test_heads_change_neither_the_network_nor_its_first_weights():
    plain, headed = built(block()), built(block(fcn=0.4, classify={}, deep={}))
    state = headed.state_dict()
    for name, tensor in plain.state_dict().items():
        assert torch.equal(state[name], tensor), name
    assert {name.split(".")[0] for name in state.keys() - plain.state_dict().keys()} == {"auxiliary"}
    image = torch.rand(1, 3, 40, 50)
    with torch.no_grad():
        assert torch.equal(plain.eval()(image), headed.eval()(image))


def test_prediction_does_not_run_heads(monkeypatch):
    model = built(block(fcn=0.4, classify={}, deep={})).eval()
    monkeypatch.setattr(type(model.auxiliary), "forward", lambda *_: pytest.fail("ran"))
    model(torch.rand(1, 3, 32, 32))
    assert model.auxiliary._encoder.heard is None  # nor keeps a map alive


def test_fcn_stands_on_the_stage_that_is_named():
    channels = [64, 64, 128, 256, 512]
    for stage in (-1, 0):
        head = built(block(fcn={"stage": stage, "channels": 8, "convs": 2})).auxiliary.parts["fcn"]
        convs = [module for module in head.modules() if isinstance(module, nn.Conv2d)]
        assert [conv.in_channels for conv in convs] == [channels[stage], 8, 8]


def test_deep_supervises_the_finest_maps_first():
    model = built(block(deep={"maps": 2}))
    assert model.head_names == ("deep.0", "deep.1")
    decoder = model.network.decoder.blocks
    seen = {}
    for place, module in enumerate(decoder):
        module.register_forward_hook(lambda _module, _given, output, place=place: seen.update({place: output}))
    output = model.train()(torch.rand(2, 3, 64, 64))
    layers = model.auxiliary.parts["deep"].layers
    for number, place in enumerate((3, 2)):
        coarse = layers[number](seen[place])
        wanted = nn.functional.interpolate(coarse, size=(64, 64), mode="bilinear", align_corners=False)
        torch.testing.assert_close(output.heads[f"deep.{number}"], wanted)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            block("segformer", deep={}),
            "r.yaml:m.aux.deep: the decoder of this architecture has one map alone, the main head's; use aux.fcn, "
            "which stands on the encoder, or architecture: unet, unetplusplus, manet, linknet, fpn, upernet, pan or "
            "dpt",
        ),
        (
            block(fcn={"stage": -6}),
            "r.yaml:m.aux.fcn.stage: the encoder has 5 maps, got stage -6; give a number from -5 to 4",
        ),
        (
            block("pan", deep={"maps": 3}),
            "r.yaml:m.aux.deep.maps: the decoder has 2 maps beside the main head's, got 3; give fewer, or leave maps "
            "out for all",
        ),
    ],
)
def test_maps_that_are_not_there_are_refused_before_any_work(given, said):
    assert refusal(check, given, "r.yaml:m") == said


def test_a_pyramid_without_a_map_at_half_the_size_has_one_stage_less():
    given = Model(architecture="segformer", encoder="mit_b0", aux={"fcn": {"stage": -5}})
    assert (
        refusal(check, given, "m")
        == "m.aux.fcn.stage: the encoder has 4 maps, got stage -5; give a number from -4 to 3"
    )


def test_batch_norm_of_a_head_over_one_pixel_is_foreseen():
    assert needs_two(built(block(fcn={"stage": -1})), 3, (32, 32))
    assert not needs_two(built(block(fcn={"stage": 0})), 3, (64, 64))


def test_weights_files_keep_heads_and_fill_those_of_the_next_stage(tmp_path):
    given = Model(encoder=TINIER, aux={"fcn": 0.4, "classify": {}})
    model = built(given).eval()
    path = tmp_path / "w.safetensors"
    save_weights(path, model.state_dict(), {"model": given.model_dump(mode="json"), "bands": 3, "planes": 2})
    loaded, _ = load_model(path)
    image = torch.rand(1, 3, 40, 24)
    assert torch.equal(loaded(image), model(image))
    assert torch.equal(loaded.outputs(image).heads["classify"], model.outputs(image).heads["classify"])

    torch.manual_seed(7)
    again = build_model(given.model_copy(update={"weights": "w.safetensors"}), 3, 2, recipe_dir=tmp_path)
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in again.state_dict().items())
    plain = build_model(Model(encoder=TINIER, weights="w.safetensors"), 3, 2, recipe_dir=tmp_path)
    assert torch.equal(plain.eval()(image), model(image))


@pytest.mark.parametrize("name", ["unet", "efficient_fpn"])
def test_a_head_on_the_deepest_map_or_the_network_s_own_tells_of_the_whole_window(name):
    given = Model(**{"architecture": name, "encoder": TINIER, **OTHERS.get(name, {})}, aux={"presence": 1, "scale": {}})
    model = built(given, bands=4, planes=1)
    assert model.head_names == ("presence", "scale")
    heads = model.outputs(torch.rand(2, 4, 40, 50)).heads
    assert {head: tuple(found.shape) for head, found in heads.items()} == {"presence": (2, 2), "scale": (2, 1)}
    learns = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    freeze_unused(model, 4)
    frozen = learns - {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    # a head that nobody asks for does not learn, so that processes need not look for its gradient
    assert ({"network.twin.weight"} == frozen) if name == "efficient_fpn" else not any("aux" in each for each in frozen)
    assert (model.auxiliary is None) == (name == "efficient_fpn")


def test_heads_that_only_some_architectures_have():
    model = built(Model(architecture="ocrnet", encoder=TINY, **OTHERS["ocrnet"], aux={"regions": 0.4, "fcn": 0.2}))
    image = torch.rand(2, 3, 37, 53)
    heads = model.train()(image).heads
    assert {head: tuple(found.shape) for head, found in heads.items()} == dict.fromkeys(
        ("regions", "fcn"), (2, 2, 37, 53)
    )
    assert refusal(check, block(twin=0.1), "r.yaml:m") == (
        "r.yaml:m.aux.twin: this architecture has no head 'twin' of its own; use architecture: efficient_fpn, or leave "
        "it out"
    )
