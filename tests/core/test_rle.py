import itertools
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco

from maskwright.core import rle
from maskwright.core.errors import InputError

ORDERS = ("row", "column")
BASES = (0, 1)
DIALECTS = list(itertools.product(ORDERS, BASES))
SPACE = " \t\n\r\v\f"


@st.composite
def masks(draw, largest=140):
    """Masks of any density and width, so that vector bodies, tails and wrapped lines all occur."""
    height, width = draw(st.integers(1, largest)), draw(st.integers(1, largest))
    seed, density = draw(st.integers(0, 2**32 - 1)), draw(st.sampled_from([0, 0.01, 0.3, 0.5, 0.97, 1]))
    mask = np.random.default_rng(seed).random((height, width)) < density
    return draw(st.sampled_from([mask, mask.astype(np.uint8), mask.astype(np.uint8) * 255]))


def plain_runs(mask, order):
    flat = (mask != 0).ravel("C" if order == "row" else "F").astype(np.int8)
    edges = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    return edges[::2], edges[1::2] - edges[::2]


def blobs(shape, seed):
    """Smooth random shapes: noise averaged in boxes, three times."""
    field = np.random.default_rng(seed).standard_normal(shape)
    for _ in range(3):
        for axis in (0, 1):
            field = sum(np.roll(field, step, axis) for step in range(-4, 5))
    return (field > field.mean()).astype(np.uint8)


@given(masks(), st.sampled_from(DIALECTS))
def test_encode_writes_the_runs_of_a_plain_loop(mask, dialect):
    order, base = dialect
    starts, lengths = plain_runs(mask, order)
    expected = " ".join(f"{start + base} {length}" for start, length in zip(starts, lengths, strict=True))
    assert rle.encode(mask, order, base) == expected


@given(masks(), st.sampled_from(DIALECTS))
def test_decode_undoes_encode(mask, dialect):
    order, base = dialect
    back = rle.decode(rle.encode(mask, order, base, "-1"), mask.shape, order, base)
    assert back.dtype == np.uint8
    np.testing.assert_array_equal(back, mask != 0)


@given(masks(), st.sampled_from(ORDERS))
def test_runs_and_paint_are_inverse(mask, order):
    starts, lengths = rle.runs(mask, order)
    expected = plain_runs(mask, order)
    np.testing.assert_array_equal(starts, expected[0])
    np.testing.assert_array_equal(lengths, expected[1])
    np.testing.assert_array_equal(rle.paint(starts, lengths, mask.shape, order), mask != 0)


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning")
@given(masks(largest=80))
def test_column_order_agrees_with_pycocotools(mask):
    shape = list(mask.shape)
    starts, lengths = rle.runs(mask, "column")
    ends = np.concatenate([[0], starts + lengths])
    counts = [*np.stack([starts - ends[:-1], lengths], 1).ravel().tolist(), mask.size - int(ends[-1])]
    ours = coco.frPyObjects({"size": shape, "counts": counts}, *shape)
    theirs = coco.encode(np.asfortranarray(mask != 0).astype(np.uint8))
    np.testing.assert_array_equal(coco.decode(ours), coco.decode(theirs))
    assert coco.area(ours) == lengths.sum() == coco.area(theirs)
    text = rle.encode(coco.decode(theirs), "column")
    np.testing.assert_array_equal(rle.decode(text, mask.shape, "column", 1), coco.decode(theirs))


@given(masks(largest=40), st.sampled_from(DIALECTS), st.randoms(use_true_random=False))
def test_decode_takes_runs_in_any_order_split_and_with_any_white_space(mask, dialect, chance):
    order, base = dialect
    pieces = []
    for start, length in zip(*(values.tolist() for values in rle.runs(mask, order)), strict=True):
        cut = chance.randrange(length + 1)
        pieces += [(start, cut), (start + cut, length - cut)]
    pieces = [(start, length) for start, length in pieces if length]
    chance.shuffle(pieces)

    def gap():
        return "".join(chance.choice(SPACE) for _ in range(chance.randint(1, 3)))

    text = gap() + "".join(f"{start + base:05}{gap()}{length}{gap()}" for start, length in pieces)
    np.testing.assert_array_equal(rle.decode(text, mask.shape, order, base), mask != 0)


@given(st.lists(st.integers(0, 2**63), min_size=2, max_size=8).filter(lambda values: len(values) % 2 == 0))
def test_numbers_of_any_length_are_read_exactly_or_refused(numbers):
    pixels = 200
    pairs = list(zip(numbers[::2], numbers[1::2], strict=True))
    covered = [pixel for start, length in pairs if start + length <= pixels for pixel in range(start, start + length)]
    fits = all(start + length <= pixels and length for start, length in pairs) and len(set(covered)) == len(covered)
    text = " ".join(map(str, numbers))
    if fits:
        assert rle.decode(text, (10, 20), "row", 0).ravel().nonzero()[0].tolist() == sorted(covered)
    else:
        with pytest.raises(InputError):
            rle.decode(text, (10, 20), "row", 0)


