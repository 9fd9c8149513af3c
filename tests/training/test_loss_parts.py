"""What a loss is beside its terms: soft labels, learned weights, difficulties, auxiliary heads, processes."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, JaccardLoss, LovaszLoss
from torch.nn import functional

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member
from maskwright.models.heads import Outputs
from maskwright.scoring.counts import Counts
from maskwright.training.losses.table import build_loss, check_member, member_loss
from maskwright.training.parts import Validated

BINARY = Task(kind="binary", classes=("a",))
MULTICLASS = Task(kind="multiclass", classes=("a", "b", "c"))
MULTILABEL = Task(kind="multilabel", classes=("a", "b"))


def batch(task, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(size, task.planes, 6, 7, generator=generator)
    shape = (size, task.planes, 6, 7) if task.kind == "multilabel" else (size, 6, 7)
    label = torch.randint(0, task.planes if task.kind == "multiclass" else 2, shape, generator=generator)
    return logits.requires_grad_(), label, torch.rand(size, 6, 7, generator=generator) > 0.3


def soft(task, seed=0):
    given = torch.randn(3, task.planes, 6, 7, generator=torch.Generator().manual_seed(seed)) * 2
    return given.softmax(1) if task.kind == "multiclass" else given.sigmoid()


@pytest.mark.parametrize("classes", [("b", "c"), ("a",)])
def test_regions_of_some_classes_are_smp_s(classes):
    logits, label, valid = batch(MULTICLASS)
    valid, places = torch.ones_like(valid), [MULTICLASS.classes.index(name) for name in classes]
    for name, theirs in (("dice", DiceLoss), ("jaccard", JaccardLoss)):
        found = build_loss({name: {"classes": classes}}, MULTICLASS)(logits, label, valid)
        wanted = theirs("multiclass", classes=places, smooth=0.0)(logits, label)
        assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    one_hot = functional.one_hot(label, 3).movedim(-1, 1)
    for place, name in zip(places, classes, strict=True):
        found = build_loss({"lovasz": {"classes": [name]}}, MULTICLASS)(logits, label, valid)
        # theirs has no choice of classes: the foreground's own Lovasz softmax is that of two classes
        pair = torch.stack([(1 - logits.softmax(1)[:, place]).log(), logits.softmax(1)[:, place].log()], 1)
        both = LovaszLoss("multiclass")(pair, one_hot[:, place])
        ours = build_loss({"lovasz": {"classes": ["1"]}}, Task(kind="multiclass", classes=("0", "1")))
        assert found.item() == pytest.approx(ours(pair, one_hot[:, place], valid).item(), rel=1e-5)
        assert both.item() == pytest.approx(
            build_loss({"lovasz": 1}, Task(kind="multiclass", classes=("0", "1")))(
                pair, one_hot[:, place], valid
            ).item(),
            rel=1e-5,
        )


def test_divergence_from_soft_labels_is_torch_s():
    logits, _, valid = batch(MULTICLASS)
    truth = soft(MULTICLASS)
    each = functional.kl_div(logits.log_softmax(1), truth, reduction="none").sum(1)
    found = build_loss({"kl": 1}, MULTICLASS)(logits, truth, valid)
    assert found.item() == pytest.approx(each[valid].mean().item(), rel=1e-5)
    assert build_loss({"kl": 1}, MULTICLASS)(truth.log() + 3, truth, valid).item() == pytest.approx(0, abs=1e-6)

    # SEEDS 004: log-softmax of two logits against [1 - m, m] is the sigmoid of their difference
    logits, _, valid = batch(BINARY)
    truth = soft(BINARY)
    two = torch.cat([torch.zeros_like(logits), logits], 1).log_softmax(1)
    each = functional.kl_div(two, torch.cat([1 - truth, truth], 1), reduction="none").sum(1)
    found = build_loss({"kl": 1}, BINARY)(logits, truth, valid)
    assert found.item() == pytest.approx(each[valid].mean().item(), rel=1e-5)


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, MULTILABEL], ids=lambda task: task.kind)
def test_cross_entropy_takes_soft_labels_and_all_others_the_likeliest_class(task):
    logits, _, valid = batch(task)
    truth = soft(task)
    name = "cross_entropy" if task.kind == "multiclass" else "bce"
    pixels = valid.unsqueeze(1).expand_as(truth)
    if task.kind == "multiclass":
        wanted = functional.cross_entropy(logits, truth, reduction="none")[valid].mean()
        hard = truth.argmax(1)
    else:
        wanted = functional.binary_cross_entropy_with_logits(logits[pixels], truth[pixels])
        hard = (truth >= 0.5).long()
    hard = hard[:, 0] if task.kind == "binary" else hard
    assert build_loss({name: 1}, task)(logits, truth, valid).item() == pytest.approx(wanted.item(), rel=1e-5)
    divergence = torch.autograd.grad(build_loss({"kl": 1}, task)(logits, truth, valid), logits)[0]
    entropy = torch.autograd.grad(build_loss({name: 1}, task)(logits, truth, valid), logits)[0]
    torch.testing.assert_close(divergence, entropy)
    assert (divergence[~pixels] == 0).all()
    for other in ("dice", "focal", "lovasz", "ohem", "boundary"):
        loss = build_loss({other: 1}, task)
        assert loss(logits, truth, valid).item() == loss(logits, hard, valid).item()
    # a certain soft label is a plain one
    plain = hard if task.kind == "multiclass" else hard.float()
    certain = functional.one_hot(plain, 3).movedim(-1, 1).float() if task.kind == "multiclass" else plain
    certain = certain.unsqueeze(1) if certain.ndim == 3 else certain
    for both in (name, "kl"):
        loss = build_loss({both: 1}, task)
        assert loss(logits, certain, valid).item() == pytest.approx(loss(logits, hard, valid).item(), rel=1e-6)


def test_class_weights_and_smoothing_of_soft_labels_are_torch_s():
    logits, _, _ = batch(MULTICLASS)
    truth, weights = soft(MULTICLASS), [0.5, 2.0, 1.0]
    whole = torch.ones(3, 6, 7, dtype=torch.bool)
    theirs = functional.cross_entropy(logits, truth, torch.tensor(weights), reduction="none", label_smoothing=0.1)
    counted = (truth * torch.tensor(weights)[:, None, None]).sum(1)
    found = build_loss({"cross_entropy": {"class_weights": weights, "smoothing": 0.1}}, MULTICLASS)(
        logits, truth, whole
    )
    assert found.item() == pytest.approx((theirs.sum() / counted.sum()).item(), rel=1e-5)


def told(tp, fp, fn):
    counts = Counts(*(np.array(each, np.int64) for each in (tp, fp, fn, [0] * len(tp))))
    return Validated(1, counts, 0.0, 0.0)


def test_difficulty_is_seeds_001_s_formula_and_changes_with_each_validation():
    logits, label, valid = batch(MULTICLASS)
    hidden = label.masked_fill(~valid, -100)
    loss = build_loss({"cdb": 1}, MULTICLASS)
    assert loss.learns
    plain = functional.cross_entropy(logits, hidden).item()
    assert loss(logits, label, valid).item() == pytest.approx(plain, rel=1e-6)
    difficulty = np.ones(3)
    for tp, fp, fn in (([90, 40, 5], [5, 10, 20], [5, 30, 75]), ([99, 0, 5], [1, 0, 2], [0, 0, 3])):
        union = np.array(tp) + fp + fn
        difficulty = np.where(union > 0, 1 - np.array(tp) / np.maximum(union, 1), difficulty)
        tau = 1 / (1 + np.exp(-(1 - difficulty.min()) / (1 - difficulty.max() + 0.01)))
        weights = difficulty**tau * 3 / (difficulty**tau).sum()
        loss.after_validation(told(tp, fp, fn))
        wanted = functional.cross_entropy(logits, hidden, torch.tensor(weights, dtype=torch.float32)).item()
        assert loss(logits, label, valid).item() == pytest.approx(wanted, rel=1e-5)
        assert loss.alone()(logits, label, valid).item() == loss(logits, label, valid).item()
    again = build_loss({"cdb": 1}, MULTICLASS)
    again.load_state_dict(loss.state_dict())
    assert again(logits, label, valid).item() == loss(logits, label, valid).item()
    fixed = build_loss({"cdb": {"tau": 2.0}}, MULTICLASS)
    fixed.after_validation(told([1, 1, 1], [0, 1, 3], [0, 0, 0]))  # difficulties 0, 1/2, 3/4
    wanted = functional.cross_entropy(logits, hidden, torch.tensor([0.0, 0.25, 0.5625])).item()
    assert fixed(logits, label, valid).item() == pytest.approx(wanted, rel=1e-5)
    fixed.after_validation(told([1, 1, 1], [0, 0, 0], [0, 0, 0]))  # nothing is difficult any more
    assert fixed(logits, label, valid).item() == pytest.approx(plain, rel=1e-6)


def test_difficult_planes_count_as_wholes():
    logits, label, valid = batch(MULTILABEL)
    loss = build_loss({"cdb": {"tau": 1.0}}, MULTILABEL)
    loss.after_validation(told([1, 1], [0, 3], [1, 0]))  # difficulties 1/2, 3/4
    each = functional.binary_cross_entropy_with_logits(logits, label.float(), reduction="none").movedim(1, 0)
    wanted = (0.8 * each[0][valid].mean() + 1.2 * each[1][valid].mean()) / 2
    assert loss(logits, label, valid).item() == pytest.approx(wanted.item(), rel=1e-5)


def test_learned_weights_are_kendall_s_and_go_to_the_losses_own_size():
    logits, label, valid = batch(BINARY)
    member = Member(loss={"bce": 1.0, "dice": 2.0}, loss_weights="learned")
    loss = member_loss(member, BINARY)
    bce, dice = (build_loss({name: 1}, BINARY)(logits, label, valid) for name in ("bce", "dice"))
    assert loss(logits, label, valid).item() == pytest.approx((bce + 2 * dice).item(), rel=1e-6)
    s = loss.log_variances
    with torch.no_grad():
        s.copy_(torch.tensor([0.5, -1.0]))
    wanted = bce * np.exp(-0.5) + 0.5 + 2 * (dice * np.exp(1.0) - 1.0)
    assert loss(logits, label, valid).item() == pytest.approx(wanted.item(), rel=1e-6)
    assert loss.alone()(logits, label, valid).item() == pytest.approx(wanted.item(), rel=1e-6)
    optimizer = torch.optim.SGD([s], lr=0.2)
    for _ in range(300):
        optimizer.zero_grad()
        loss(logits, label, valid).backward()
        optimizer.step()
    torch.testing.assert_close(s.exp(), torch.stack([bce, dice]), rtol=1e-3, atol=0)
    again = member_loss(member, BINARY)
    again.load_state_dict(loss.state_dict())
    assert again(logits, label, valid).item() == loss(logits, label, valid).item()


def test_learned_weights_stay_in_bounds_where_a_loss_is_nothing_for_long():
    logits, label, valid = batch(BINARY)
    loss = member_loss(Member(loss={"dice": 1.0}, loss_weights="learned"), BINARY)
    s = loss.log_variances
    with torch.no_grad():
        s.fill_(-50.0)
    value = loss(logits, label * 0, valid)
    assert value.item() == -6
    value.backward()
    assert s.item() == -6
    assert s.grad.item() == 1  # and finds its way back when the loss is something again
    s.grad = None
    loss(logits, label, valid).backward()
    assert s.grad.item() < -100


def outputs(task, **heads):
    generator = torch.Generator().manual_seed(9)
    made = {name: torch.randn(shape, generator=generator).requires_grad_() for name, shape in heads.items()}
    return Outputs(batch(task)[0], made)


def test_heads_add_the_member_s_losses_or_their_own_with_their_weights():
    logits, label, valid = batch(MULTICLASS)
    shape = (3, 3, 6, 7)
    given = outputs(MULTICLASS, fcn=shape, **{"deep.0": shape, "deep.1": shape})
    aux = {"fcn": {"weight": 0.4, "loss": {"dice": 0.5}}, "deep": {"weight": 0.5, "fade": 0.25}}
    member = Member(model={"aux": aux}, loss={"cross_entropy": 2.0})
    loss = member_loss(member, MULTICLASS, outputs=given.heads)

    def alone(name, values):
        return build_loss({name: 1}, MULTICLASS)(values, label, valid).item()

    wanted = 2 * alone("cross_entropy", logits) + 0.4 * 0.5 * alone("dice", given.heads["fcn"])
    wanted += 0.5 * 2 * alone("cross_entropy", given.heads["deep.0"])
    wanted += 0.125 * 2 * alone("cross_entropy", given.heads["deep.1"])
    value = loss(given, label, valid)
    assert value.item() == pytest.approx(wanted, rel=1e-6)
    for head in given.heads.values():
        (gradient,) = torch.autograd.grad(value, head, retain_graph=True)
        assert (gradient.masked_fill(valid.unsqueeze(1), 0) == 0).all()
        assert gradient.abs().sum() > 0
    main = loss.alone()
    assert main(logits, label, valid).item() == pytest.approx(2 * alone("cross_entropy", logits), rel=1e-6)


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, MULTILABEL], ids=lambda task: task.kind)
def test_presence_is_asked_of_valid_pixels_window_by_window(task):
    _, label, valid = batch(task)
    valid[1] = False  # a window that says nothing
    if task.kind == "binary":
        label[0] = 0
    elif task.kind == "multiclass":
        label[0] = label[0].clamp(max=1)
        label[0, 0, 0], valid[0, 0, 0] = 2, False  # its only pixel of that class does not count
    else:
        label[0, 1] = 0
    given = outputs(task, classify=(3, task.planes))
    for gamma, name in ((0.0, "bce"), (2.0, "focal")):
        member = Member(model={"aux": {"classify": {"weight": 0.3, "gamma": gamma}}}, loss={"dice": 1})
        value = member_loss(member, task, outputs=["classify"])(given, label, valid)
        planes = functional.one_hot(label, task.planes).movedim(-1, 1) if task.kind == "multiclass" else label
        planes = planes.unsqueeze(1) if planes.ndim == 3 else planes
        there = (planes.bool() & valid.unsqueeze(1)).flatten(2).any(2).float()
        assert not there[0].all()
        each = functional.binary_cross_entropy_with_logits(given.heads["classify"], there, reduction="none")
        each = each * (1 - torch.exp(-each)) ** gamma
        wanted = build_loss({"dice": 1}, task)(given.logits, label, valid) + 0.3 * each[[0, 2]].mean()
        assert value.item() == pytest.approx(wanted.item(), rel=1e-5), name
        (gradient,) = torch.autograd.grad(value, given.heads["classify"])
        assert (gradient[1] == 0).all()
        assert (gradient[[0, 2]] != 0).all()
    soft_label = planes.float()
    again = member_loss(member, task, outputs=["classify"])(given, soft_label, valid)
    assert again.item() == pytest.approx(value.item(), rel=1e-6)


def test_losses_of_heads_are_refused_by_their_own_key():
    member = Member(model={"aux": {"fcn": {"loss": {"bce": 1}}}})
    with pytest.raises(InputError) as caught:
        check_member(member, MULTICLASS, "r.yaml:members.a")
    assert str(caught.value).startswith(
        "r.yaml:members.a.model.aux.fcn.loss.bce: loss 'bce' does not fit a multiclass task; use some of: boundary, "
    )


def test_two_processes_have_one_loss_one_gradient_and_the_same_learned_weights(tmp_path):
    """Every loss for every task, and a network with all heads, in one pair of gloo processes."""
    script = Path(__file__).parent / "pair.py"
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["codes"] == [0, 0]
    for name, (value, gradient) in told["apart"].items():
        assert value < 1e-5, name
        assert gradient < 1e-5, name
    assert told["values equal"]
    assert told["trained equal"]
    assert told["learned moved"]


@pytest.mark.parametrize("task", [BINARY, MULTICLASS, MULTILABEL], ids=lambda task: task.kind)
def test_heads_of_anything_see_the_foreground_of_every_task(task):
    """SEEDS 004: a second plane with Dice at 0.1, two focal logits of the window, one number of its scale."""
    _, label, valid = batch(task)
    label[0] = 0  # a window with nothing in it
    valid[1] = False  # one that says nothing
    some = label.amax(1) if task.kind == "multilabel" else (label > 0).long()
    given = outputs(task, twin=(3, 1, 6, 7), presence=(3, 2), scale=(3, 1))
    sizes = torch.tensor([0.5, -1.0, torch.nan])
    aux = {"twin": 0.1, "presence": {"weight": 1.0, "alpha": 0.75}, "scale": 0.5}
    member = Member(model={"aux": aux}, loss={"focal": 1})
    loss = member_loss(member, task, outputs=["twin", "presence", "scale"])
    twin = build_loss({"dice": 1}, BINARY)(given.heads["twin"], some, valid)
    there = torch.tensor([0, 0, 1])
    cross = functional.cross_entropy(given.heads["presence"], there, reduction="none")
    focal = (1 - torch.exp(-cross)) ** 2 * cross * torch.tensor([0.25, 0.25, 0.75])
    off = (given.heads["scale"][:2, 0] - sizes[:2]).abs()
    wanted = build_loss({"focal": 1}, task)(given.logits, label, valid) + 0.1 * twin + focal[[0, 2]].mean()
    assert (valid & (some > 0))[2].any()
    far = torch.where(off < 0.1, off**2 / 0.2, off - 0.05).mean()
    found = loss(given, label, valid, None, sizes)
    assert found.item() == pytest.approx((wanted + 0.5 * far).item(), rel=1e-5)
    gradients = torch.autograd.grad(found, list(given.heads.values()))
    assert (gradients[0].masked_fill(valid.unsqueeze(1), 0) == 0).all()
    assert (gradients[1][1] == 0).all()
    assert (gradients[2][2] == 0).all()
    # truths alone say what additive addends divide by; sizes are a part of them
    numbers = loss.numbers([(label, valid, sizes), (label, valid, sizes)])
    assert [None if number is None else float(number) for number in numbers][1:] == [None, 2.0, 2.0]


def test_losses_of_the_second_answer_are_those_of_a_binary_task():
    member = Member(model={"aux": {"twin": {"loss": {"cross_entropy": 1}}}})
    with pytest.raises(InputError) as caught:
        check_member(member, MULTICLASS, "r.yaml:members.a")
    assert str(caught.value).startswith(
        "r.yaml:members.a.model.aux.twin.loss.cross_entropy: loss 'cross_entropy' does not fit a binary task"
    )
