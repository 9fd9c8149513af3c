import pytest
import torch

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model, Optimizer
from maskwright.models.build import build_model
from maskwright.training.checkpoint import load_optimizer, optimizer_tensors
from maskwright.training.optim import OPTIMIZERS, build_optimizer, check, depths, set_rate

SWIN = Model(
    architecture="unet",
    encoder="tu-swin_tiny_patch4_window7_224",
    options={"embed_dim": 12, "depths": [1, 1, 1, 1], "num_heads": [1, 1, 2, 2]},
)


@pytest.fixture(scope="module")
def swin():
    return build_model(SWIN, 3, 1)


@pytest.fixture
def model(swin):
    for parameter in swin.parameters():
        parameter.requires_grad_(True)
    swin._encoder_frozen = False
    return swin


def placed(model, block):
    optimizer = build_optimizer(model, block)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in optimizer.param_groups
        for parameter in group["params"]
    }


def test_groups_slow_the_encoder_and_spare_norms_biases_and_position_tables(model):
    found = placed(model, Optimizer(lr=0.01, encoder_lr=0.1, weight_decay=0.05))
    assert len(found) == len(list(model.parameters()))
    for name, (rate, decay) in found.items():
        parameter = model.get_parameter(name)
        assert rate == (pytest.approx(0.001) if ".encoder." in name else 0.01), name
        plain = parameter.ndim <= 1 or "relative_position_bias_table" in name
        assert decay == (0.0 if plain else 0.05), name
    assert any("relative_position_bias_table" in name for name in found)


def test_norms_decay_on_demand(model):
    assert {decay for _, decay in placed(model, Optimizer(decay_norms=True, weight_decay=0.05)).values()} == {0.05}


def test_encoder_rate_of_zero_freezes_it(model):
    found = placed(model, Optimizer(encoder_lr=0))
    assert found
    assert not any(".encoder." in name for name in found)
    assert not any(parameter.requires_grad for parameter in model.encoder_parameters())


def test_rate_follows_the_multiplier_from_each_group_s_peak(model):
    optimizer = build_optimizer(model, Optimizer(lr=0.01, encoder_lr=0.1))
    for multiplier in (0.5, 0.25, 1.0):
        set_rate(optimizer, multiplier)
        rates = {group["lr"] for group in optimizer.param_groups}
        assert rates == {0.01 * multiplier, 0.01 * 0.1 * multiplier}


def test_steps_are_adamw_s(model):
    torch.manual_seed(0)
    ours = build_optimizer(model, Optimizer(lr=0.01, weight_decay=0.1, decay_norms=True))
    copies = [
        parameter.detach().clone().requires_grad_() for group in ours.param_groups for parameter in group["params"]
    ]
    theirs = torch.optim.AdamW(copies, lr=0.01, weight_decay=0.1, foreach=False, fused=False)
    mine = [parameter for group in ours.param_groups for parameter in group["params"]]
    for _ in range(3):
        for parameter, copy in zip(mine, copies, strict=True):
            parameter.grad = torch.randn_like(parameter)
            copy.grad = parameter.grad.clone()
        ours.step()
        theirs.step()
    for parameter, copy in zip(mine, copies, strict=True):
        torch.testing.assert_close(parameter, copy)
        parameter.grad = None


def test_layers_decay_from_the_last_block_to_the_stem(model):
    found = placed(model, Optimizer(lr=0.01, layer_decay=0.5, weight_decay=0.0))
    rates = {name: rate for name, (rate, _) in found.items()}
    blocks = [f"layers_{stage}.blocks.0." for stage in range(4)]
    for number, block in enumerate(blocks):
        mine = {rate for name, rate in rates.items() if block in name}
        assert list(mine) == pytest.approx([0.01 * 0.5 ** (4 - number)]), block
    stem = {rate for name, rate in rates.items() if "patch_embed" in name}
    assert list(stem) == pytest.approx([0.01 * 0.5**5])
    assert {rate for name, rate in rates.items() if ".encoder." not in name} == {0.01}


def test_a_residual_network_has_a_layer_for_each_block():
    resnet = build_model(Model(architecture="unet", encoder="resnet18"), 3, 1)
    found = depths(resnet.encoder)
    assert set(found.values()) == set(range(9))
    assert found[id(resnet.encoder.get_parameter("conv1.weight"))] == 0
    assert found[id(resnet.encoder.get_parameter("layer4.1.conv2.weight"))] == 8


