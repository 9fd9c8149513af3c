"""The set loss: against a slow one written out, and what it must not depend on."""

from itertools import permutations

import pytest
import torch
from torch.nn import functional

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member
from maskwright.models.build import build_model
from maskwright.models.heads import Outputs, Queries
from maskwright.training.losses.mask_set import MaskSet, SetWeights, at_points, match, truths_of
from maskwright.training.losses.table import build_loss, check_member, member_loss
from maskwright.training.losses.terms import Pixels

TASKS = {
    "binary": Task(kind="binary", classes=("a",)),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
}
SMALL = {
    "encoder": {"embed": 8, "depths": [1, 1, 1, 1], "heads": [1, 1, 2, 2], "window": 4},
    "channels": 32, "heads": 2, "queries": 6, "pixel_layers": 1, "pixel_hidden": 16, "layers": 1, "hidden": 16,
}  # fmt: skip


def member(answer="classes", **more):
    model = {"architecture": "mask2former", "encoder": "swin_tiny", "options": {**SMALL, "answer": answer}}
    return Member.model_validate({"model": model, **more})


def said(kind: str, seed: int = 0, extent: tuple[int, int] | None = None):
    """Return what five queries say of two images, and the truth."""
    task, generator = TASKS[kind], torch.Generator().manual_seed(seed)
    classes = 2 if kind == "binary" else task.planes
    queries = tuple(
        Queries(
            torch.randn(2, 5, classes + 1, generator=generator).requires_grad_(),
            torch.randn(2, 5, 8, 8, generator=generator).requires_grad_(),
        )
        for _ in range(2)
    )
    shape = (2, task.planes, 16, 16) if kind == "multilabel" else (2, 16, 16)
    label = torch.randint(0, task.planes if kind == "multiclass" else 2, shape, generator=generator)
    output = Outputs(torch.zeros(2, task.planes, 16, 16), {}, queries, extent)
    return output, label, torch.rand(2, 16, 16, generator=generator) > 0.2


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_it_is_the_same_whatever_the_order_of_queries(kind):
    output, label, valid = said(kind)
    loss = build_loss({"mask_set": {"points": 50}}, TASKS[kind])
    torch.manual_seed(3)
    one = loss(output, label, valid)
    order = torch.tensor([3, 1, 4, 0, 2])
    turned = tuple(Queries(each.classes[:, order], each.masks[:, order]) for each in output.queries)
    torch.manual_seed(3)
    torch.testing.assert_close(loss(output._replace(queries=turned), label, valid), one)
    one.backward()
    assert all(part.grad is not None and part.grad.isfinite().all() for each in output.queries for part in each)


def test_matching_is_the_best_of_all():
    generator = torch.Generator().manual_seed(0)
    for count in (0, 1, 3, 5):
        cost = torch.randn(5, count, generator=generator)
        queries, masks = match(cost)
        found = cost[queries, masks].sum()
        best = min(
            (sum(cost[query, place] for place, query in enumerate(chosen)) for chosen in permutations(range(5), count)),
            default=torch.tensor(0.0),
        )
        assert found.item() == pytest.approx(float(best), abs=1e-6)


def test_its_value_is_that_of_the_same_sums_written_out():
    classes = torch.tensor([[[2.0, -1.0, 0.5], [0.1, 0.2, 0.3], [-1.0, 1.5, 0.0]]])
    masks = (
        torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(1)) + torch.tensor([2.0, 0, -2])[:, None, None]
    )
    label = torch.tensor([[0, 0, 1, 1]]).repeat_interleave(4, 0)[None].repeat_interleave(2, 1).repeat_interleave(2, 2)
    label[:, 6:] = 0
    output = Outputs(torch.zeros(1, 2, 8, 8), {}, (Queries(classes, masks),))
    valid = torch.ones(1, 8, 8, dtype=torch.bool)
    settings = {"points": 64, "oversample": 1, "importance": 0}
    torch.manual_seed(5)
    found = build_loss({"mask_set": settings}, Task(kind="multiclass", classes=("a", "b")))(output, label, valid)

    torch.manual_seed(5)
    truth = torch.stack([label[0] == 0, label[0] == 1]).float()
    matching, _, drawn = torch.rand(1, 64, 2), torch.rand(2, 64, 2), torch.rand(2, 64, 2)

    def parts(query, number, points):
        """Return 5 x point entropy + 5 x Dice of one query and one mask; points at the border count less."""
        share = at_points(masks[:, query : query + 1], points)[0, 0].sigmoid()
        truly = at_points(truth[None, number : number + 1], points)[0, 0]
        weight = at_points(torch.ones(1, 1, 8, 8), points)[0, 0]
        entropy = -(truly * share.log() + (1 - truly) * (1 - share).log())
        dice = 1 - (2 * (share * truly * weight).sum() + 1) / ((share * weight).sum() + (truly * weight).sum() + 1)
        return 5 * (entropy * weight).sum() / weight.sum() + 5 * dice

    def cost(query, number):
        return -2 * classes[0].softmax(1)[query, number] + parts(query, number, matching)

    first, second = min(permutations(range(3), 2), key=lambda chosen: float(cost(chosen[0], 0) + cost(chosen[1], 1)))
    target = torch.full((3,), 2)
    target[first], target[second] = 0, 1
    wanted = 2 * functional.cross_entropy(classes[0], target, torch.tensor([1.0, 1.0, 0.1]))
    for points, (query, number) in zip(drawn, [(first, 0), (second, 1)], strict=True):
        wanted = wanted + parts(query, number, points[None]) / 2
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)


