import pytest
import torch

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model, Optimizer
from maskwright.models.build import build_model
from maskwright.training.optim import build_optimizer, check, set_rate

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


def test_unknown_optimizer_is_refused():
    with pytest.raises(InputError) as caught:
        check(Optimizer(name="adam"), "m.optimizer")
    assert str(caught.value) == (
        "m.optimizer.name: unknown optimizer 'adam' (did you mean 'adamw'?); use one of: adamw"
    )
