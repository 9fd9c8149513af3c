"""Networks of ours learn, with all heads they have, and predict through the code that predicts with any."""

import math

import numpy as np
import pytest
import torch

from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member, Optimizer
from maskwright.inference.forward import Forward, Machine
from maskwright.models.adapt import freeze_unused
from maskwright.models.build import build_model
from maskwright.training.losses.table import member_loss
from maskwright.training.optim import build_optimizer

BINARY = Task(kind="binary", classes=("roof",))
CLASSES = Task(kind="multiclass", classes=("background", "a", "b"))
PLANES = Task(kind="multilabel", classes=("a", "b"))
INTERN = {"channels": 8, "depths": [1, 1, 1, 1], "groups": [1, 2, 4, 8]}
NETWORKS = [
    ({"architecture": "upernet_mmseg", "encoder": "internimage_l", "options": {"encoder": INTERN, "channels": 16},
      "aux": {"fcn": {"channels": 8}}}, CLASSES),
    ({"architecture": "efficient_fpn", "encoder": "mish_efficientnet_b0", "options": {"context": True},
      "aux": {"twin": 0.1, "presence": 1.0, "scale": 0.1}}, BINARY),
    ({"architecture": "unet3plus", "encoder": "plain", "options": {"encoder": {"widths": [8, 8, 16]}},
      "aux": {"deep": {}}}, PLANES),
    ({"architecture": "ocrnet", "encoder": "hrnet_w18_small", "options": {"channels": 32, "keys": 16},
      "aux": {"regions": 0.4}}, BINARY),
    ({"architecture": "deeplabv1", "encoder": "dilated_vgg16",
      "options": {"channels": 32, "dropout": 0.0, "encoder": {"widths": [8, 8, 16, 16, 16]}}}, PLANES),
    (
        {
            "architecture": "deeplabv2",
            "encoder": "dilated_resnet50",
            "options": {"encoder": {"depth": 18}, "scales": [0.5, 0.75, 1]},
        },
        CLASSES,
    ),
]  # fmt: skip


def scene(task, bands):
    """Return four windows whose label is what the first band shows; one of them shows nothing."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(4, 1, 4, 5, generator=generator)
    coarse[0] = 0
    shown = torch.nn.functional.interpolate(coarse, size=(45, 53), mode="nearest")[:, 0]
    image = 0.1 * torch.randn(4, bands, 45, 53, generator=generator)
    image[:, 0] += 3 * shown
    if task.kind == "multilabel":
        return image, torch.stack([shown > 0.4, shown > 0.7], 1).long()
    return image, (shown * (3 if task.kind == "multiclass" else 2)).long()


@pytest.mark.parametrize(
    ("given", "task"), NETWORKS, ids=lambda each: each.get("architecture", "") if isinstance(each, dict) else each.kind
)
def test_it_learns_with_all_its_heads_and_predicts_by_symmetries(given, task):
    torch.manual_seed(0)
    member = Member(model=given, optimizer=Optimizer(lr=5e-3))
    model = build_model(member.model, 5, task.planes)
    frozen = freeze_unused(model, 5)
    loss = member_loss(member, task, outputs=model.head_names)
    optimizer = build_optimizer(model, member.optimizer)
    image, label = scene(task, 5)
    valid = torch.ones(4, 45, 53, dtype=torch.bool)
    valid[1, :20] = False
    sizes = torch.tensor([0.0, 0.1, -0.2, math.nan])
    values = []
    for _ in range(60 if given["architecture"] == "deeplabv1" else 10):  # it has no norms
        value = loss(model(image), label, valid, None, sizes)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        values.append(value.item())
    assert np.mean(values[-3:]) < 0.9 * values[0], values
    for name, parameter in model.named_parameters():
        assert (parameter.grad is None) == (name in frozen), name
    assert {name.split(".")[1] for name in frozen} <= {"encoder"}, frozen
    # of deep encoders what comes behind the last map that is used
    predict = Forward([model], task, ["hflip", "transpose"], Machine())
    found = predict(image.numpy())
    assert found.shape == (4, task.planes, 45, 53)
    if task.kind == "multiclass":
        np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
