"""Weights in pieces, in a group of one process; test_survival trains with two."""

import discs
import pytest
import torch
from pydantic import ValidationError
from torch import distributed

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Train
from maskwright.models.build import build_model
from maskwright.training.ema import Ema
from maskwright.training.pieces import gathered, is_piece, piece_like
from maskwright.training.precision import Scaler
from maskwright.training.sharding import PiecedOptimizer, Shards


@pytest.fixture
def group():
    distributed.init_process_group("gloo", store=distributed.HashStore(), rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def test_pieces_are_moved_saved_and_filled_in_place(group):
    torch.manual_seed(0)
    model = build_model(discs.TINY, 3, 1).train()
    plain = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    shards = Shards(model, 3, optimizer, torch.device("cpu"))
    assert list(shards.whole) == list(dict(model.named_parameters()))
    assert all(is_piece(parameter) for parameter in model.parameters())
    assert sum(hasattr(module, "unshard") for module in model.modules()) > 5  # stages, and what is left
    average = Ema(model, 0.5)
    model(torch.rand(2, 3, 32, 32)).square().mean().backward()
    shards.hand_over(scaled=True)
    assert all(parameter.grad is None for parameter in model.parameters())
    pieces = list(shards.pieces.values())
    norm = torch.linalg.vector_norm(torch.stack([piece.grad.norm() for piece in pieces]))
    torch.testing.assert_close(shards.norm(pieces), norm)
    optimizer.step()
    average.update(100)
    moved = gathered(shards.state_dict(), keep=True)
    assert moved.keys() == plain.keys()
    name = next(iter(shards.whole))
    assert (moved[name] - plain[name]).abs().max() == pytest.approx(0.1, rel=0.1)
    torch.testing.assert_close(gathered(average.state_dict(), keep=True)[name], (moved[name] + plain[name]) / 2)
    part = PiecedOptimizer(optimizer, shards, {})
    state = part.state_dict()
    assert is_piece(state[f"{name}:exp_avg"])
    assert not is_piece(state[f"{name}:step"])
    part.load_state_dict(gathered(state, keep=True))
    shards.load_state_dict(plain)
    assert all(torch.equal(tensor, plain[key]) for key, tensor in gathered(shards.state_dict(), keep=True).items())
    assert gathered(state, keep=False) == {}


def test_an_overflow_spoils_all_pieces(group):
    model = build_model(discs.TINY, 3, 1).train()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    shards, scaler = Shards(model, 3, optimizer, torch.device("cpu")), Scaler(torch.device("cpu"))
    before = [piece.detach().clone() for piece in shards.pieces.values()]
    scaler.scale(model(torch.rand(2, 3, 32, 32)).mean()).backward()
    next(model.parameters()).grad.to_local().fill_(torch.inf)
    shards.hand_over(scaled=True)
    assert all(piece.grad.isnan().all() for piece in shards.pieces.values())
    scaler.unscale(optimizer)
    scaler.step(optimizer)
    assert all(torch.equal(old, new) for old, new in zip(before, shards.pieces.values(), strict=True))
    assert float(scaler.state_dict()["scale"]) == 2.0**15


def test_values_of_another_shape_are_no_pieces():
    plain = torch.ones(3)
    assert piece_like(plain, torch.zeros(3)) is plain


def test_a_network_that_cannot_be_divided_is_refused_in_one_line(group):
    model = build_model(discs.TINY, 3, 1)
    model.network.scale = torch.nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InputError) as caught:
        Shards(model, 3, torch.optim.SGD(model.parameters()), torch.device("cpu"))
    assert str(caught.value) == (
        "train.sharding: this network cannot be divided: fully_shard doesn't support scalar parameters. "
        "Change scale to a 1D tensor with numel equal to 1.; set train.sharding=none, or take another network"
    )


def test_compiled_code_and_pieces_do_not_go_together():
    with pytest.raises(ValidationError, match="compile and sharding do not go together; choose one"):
        Train(compile=True, sharding="fsdp")
