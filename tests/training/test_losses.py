import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss
from torch.nn import functional

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.training.losses.table import DEFAULTS, LOSSES, build_loss, check

TASKS = {
    "binary": Task(kind="binary", classes=("a",)),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
}
PAIRS = [(name, kind) for name, entry in LOSSES.items() for kind in entry.tasks]


def batch(kind, size=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    task = TASKS[kind]
    logits = torch.randn(size, task.planes, 9, 11, generator=generator)
    shape = (size, task.planes, 9, 11) if kind == "multilabel" else (size, 9, 11)
    label = torch.randint(0, task.planes if kind == "multiclass" else 2, shape, generator=generator)
    valid = torch.rand(size, 9, 11, generator=generator) > 0.3
    return logits.requires_grad_(), label, valid


def truth(label, task):
    """Logits of an all but certain right answer."""
    if task.kind == "multiclass":
        return functional.one_hot(label, task.planes).movedim(-1, 1) * 40.0 - 20
    return (label if label.ndim == 4 else label.unsqueeze(1)) * 40.0 - 20


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_every_loss_keeps_its_promises(name, kind):
    task = TASKS[kind]
    loss = build_loss({name: 1.0}, task)
    logits, label, valid = batch(kind)
    value = loss(logits, label, valid)
    assert value.shape == ()
    assert value.dtype == torch.float32
    (gradient,) = torch.autograd.grad(value, logits)
    assert gradient.isfinite().all()
    hidden = ~valid.unsqueeze(1).expand_as(gradient)
    assert (gradient[hidden] == 0).all()
    assert gradient[~hidden].abs().sum() > 0

    # nothing that stands where it does not count matters, not even numbers that are none
    other_logits = logits.detach().masked_fill(hidden, float("nan"))
    cover = hidden if kind == "multilabel" else ~valid
    other_label = label.masked_fill(cover, 1)
    assert loss(other_logits, other_label, valid).item() == value.item()

    right = truth(label, task)
    assert loss(right, label, valid).item() == pytest.approx(0, abs=1e-4)
    assert loss(-right, label, valid).item() > value.item()
    assert loss(logits.bfloat16(), label, valid).item() == pytest.approx(value.item(), rel=2e-2)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_batch_without_a_valid_pixel_costs_nothing_and_teaches_nothing(name, kind):
    logits, label, valid = batch(kind, size=1)
    value = build_loss({name: 1.0}, TASKS[kind])(logits, label, valid & False)
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_processes_that_share_a_batch_have_its_loss_and_add_up_to_its_gradient(name, kind):
    task = TASKS[kind]
    logits, label, valid = batch(kind, size=4)
    whole = build_loss({name: 1.0}, task)(logits, label, valid)
    (wanted,) = torch.autograd.grad(whole, logits)
    found = []
    for mine, theirs in ((slice(0, 1), slice(1, 4)), (slice(1, 4), slice(0, 1))):
        heard = []
        build_loss({name: 1.0}, task, lambda sums, heard=heard: heard.append(sums.detach()) or sums)(
            logits[theirs], label[theirs], valid[theirs]
        )
        loss = build_loss({name: 1.0}, task, lambda sums, heard=heard: sums + heard[0])
        part = loss(logits[mine], label[mine], valid[mine])
        assert part.item() == pytest.approx(whole.item(), rel=1e-5)
        found.append((mine, torch.autograd.grad(part, logits)[0][mine]))
    for mine, gradient in found:
        torch.testing.assert_close(gradient, wanted[mine])


def test_cross_entropies_are_torch_s_over_the_valid_pixels():
    logits, label, valid = batch("multiclass")
    wanted = functional.cross_entropy(logits, label.masked_fill(~valid, -100))
    assert build_loss({"cross_entropy": 1}, TASKS["multiclass"])(logits, label, valid).item() == pytest.approx(
        wanted.item(), rel=1e-6
    )
    logits, label, valid = batch("binary")
    wanted = functional.binary_cross_entropy_with_logits(logits[:, 0][valid], label[valid].float())
    assert build_loss({"bce": 1}, TASKS["binary"])(logits, label, valid).item() == pytest.approx(
        wanted.item(), rel=1e-6
    )
    logits, label, valid = batch("multilabel")
    planes = valid.unsqueeze(1).expand_as(label)
    wanted = functional.binary_cross_entropy_with_logits(logits[planes], label[planes].float())
    assert build_loss({"bce": 1}, TASKS["multilabel"])(logits, label, valid).item() == pytest.approx(
        wanted.item(), rel=1e-6
    )


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_dice_is_smp_s_where_all_classes_occur(kind):
    logits, label, valid = batch(kind)
    theirs = DiceLoss(kind, smooth=0.0)(logits, label)
    ours = build_loss({"dice": 1}, TASKS[kind])(logits, label, torch.ones_like(valid))
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-5)


@pytest.mark.parametrize("size", [1, 3])
def test_dice_is_a_mean_over_the_classes_that_occur(size):
    logits, label, valid = batch("multiclass", size=size)
    label = label.masked_fill(label == 1, 0)
    theirs = DiceLoss("multiclass", smooth=0.0)(logits, label)  # sums over those, divides by all
    ours = build_loss({"dice": 1}, TASKS["multiclass"])(logits, label, torch.ones_like(valid))
    assert ours.item() == pytest.approx(theirs.item() * 3 / 2, rel=1e-5)


def test_dice_of_an_empty_truth_leaves_the_teaching_to_the_other_term():
    logits, label, valid = batch("binary", size=1)
    nothing = torch.zeros_like(label)
    assert build_loss({"dice": 1}, TASKS["binary"])(logits, nothing, valid).item() == 0
    both = build_loss({}, TASKS["binary"])(logits, nothing, valid)
    assert both.item() == build_loss({"bce": 1}, TASKS["binary"])(logits, nothing, valid).item() > 0


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_weights_multiply_and_no_names_mean_the_default(kind):
    task = TASKS[kind]
    given = batch(kind)
    single = {name: build_loss({name: 1}, task)(*given).item() for name in DEFAULTS[kind]}
    first, second = single
    mixed = build_loss({first: 0.25, second: 3.0}, task)(*given).item()
    assert mixed == pytest.approx(0.25 * single[first] + 3 * single[second], rel=1e-6)
    assert build_loss({}, task)(*given).item() == pytest.approx(sum(single.values()), rel=1e-6)


@pytest.mark.parametrize(
    ("names", "kind", "said"),
    [
        (
            {"cross_entrpy": 1.0},
            "multiclass",
            "m.loss: unknown loss 'cross_entrpy' (did you mean 'cross_entropy'?); use one of: bce, cross_entropy, dice",
        ),
        (
            {"dice": 1.0, "bce": 1.0},
            "multiclass",
            "m.loss.bce: loss 'bce' does not fit a multiclass task; use some of: cross_entropy, dice",
        ),
        (
            {"cross_entropy": 1.0},
            "binary",
            "m.loss.cross_entropy: loss 'cross_entropy' does not fit a binary task; use some of: bce, dice",
        ),
    ],
)
def test_losses_that_contradict_the_task_are_refused(names, kind, said):
    with pytest.raises(InputError) as caught:
        check(names, TASKS[kind], "m.loss")
    assert str(caught.value) == said
