import pytest
import torch
from segmentation_models_pytorch.losses import DiceLoss, FocalLoss, JaccardLoss, LovaszLoss, TverskyLoss
from torch.nn import functional

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.training.losses.options import Frequency
from maskwright.training.losses.table import DEFAULTS, LOSSES, build_loss, check

TASKS = {
    "binary": Task(kind="binary", classes=("a",)),
    "multiclass": Task(kind="multiclass", classes=("a", "b", "c")),
    "multilabel": Task(kind="multilabel", classes=("a", "b")),
}
SORTED = ("lovasz", "ohem")
"""Losses that sort pixels: each process sorts its own, and the mean over processes is taken."""
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
    assert loss(logits.half(), label, valid).item() == pytest.approx(value.item(), rel=2e-3)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_a_batch_without_a_valid_pixel_costs_nothing_and_teaches_nothing(name, kind):
    logits, label, valid = batch(kind, size=1)
    value = build_loss({name: 1.0}, TASKS[kind])(logits, label, valid & False)
    (gradient,) = torch.autograd.grad(value, logits)
    assert value.item() == 0
    assert (gradient == 0).all()


@pytest.mark.parametrize(("name", "kind"), [pair for pair in PAIRS if pair[0] not in SORTED])
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


def everywhere(kind, size=3, seed=0):
    logits, label, valid = batch(kind, size, seed)
    return logits, label, torch.ones_like(valid)


def ours(loss, kind, given, **more):
    return build_loss(loss, TASKS[kind], **more)(*given).item()


@pytest.mark.parametrize("kind", sorted(TASKS))
def test_region_losses_are_smp_s_where_all_classes_occur(kind):
    given = everywhere(kind)
    jaccard = JaccardLoss(kind, smooth=0.0)(*given[:2]).item()
    assert ours({"jaccard": 1}, kind, given) == pytest.approx(jaccard, rel=1e-5)
    for alpha, beta in ((0.3, 0.7), (0.7, 0.3)):
        tversky = TverskyLoss(kind, smooth=0.0, alpha=alpha, beta=beta)(*given[:2]).item()
        assert ours({"tversky": {"alpha": alpha, "beta": beta}}, kind, given) == pytest.approx(tversky, rel=1e-5)


def test_smooth_dice_is_that_of_seeds_003_and_004_and_absent_classes_count():
    logits, label, valid = everywhere("multilabel")
    label[0, 1] = 0  # one class of one image is not there
    chance = logits.sigmoid()
    both, either = (chance * label).sum((2, 3)), (chance + label).sum((2, 3))
    wanted = 1 - (2 * both + 1) / (either + 1)
    found = ours({"dice": {"per_image": True, "smooth": 1}}, "multilabel", (logits, label, valid))
    assert found == pytest.approx(wanted.mean().item(), rel=1e-5)
    left_out = ours({"dice": {"per_image": True}}, "multilabel", (logits, label, valid))
    assert left_out == pytest.approx(1 - (2 * both / either)[label.sum((2, 3)) > 0].mean().item(), rel=1e-4)
    logits, label, valid = everywhere("binary")
    chance = logits.sigmoid()[:, 0] if logits.ndim > label.ndim else logits.sigmoid()
    wanted = 1 - (2 * (chance * label).sum() + 1) / (chance.sum() + label.sum() + 1)
    assert ours({"dice": {"smooth": 1}}, "binary", (logits, label, valid)) == pytest.approx(wanted.item(), rel=1e-5)
    overlap = (chance * label).sum()
    tversky = 1 - (overlap + 1) / (overlap + 0.7 * (chance.sum() - overlap) + 0.3 * (label.sum() - overlap) + 1)
    block = {"tversky": {"alpha": 0.7, "beta": 0.3, "smooth": 1}}
    assert ours(block, "binary", (logits, label, valid)) == pytest.approx(tversky.item(), rel=1e-5)


def test_focal_tversky_is_a_power_of_tversky():
    given = everywhere("binary")
    plain = ours({"tversky": 1}, "binary", given)
    assert ours({"focal_tversky": {"gamma": 1.5}}, "binary", given) == pytest.approx(plain ** (1 / 1.5), rel=1e-5)


def test_focal_is_smp_s():
    for kind in ("binary", "multiclass", "multilabel"):
        given = everywhere(kind)
        for gamma in (0.0, 2.0, 3.5):
            if kind == "multiclass":  # theirs is a mean of sigmoid losses, so the formula stands in for it
                p = given[0].softmax(1).gather(1, given[1].unsqueeze(1))
                theirs = (-((1 - p) ** gamma) * p.log()).mean().item()
            else:
                theirs = FocalLoss("binary", gamma=gamma)(given[0], given[1]).item()
            assert ours({"focal": {"gamma": gamma}}, kind, given) == pytest.approx(theirs, rel=1e-4)
    given = everywhere("binary")
    theirs = FocalLoss("binary", gamma=2.0, alpha=0.75)(*given[:2]).item()
    assert ours({"focal": {"alpha": 0.75}}, "binary", given) == pytest.approx(theirs, rel=1e-4)


