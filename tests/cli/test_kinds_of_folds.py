"""Kinds of folds through the command line, from split to report: one split, no split, the user's own."""

import json
from collections import Counter

import pytest

from maskwright.data.folds.folds import read_folds


def folds_of(run):
    return Counter(row.fold for row in read_folds(run / "folds.csv"))


def test_one_split_is_decided_on_in_parts(cli, tmp_path, folder_set, write_recipe):
    folder_set["folds"] = {"kind": "holdout", "share": 0.5}
    code, out, err = cli("run", write_recipe(folder_set))
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert folds_of(run) == {0: 4, -2: 4}
    evidence = json.loads((run / "decision.json").read_text())["evidence"]
    assert evidence["items"] == 4
    assert len(evidence["folds"]) == 4  # groups of one item; the parts that the choice is proven on
    assert {line.split(",")[1] for line in (run / "items.csv").read_text().splitlines()[1:]} == {"0"}
    assert sorted(path.name for path in (run / "members" / "a").iterdir()) == ["fold0"]
    assert len(list((run / "output" / "masks").glob("*.png"))) == 4
    assert "training alone" in (run / "report.html").read_text()
    assert "4 train only" in out + err


def test_all_data_has_no_honest_score_but_the_hold_outs(cli, tmp_path, folder_set, write_recipe):
    folder_set["folds"] = {"kind": "all", "holdout": 0.25}
    code, out, err = cli("run", write_recipe(folder_set))
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert folds_of(run) == {-1: 2, -2: 6}
    decision = json.loads((run / "decision.json").read_text())
    assert decision["shares"] == {"a": 1}
    assert decision["edges"] == [128]
    assert decision["evidence"]["honest"] is None
    assert "every item was trained on (folds.kind: all)" in out + err
    assert "Every item was trained on" in (run / "report.html").read_text()
    assert len(list((run / "output" / "masks").glob("*.png"))) == 2
    assert json.loads((run / "held_out.json").read_text())[0]["items"] == 2


def test_all_data_without_anything_to_answer_is_refused(cli, folder_set, write_recipe):
    folder_set["folds"] = {"kind": "all"}
    path = write_recipe(folder_set)
    code, _, err = cli("split", path)
    assert code == 2
    assert err.strip() == (
        f"error: {path}: folds.kind: all trains on every item, so nothing is left to answer; give data.test, or holdout"
    )


def test_the_users_own_folds(cli, tmp_path, folder_set, write_recipe):
    folder_set["folds"] = {"kind": "given", "file": "mine.csv", "count": 2}
    file = tmp_path / "set" / "mine.csv"
    lines = [f"s{number},{fold}" for number, fold in enumerate((0, 0, 0, 1, 1, 1, -1, -2))]
    file.write_text("\n".join(["key,fold", *lines]) + "\n")
    path, run = write_recipe(folder_set), tmp_path / "runs" / "tiny"
    code, out, err = cli("split", path)
    assert code == 0, err
    assert folds_of(run) == {0: 3, 1: 3, -1: 1, -2: 1}
    assert "folds of [3, 3] items, 1 train only, 1 held out of all" in out + err
    code, out, err = cli("split", path)
    assert "split: nothing to do" in out + err
    file.write_text(file.read_text().replace("s7,-2", "s7,1"))
    code, out, err = cli("split", path)
    assert folds_of(run) == {0: 3, 1: 4, -1: 1}


@pytest.mark.parametrize("kind", ["given", "holdout"])
def test_a_quick_try_has_folds_of_any_kind(cli, folder_set, write_recipe, kind):
    folder_set["folds"] = {"kind": kind, **({"file": "mine.csv"} if kind == "given" else {})}
    code, _, err = cli("split", write_recipe(folder_set), "--quick")
    assert code == 0, err
