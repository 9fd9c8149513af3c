"""Runs are compared from their folders alone, joined by key, and what makes them less comparable is said."""

import json

import numpy as np
import pytest

from maskwright.core.errors import InputError
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Decision as Block
from maskwright.core.recipe.load import build, dump_resolved
from maskwright.core.runs import RunFolder
from maskwright.data.folds.folds import FoldRow, write_folds
from maskwright.ensembling.blend import write_decision
from maskwright.ensembling.decide import undecided
from maskwright.ensembling.diagnosis import Diagnosis, Unsure, write_diagnosis
from maskwright.ensembling.evidence import ClassEvidence
from maskwright.ensembling.items import ItemRow, write_items
from maskwright.workflows.story.comparison import compare_runs

TASK = {"kind": "multilabel", "classes": ["heart", "left lung"]}


@pytest.fixture
def make(tmp_path):
    """Write what a finished run leaves and a comparison reads."""

    def run(folder, hit=0.7, keys=range(12), **changes):
        given = {
            "name": folder,
            "metric": "iou",
            "classes": TASK["classes"],
            "lr": 1e-3,
            "shift": 0,
            "files": "f",
            "looked": True,
        }
        given |= changes
        recipe = build(
            {
                "name": given["name"],
                "task": {**TASK, "classes": given["classes"]},
                "data": {"train": {"format": "folder", "images": "i", "masks": "m", "encoding": "planes"}},
                "members": {"a": {"model": {"architecture": "unet"}, "optimizer": {"lr": given["lr"]}}},
                "decision": {"metric": given["metric"]},
            }
        )
        place = RunFolder(tmp_path / folder)
        place.root.mkdir()
        place.recipe.write_text(dump_resolved(recipe, "0"))
        decision = undecided(("a",), recipe.task, Block(metric=given["metric"]))
        rows = tuple(
            ClassEvidence(name=name, iou=hit, dice=0.8, precision=0.7, recall=0.6, support=9)
            for name in recipe.task.classes
        )
        evidence = decision.evidence.model_copy(
            update={"honest": hit, "optimistic": hit + 0.01, "items": len(keys), "classes": rows}
        )
        write_decision(place.decision, decision.model_copy(update={"evidence": evidence}))
        rng = np.random.default_rng(3)
        found = [_row(key, hit, rng, given["shift"], len(recipe.task.classes)) for key in keys]
        write_items(place.items, found, recipe.task)
        if given["looked"]:
            sure = {"entropy": 0.1, "disagreement": 0.0}
            unsure = {row.key: Unsure(tp=row.tp, fp=row.fp, fn=row.fn, **sure) for row in found}
            write_diagnosis(place.diagnosis, Diagnosis(items=unsure))
        write_folds(place.folds, tuple(FoldRow(row.key, row.key, row.fold) for row in found))
        history = place.fold("a", 0)
        history.mkdir(parents=True)
        (history / "history.csv").write_text("epoch,step,lr,loss,valid_loss,score\n1,10,0.1,0.5,0.6,0.7\n")
        place.begin("inspect/train", {"files": given["files"]})
        place.timing.write_text('{"stage": "train", "seconds": 75, "peak_mb": 900}\n')
        return place.root

    return run


def _row(key, hit, rng, shift, planes):
    found = tuple(int(100 * hit + rng.integers(0, 5)) for _ in range(planes))
    missed = tuple(100 - value + shift for value in found)
    return ItemRow(f"k{key:02d}", key % 3, "oof", 0.5, found, (5,) * planes, missed)


def compare(folders, tmp_path):
    return compare_runs(folders, tmp_path / "out" / "compare.html", Silent()).read_text()


def test_a_better_run_is_said_to_be_better_with_an_interval(make, tmp_path):
    page = compare([make("one"), make("two", hit=0.8)], tmp_path)
    assert "more than redrawing the items explains" in page
    assert "It scores higher on 12 and lower on 0 of them." in page
    assert "interval +0.0" in page
    assert '<ul class="remarks warning">' not in page
    assert "The recipes are the same but for their names." in page
    assert "1 min 15 s" in page
    assert str(tmp_path) not in page


def test_honest_counts_are_compared_and_where_an_old_run_has_none_that_is_said(make, tmp_path):
    one, two, old = make("one"), make("two"), make("old", looked=False)
    lines = json.loads((two / "diagnosis.json").read_text())
    for row in lines["items"].values():
        row["tp"], row["fn"] = [row["tp"][0] - 9, row["tp"][1] - 9], [row["fn"][0] + 9, row["fn"][1] + 9]
    (two / "diagnosis.json").write_text(json.dumps(lines))
    assert "<bdi>two</bdi> is worse than <bdi>one</bdi> by −0.0" in compare([one, two], tmp_path)
    page = compare([one, old], tmp_path)
    assert "old: one of the two was decided by an older version" in page
    assert "<bdi>old</bdi> scores exactly as <bdi>one</bdi>" in page


