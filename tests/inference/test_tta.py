import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError
from maskwright.core.grid import SYMMETRIES, SYMMETRY, apply_symmetry
from maskwright.inference.tta import apply, symmetries, undo

names = st.sampled_from(SYMMETRIES)


@given(names, st.integers(1, 9), st.integers(1, 9), st.integers(1, 3))
def test_undo_after_apply_gives_every_element_back(name, height, width, planes):
    tensor = torch.arange(2 * planes * height * width).reshape(2, planes, height, width)
    assert torch.equal(undo(apply(tensor, SYMMETRY[name]), SYMMETRY[name]), tensor)


@given(names, st.integers(1, 9), st.integers(1, 9))
def test_tensors_turn_as_arrays_do(name, height, width):
    array = np.arange(3 * height * width).reshape(3, height, width)
    expected = apply_symmetry(array, SYMMETRY[name])
    assert np.array_equal(apply(torch.from_numpy(array), SYMMETRY[name]).numpy(), expected)


@given(names)
def test_a_symmetry_moves_no_batch_and_no_plane(name):
    tensor = torch.arange(4.0).reshape(2, 2, 1, 1).expand(2, 2, 3, 5)
    assert torch.equal(apply(tensor, SYMMETRY[name])[:, :, 0, 0], torch.arange(4.0).reshape(2, 2))


def test_the_identity_comes_first_and_the_rest_as_named():
    assert symmetries(["rot90", "hflip"]) == [SYMMETRY["identity"], SYMMETRY["rot90"], SYMMETRY["hflip"]]


def test_unknown_symmetry_names_the_nearest():
    with pytest.raises(InputError) as caught:
        symmetries(["hflop"])
    assert str(caught.value) == (
        "predict.tta: unknown symmetry 'hflop' (did you mean 'hflip'?); use one of: "
        "antitranspose, hflip, rot180, rot270, rot90, transpose, vflip"
    )
