import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

WORDS = st.integers(0, 2**64 - 1).map(np.uint64)
LINES = hnp.arrays(np.uint8, st.integers(72, 200), elements=st.integers(0, 3))
SOURCE = """
def look(data, index, value, out):
    out[0] = load8(data, index)
    out[1] = differs64(data, index, value)
    out[2] = changes64(data, index)
    out[3] = outside64(data, index, 1, value)
    store8(data, index, out[0] + np.uint64(1))

def bits(word):
    return lowest(word), ones(word)
"""


@pytest.fixture(scope="module")
def made():
    """Kernels made from text: they have no file, so that no cache can be kept for them."""
    from numba import types

    from maskwright.core import compiled

    names = {**vars(compiled), "np": np}
    exec(SOURCE, names)
    words = types.Array(types.uint64, 1, "C")
    look = compiled.kernel(types.void(compiled.BYTES_OUT, types.int64, types.uint8, words))(names["look"])
    return look, compiled.kernel(types.UniTuple(types.int64, 2)(types.uint64))(names["bits"])


@given(LINES, st.integers(1, 8), st.integers(1, 3))
def test_wide_loads_and_comparisons_are_those_of_numpy_at_any_address(made, line, index, value):
    out, before = np.zeros(4, np.uint64), line.copy()
    made[0](line, index, value, out)
    assert out[0] == int.from_bytes(before[index : index + 8].tobytes(), "little")
    part = before[index : index + 64]
    for word, expected in (
        (out[1], part != value),
        (out[2], part != before[index - 1 : index + 63]),
        (out[3], (part < 1) | (part > value)),
    ):
        assert [bool(int(word) >> bit & 1) for bit in range(64)] == expected.tolist()
    assert line[index : index + 8].tobytes() == ((int(out[0]) + 1) % 2**64).to_bytes(8, "little")
    assert (np.delete(line, range(index, index + 8)) == np.delete(before, range(index, index + 8))).all()


@given(WORDS)
def test_bits_of_a_word_are_found_and_counted(made, word):
    text = f"{int(word):064b}"
    assert made[1](word) == (len(text) - len(text.rstrip("0")), text.count("1"))