def test_equal_runs_are_equal(make, tmp_path):
    page = compare([make("one"), make("two")], tmp_path)
    assert "<bdi>two</bdi> scores exactly as <bdi>one</bdi>" in page


def test_three_runs_are_held_against_the_first(make, tmp_path):
    page = compare([make("one"), make("two", hit=0.8), make("three", hit=0.5, lr=1e-4)], tmp_path)
    assert page.count("IoU one") >= 3
    assert "<code>members.a.optimizer.lr</code>" in page
    assert "<code>0.0001</code>" in page
    assert "<bdi>three</bdi> is worse than <bdi>one</bdi>" in page


def test_items_are_joined_by_key_and_what_differs_is_said(make, tmp_path):
    one, two = make("one"), make("two", keys=range(4, 20), shift=3)
    lines = (two / "folds.csv").read_text().replace("k05,k05,2", "k05,k05,0")
    (two / "folds.csv").write_text(lines)
    page = compare([one, two], tmp_path)
    assert "two: 8 items are shared, 4 are only in one, 8 only here" in page
    assert "two: the labels of 8 shared items are not the same, so part of a difference may be theirs" in page
    assert "two: 1 of 8 shared items are in another fold, so models saw other neighbours of them" in page
    other = compare([one, make("three", files="g")], tmp_path)
    assert "three: the labelled files are not the same as the first run&#x27;s" in other


def test_few_shared_groups_give_no_interval_and_none_no_difference(make, tmp_path):
    one = make("one")
    assert "too few groups of items to tell it from chance" in compare([one, make("two", 0.8, range(6))], tmp_path)
    assert "share no item, so only their scores can be compared" in compare(
        [one, make("far", 0.8, range(50, 60))], tmp_path
    )


def test_another_metric_is_shown_by_the_first_one(make, tmp_path):
    page = compare([make("one"), make("two", metric="dice", hit=0.8)], tmp_path)
    assert "two: two was decided by dice; it is shown by iou here" in page


def test_names_that_are_alike_are_told_apart_and_do_no_harm(make, tmp_path):
    page = compare([make("a b", name="same"), make("<b>", name="same")], tmp_path)
    assert "<bdi>same</bdi>" in page
    assert "<bdi>&lt;b&gt;</bdi>" in page


def test_reports_beside_are_linked_relatively(make, tmp_path):
    one = make("one")
    (one / "report.html").write_text("x")
    assert 'href="./../one/report.html"' in compare([one, make("two")], tmp_path)


def refusal(folders, tmp_path):
    with pytest.raises(InputError) as caught:
        compare(folders, tmp_path)
    assert not (tmp_path / "out").exists()
    return str(caught.value)


def test_what_cannot_be_compared_is_refused_in_one_line(make, tmp_path):
    one = make("one")
    assert refusal([one], tmp_path) == ("--compare: 1 run to compare; give the folders of two or more finished runs")
    assert refusal([one, tmp_path / "one"], tmp_path) == f"{one}: given twice; name each run once"
    assert refusal([one, tmp_path / "no"], tmp_path) == (
        f"{tmp_path / 'no'}: no finished run, recipe.yaml is not there; run maskwright run, or check the path"
    )
    two = make("two")
    (two / "decision.json").unlink()
    assert refusal([one, two], tmp_path) == (
        f"{two}: no finished run, decision.json is not there; run maskwright decide, or check the path"
    )
    assert refusal([one, make("three", classes=["heart", "bone"])], tmp_path) == (
        f"{tmp_path / 'three'}: predicts multilabel ['heart', 'bone'], one multilabel ['heart', 'left lung']; "
        "compare runs of one task"
    )


def test_the_verb_compares_folders_and_refuses_quick(make, tmp_path, monkeypatch):
    from typer.testing import CliRunner

    from maskwright.cli.app import app

    one, two = make("one"), make("two", hit=0.8)
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["report", "--compare", str(one), str(two), "--out", "page.html"])
    assert done.exit_code == 0, done.output
    assert "one · two" in (tmp_path / "page.html").read_text()
    refused = CliRunner().invoke(app, ["report", "--compare", str(one), str(two), "--quick"])
    assert isinstance(refused.exception, InputError)
    assert str(refused.exception) == "--quick: runs are compared as they are; leave it out"


def test_the_manifest_gives_what_a_unit_was_made_from(make):
    run = RunFolder(make("one"))
    assert run.inputs("inspect/train") == {"files": "f"}
    assert run.inputs("split") is None
    assert json.loads(run.manifest.read_text())["inspect/train"]["done"] is False
