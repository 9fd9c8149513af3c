"""Networks of ours against what they are made of: definitions, published sizes, libraries that have parts of them."""

import itertools

import pytest
import torch
from torch import nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model, Optimizer
from maskwright.models.build import build_model, check
from maskwright.models.imports import open_cities
from maskwright.models.imports.convert import fill_encoder
from maskwright.models.imports.rules import apply_rules
from maskwright.models.recompute import recompute_encoder
from maskwright.models.zoo import dcn
from maskwright.models.zoo.efficientnet import FIRST, MishEfficientNet, MishEfficientNetOptions
from maskwright.models.zoo.encoders import ENCODERS
from maskwright.models.zoo.library import LibraryEncoder
from maskwright.models.zoo.ocr import gather
from maskwright.training.optim import build_optimizer, depths, groups

SMALL_INTERN = {"channels": 8, "depths": [1, 1, 2, 1], "groups": [1, 2, 4, 8]}


def refusal(action, *args, **kwargs):
    with pytest.raises(InputError) as caught:
        action(*args, **kwargs)
    return str(caught.value)


def by_definition(value, offset, mask, scale):
    """DCNv3, sample by sample: value (B, H, W, G, c), offset (B, H, W, G, 9, 2) as x, y, mask (B, H, W, G, 9)."""
    batch, height, width, groups, _ = value.shape
    found = torch.zeros_like(value)
    for b, row, col, group in itertools.product(range(batch), range(height), range(width), range(groups)):
        for point, (across, down) in enumerate(itertools.product((-1, 0, 1), (-1, 0, 1))):
            x = col + (across + offset[b, row, col, group, point, 0]) * scale
            y = row + (down + offset[b, row, col, group, point, 1]) * scale
            for i, j in itertools.product((0, 1), (0, 1)):
                there = int(y.floor()) + i, int(x.floor()) + j
                if 0 <= there[0] < height and 0 <= there[1] < width:
                    share = (1 - (y - there[0]).abs()) * (1 - (x - there[1]).abs())
                    found[b, row, col, group] += mask[b, row, col, group, point] * share * value[b, *there, group]
    return found


@pytest.mark.parametrize("at_once", [1, 10**9])
def test_deformable_sampling_is_its_definition_and_its_gradient(monkeypatch, at_once):
    monkeypatch.setattr(dcn, "AT_ONCE", at_once)  # point by point, or all points in one go
    torch.manual_seed(0)
    batch, height, width, groups_, channels = 1, 2, 3, 2, 2
    value = torch.randn(batch, height, width, groups_, channels, dtype=torch.float64, requires_grad=True)
    offset = torch.randn(batch, height, width, groups_, 9, 2, dtype=torch.float64, requires_grad=True)
    mask = torch.rand(batch, height, width, groups_, 9, dtype=torch.float64, requires_grad=True)

    def ours(value, offset, mask):
        planes = value.permute(0, 3, 4, 1, 2).flatten(0, 1)
        weights = mask.permute(0, 3, 4, 1, 2).flatten(0, 1)
        found = dcn.weigh(planes, dcn.places(offset, 1.5), weights)
        return found.unflatten(0, (batch, groups_)).permute(0, 3, 4, 1, 2)

    torch.testing.assert_close(ours(value, offset, mask), by_definition(value, offset, mask, 1.5))
    assert torch.autograd.gradcheck(ours, (value, offset, mask))


def test_places_are_exact_in_half_precision():
    offset = torch.zeros(1, 2, 300, 1, 9, 2, dtype=torch.bfloat16)
    grid = dcn.places(offset, 1.0)
    assert grid.dtype == torch.float32
    across = ((grid[0, 4, 0, :, 0] + 1) * 300 - 1) / 2
    torch.testing.assert_close(across, torch.arange(300.0), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "millions"), [("t", 30), ("s", 50), ("b", 97), ("l", 223), ("xl", 335)])
def test_internimages_have_the_published_sizes(name, millions):
    kind = ENCODERS[f"internimage_{name}"]
    with torch.device("meta"):
        encoder = kind.make(kind.defaults, 3)
    count = sum(parameter.numel() for parameter in encoder.parameters()) / 1e6
    assert count == pytest.approx(millions, rel=0.05)  # theirs count a classifier
    assert [len(level.blocks) for level in encoder.levels] == list(kind.defaults.depths)


