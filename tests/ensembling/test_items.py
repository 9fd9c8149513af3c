import numpy as np
import pytest

from maskwright.core.errors import InputError, Interrupted
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.core.stop import Stop
from maskwright.ensembling.decide import decide
from maskwright.ensembling.items import ItemRow, read_items, score_items, score_set, write_items
from maskwright.ensembling.oof import held_out
from maskwright.scoring.counts import Counts
from maskwright.scoring.scores import score


@pytest.fixture(params=["binary", "multiclass", "multilabel"])
def scene(request, simulate):
    return simulate(request.param, noises=(0.8, 1.2), biases=[-0.5, 0.1], valid=0.9)


def decided(scene):
    return decide(scene.oof, scene.task, Block(), Silent()).decision


def moved(scene, split):
    """The same items, as if all folds had predicted them."""
    for store in scene.stores.values():
        store.items = {
            key: (*rest, {**facts, "split": split, "folds": [0, 1, 2]}) for key, (*rest, facts) in store.items.items()
        }
    return scene


def test_rows_add_up_to_the_optimistic_score(scene):
    decision = decided(scene)
    rows = score_items(scene.oof, decision, scene.task, Silent())
    assert [row.key for row in rows] == sorted(scene.labels)
    assert {row.split for row in rows} == {"oof"}
    assert [row.fold for row in rows] == [row.fold for row in scene.rows]
    parts = [np.sum([getattr(row, name) for row in rows], axis=0) for name in ("tp", "fp", "fn")]
    total = Counts(*parts, np.zeros_like(parts[0]))
    assert score(total, "iou") == pytest.approx(decision.evidence.optimistic, abs=1e-12)


def test_held_out_items_are_scored_by_the_decision_and_by_each_member_alone(scene):
    decision, evidence = decided(scene), decided(scene).evidence
    held = held_out(tuple(scene.labels), moved(scene, "holdout").stores, scene.truth, "holdout", scene.task)
    found, rows = score_set(held, decision, Silent())
    # the held-out items are the out-of-fold ones here, so the scores must be those of the evidence
    assert found.decided == pytest.approx(evidence.optimistic, abs=1e-12)
    assert found.pixels == evidence.pixels
    assert found.items == len(rows) == 12
    for held, member in zip(found.members, evidence.members, strict=True):
        assert held.name == member.name
        assert held.fixed == pytest.approx(member.fixed, abs=1e-12)
        assert held.tuned == pytest.approx(member.tuned_optimistic, abs=1e-12)
    assert np.mean([row.iou for row in found.classes]) == pytest.approx(found.decided)
    assert {(row.fold, row.split) for row in rows} == {(-1, "holdout")}


def test_rows_survive_their_file(scene, tmp_path):
    rows = score_items(scene.oof, decided(scene), scene.task, Silent())
    rows.append(ItemRow('odd, "key"', -1, "test", None, *[(0,) * scene.task.planes] * 3))
    write_items(tmp_path / "items.csv", rows, scene.task)
    again = read_items(tmp_path / "items.csv", scene.task)
    assert [(row.key, row.fold, row.split, row.tp, row.fp, row.fn) for row in again] == [
        (row.key, row.fold, row.split, row.tp, row.fp, row.fn) for row in rows
    ]
    assert again[-1].score is None
    assert [row.score for row in again[:-1]] == pytest.approx([row.score for row in rows[:-1]], abs=1e-6)
    header = (tmp_path / "items.csv").read_text().splitlines()[0]
    names = scene.task.plane_names
    assert header == "key,fold,split,score," + ",".join(f"tp:{n},fp:{n},fn:{n}" for n in names)


def test_held_out_items_must_be_of_their_split(simulate):
    scene = simulate()
    with pytest.raises(InputError) as caught:
        held_out(tuple(scene.labels), scene.stores, scene.truth, "test", scene.task)
    assert str(caught.value) == (
        "store/m0: item 'i000' of member 'm0' is of the split 'oof', not 'test'; "
        "delete the folder and run maskwright predict"
    )


def test_a_decision_for_other_members_is_refused(simulate):
    scene = simulate()
    decision = decided(scene)
    scene.stores = {"m0": scene.stores["m0"]}
    with pytest.raises(InputError) as caught:
        score_items(scene.oof, decision, scene.task, Silent())
    assert str(caught.value) == (
        "decision.json: the decision is for members ['m0', 'm1'], the stores are of ['m0']; run maskwright decide"
    )


@pytest.mark.parametrize("line", ["i000,0,oof,0.5,1,2", "i000,zero,oof,0.5,1,2,3", "i000,0,oof,0.5,1,2,3,4", "i000"])
def test_a_damaged_row_is_named(line, tasks, tmp_path):
    path = tmp_path / "items.csv"
    path.write_text(f"key,fold,split,score,tp:roof,fp:roof,fn:roof\n{line}\n")
    with pytest.raises(InputError) as caught:
        read_items(path, tasks["binary"])
    assert str(caught.value) == f"{path}:2: damaged row; run maskwright decide"


def test_items_of_another_task_are_refused(tasks, tmp_path):
    write_items(tmp_path / "items.csv", [], tasks["binary"])
    with pytest.raises(InputError) as caught:
        read_items(tmp_path / "items.csv", tasks["multilabel"])
    assert str(caught.value) == f"{tmp_path}/items.csv: its columns do not fit the task; run maskwright decide"


def test_a_stop_is_heard(simulate):
    scene, stop = simulate(), Stop()
    decision = decided(scene)
    stop.signal_number = 15
    with pytest.raises(Interrupted):
        score_items(scene.oof, decision, scene.task, Silent(), stop)