@pytest.mark.parametrize("per_image", [False, True])
def test_lovasz_losses_are_smp_s(per_image):
    given = everywhere("multiclass")
    theirs = LovaszLoss("multiclass", per_image=per_image)(*given[:2]).item()
    assert ours({"lovasz": {"per_image": per_image}}, "multiclass", given) == pytest.approx(theirs, rel=1e-5)
    given = everywhere("binary")
    theirs = LovaszLoss("binary", per_image=per_image)(*given[:2]).item()
    assert ours({"lovasz_hinge": {"per_image": per_image}}, "binary", given) == pytest.approx(theirs, rel=1e-5)


def test_lovasz_passes_over_pixels_that_do_not_count():
    logits, label, _ = batch("binary", size=1)
    valid = torch.zeros(1, 9, 11, dtype=torch.bool)
    valid[:, :, :6] = True
    for loss in ({"lovasz_hinge": 1}, {"lovasz_hinge": {"elu": True}}, {"lovasz": 1}, {"ohem": 1}):
        cut = logits[..., :6], label[..., :6], valid[..., :6]
        assert ours(loss, "binary", (logits, label, valid)) == pytest.approx(ours(loss, "binary", cut), rel=1e-5)


def test_elu_keeps_a_gradient_where_the_hinge_has_none():
    right = torch.full((1, 1, 2, 2), 3.0, requires_grad=True)
    label, valid = torch.ones(1, 2, 2, dtype=torch.int64), torch.ones(1, 2, 2, dtype=torch.bool)
    assert ours({"lovasz_hinge": 1}, "binary", (right, label, valid)) == 0
    value = build_loss({"lovasz_hinge": {"elu": True}}, TASKS["binary"])(right, label, valid)
    assert value.item() == pytest.approx(functional.elu(torch.tensor(-2.0)).item() + 1, rel=1e-5)
    assert torch.autograd.grad(value, right)[0].abs().sum() > 0


def test_hard_pixels_are_the_share_with_the_highest_cross_entropy():
    logits, label, valid = everywhere("multiclass", seed=3)
    each = functional.cross_entropy(logits, label, reduction="none").flatten().sort(descending=True).values
    count = round(0.3 * each.numel())
    given = (logits, label, valid)
    assert ours({"ohem": {"keep": 0.3}}, "multiclass", given) == pytest.approx(each[:count].mean().item(), rel=1e-5)
    first = int(0.1 * count)
    assert ours({"ohem": {"keep": 0.3, "skip": 0.1}}, "multiclass", given) == pytest.approx(
        each[first:count].mean().item(), rel=1e-5
    )
    unsure = each[each >= -torch.log(torch.tensor(0.4))]
    assert len(unsure) > count
    assert ours({"ohem": {"keep": 0.3, "threshold": 0.4}}, "multiclass", given) == pytest.approx(
        unsure.mean().item(), rel=1e-5
    )


def test_the_boundary_loss_is_the_distance_to_the_outline():
    label = torch.zeros(1, 8, 8, dtype=torch.int64)
    label[:, :, :4] = 1
    logits = torch.full((1, 1, 8, 8), -40.0)
    logits[..., :4] = 40.0
    logits[0, 0, 2, 7] = 40.0  # wrong, 3.5 pixels right of the outline
    value = ours({"boundary": 1}, "binary", (logits, label, torch.ones(1, 8, 8, dtype=torch.bool)))
    assert value == pytest.approx(3.5 / 8 / 64, rel=1e-3)