def test_internimage_learns_by_layers():
    block = Model(
        architecture="upernet_mmseg", encoder="internimage_l", options={"encoder": SMALL_INTERN, "channels": 8}
    )
    model = build_model(block, 4, 2)
    found = depths(model.encoder)
    numbers = {name: found[id(parameter)] for name, parameter in model.encoder.named_parameters()}
    assert numbers["stem.conv1.weight"] == 0
    assert [numbers[f"levels.{level}.blocks.{place}.gamma1"] for level, place in
            [(0, 0), (1, 0), (2, 0), (2, 1), (3, 0)]] == [1, 2, 3, 4, 5]  # fmt: skip
    assert numbers["levels.2.downsample.conv.weight"] == 4
    # SEEDS 000.4: 0.94 over 37 layers, the head a layer beyond the last
    rates = {group["lr"] for group in groups(model, Optimizer(lr=1.0, layer_decay=0.94, weight_decay=0.0))}
    assert sorted(rates) == pytest.approx([0.94**power for power in (6, 5, 4, 3, 2, 1, 0)])


def test_internimage_without_post_norm_has_norms_at_its_levels():
    kind = ENCODERS["internimage_t"]
    small = kind.defaults.model_copy(update={"channels": 8, "depths": (1, 1), "groups": (1, 2), "layer_scale": None})
    encoder = kind.make(small, 5).train()
    assert encoder.out_channels == (8, 16)
    assert encoder.strides == (4, 8)
    maps = encoder(torch.rand(2, 5, 37, 50))
    assert [tuple(each.shape) for each in maps] == [(2, 8, 10, 13), (2, 16, 5, 7)]
    sum(each.square().sum() for each in maps).backward()
    # offsets and masks begin at zero weights, so that what comes before them has none to hand on yet
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
    assert not [name for name, _ in encoder.named_parameters() if "gamma" in name]
    torch.testing.assert_close(maps[0].mean(1), torch.zeros(2, 10, 13), atol=1e-5, rtol=0)


def test_options_that_contradict_each_other_are_refused_by_their_key():
    given = {"encoder": {"channels": 8, "depths": [1, 1], "groups": [1, 3]}}
    block = Model(architecture="upernet_mmseg", encoder="internimage_t", options=given)
    assert refusal(check, block, "r.yaml:m") == (
        "r.yaml:m.options.encoder: 16 channels of level 1 do not make 3 groups; see docs/reference/names.md"
    )


def test_mish_efficientnet_is_smp_s_but_for_its_activation():
    from segmentation_models_pytorch.encoders import get_encoder

    theirs = get_encoder("efficientnet-b1", weights=None).eval()
    theirs._swish = nn.Mish()  # that of the stem alone: blocks have their own
    ours = MishEfficientNet(MishEfficientNetOptions(), 3).eval()
    mapped = apply_rules(open_cities.ENCODER, theirs.state_dict())
    assert not mapped.unused
    assert not mapped.broken
    ours.load_state_dict({name.removeprefix("encoder."): tensor for name, tensor in mapped.filled.items()})
    image = torch.rand(2, 3, 64, 96)
    with torch.no_grad():
        found, wanted = ours(image), theirs(image)
    for place in range(3):  # the library stops before the head convolution
        torch.testing.assert_close(found[place], wanted[place + 2], rtol=1e-4, atol=1e-4)
    assert found[3].shape == (2, 1280, 2, 3)


@pytest.mark.parametrize(
    ("size", "blocks", "channels"),
    [("b0", 16, (24, 40, 112, 1280)), ("b1", 23, (24, 40, 112, 1280)), ("b2", 23, (24, 48, 120, 1408)),
     ("b3", 26, (32, 48, 136, 1536))],
)  # fmt: skip
def test_drop_connect_rises_with_depth_and_the_first_blocks_have_their_own(size, blocks, channels):
    with torch.device("meta"):
        encoder = MishEfficientNet(MishEfficientNetOptions(size=size, drop_connect=0.5), 3)
    assert encoder.out_channels == channels
    drops = [block.drop for block in encoder.blocks]
    assert drops == [(0.2 if place < FIRST else 0.5) * place / blocks for place in range(blocks)]


