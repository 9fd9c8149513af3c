import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.recipe.load import build, differing, dump_resolved, load_recipe, recipe_hash, schema, to_plain
from maskwright.core.recipe.plain import merge, merge_overrides, read_yaml

GOOD = {
    "name": "t",
    "task": {"kind": "multiclass", "classes": ["road", "car"], "ignore": 255},
    "data": {"train": {"format": "folder", "images": "images", "masks": "masks"}},
    "members": {"a": {"optimizer": {"lr": 1e-4}}},
}


def complaint(*overrides: str) -> str:
    with pytest.raises(RecipeError) as caught:
        build(merge_overrides(GOOD, overrides), where="r.yaml")
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_misspelt_key_is_refused_with_the_nearest_name():
    assert complaint("members.a.train.epohcs=3") == (
        "r.yaml:members.a.train: unknown key 'epohcs' (did you mean 'epochs'?); use one of: accumulate, batch_size, "
        "channels_last, checkpointing, clip, compile, crop, early_stop, ema, epochs, keep_best, precision, resize, "
        "save_every, sharding, snapshots, steps_per_epoch, swa, validate_every, workers"
    )


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("task.ignore=1", "r.yaml:task: ignore: 1 is also the id of class 'car'; choose a value outside the classes"),
        (
            "decision.thresholds=per_class",
            "r.yaml: decision.thresholds: per_class does not fit a multiclass task; use argmax, or auto",
        ),
        (
            "decision.classes=[roof]",
            "r.yaml: decision.classes: no class 'roof'; the classes that are scored are road, car",
        ),
        ("decision.classes=[]", "r.yaml: decision.classes: names no class; leave it out for all of them"),
        ("decision.priority=[car, car]", "r.yaml: decision.priority: a class is named twice"),
        ("decision.beta=2", "r.yaml: decision.beta: 2 is for metric: fbeta; the metric is iou"),
        (
            "data.train.masks=null",
            "r.yaml: data.train.masks is missing; name the folder of masks, "
            "or take unlabelled images out of data.train",
        ),
        (
            "data.train.values={3: 7}",
            "r.yaml: data.train.values: 3 is mapped to 7, which is not one of [0, 1]; see maskwright schema",
        ),
        (
            "task.kind=multilabel",
            "r.yaml: data.train.encoding: an index mask gives one class a pixel; the task is multilabel, "
            "use encoding: planes",
        ),
        (
            "output=[{format: rle_csv}]",
            "r.yaml: output[0]: rle_csv for a multiclass task needs class_column, one row per image and class; "
            "see maskwright schema",
        ),
        (
            "folds.kind=grouped",
            "r.yaml:folds: kind: grouped and group: REGEX go together; give both or neither",
        ),
        (
            "folds={kind: grouped, group: '^('}",
            "r.yaml:folds.group: '^(' is no regular expression (missing ), unterminated subpattern at position 1); "
            "mend it",
        ),
        (
            "folds={kind: grouped, group: '^a'}",
            "r.yaml:folds.group: '^a' has no parenthesis; put the group's part in parentheses",
        ),
        (
            "data.train.format=foldr",
            "r.yaml:data.train.format: unknown value 'foldr' (did you mean 'folder'?); use one of: coco, csv, folder, "
            "merge, mined, polygons, rle_csv",
        ),
        ("data.bands=[]", "r.yaml:data.bands: tuple should have at least 1 item after validation, not 0, got []"),
        (
            "task.classes=[road, ' ']",
            "r.yaml:task.classes: class name ' ' is empty, has spaces at an end or control characters; "
            "write a plain name",
        ),
        (
            "task.classes=[road, Road]",
            "r.yaml:task.classes: class names 'road' and 'Road' differ only in case; rename one",
        ),
        (
            "members.a.predict.tta=[hflop]",
            "r.yaml:members.a.predict.tta: unknown symmetry 'hflop'; use some of: hflip, vflip, rot180, transpose, "
            "rot90, rot270, antitranspose, or d4",
        ),
    ],
)
def test_contradictions_and_wrong_values_name_the_key(override, expected):
    assert complaint(override).startswith(expected.split("; see maskwright schema")[0])


def test_a_missing_key_is_named():
    with pytest.raises(RecipeError, match=r"^r.yaml:task: is missing; add it"):
        build({"name": "t", "data": GOOD["data"]}, where="r.yaml")


