import json

import discs
import pytest
import torch

import maskwright.training.setup as making
from maskwright.core.errors import Interrupted
from maskwright.training.fit import fit_fold
from maskwright.training.losses.table import Loss
from maskwright.training.parts import Part, Parts, Validated

REAL = making.member_loss


class Learning(Loss):
    """A loss that learns its own weight, counts what it is told, and weighs by the last validation."""

    def __init__(self, addends, task, pool=None):
        super().__init__(addends, task, pool)
        self.log = torch.nn.Parameter(torch.zeros(2))
        self.told = torch.zeros(3)
        self.factor = torch.ones(())

    def __call__(self, logits, label, valid, numbers=None, sizes=None):
        return (
            super().__call__(logits, label, valid, numbers, sizes) * self.factor * torch.exp(-self.log[0]) + self.log[0]
        )

    def alone(self):
        return Loss(self.addends, self.task)

    def named_parameters(self):
        return {"log": self.log}

    def state_dict(self):
        return {"log": self.log.detach(), "told": self.told, "factor": self.factor}

    def load_state_dict(self, state, /):
        with torch.no_grad():
            self.log.copy_(state["log"])
        self.told, self.factor = state["told"].clone(), state["factor"].clone()

    def after_step(self, step):
        assert step == self.told[0] + 1
        self.told[0] += 1

    def after_validation(self, told):
        self.told[1] += 1
        self.factor = torch.tensor(1.5 - told.score)

    def after_epoch(self, epoch):
        self.told[2] += 1
        assert epoch == self.told[2]


def learning(*given, **more):
    made = REAL(*given, **more)
    return Learning(made.addends, made.task, made.pool)


def test_a_loss_that_learns_and_listens_goes_on_where_it_was(tmp_path, make_job, monkeypatch):
    monkeypatch.setattr(making, "member_loss", learning)
    job = make_job(epochs=3, save_every=2)
    fit_fold(job, tmp_path / "twin", discs.Told(), discs.Never())
    for stops in range(40):
        try:
            fit_fold(job, tmp_path / "stopped", discs.Told(), discs.After(4))
        except Interrupted:
            continue
        assert stops > 2
        break
    assert discs.results(tmp_path / "stopped") == discs.results(tmp_path / "twin")
    plain = [json.loads(line)["loss"] for line in (tmp_path / "twin" / "log.jsonl").read_text().splitlines()]
    assert len(plain) == 9


def test_parts_are_packed_under_their_names_and_told_in_order():
    said = []

    class Talker(Part):
        def __init__(self, name):
            self.name, self.value = name, torch.zeros(1)

        def state_dict(self):
            return {"v": self.value}

        def load_state_dict(self, state, /):
            self.value = state["v"]

        def after_step(self, step):
            said.append((self.name, step))

    net = torch.nn.Linear(2, 1)
    parts = Parts({"net": net, "a": Talker("a"), "b": Talker("b")})
    assert sorted(parts.pack()) == ["a.v", "b.v", "net.bias", "net.weight"]
    parts.unpack({**parts.pack(), "b.v": torch.ones(1)})
    assert parts.named["b"].value == 1
    parts.after_step(3)
    assert said == [("a", 3), ("b", 3)]
    parts.after_validation(Validated(3, None, 0.5, 0.5))
    parts.after_epoch(1)


@pytest.mark.parametrize("size", [2, 3])
def test_gradients_that_every_process_has_whole_are_not_multiplied(monkeypatch, size):
    from maskwright.training import cluster as module

    monkeypatch.setattr(module.distributed, "all_reduce", lambda tensor: tensor.mul_(size))
    one = module.Cluster()
    one.size = size
    parameter = torch.nn.Parameter(torch.zeros(2))
    parameter.grad = torch.full((2,), 3.0 * size)
    one.level([parameter])
    assert parameter.grad.tolist() == [3.0, 3.0]