def test_pixels_that_are_not_valid_change_nothing():
    output, label, valid = said("multiclass")
    valid = torch.zeros_like(valid)
    valid[:, :8] = True
    loss = build_loss({"mask_set": {"points": 200}}, TASKS["multiclass"])
    values = []
    for filler in (0, 2):
        changed = torch.where(valid, label, filler)
        torch.manual_seed(0)
        values.append(loss(output, changed, valid).item())
    assert values[0] == values[1]
    nothing = loss(output, label, torch.zeros_like(valid))
    assert nothing.isfinite()  # queries alone learn to say nothing
    nothing.backward()


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_true_masks_lie_where_the_image_lay(kind):
    output, label, valid = said(kind)
    planes = label.unsqueeze(1).float() if kind == "binary" else label.float() if kind == "multilabel" else label
    pixels = Pixels(output.logits, planes, valid.float(), None, output.queries, (32, 24))
    for image, truth in enumerate(truths_of(pixels, kind)):
        assert truth.masks.shape[1:] == (32, 24)
        assert truth.valid[0, :16, :16].bool().equal(valid[image])
        assert not truth.valid[0, 16:].any()
        assert not truth.masks[:, :, 16:].any()
        for number, plane in zip(truth.classes.tolist(), truth.masks, strict=True):
            wanted = label[image, number] == 1 if kind == "multilabel" else label[image] == number
            assert plane[:16, :16].bool().equal(wanted & valid[image])


@pytest.mark.parametrize(
    ("kind", "answer"), [("binary", "classes"), ("multiclass", "classes"), ("multilabel", "planes")]
)
def test_it_is_what_queries_learn_by_and_a_step_helps(kind, answer):
    task, made = TASKS[kind], member(answer)
    torch.manual_seed(0)
    model = build_model(made.model, 3, task.planes).train()
    loss = member_loss(made, task, outputs=model.head_names)
    assert [each.name for each in loss.addends] == ["mask_set"]
    loss.addends = (loss.addends[0].__class__("mask_set", 1.0, MaskSet(kind, SetWeights(points=100))),)
    image = torch.rand(2, 3, 48, 40)
    label = (image[:, :1] > 0.5).long().squeeze(1)
    label = torch.stack([label, 1 - label], 1) if kind == "multilabel" else label
    valid = torch.ones(2, 48, 40, dtype=torch.bool)
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    values = []
    for step in range(12):
        torch.manual_seed(step)
        output = model(image)
        assert output.extent == (64, 64)
        value = loss(output, label, valid)
        optimizer.zero_grad()
        value.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())
        optimizer.step()
        values.append(value.item())
    assert min(values[-3:]) < 0.9 * values[0]
    with torch.no_grad():
        assert loss(model.eval()(image), label, valid).isfinite()  # as validation asks for it


@pytest.mark.parametrize(
    ("made", "kind", "said"),
    [
        (
            lambda: member("classes"),
            "multilabel",
            "members.a.model.options.answer: answer 'classes' does not fit a multilabel task; use planes for "
            "multilabel, classes for other tasks, or maps",
        ),
        (
            lambda: member("maps", loss={"mask_set": 1}),
            "multiclass",
            "members.a.loss.mask_set: loss 'mask_set' is for queries that are matched, and this network has none; use "
            "architecture: mask2former with answer: classes or planes, or another loss",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(made, kind, said):
    with pytest.raises(InputError) as caught:
        check_member(made(), TASKS[kind], "members.a")
    assert str(caught.value) == said
