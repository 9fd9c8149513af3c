import numpy as np
import pytest
import torch

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Predict
from maskwright.inference.forward import CPU_PIXELS, Forward, Machine
from maskwright.inference.predict import predict_image

CPU = Machine("cpu")


def images(count=2, height=9, width=14, seed=0):
    return np.random.default_rng(seed).normal(size=(count, 3, height, width)).astype(np.float32)


def direct(model, batch, task):
    with torch.no_grad():
        logits = model(torch.from_numpy(np.ascontiguousarray(batch)))
    return (logits.softmax(1) if task.kind == "multiclass" else logits.sigmoid()).numpy()


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
def test_the_task_chooses_between_sigmoid_and_softmax(kind, tasks, make_model):
    task = tasks[kind]
    model = make_model(task.planes)
    answer = Forward([model], task, (), CPU)(images())
    np.testing.assert_allclose(answer, direct(model, images(), task), atol=1e-6)
    assert answer.dtype == np.float32
    if kind == "multiclass":
        np.testing.assert_allclose(answer.sum(1), 1, atol=1e-6)


def test_probabilities_of_models_are_averaged_and_not_logits(tasks, make_model):
    models = [make_model(seed=seed) for seed in range(3)]
    answer = Forward(models, tasks["binary"], (), CPU)(images())
    parts = [direct(model, images(), tasks["binary"]) for model in models]
    np.testing.assert_allclose(answer, np.mean(parts, axis=0), atol=1e-6)
    logits = [np.log(part / (1 - part)) for part in parts]
    assert np.abs(answer - 1 / (1 + np.exp(-np.mean(logits, axis=0)))).max() > 1e-3


def test_symmetries_are_undone_before_they_are_averaged(tasks, make_model):
    model, batch = make_model(), images()
    answer = Forward([model], tasks["binary"], ("hflip", "rot90"), CPU)(batch)
    parts = [
        direct(model, batch, tasks["binary"]),
        direct(model, batch[..., ::-1], tasks["binary"])[..., ::-1],
        np.rot90(direct(model, np.rot90(batch, axes=(2, 3)), tasks["binary"]), -1, axes=(2, 3)),
    ]
    np.testing.assert_allclose(answer, np.mean(parts, axis=0), atol=1e-6)


def test_all_eight_symmetries_make_the_answer_turn_with_the_image(tasks, make_model):
    forward = Forward([make_model()], tasks["binary"], Predict(tta="d4").tta, CPU)
    batch = images()
    turned = np.ascontiguousarray(np.rot90(batch, axes=(2, 3)))
    np.testing.assert_allclose(forward(turned), np.rot90(forward(batch), axes=(2, 3)), atol=1e-6)


def test_models_leave_training_mode(tasks, make_model):
    model = make_model()
    model.train()
    Forward([model], tasks["binary"], (), CPU)
    assert not model.training


def test_an_answer_that_is_no_number_is_refused_by_item(tasks, make_model):
    batch = images()
    batch[1, 0, 3, 3] = np.nan
    with pytest.raises(InputError) as caught:
        Forward([make_model()], tasks["binary"], (), CPU)(batch, ["good", "sub/bad"])
    assert str(caught.value) == (
        "sub/bad: the model answered with values that are not numbers; "
        "look for nan in the image, or train again with a lower optimizer.lr"
    )


def test_half_precision_is_for_the_network_alone(tasks, make_model):
    exact = Forward([make_model()], tasks["binary"], (), CPU)(images())
    rough = Forward([make_model()], tasks["binary"], (), Machine("cpu", "bf16"))(images())
    assert rough.dtype == np.float32
    assert 0 < np.abs(exact - rough).max() < 0.1


def test_a_pass_on_a_cpu_holds_a_bounded_number_of_pixels(tasks, make_model):
    forward = Forward([make_model()], tasks["binary"], (), CPU)
    assert forward.batch_size((256, 256), 8) == CPU_PIXELS // 256**2
    assert forward.batch_size((16, 16), 8) == 8
    assert forward.batch_size((4000, 4000), 8) == 1


def test_a_whole_image_is_predicted_at_its_own_size_whatever_the_stride(tasks, make_model):
    model = make_model(stride=8)
    image = images(1, 13, 21)
    answer = predict_image([model], image[0], Predict(), tasks["binary"], "cpu")
    assert answer.shape == (1, 13, 21)
    np.testing.assert_allclose(answer, direct(model, image, tasks["binary"])[0], atol=1e-6)


@pytest.mark.parametrize("seam", ["constant", "hann", "gaussian"])
@pytest.mark.parametrize(("height", "width"), [(40, 52), (40, 7), (5, 40), (3, 2), (1, 1), (16, 16)])
def test_windows_give_every_size_back(seam, height, width, tasks, make_model):
    answer = predict_image(
        [make_model(2)], images(1, height, width)[0], Predict(window=16, seam=seam), tasks["multilabel"], "cpu"
    )
    assert answer.shape == (2, height, width)
    assert answer.min() >= 0
    assert answer.max() <= 1


def test_far_from_seams_windows_agree_with_the_whole_image(tasks, make_model):
    image, model = images(1, 48, 64)[0], make_model()
    whole = predict_image([model], image, Predict(), tasks["binary"], "cpu")
    tiled = predict_image([model], image, Predict(window=(32, 24), seam="hann"), tasks["binary"], "cpu")
    # the network sees 2 pixels around; hann gives the rim of a window next to no weight
    assert np.abs(whole - tiled)[:, 4:-4, 4:-4].mean() < 0.01
    np.testing.assert_allclose(whole[:, 0, 0], tiled[:, 0, 0], atol=1e-6)


def test_a_small_image_is_mirrored_to_the_window_and_cropped_exactly(tasks, make_model):
    image, model = images(1, 10, 12)[0], make_model()
    answer = predict_image([model], image, Predict(window=32), tasks["binary"], "cpu")
    mirrored = np.pad(image, ((0, 0), (0, 22), (0, 20)), mode="reflect")
    expected = direct(model, mirrored[None], tasks["binary"])[0][:, :10, :12]
    np.testing.assert_allclose(answer, expected, atol=1e-6)


def test_batch_size_changes_nothing_that_can_be_seen(tasks, make_model):
    image, model = images(1, 40, 40)[0], make_model()
    answers = [
        predict_image([model], image, Predict(window=16, batch_size=size), tasks["binary"], "cpu") for size in (1, 5)
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-6)