def test_regions_are_means_weighed_by_belonging():
    torch.manual_seed(0)
    pixels, logits = torch.randn(2, 4, 3, 5), torch.randn(2, 3, 3, 5)
    weights = logits.flatten(2).softmax(2)
    wanted = torch.stack([(pixels.flatten(2) * weights[:, [k]]).sum(2) for k in range(3)], 2)
    torch.testing.assert_close(gather(pixels, logits)[..., 0], wanted)
    # one plane: what it is, and what it is not
    assert gather(pixels, logits[:, :1]).shape == (2, 4, 2, 1)


@pytest.mark.parametrize("name", ["hrnet_w18_small", "dilated_resnet50", "dilated_vgg16", "mish_efficientnet_b0"])
def test_encoders_start_from_a_library_s_weights_of_the_same_one(name):
    """What the tag imagenet would fetch is random here; every tensor has its place, and maps are the library's."""
    kind = ENCODERS[name]
    torch.manual_seed(0)
    library = LibraryEncoder(kind.donor, 3, None, {}).model
    state = {part.removeprefix("model."): tensor for part, tensor in library.state_dict().items()}
    encoder = kind.make(kind.defaults, 4)
    block = Model(architecture="unet3plus", encoder=name, stem="zero")
    fill_encoder(encoder, state, "timm" if kind.donor.startswith("tu-") else "smp", block, 4)
    first = next(part for part in encoder.modules() if isinstance(part, nn.Conv2d))
    assert first.in_channels == 4
    assert (first.weight[:, 3] == 0).all()
    if name.startswith("hrnet"):
        image = torch.rand(1, 3, 32, 32)
        with torch.no_grad():
            found = encoder.eval()(torch.cat([image, torch.rand(1, 1, 32, 32)], 1))
            wider = [part(each) for part, each in zip(library.eval().model.incre_modules, found, strict=True)]
            wanted = library.model(image)[-4:]  # the library gives what a classifier would get
        for one, other in zip(wider, wanted, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def small_intern(**more):
    options = {"encoder": {**SMALL_INTERN, "drop_path": 0.0}, "channels": 8}
    torch.manual_seed(0)
    return build_model(Model(architecture="upernet_mmseg", encoder="internimage_l", options=options, **more), 3, 2)


def test_internimage_in_half_precision_learns_the_same_offsets():
    model, image = small_intern().eval(), torch.rand(2, 3, 64, 64)
    grads = []
    for half in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=half):
            logits = model(image)
        logits.float().square().mean().backward()
        grads.append({name: each.grad.clone() for name, each in model.named_parameters() if each.grad is not None})
    name = "network.encoder.levels.0.blocks.0.dcn.offset.bias"
    whole, half = (each[name].flatten() for each in grads)
    assert whole.norm() > 0
    assert torch.cosine_similarity(whole, half, 0) > 0.9


def test_internimage_can_be_computed_again_instead_of_kept():
    image, found = torch.rand(2, 3, 64, 64), []
    for again in (False, True):
        model = small_intern().train()
        assert not again or recompute_encoder(model, 3) == 5
        torch.manual_seed(1)  # of the head's dropout
        found.append(torch.autograd.grad(model(image).square().mean(), list(model.encoder.parameters())))
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_stem_of_b2_stays_as_it_is():
    """SEEDS 004.3: stem without gradient, its norm with fixed statistics."""
    model = build_model(Model(architecture="efficient_fpn", encoder="mish_efficientnet_b2"), 3, 1)
    build_optimizer(model, Optimizer(freeze=("encoder.stem", "encoder.stem_norm")))
    still = {name for name, each in model.encoder.named_parameters() if not each.requires_grad}
    assert still == {"stem.weight", "stem_norm.weight", "stem_norm.bias"}
    assert not model.train().encoder.stem_norm.training
    assert model.encoder.head_norm.training


def test_swin_of_ours_learns_by_layers():
    kind = ENCODERS["swin_tiny"]
    with torch.device("meta"):
        encoder = kind.make(kind.defaults, 3)
    assert set(depths(encoder).values()) == set(range(13))