def test_smoothing_and_class_weights_are_torch_s():
    logits, label, valid = batch("multiclass")
    given = (logits, label, valid)
    hidden = label.masked_fill(~valid, -100)
    weights = [0.5, 2.0, 0.25]
    theirs = functional.cross_entropy(logits, hidden, torch.tensor(weights), label_smoothing=0.1).item()
    settings = {"smoothing": 0.1, "class_weights": weights}
    assert ours({"cross_entropy": settings}, "multiclass", given) == pytest.approx(theirs, rel=1e-5)
    frequency = Frequency(pixels=(900, 90, 10), images=(10, 9, 1), total=1000)
    inverse = torch.tensor([1 / 900, 1 / 90, 1 / 10])
    theirs = functional.cross_entropy(logits, hidden, inverse / inverse.mean()).item()
    found = ours({"cross_entropy": {"class_weights": "inverse"}}, "multiclass", given, frequency=frequency)
    assert found == pytest.approx(theirs, rel=1e-5)
    effective = torch.tensor([0.1 / (1 - 0.9**images) for images in (10, 9, 1)])
    theirs = functional.cross_entropy(logits, hidden, effective / effective.mean()).item()
    found = ours({"cross_entropy": {"class_weights": "effective"}}, "multiclass", given, frequency=frequency)
    assert found == pytest.approx(theirs, rel=1e-5)
    logits, label, valid = everywhere("multilabel")
    frequency = Frequency(pixels=(500, 10), images=(5, 1), total=1000)
    theirs = functional.binary_cross_entropy_with_logits(
        logits, label.float(), pos_weight=torch.tensor([1.0, 50.0])[:, None, None]
    ).item()
    found = ours({"bce": {"class_weights": "inverse"}}, "multilabel", (logits, label, valid), frequency=frequency)
    assert found == pytest.approx(theirs, rel=1e-5)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_gradients_are_those_of_finite_differences(name, kind):
    logits, label, valid = batch(kind, size=2, seed=5)
    logits = logits.detach().double().requires_grad_()
    loss = build_loss({name: 1.0}, TASKS[kind])
    (gradient,) = torch.autograd.grad(loss(logits, label, valid), logits)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        way = torch.randn(logits.shape, generator=generator, dtype=torch.float64)
        step = 1e-6  # small enough that no two errors change places, where the sorted losses have a kink
        ahead, behind = (loss(logits.detach() + sign * step * way, label, valid).item() for sign in (1, -1))
        wanted = (gradient * way).sum().item()
        assert (ahead - behind) / (2 * step) == pytest.approx(wanted, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(("name", "kind"), PAIRS)
def test_one_image_without_a_class_has_a_loss_and_a_gradient_that_are_numbers(name, kind):
    logits, label, valid = batch(kind, size=1, seed=3)
    label = label * 0 if kind != "multiclass" else label.masked_fill(label == 1, 2)
    for scale in (1.0, 60.0):  # and where probabilities are 0 and 1 to the last bit
        value = build_loss({name: 1.0}, TASKS[kind])(logits * scale, label, valid)
        (gradient,) = torch.autograd.grad(value, logits)
        assert value.isfinite()
        assert gradient.isfinite().all()


@pytest.mark.parametrize("per_image", [False, True])
def test_per_image_is_the_mean_over_images(per_image):
    logits, label, valid = batch("binary", size=3)
    whole = ours({"dice": {"per_image": per_image}}, "binary", (logits, label, valid))
    each = [ours({"dice": 1}, "binary", (logits[[n]], label[[n]], valid[[n]])) for n in range(3)]
    assert (whole == pytest.approx(sum(each) / 3, rel=1e-6)) == per_image


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
            "m.loss: unknown loss 'cross_entrpy' (did you mean 'cross_entropy'?); use one of: bce, boundary, "
            "cdb, cross_entropy, dice, focal, focal_tversky, jaccard, kl, lovasz, lovasz_hinge, mask_set, ohem, "
            "tversky",
        ),
        (
            {"dice": 1.0, "bce": 1.0},
            "multiclass",
            "m.loss.bce: loss 'bce' does not fit a multiclass task; use some of: "
            "boundary, cdb, cross_entropy, dice, focal, focal_tversky, jaccard, kl, lovasz, mask_set, ohem, tversky",
        ),
        (
            {"focal": {"gama": 2}},
            "binary",
            "m.loss.focal: unknown key 'gama' (did you mean 'gamma'?); use one of: alpha, gamma, weight",
        ),
        (
            {"cross_entropy": {"class_weights": [1, 2]}},
            "multiclass",
            "m.loss.cross_entropy.class_weights: 2 weights for 3 classes; give one for each of a, b, c",
        ),
        (
            {"dice": {"weight": 0}},
            "binary",
            "m.loss.dice.weight: input should be greater than 0, got 0; see docs/reference",
        ),
        (
            {"cross_entropy": 1.0},
            "binary",
            "m.loss.cross_entropy: loss 'cross_entropy' does not fit a binary task; use some of: "
            "bce, boundary, dice, focal, focal_tversky, jaccard, kl, lovasz, lovasz_hinge, mask_set, ohem, tversky",
        ),
        (
            {"dice": {"classes": ["b", "d"]}},
            "multiclass",
            "m.loss.dice.classes: unknown class 'd'; use one of: a, b, c",
        ),
        (
            {"cdb": {"tau": -1.0}},
            "multiclass",
            "m.loss.cdb.tau: tau is dynamic or from 0 (all alike) to 10, got -1.0; see docs/reference",
        ),
    ],
)
def test_losses_that_contradict_the_task_are_refused(names, kind, said):
    with pytest.raises(InputError) as caught:
        check(names, TASKS[kind], "m.loss")
    assert str(caught.value) == said
