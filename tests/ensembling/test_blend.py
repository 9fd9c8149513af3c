from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from maskwright.core.errors import InputError
from maskwright.ensembling.blend import Decision, answer, blend, read_decision, write_decision
from maskwright.ensembling.evidence import Evidence
from maskwright.ensembling.settle import Setting, count_setting
from maskwright.inference.store import dequantise, quantise
from maskwright.scoring.counts import Counts, count


def decision(shares, edges=(128,), rule="global"):
    nothing = Evidence(honest=0.5, optimistic=None, default=0.4, items=0, pixels=0)
    return Decision(
        metric="iou", rule=rule, shares=shares, edges=edges, kept_weights=True, kept_thresholds=True, evidence=nothing
    )


def test_the_mean_is_weighted_and_members_without_a_share_may_be_missing():
    made = decision({"a": 3, "b": 1, "c": 0})
    parts = {"a": np.full((1, 2, 2), 0.2, np.float32), "b": np.full((1, 2, 2), 0.6, np.float32)}
    np.testing.assert_allclose(blend(parts, made), 0.3, atol=1e-5)
    assert made.weights == {"a": 0.75, "b": 0.25, "c": 0.0}
    assert made.needed == ("a", "b")


def test_a_missing_member_is_named():
    with pytest.raises(InputError) as caught:
        blend({"a": np.zeros((1, 2, 2), np.float32)}, decision({"a": 1, "b": 1}))
    assert str(caught.value) == "no probabilities of member 'b'; run maskwright predict"


def test_a_mean_that_meets_the_threshold_exactly_is_accepted():
    # 127/255 and 128/255 average to one half, which float sums may miss on either side
    for low in range(1, 127):
        parts = {"a": quantise(np.full((1, 1, 1), low / 255, np.float32)) / np.float32(255)}
        parts["b"] = np.full((1, 1, 1), (255 - low) / 255, np.float32)
        assert answer(blend(parts, decision({"a": 1, "b": 1})), decision({"a": 1, "b": 1}), _binary()) == 1


def _binary():
    from maskwright.core.labels import Task

    return Task(kind="binary", classes=("roof",))


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel"])
@pytest.mark.parametrize("shares", [(1, 1, 1), (7, 2, 1), (0, 1, 0), (40, 31, 29)])
@pytest.mark.parametrize("bits", [(8,), (16,), (8, 16)])
def test_what_is_answered_is_what_was_counted_pixel_for_pixel(kind, shares, bits, simulate):
    scene = simulate(kind, noises=(1.0, 1.2, 0.8), items=4, bits=bits, shape=(30, 31))
    planes = scene.task.planes
    for edge in (128, 100) if kind != "multiclass" else (0,):
        edges = () if kind == "multiclass" else (edge,) * planes
        made = decision(dict(zip(scene.stores, shares, strict=True)), edges, "argmax" if not edges else "per_class")
        for item in map(scene.oof.read, scene.oof.entries):
            parts = {name: dequantise(*store.read_item(item.entry.key)[::2]) for name, store in scene.stores.items()}
            said = answer(blend(parts, made), made, scene.task)
            assert said.dtype == np.uint8
            counted = count(item.label, said, item.valid, scene.task)
            assert Counts(*count_setting(item, Setting(shares, edges), scene.task)) == counted
            # each pixel alone, so that no two mistakes can cancel
            corner = replace(item, valid=np.zeros_like(item.valid))
            for row, col in np.random.default_rng(0).integers(0, 30, (20, 2)):
                corner.valid[:], corner.valid[row, col] = False, True
                one = Counts(*count_setting(corner, Setting(shares, edges), scene.task))
                assert one == count(item.label, said, corner.valid, scene.task)


def test_thresholds_are_what_the_edges_stand_for():
    made = decision({"a": 1}, (128, 64), "per_class")
    assert made.thresholds == (0.5, 127 / 510)
    assert made.to_plain()["thresholds"] == [0.5, 127 / 510]


def test_a_decision_survives_its_file(tmp_path):
    made = decision({"b": 2, "a": 1})
    write_decision(tmp_path / "decision.json", made)
    again = read_decision(tmp_path / "decision.json")
    assert again == made
    assert list(again.shares) == ["b", "a"]


def test_a_damaged_decision_is_refused(tmp_path):
    (tmp_path / "decision.json").write_text('{"metric": "iou"}')
    with pytest.raises(InputError) as caught:
        read_decision(tmp_path / "decision.json")
    assert str(caught.value) == (f"{tmp_path}/decision.json: not a decision of this version; run maskwright decide")


@pytest.mark.parametrize(
    ("shares", "edges", "rule"),
    [({"a": 0}, (128,), "global"), ({"a": 101}, (128,), "global"), ({"a": 1}, (), "global"), ({"a": 1}, (0,), "fixed")],
)
def test_shares_and_edges_must_make_sense(shares, edges, rule):
    with pytest.raises(ValidationError):
        decision(shares, edges, rule)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("steps", [{}, {"a": 4}])
def test_stored_numbers_blend_to_the_bit_as_what_is_read_from_them(bits, steps):
    rng = np.random.default_rng(bits)
    stored = {name: quantise(rng.random((3, 300, 211)).astype(np.float32), bits) for name in ("a", "b")}
    read = {name: dequantise(values, 255 if bits == 8 else 65535) for name, values in stored.items()}
    made = decision({"a": 2, "b": 5}).model_copy(update={"temperature_steps": steps})
    np.testing.assert_array_equal(blend(stored, made), blend(read, made))
