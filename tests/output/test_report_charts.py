"""Charts and numbers: round ticks, honest rounding, nothing drawn off the paper."""

import math
import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.output.report.charts import Axes, Line, Mark, histogram, ladder, line_chart, short, ticks
from maskwright.output.report.forest import Gap, forest
from maskwright.output.report.heat import brief, confusion, correlations
from maskwright.output.report.markup import count, score, share, signed, text

NUMBERS = st.floats(-1e6, 1e6, allow_nan=False)
AXES = Axes("title", "epoch", "loss")


@given(NUMBERS, st.floats(1e-6, 1e6))
def test_ticks_are_few_rising_and_inside(low, span):
    found = ticks(low, low + span)
    assert len(found) <= 8
    assert found == sorted(found)
    assert all(low - span * 1e-6 - 1e-9 <= tick <= low + span * (1 + 1e-6) + 1e-9 for tick in found)


def test_ticks_are_round():
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(1, 3, whole=True) == [1, 2, 3]
    assert ticks(0.8, 0.83, 4) == [0.8, 0.81, 0.82, 0.83]


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=30), st.booleans())
def test_lines_stay_on_the_paper(points, log):
    xs, ys = [x for x, _ in points], [y for _, y in points]
    drawn = line_chart([Line("a", xs, ys)], Axes("t", "x", "y", log_y=log))
    for place in re.findall(r'points="([^"]*)"', drawn):
        for pair in place.split():
            x, y = (float(number) for number in pair.split(","))
            assert 0 <= x <= AXES.width
            assert 0 <= y <= AXES.height
    assert ("<svg" in drawn) == any(y > 1e-30 or not log for y in ys)


def test_numbers_too_small_to_tell_apart_are_drawn_as_one():
    for values in ([5e-324, 0.0], [2e-309, 2e-309], [1.0, 1.0 + 1e-15], [0.0, 0.0]):
        assert "<svg" in line_chart([Line("a", values, values)], AXES)


def test_numbers_that_are_not_finite_are_left_out_of_a_line():
    drawn = line_chart([Line("a", [1, 2, 3], [0.5, math.nan, math.inf])], AXES)
    assert len(re.search(r'points="([^"]*)"', drawn)[1].split()) == 1
    assert "nothing was recorded" in line_chart([Line("a", [1], [math.nan])], AXES)


def test_names_in_charts_are_escaped():
    hostile = '<b>&"'
    every = [
        line_chart([Line(hostile, [1, 2], [1, 2])], Axes(hostile, hostile, hostile), [Mark(1, hostile)]),
        ladder([(hostile, 0.5, "honest")], hostile),
        *confusion(np.eye(2, dtype=np.int64), [hostile, "b"]).values(),
        correlations([hostile, "b"], np.full((2, 2), 0.5)),
        forest([Gap(hostile, 0.1, 0.0, 0.2, 0.3)], hostile, hostile),
        histogram([0.5], Axes(hostile, hostile, hostile)),
    ]
    assert all("<b>" not in drawn for drawn in every)


def test_a_histogram_counts_every_finite_value_once():
    drawn = histogram([0.0, 0.05, 0.5, 1.0, math.nan], AXES)
    counts = [int(number) for number in re.findall(r"<title>[\d.]+ to [\d.]+: (\d+)</title>", drawn)]
    assert (len(counts), sum(counts)) == (20, 4)
    assert "median 0.275" in drawn


def test_a_histogram_of_high_scores_begins_where_they_begin():
    assert "<title>0.80 to 0.81: 0</title>" in histogram([0.83, 0.99], AXES)


def test_confusion_cells_are_shares_of_the_truth_of_the_answer_and_pixels():
    drawn = confusion(np.array([[3, 1], [0, 4]]), ["a", "b"])
    assert "<title>a called b: 25.0 % of a, 1 pixels</title>" in drawn["truth"]
    assert "<title>a called b: 20.0 % of what is called b, 1 pixels</title>" in drawn["answer"]
    assert "<title>b called b: 4 pixels</title>" in drawn["pixels"]
    assert "nan" not in confusion(np.zeros((2, 2), np.int64), ["a", "b"])["answer"]


@pytest.mark.parametrize(
    ("value", "shown"), [(0, ""), (950, "950"), (9_460, "9.5k"), (94_600, "95k"), (3_000_000, "3.0M")]
)
def test_counts_in_cells_are_brief(value, shown):
    assert brief(value) == shown


def test_correlations_leave_out_what_is_not_known():
    drawn = correlations(["a", "b"], np.array([[math.nan, 0.5], [0.5, math.nan]]))
    assert drawn.count("errors correlate by 0.500") == 2
    assert "nan" not in drawn


def test_a_forest_says_value_interval_and_the_optimistic_view():
    drawn = forest([Gap("thresholds", 0.01, -0.002, 0.03, 0.05, firm=False), Gap("none", math.nan)], "t", "IoU")
    assert "<title>thresholds: +0.0100, interval −0.0020 to +0.0300, optimistic +0.0500</title>" in drawn
    assert 'class="gap chance"' in drawn
    assert "none" not in drawn
    assert "nothing was recorded" in forest([], "t", "IoU")


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.5, "50.0 %"), (0.00123, "0.12 %"), (0.0000012, "0.00012 %"), (0.0, "0.0 %"), (math.nan, "–"), (1.0, "100.0 %")],
)
def test_shares_keep_two_digits_when_small(value, shown):
    assert share(value) == shown


def test_scores_and_differences_read_well():
    assert (score(0.81237), score(None), score(math.nan)) == ("0.8124", "–", "–")
    assert (signed(0.01), signed(-0.01), signed(0.00001), signed(-0.00001)) == (
        "+0.0100",
        "−0.0100",
        "±0.0000",
        "±0.0000",
    )
    assert (count(1234567), short(0), short(-0.5), short(1e-7)) == ("1\u202f234\u202f567", "0", "−0.5", "1e−7")


@given(st.text())
def test_escaped_text_holds_no_markup_and_is_always_utf8(raw):
    shown = text(raw)
    assert not set(shown) & set("<>\"'\0")
    shown.encode()
