"""Answers at several sizes: brought back and averaged, or voted on as labels."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from maskwright.core.recipe.predicting import Predict
from maskwright.inference.views import Views


def test_sides_are_scaled_and_given():
    views = Views.of(Predict(scales=(0.5, 1.5), sizes=(64, (32, 48))))
    assert views.shapes((100, 51)) == [(50, 26), (150, 76), (64, 64), (32, 48)]
    assert Views().shapes((100, 51)) == [(100, 51)]


def test_probabilities_come_back_to_the_image_and_are_averaged():
    torch.manual_seed(0)
    image, seen = torch.rand(2, 3, 40, 24), []

    def ask(batch):
        seen.append(tuple(batch.shape[-2:]))
        return batch.mean(1, keepdim=True)

    found = Views((0.5,), ((40, 24), (16, 16))).answer(image, ask)
    parts = [image.mean(1, keepdim=True)]
    for size in ((20, 12), (16, 16)):
        small = functional.interpolate(image, size=size, mode="bilinear", align_corners=False).mean(1, keepdim=True)
        parts.append(functional.interpolate(small, size=(40, 24), mode="bilinear", align_corners=False))
    torch.testing.assert_close(found, sum(parts) / 3)
    assert seen == [(20, 12), (40, 24), (16, 16)]
    assert torch.equal(Views().answer(image, ask), image.mean(1, keepdim=True))


@pytest.mark.parametrize("votes", [1.0, 2.0, 1.5])
def test_labels_are_resized_as_numbers_by_opencv_and_must_add_up_to_the_votes(votes):
    """SEEDS 000.6: labels at each ratio, resized as floats, summed, set where the sum reaches the threshold."""
    import cv2

    rng = np.random.default_rng(3)
    image = cv2.GaussianBlur(rng.random((48, 48)).astype(np.float32), (0, 0), 3)
    image = (image - image.min()) / (image.max() - image.min())
    ratios = (0.5, 1.0, 2.0)
    total = np.zeros_like(image)
    for ratio in ratios:
        side = round(48 * ratio)
        label = (cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR) > 0.5).astype(np.float32)
        total += cv2.resize(label, (48, 48), interpolation=cv2.INTER_LINEAR)
    found = Views(ratios, (), votes).answer(torch.from_numpy(image)[None, None], lambda batch: batch)[0, 0].numpy()
    clear = np.abs(total - votes) > 1e-3  # where rounding of either resize cannot matter
    np.testing.assert_array_equal(found[clear], (total >= votes)[clear])
    assert set(np.unique(found)) == {0.0, 1.0}
    assert (found[total >= votes] == 1).all()


@pytest.mark.parametrize(("share", "need"), [(1.0, 5), (0.6, 3), (0.61, 4), (0.2, 1)])
def test_snapshots_vote_with_labels_of_their_own_means(share, need, tasks, make_model):
    """SEEDS 002.7: each snapshot above one half after its symmetries are averaged, then so many of five."""
    from maskwright.inference.forward import Forward, Machine

    models = [make_model(seed=seed) for seed in range(5)]
    images = np.random.default_rng(1).normal(size=(2, 3, 12, 10)).astype(np.float32)
    votes = sum(Forward([model], tasks["binary"], ("hflip",), Machine("cpu"))(images) > 0.5 for model in models)
    found = Forward(models, tasks["binary"], ("hflip",), Machine("cpu"), Views(models=share))(images)
    np.testing.assert_array_equal(found, votes >= need)


def test_votes_need_several_answers():
    with pytest.raises(ValueError, match="votes are of several scales or sizes; give some, or leave votes out"):
        Predict(votes=1)
