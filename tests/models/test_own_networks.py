"""Our own encoders against timm's and SMP's, and the contract of every architecture of ours."""

import pytest
import timm
import torch
from segmentation_models_pytorch.encoders import get_encoder

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import freeze_unused
from maskwright.models.build import ARCHITECTURES, build_model
from maskwright.models.imports.convert import fill_encoder
from maskwright.models.zoo.encoders import ENCODERS
from maskwright.models.zoo.own import Either, Own
from maskwright.training.optim import depths

SMALL = {
    "convnext": {"dims": [8, 16, 24, 32], "depths": [1, 2, 1, 1]},
    "mit": {"dims": [8, 16, 24, 32], "depths": [1, 1, 2, 1], "heads": [1, 2, 3, 4]},
    "swin": {"embed": 8, "depths": [1, 2, 2, 1], "heads": [1, 2, 2, 4], "window": 4},
}
ENCODER = {"convnext": "convnext_tiny", "mit": "mit_b0", "swin": "swin_tiny"}
DECODER = {
    "upernet_mmseg": {"channels": 16},
    "segformer_hf": {"channels": 16},
    "segformer_mmseg": {"channels": 16},
    "pan": {},
    "mask2former": {
        "channels": 32, "heads": 4, "queries": 5, "pixel_layers": 1, "pixel_hidden": 32, "layers": 2, "hidden": 32
    },
}  # fmt: skip
PAIRS = [(architecture, family) for architecture in DECODER for family in SMALL]


def block(architecture: str, family: str, **options) -> Model:
    given = {**DECODER[architecture], **options, "encoder": SMALL[family]}
    return Model(architecture=architecture, encoder=ENCODER[family], options=given)


def encoder_of(family: str, bands: int = 3, **more):
    torch.manual_seed(0)
    options = {**SMALL[family], **more}
    made = Model(architecture="upernet_mmseg", encoder=ENCODER[family], options={"encoder": options})
    model = build_model(made, bands, 1).eval()
    return model.encoder, made


@torch.no_grad()
def stirred(module):
    """Give every parameter a value of its own, those that begin at 0 or 1 too."""
    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return module.eval()