def test_numbers_are_yaml_1_2(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("lr: 1e-4\nflag: no\noctal: 012\n")
    assert read_yaml(path) == {"lr": 1e-4, "flag": "no", "octal": 12}


def test_equal_keys_are_refused_with_the_line(tmp_path):
    path = tmp_path / "r.yaml"
    path.write_text("name: a\nname: b\n")
    with pytest.raises(RecipeError, match=r"r.yaml:2: not valid YAML: found duplicate key"):
        read_yaml(path)


def test_an_absent_recipe_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"no such file or folder; check the path$"):
        load_recipe(tmp_path / "none.yaml")


def test_extends_lays_one_file_over_another_and_overrides_come_last(tmp_path):
    (tmp_path / "base.yaml").write_text(json.dumps({**GOOD, "seed": 3, "output": [{"format": "masks"}]}))
    (tmp_path / "top.yaml").write_text("extends: base.yaml\nname: top\nmembers: {a: {train: {epochs: 5}}}\n")
    recipe = load_recipe(tmp_path / "top.yaml", ["members.a.train.batch_size=4", "output.0.format=report"])
    assert (recipe.name, recipe.seed) == ("top", 3)
    member = recipe.members["a"]
    assert (member.train.epochs, member.train.batch_size, member.optimizer.lr) == (5, 4, 1e-4)


def test_a_circle_of_extends_is_refused(tmp_path):
    (tmp_path / "a.yaml").write_text("extends: a.yaml\n")
    with pytest.raises(RecipeError, match="more than 8 levels of extends"):
        load_recipe(tmp_path / "a.yaml")


def test_the_recipe_is_frozen():
    recipe = build(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        recipe.members["a"].train.epochs = 3


def test_the_resolved_copy_reads_back_to_the_same_recipe(tmp_path):
    recipe = build(merge(GOOD, {"task": {"colours": [[1, 2, 3], [4, 5, 6]]}}))
    (tmp_path / "recipe.yaml").write_text(dump_resolved(recipe, "0"))
    assert load_recipe(tmp_path / "recipe.yaml") == recipe


def test_hash_and_resolved_copy_do_not_know_an_absolute_root():
    here = build(merge_overrides(GOOD, ["data.root=/somewhere"]))
    there = build(merge_overrides(GOOD, ["data.root=/elsewhere"]))
    assert recipe_hash(here) == recipe_hash(there)
    assert "/somewhere" not in dump_resolved(here, "0")


def test_differing_names_each_leaf():
    old, new = to_plain(build(GOOD)), to_plain(build(merge_overrides(GOOD, ["members.a.train.epochs=5"])))
    assert differing(old, new) == ["members.a.train.epochs was 20, now 5"]


def test_schema_is_json_and_knows_the_blocks():
    text = json.dumps(schema())
    assert '"FolderSource"' in text
    assert schema()["$schema"].endswith("2020-12/schema")


@given(st.recursive(st.integers() | st.text(max_size=4), lambda s: st.dictionaries(st.text("abc", min_size=1), s)))
def test_merging_nothing_changes_nothing(value):
    data = {"x": value}
    assert merge(data, {}) == data
    assert merge(data, data) == data


@pytest.mark.parametrize("text", ["novalue", "=3", "a..b=3"])
def test_an_override_without_key_or_value_is_refused(text):
    with pytest.raises(RecipeError, match=r"is no override; write key\.key=value"):
        merge_overrides(GOOD, [text])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            "[tensorbord]",
            "r.yaml:trackers.0: unknown tracker 'tensorbord' (did you mean 'tensorboard'?); "
            "use one of: tensorboard, wandb, mlflow",
        ),
        ("[wandb, wandb]", "r.yaml:trackers: a tracker is named twice; name each once"),
        (
            "[7]",
            "r.yaml:trackers.0: a tracker is a name or a block with one, got 7; write tensorboard, or {name: mlflow}",
        ),
        (
            "[{name: wandb, projct: x}]",
            "r.yaml:trackers.0: unknown key 'projct' (did you mean 'project'?); "
            "use one of: entity, mode, name, project",
        ),
    ],
)
def test_trackers_are_refused_by_name_and_key(given, expected):
    assert complaint(f"trackers={given}") == expected


def test_a_tracker_is_a_name_or_a_block_and_reads_back_from_the_resolved_recipe():
    recipe = build(merge_overrides(GOOD, ["trackers=[tensorboard, {name: mlflow, uri: 'http://m:5000'}]"]))
    assert [tracker.name for tracker in recipe.trackers] == ["tensorboard", "mlflow"]
    assert build(to_plain(recipe)) == recipe