def refusal(text, order, base):
    try:
        mask = rle.decode(text, (7, 9), order, base, where="labels.csv:3")
    except InputError as error:
        return str(error)
    assert mask.shape == (7, 9)
    assert set(np.unique(mask)) <= {0, 1}
    return None


@given(st.text(max_size=60) | st.text(alphabet="0123456789 -+.\t", max_size=60), st.sampled_from(DIALECTS))
def test_hostile_text_is_refused_in_one_plain_line_or_decodes_inside_the_mask(text, dialect):
    said = refusal(text, *dialect)
    assert said is None or (said.startswith("labels.csv:3: ") and said.isascii() and said.isprintable())


WORD = "not a whole number from 0; write starts and lengths as digits between spaces"
PAST = "check order and base, and the size of the image"
REFUSALS = [
    ("7", 1, "run lengths hold an odd count of numbers (1); write a start and a length for every run"),
    ("1 2 3", 1, "run lengths hold an odd count of numbers (3); write a start and a length for every run"),
    ("1 two", 1, f"number 2 of the run lengths is 'two', {WORD}"),
    ("1 2.0", 1, f"number 2 of the run lengths is '2.0', {WORD}"),
    ("1 -2", 1, f"number 2 of the run lengths is '-2', {WORD}"),
    ("1,2", 1, f"number 1 of the run lengths is '1,2', {WORD}"),
    ("3 \u0664", 1, f"number 2 of the run lengths is '\\u0664', {WORD}"),
    ("x" * 99, 1, f"number 1 of the run lengths is 'xxxxxxxxxxxxxxxxx...', {WORD}"),
    ("0 3", 1, "run 1 (0 3) starts before the first pixel, which is 1; set base: 0 if the first pixel is 0"),
    ("1 2 5 0", 1, "run 2 (5 0) has no length; leave it out, or write its length"),
    ("1 2 19 3", 1, f"run 2 (19 3) ends past the last of the 4 x 5 = 20 pixels; {PAST}"),
    ("20 1", 0, "run 1 (20 1) ends past the last of the 4 x 5 = 20 pixels; set base: 1 if the first pixel is 1"),
    (f"1 {10**30}", 1, f"run 1 (1 a huge number) ends past the last of the 4 x 5 = 20 pixels; {PAST}"),
    (f"{2**64 + 1} 1", 1, f"run 1 (a huge number 1) ends past the last of the 4 x 5 = 20 pixels; {PAST}"),
    ("1 3 3 2", 1, "run 1 3 overlaps run 3 2; name each pixel once; objects that overlap need a row each"),
    ("9 2 1 9", 1, "run 1 9 overlaps run 9 2; name each pixel once; objects that overlap need a row each"),
    (
        "1 1 " * 21,
        1,
        "there are more runs than the 4 x 5 = 20 pixels of the mask; check that this row belongs to this image",
    ),
    ("none", 1, f"number 1 of the run lengths is 'none', {WORD}"),
]


@pytest.mark.parametrize(("text", "base", "message"), REFUSALS)
@pytest.mark.parametrize("order", ORDERS)
def test_refusal_says_what_is_wrong_and_what_to_do(text, base, message, order):
    with pytest.raises(InputError) as caught:
        rle.decode(text, (4, 5), order, base, where="labels.csv:12")
    assert str(caught.value) == f"labels.csv:12: {message}"


def test_a_text_without_numbers_is_refused_unless_it_is_declared_empty():
    with pytest.raises(InputError) as caught:
        rle.decode(" ", (4, 5), "row", 1, empty=("-1",))
    assert str(caught.value) == "'' holds no run lengths; add it to empty if it means no pixels"
    for text in ("", "  ", "-1", " -1\n"):
        assert not rle.decode(text, (4, 5), "row", 1).any()
    assert not rle.decode("nothing", (4, 5), "row", 1, empty=("nothing",)).any()


@pytest.mark.parametrize("order", ORDERS)
def test_mask_without_foreground_is_the_empty_token(order):
    assert rle.encode(np.zeros((3, 4), bool), order, empty="-1") == "-1"
    assert rle.encode(np.zeros((0, 4), bool), order, empty="-1") == "-1"


@pytest.mark.parametrize("order", ORDERS)
def test_a_million_runs_are_read_and_written(order):
    mask = np.zeros((1000, 2000), np.uint8)
    mask.ravel("C")[::2] = 1
    flat = np.zeros(mask.size, np.uint8)
    flat[::2] = 1
    mask = flat.reshape(1000, 2000) if order == "row" else flat.reshape(2000, 1000).T
    text = rle.encode(mask, order)
    assert text.count(" ") == 2 * 10**6 - 1
    np.testing.assert_array_equal(rle.decode(text, mask.shape, order, 1), mask)


def test_the_two_orders_and_bases_by_hand():
    mask = np.array([[0, 1, 1], [0, 1, 0]], np.uint8)
    assert rle.encode(mask, "row", 1) == "2 2 5 1"
    assert rle.encode(mask, "row", 0) == "1 2 4 1"
    assert rle.encode(mask, "column", 1) == "3 3"
    assert rle.encode(mask, "column", 0) == "2 3"