@torch.no_grad()
def test_swin_is_timm_s():
    theirs = stirred(
        timm.create_model(
            "swin_tiny_patch4_window7_224", pretrained=False, img_size=128, window_size=4, embed_dim=8,
            depths=(1, 2, 2, 1), num_heads=(1, 2, 2, 4), features_only=True, out_indices=(0, 1, 2, 3),
        )
    )  # fmt: skip
    ours, made = encoder_of("swin")
    fill_encoder(ours, theirs.state_dict(), "timm", made, 3)
    image = torch.rand(1, 3, 128, 128, generator=torch.Generator().manual_seed(2))
    wanted = theirs(image)
    tokens = ours.patch_embed(image)
    for place, layer in enumerate(ours.layers):
        found, tokens = layer(tokens)
        torch.testing.assert_close(found, wanted[place], atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_convnext_is_timm_s():
    theirs = stirred(
        timm.create_model(
            "convnext_tiny", pretrained=False, dims=(8, 16, 24, 32), depths=(1, 2, 1, 1), features_only=True
        )
    )
    ours, made = encoder_of("convnext")
    fill_encoder(ours, theirs.state_dict(), "timm", made, 3)
    maps = ours.stem(torch.ones(1, 3, 67, 45).cumsum(2) / 67)
    for stage, wanted in zip(ours.stages, theirs(torch.ones(1, 3, 67, 45).cumsum(2) / 67), strict=True):
        maps = stage(maps)
        torch.testing.assert_close(maps, wanted, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_mix_transformer_is_smp_s():
    theirs = stirred(get_encoder("mit_b0", weights=None))
    torch.manual_seed(0)
    made = Model(architecture="segformer_mmseg", encoder="mit_b0")
    ours = build_model(made, 3, 1).encoder.eval()
    fill_encoder(ours, theirs.state_dict(), "smp", made, 3)
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(2))
    for found, wanted in zip(ours(image), theirs(image)[2:], strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-3)  # its patches are normed with another epsilon


@pytest.mark.parametrize("family", sorted(SMALL))
@torch.no_grad()
def test_an_encoder_takes_any_size_and_any_bands(family):
    encoder, _ = encoder_of(family, bands=5)
    for height, width in ((33, 65), (64, 64), (95, 32)):
        maps = encoder(torch.rand(1, 5, height, width))
        assert tuple(each.shape[1] for each in maps) == encoder.out_channels
        assert all(each.isfinite().all() for each in maps)
    numbers = depths(encoder)
    assert sorted(set(numbers.values())) == list(range(sum(SMALL[family]["depths"]) + 1))


@pytest.mark.parametrize(("architecture", "family"), PAIRS)
def test_every_network_of_ours_trains_whole(architecture, family):
    torch.manual_seed(0)
    model = build_model(block(architecture, family), 4, 3)
    idle = freeze_unused(model, 4)
    assert idle == []
    model.train()
    side = max(64, model.minimum)
    output = model(torch.rand(2, 4, side, side - 4))
    told = output if isinstance(output, torch.Tensor) else output.logits
    assert told.shape == (2, 3, side, side - 4)
    told.square().mean().backward()
    missing = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert missing == set()


@pytest.mark.parametrize("answer", ["classes", "planes", "maps"])
@pytest.mark.parametrize("planes", [1, 3])
@torch.no_grad()
def test_queries_answer_with_shares(answer, planes):
    torch.manual_seed(0)
    model = build_model(block("mask2former", "swin", answer=answer), 3, planes).eval()
    image = torch.rand(1, 3, 70, 50)
    logits = model(image)
    assert logits.shape == (1, planes, 70, 50)
    if answer == "maps":
        assert not hasattr(model.network, "outputs")
        return
    padded = torch.nn.functional.pad(image, (0, 14, 0, 26))
    shares = model.network.shares(model.network.queries(padded)[-1], (96, 64))[..., :70, :50]
    if answer == "planes":
        torch.testing.assert_close(logits.sigmoid(), shares, atol=1e-5, rtol=1e-4)
    elif planes == 1:
        torch.testing.assert_close(logits.sigmoid(), (shares / shares.sum(1, keepdim=True))[:, 1:])
    else:
        torch.testing.assert_close(logits.exp(), shares)


def test_a_library_s_pyramid_goes_into_a_decoder_of_ours():
    made = Model(architecture="mask2former", encoder="tu-convnextv2_atto", options=DECODER["mask2former"])
    model = build_model(made, 3, 2).eval()
    assert model.encoder.strides == (4, 8, 16, 32)
    with torch.no_grad():
        assert model(torch.rand(1, 3, 40, 70)).shape == (1, 2, 40, 70)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (
            {"architecture": "upernet_mmseg", "encoder": "swin_tinny"},
            "r.yaml:m.encoder: unknown encoder 'swin_tinny' (did you mean 'swin_tiny'?)",
        ),
        (
            {"architecture": "upernet_mmseg", "encoder": "swin_tiny", "options": {"chanels": 3}},
            "r.yaml:m.options: unknown key 'chanels' (did you mean 'channels'?); use one of: channels, dropout",
        ),
        (
            {"architecture": "upernet_mmseg", "encoder": "swin_tiny", "options": {"encoder": {"depths": [1, 2]}}},
            "r.yaml:m.options.encoder.depths.2: field required, got [1, 2]; see docs/reference/names.md",
        ),
        (
            {"architecture": "pan", "encoder": "swin_tiny", "weights": "imagenot"},
            "r.yaml:m.weights: there are no weights 'imagenot' for encoder 'swin_tiny'; leave weights out, or "
            "bring a file in with: maskwright import-weights",
        ),
        (
            {"architecture": "mask2former", "encoder": "swin_tiny", "options": {"channels": 32, "heads": 5}},
            "r.yaml:m: architecture 'mask2former' cannot use encoder 'swin_tiny': 32 channels do not divide by 5 "
            "heads; choose another encoder or other options",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_refused_in_one_line(given, said):
    with pytest.raises(InputError) as caught:
        build_model(Model(**given), 3, 2, where="r.yaml:m")
    assert str(caught.value).startswith(said)


def test_every_encoder_of_ours_fits_an_architecture():
    own = [kind for kind in ARCHITECTURES.values() if isinstance(kind, Own | Either)]
    taken = {family for kind in own for family in (kind.own if isinstance(kind, Either) else kind).families}
    free = any(not (kind.own if isinstance(kind, Either) else kind).families for kind in own)
    assert free or {each.family for each in ENCODERS.values()} <= taken
