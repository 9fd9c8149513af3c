"""Two gloo processes that share batches: every loss for every task, and a network with heads and learned weights.

Run as a script: `pair.py OUT`; prints JSON.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
from forked import codes_of_two

from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member, Model
from maskwright.models.adapt import freeze_unused
from maskwright.models.build import build_model
from maskwright.training.cluster import Cluster
from maskwright.training.losses.table import LOSSES, build_loss, member_loss

TASKS = {
    "binary": Task(kind="binary", classes=("a",)),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
}
PAIRS = [(name, kind) for name, entry in LOSSES.items() for kind in entry.tasks]
HALVES = (slice(0, 1), slice(1, 4))
MEMBER = Member(
    model=Model(encoder="tu-mobilenetv3_small_050", aux={"fcn": {"channels": 8}, "classify": {}, "deep": {"maps": 2}}),
    loss={"bce": 1, "lovasz_hinge": 0.5},
    loss_weights="learned",
)


def batch(kind):
    generator = torch.Generator().manual_seed(4)
    task = TASKS[kind]
    logits = torch.randn(4, task.planes, 6, 7, generator=generator)
    shape = (4, task.planes, 6, 7) if kind == "multilabel" else (4, 6, 7)
    label = torch.randint(0, task.planes if kind == "multiclass" else 2, shape, generator=generator)
    return logits.requires_grad_(), label, torch.rand(4, 6, 7, generator=generator) > 0.3


def whole(name, kind):
    """Return loss and gradient of the sums of both halves in one process."""
    logits, label, valid = batch(kind)
    heard = []

    def hear(sums):
        heard.append(sums)
        return sums

    for half in HALVES:
        build_loss({name: 1.0}, TASKS[kind], hear)(logits[half], label[half], valid[half])
    loss = build_loss({name: 1.0}, TASKS[kind], lambda sums: heard[0] + heard[1])
    value = loss(logits[HALVES[0]], label[HALVES[0]], valid[HALVES[0]])
    return value.item(), torch.autograd.grad(value, logits)[0]


def rank(number, out, model):
    cluster = Cluster()
    found = {}
    for name, kind in PAIRS:
        logits, label, valid = batch(kind)
        half = HALVES[number]
        value = build_loss({name: 1.0}, TASKS[kind], cluster.pool)(logits[half], label[half], valid[half])
        found[f"{name} {kind}"] = value.item(), torch.autograd.grad(value, logits)[0]
    found["trained"] = train(cluster, model)
    torch.save(found, out / f"{number}.pt")


def train(cluster, model):
    """Take three steps with all heads; the reducer would stop at a parameter without a gradient."""
    freeze_unused(model, 3)
    wrapped = cluster.prepare(model.train())
    loss = member_loss(MEMBER, TASKS["binary"], None, model.head_names, cluster.pool)
    optimizer = torch.optim.SGD(
        [
            *(parameter for parameter in model.parameters() if parameter.requires_grad),
            *loss.named_parameters().values(),
        ],
        lr=0.01,
    )
    generator = torch.Generator().manual_seed(cluster.rank)
    for _ in range(3):
        image = torch.rand(2, 3, 64, 64, generator=generator)
        label = (image[:, 0] > 0.5).long()
        value = loss(wrapped(image), label, torch.rand(2, 64, 64, generator=generator) > 0.2)
        optimizer.zero_grad()
        (value * cluster.size).backward()
        cluster.level(loss.named_parameters().values())
        optimizer.step()
    weights = {name: parameter.detach() for name, parameter in model.named_parameters()}
    return weights | {"learned": loss.log_variances.detach()}


def main(out):
    torch.manual_seed(0)
    model = build_model(MEMBER.model, 3, 1)
    codes = codes_of_two(lambda number: rank(number, out, model))
    ranks = [torch.load(out / f"{number}.pt") for number in range(2)]
    apart = {}
    for name, kind in PAIRS:
        value, gradient = whole(name, kind)
        mine = [each[f"{name} {kind}"] for each in ranks]
        both = sum(each[1] for each in mine)  # each has the part of its own half
        apart[f"{name} {kind}"] = abs(mine[0][0] - value) / value, (both - gradient).abs().max().item()
    trained = [each["trained"] for each in ranks]
    return {
        "codes": codes,
        "apart": apart,
        "values equal": all(ranks[0][f"{name} {kind}"][0] == ranks[1][f"{name} {kind}"][0] for name, kind in PAIRS),
        "trained equal": all(torch.equal(tensor, trained[1][name]) for name, tensor in trained[0].items()),
        "learned moved": bool((trained[0]["learned"] != 0).all()),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", DeprecationWarning)  # Python >= 3.12 warns of forking with threads
    import accelerate  # noqa: F401 - once, before the fork

    sys.stdout.write(json.dumps(main(Path(sys.argv[1]))) + "\n")