@pytest.mark.parametrize("architecture", ["unet", "unet_stride1"])
def test_a_regnet_has_a_layer_for_each_block_of_its_stages(architecture):
    regnet = build_model(Model(architecture=architecture, encoder="tu-regnetx_002"), 3, 1)
    found = depths(regnet.encoder)
    assert set(found.values()) == set(range(1 + 1 + 1 + 4 + 7))
    names = dict(regnet.encoder.named_parameters())
    numbers = {name: found[id(parameter)] for name, parameter in names.items()}
    assert {number for name, number in numbers.items() if "s3.b2." in name} == {4}
    assert {number for name, number in numbers.items() if "stem" in name} == {0}


def small(seed=0):
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.Linear(5, 2))


def walk(net, optimizer, steps, first=0):
    for step in range(first, first + steps):
        generator = torch.Generator().manual_seed(step)
        optimizer.zero_grad()
        net(torch.randn(4, 3, generator=generator)).square().sum().backward()
        optimizer.step()


def made(net, name):
    block = Optimizer(name=name, lr=0.05, lookahead=(3, 0.5))
    dealt = [{"params": list(net.parameters()), "lr": 0.05, "peak": 0.05, "weight_decay": 0.1}]
    return OPTIMIZERS[name](dealt, block)


@pytest.mark.parametrize("name", sorted(OPTIMIZERS))
def test_a_restored_optimiser_goes_on_to_the_bit(name):
    whole = small()
    walk(whole, made(whole, name), 11)
    first = small()
    optimizer = made(first, name)
    walk(first, optimizer, 7)
    second = small(1)
    second.load_state_dict(first.state_dict())
    other = made(second, name)
    tensors = optimizer_tensors(optimizer, dict(first.named_parameters()))
    load_optimizer(other, dict(second.named_parameters()), tensors)
    walk(second, other, 4, first=7)
    for one, two in zip(whole.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, two)


def test_lookahead_goes_back_half_way_every_third_step():
    slow, fast = small(), small()
    start = [parameter.detach().clone() for parameter in slow.parameters()]
    walk(slow, made(slow, "lookahead"), 3)
    plain = torch.optim.RAdam(fast.parameters(), lr=0.05, weight_decay=0.1, decoupled_weight_decay=True)
    walk(fast, plain, 3)
    for begin, back, ahead in zip(start, slow.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(back, begin + 0.5 * (ahead - begin))


def test_ralamb_goes_as_far_as_the_rate_times_the_weights_where_radam_goes():
    ours, theirs = small(), small()
    start = [parameter.detach().clone() for parameter in ours.parameters()]
    walk(ours, made(ours, "ralamb"), 1)
    walk(theirs, made(theirs, "radam"), 1)
    for begin, one, two in zip(start, ours.parameters(), theirs.parameters(), strict=True):
        plain = two - begin
        torch.testing.assert_close(one, begin + plain / plain.norm() * 0.05 * begin.norm().clamp_max(10))


def test_over9000_is_lookahead_of_ralamb():
    slow, fast = small(), small()
    start = [parameter.detach().clone() for parameter in slow.parameters()]
    walk(slow, made(slow, "over9000"), 3)
    walk(fast, made(fast, "ralamb"), 3)
    for begin, back, ahead in zip(start, slow.parameters(), fast.parameters(), strict=True):
        torch.testing.assert_close(back, begin + 0.5 * (ahead - begin))


def test_ralamb_leaves_tensors_of_zeros_and_rates_of_zero_to_radam():
    net = torch.nn.Linear(3, 2)
    torch.nn.init.zeros_(net.weight)
    optimizer = made(net, "ralamb")
    walk(net, optimizer, 1)
    assert net.weight.abs().sum() > 0
    before = net.weight.detach().clone()
    optimizer.param_groups[0]["lr"] = 0.0
    walk(net, optimizer, 1)
    assert torch.equal(net.weight, before)


def test_sgd_is_torch_s_with_nesterov():
    ours, theirs = small(), small()
    walk(ours, made(ours, "sgd"), 4)
    walk(theirs, torch.optim.SGD(theirs.parameters(), lr=0.05, momentum=0.9, nesterov=True, weight_decay=0.1), 4)
    for one, two in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, two)


@pytest.mark.parametrize("given", [(0, 0.5), (5, 0.0), (5, 1.5)])
def test_a_lookahead_that_goes_nowhere_is_refused(given):
    with pytest.raises(ValueError, match=r"lookahead is \[steps >= 1, share above 0 and at most 1\]"):
        Optimizer(lookahead=given)


def test_unknown_optimizer_is_refused():
    with pytest.raises(InputError) as caught:
        check(Optimizer(name="adam"), "m.optimizer")
    assert str(caught.value) == (
        "m.optimizer.name: unknown optimizer 'adam' (did you mean 'adamw'?); use one of: adamw, lookahead, over9000, "
        "radam, ralamb, sgd"
    )
