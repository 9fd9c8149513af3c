"""decision.json files of an older version, as it wrote them: they are read, and answer as they did."""

import json
from pathlib import Path

import numpy as np
import pytest

from maskwright.ensembling.blend import answer, blend, read_decision, write_decision
from maskwright.ensembling.items import final_setting

OLD = Path(__file__).parent / "old"
"""Written on 2026-11-27 by the version of 2026-11-21 (893de69), from simulated members."""
ANSWERED = {"binary": [732, 1188], "multiclass": [337, 688, 496, 399]}
"""Pixels of each class that this version answered on `pattern`."""


def pattern(kind, place):
    """Probabilities of one member, from whole numbers alone, float32 (K, 48, 40)."""
    planes = 4 if kind == "multiclass" else 1
    at = np.arange(planes * 48 * 40, dtype=np.int64).reshape(planes, 48, 40)
    wave = at // 40 // 7 * 37 + at % 40 // 9 * (53 + place) + at * at % (11 + place) * 9 + 100 * (at // 1920)
    return (wave % 256 / np.float32(255)).astype(np.float32)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_an_old_decision_is_read_and_answers_as_it_did(kind, tasks, tmp_path):
    path = OLD / f"{kind}.json"
    plain = json.loads(path.read_text())
    assert not {"per", "factors", "temperature_steps", "priority"} & set(plain)
    old = read_decision(path)
    assert old.shares == plain["shares"]
    assert not old.cleaning.nothing
    assert [choice.what for choice in old.evidence.choices] == [each["what"] for each in plain["evidence"]["choices"]]
    probability = blend({name: pattern(kind, place) for place, name in enumerate(old.shares)}, old)
    label = answer(probability, old, tasks[kind])
    assert np.bincount(label.ravel()).tolist() == ANSWERED[kind]
    write_decision(tmp_path / "decision.json", old)
    again = read_decision(tmp_path / "decision.json")
    assert again == old
    assert final_setting(again) == final_setting(old)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
def test_what_is_new_stands_where_an_old_decision_says_nothing(kind):
    old = read_decision(OLD / f"{kind}.json")
    assert (old.per, old.empty, old.scored) == ("pooled", "skip", ())
    assert (old.temperature_steps, old.factors, old.priority) == ({}, (), ())