def test_strided_and_read_only_masks_encode_alike():
    wide = blobs((50, 300), 1)
    part = wide[3:40:2, 7:250:3]
    frozen = np.ascontiguousarray(part)
    frozen.flags.writeable = False
    for order in ORDERS:
        assert rle.encode(part, order) == rle.encode(frozen, order) == rle.encode(part.astype(bool), order)


@given(st.integers(0, 5), st.sampled_from(DIALECTS))
def test_join_is_the_union_of_its_objects(count, dialect):
    order, base = dialect
    objects = [blobs((40, 31), seed) for seed in range(count)]
    union = np.any(objects, axis=0) if objects else np.zeros((40, 31), bool)
    texts = [rle.encode(mask, order, base) for mask in objects] + ["", "-1"]
    np.testing.assert_array_equal(rle.join(texts, (40, 31), order, base), union)


def test_join_names_the_row_that_is_wrong():
    with pytest.raises(InputError) as caught:
        rle.join(["1 2", "1 x"], (4, 5), "row", 1, where=["a.csv:2", "a.csv:3"])
    assert str(caught.value) == f"a.csv:3: number 2 of the run lengths is 'x', {WORD}"


def test_parse_gives_sorted_runs_from_zero():
    starts, lengths = rle.parse("9 2\t1 3", (4, 5), 1)
    assert (starts.tolist(), lengths.tolist()) == ([0, 8], [3, 2])


ENDS = st.sampled_from([-(2**63), 2**63 - 1, 2**62])


@given(
    st.lists(st.integers(-5, 30) | ENDS, min_size=3, max_size=3),
    st.lists(st.integers(-3, 9) | ENDS, min_size=3, max_size=3),
)
def test_paint_checks_runs_that_come_as_numbers(starts, lengths):
    inside = all(n > 0 and start >= 0 and start + n <= 20 for start, n in zip(starts, lengths, strict=True))
    pixels = [p for s, n in zip(starts, lengths, strict=True) for p in range(s, s + n)] if inside else []
    if inside and len(set(pixels)) == len(pixels):
        painted = rle.paint(np.array(starts), np.array(lengths), (4, 5))
        assert painted.ravel().nonzero()[0].tolist() == sorted(pixels)
    else:
        with pytest.raises(InputError):
            rle.paint(np.array(starts), np.array(lengths), (4, 5))


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shape", [(40, 60), (61, 40)])
def test_order_is_guessed_from_oblong_masks(order, shape):
    drawn = [blobs(shape, seed) for seed in range(4)]
    guess = rle.guess_order([rle.encode(mask, order) for mask in drawn], [shape] * 4)
    assert guess.order == order
    assert guess.confidence > rle.SURE
    assert guess.reason.startswith(f"outlines of 4 masks that are not square are shorter in {order} order, ")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("bands", [None, 3])
def test_order_of_square_masks_is_guessed_from_their_images(order, bands):
    drawn = [blobs((48, 48), seed) for seed in range(5)]
    noise = np.random.default_rng(0).normal(0, 6, (5, 48, 48))
    images = [
        np.clip(60 + 30 * mask + grain, 0, 255).astype(np.uint8) for mask, grain in zip(drawn, noise, strict=True)
    ]
    if bands:
        images = [np.stack([image] * bands, axis=-1) for image in images]
    texts = [rle.encode(mask, order) for mask in drawn]
    guess = rle.guess_order(texts, [(48, 48)] * 5, image=images.__getitem__)
    assert guess.order == order
    assert guess.confidence > rle.SURE
    assert guess.reason.startswith(f"outlines of 5 masks lie on stronger image edges in {order} order, ")


def test_nearly_square_masks_fall_back_on_images_when_shape_tells_little():
    mask = np.zeros((20, 21), np.uint8)
    mask[4:9, 3:15] = 1
    image = 40.0 * mask + np.random.default_rng(1).random(mask.shape)
    for order in ORDERS:
        assert rle.guess_order([rle.encode(mask, order)], [mask.shape], image=lambda index: image).order == order


def test_square_masks_alone_cannot_tell_the_order():
    texts = [rle.encode(blobs((32, 32), 3))]
    guess = rle.guess_order(texts, [(32, 32)])
    reason = "nothing tells: the masks are as smooth and fit images as well in either order"
    assert guess == ("column", 0.0, reason)


def test_guess_passes_over_rows_that_are_empty_or_damaged():
    good = blobs((30, 50), 2)
    texts = ["", "1 x", "-1", "9999999 3", rle.encode(good, "column")]
    assert rle.guess_order(texts, [(30, 50)] * 5).order == "column"
    flat = np.zeros((8, 8), np.uint8)
    assert rle.guess_order(["", "oops"], [(8, 8)] * 2, image=lambda index: flat).confidence == 0


def test_importing_rle_does_not_import_numba():
    code = "import sys, maskwright.core.rle; sys.exit('numba' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
