"""The verb inspect: every finding in one run, kept as files, with and without a recipe."""

import json

import numpy as np
import pytest
from cli_helpers import tree
from PIL import Image

from maskwright.core.rle import encode


@pytest.fixture
def faulty(tmp_path, folder_set, write_recipe):
    """A recipe whose set has three faults: an empty image, a value, a mask of another size."""
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "set" / "masks" / "s1.png")
    mask = np.zeros((40, 40), np.uint8)
    mask[:4] = 7
    Image.fromarray(mask).save(tmp_path / "set" / "masks" / "s2.png")
    (tmp_path / "set" / "images" / "s5.png").write_bytes(b"")
    return write_recipe(folder_set)


def test_a_clean_set_gets_a_page_and_is_done(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, out, err = cli("inspect", path)
    assert code == 0, err
    assert "inspect train: 8 items, no faults" in out
    assert out.splitlines()[-1] == "see runs/tiny/audit.html"
    run = tmp_path / "runs" / "tiny"
    kept = json.loads((run / "audit.json").read_text())
    assert kept["sets"]["train"]["items"] == 8
    assert "The set is clean." in (run / "audit.html").read_text() or "suspicion" in out
    assert "inspect train: nothing to do" in cli("split", path)[1]


def test_a_recipe_without_members_will_do(cli, folder_set, write_recipe):
    code, _, err = cli("inspect", write_recipe({**folder_set, "members": {}}))
    assert code == 0, err


def test_faults_are_told_and_kept_and_only_they_are_written(cli, tmp_path, faulty):
    code, out, err = cli("inspect", faulty, "--out", "looked")
    assert code == 2
    assert err.splitlines()[-1] == "error: set: 3 faults in 8 items; see looked/audit.html"
    for name in ("masks/s1.png", "masks/s2.png", "images/s5.png"):
        assert sum(line.startswith("fault: ") and name in line for line in out.splitlines()) == 1, out
    assert "inspect train: 8 items, 3 faults" in out
    assert tree(tmp_path / "looked") == ["audit.html", "audit.json", "run.lock"]
    kept = json.loads((tmp_path / "looked" / "audit.json").read_text())
    found = [one for one in kept["sets"]["train"]["findings"] if one["severity"] == "fault"]
    assert len(found) == 3
    assert "This set cannot be trained on yet." in (tmp_path / "looked" / "audit.html").read_text()


def test_mending_the_set_replaces_the_audit(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    assert cli("inspect", path)[0] == 0
    image = tmp_path / "set" / "images" / "s5.png"
    before = image.read_bytes()
    image.write_bytes(b"")
    assert cli("inspect", path)[0] == 2
    image.write_bytes(before)
    code, out, err = cli("run", path, "--until", "split")
    assert code == 0, err
    assert "inspect train: 8 items, no faults" in out
    kept = json.loads((tmp_path / "runs" / "tiny" / "audit.json").read_text())
    assert not [one for one in kept["sets"]["train"]["findings"] if one["severity"] == "fault"]


def test_run_refuses_the_same_set_and_writes_nothing(cli, tmp_path, faulty):
    before = tree(tmp_path)
    code, _, err = cli("run", faulty)
    assert code == 2
    assert sum(line.startswith("error: ") for line in err.splitlines()) == 3
    assert tree(tmp_path) == before


def test_json_is_the_audit_and_nothing_else(cli, tmp_path, faulty):
    before = tree(tmp_path)
    code, out, err = cli("inspect", faulty, "--json")
    assert code == 2
    told = json.loads(out)
    assert told["version"] == 1
    assert len([one for one in told["sets"]["train"]["findings"] if one["severity"] == "fault"]) == 3
    assert err == "error: set: 3 faults in 8 items; see the findings on stdout\n"
    assert tree(tmp_path) == before
    code, again, _ = cli("inspect", faulty, "--json", "--out", "kept")
    assert code == 2
    assert json.loads(again) == told == json.loads((tmp_path / "kept" / "audit.json").read_text())


def test_an_absolute_root_leaves_no_path_of_this_machine(cli, tmp_path, faulty):
    code, out, _ = cli("inspect", faulty, f"data.root={tmp_path / 'set'}", "--out", "kept")
    assert code == 2
    assert "fault: masks/s2.png: " in out
    for name in ("audit.json", "audit.html"):
        assert str(tmp_path) not in (tmp_path / "kept" / name).read_text()


def test_nothing_there_is_one_fault(cli, tmp_path, folder_set, write_recipe):
    code, out, err = cli("inspect", write_recipe(folder_set), "data.root=nowhere")
    assert code == 2
    assert "fault: nowhere/images: no such folder" in out
    assert err.endswith("error: nowhere: 1 fault in 0 items; see runs/tiny/audit.html\n")


def test_augment_draws_what_the_members_will_see(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, out, err = cli("inspect", path, "--augment")
    assert code == 0, err
    assert out.splitlines()[-1] == "see runs/tiny/audit.html and runs/tiny/augmented.png"
    with Image.open(tmp_path / "runs" / "tiny" / "augmented.png") as drawn:
        assert drawn.size == (40 + 5 * 32 + 7 * 6, 5 * 40 + 6 * 6)
    assert 'id="augmented"' in (tmp_path / "runs" / "tiny" / "audit.html").read_text()
    code, _, err = cli("inspect", path, "--augment", "--json")
    assert (code, err) == (2, "error: --augment: pictures need a folder; give --out DIR\n")


def test_without_a_recipe_one_is_proposed_and_nothing_written(cli, tmp_path, folder_set):
    before = tree(tmp_path)
    code, out, err = cli("inspect", "--format", "folder", "--images", "set/images", "--labels", "set/masks")
    assert code == 0, err
    assert "guessed: masks hold the values 0, 255 (8 read)" in out
    assert "values: {0: 0, 255: 1}" in out
    assert "inspect train: 8 items, no faults" in out
    assert tree(tmp_path) == before
    code, out, _ = cli(
        "inspect", "--format", "folder", "--images", "set/images", "--labels", "set/masks", "--json", "--out", "x"
    )
    told = json.loads(out)
    assert code == 0
    assert "kind: binary" in told["proposed"]
    assert told["guessed"][0] == "masks: masks of 8 of the 8 images in images"
    assert {"audit.html", "audit.json", "fingerprint.json"} <= set(tree(tmp_path / "x"))


def test_without_a_recipe_run_lengths_and_classes(cli, tmp_path, folder_set):
    rows = ["ImageId,EncodedPixels"]
    for path in sorted((tmp_path / "set" / "masks").iterdir()):
        rows.append(f"{path.stem},{encode(np.asarray(Image.open(path)) > 0, order='row', base=1)}")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows) + "\n")
    options = ["--format", "rle-csv", "--images", "set/images", "--labels", "set/labels.csv"]
    code, out, err = cli("inspect", *options)
    assert code == 0, err
    assert "rle_column: EncodedPixels" in out
    assert "guessed: run lengths go by " in out
    code, _, err = cli("inspect", "--format", "coco", *options[2:])
    assert code == 2
    assert err == (
        "error: set/labels.csv: these are no labels of format coco for the images in set/images; "
        "check --format and --labels; maskwright init looks at a whole folder\n"
    )


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([], "nothing to inspect; give RECIPE, or all of --format, --images and --labels (or see maskwright init)"),
        (["--format", "folder"], "nothing to inspect; give RECIPE, or all of --format, --images and --labels"),
        (["r.yaml", "--images", "set"], "a recipe and --format, --images, --labels or --classes; give a recipe, or"),
        (["--format", "coca", "--images", "a", "--labels", "b"], "unknown format 'coca' (did you mean 'coco'?)"),
        (["--format", "coco", "--images", "a", "--labels", "b"], "a: no such file or folder; check --images and --lab"),
    ],
)
def test_odd_options_are_one_line(cli, options, told):
    code, _, err = cli("inspect", *options)
    assert code == 2
    assert told in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1


def test_faults_of_images_labels_and_folds_are_named_together(cli, tmp_path, folder_set, write_recipe):
    images, masks = tmp_path / "set" / "images", tmp_path / "set" / "masks"
    (images / "s0.png").write_bytes(b"")
    (masks / "s1.png").unlink()
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(masks / "s2.png")
    lines = [f"s{index},{index % 2}" for index in range(8)]
    lines[5], lines[6] = "s5,7", "s5,1"
    (tmp_path / "set" / "folds.csv").write_text("\n".join(["key,fold", *lines, "nobody,0", ""]))
    given = {"kind": "given", "count": 2, "file": "folds.csv"}
    code, out, err = cli("inspect", write_recipe({**folder_set, "folds": given}), "--json")
    assert code == 2, err
    faults = [one for one in json.loads(out)["sets"]["train"]["findings"] if one["severity"] == "fault"]
    assert [(one["kind"], one["where"]) for one in faults] == [
        ("missing_label", "set/images/s1.png"),
        ("empty_file", "set/images/s0.png"),
        ("size_scaled", "set/masks/s2.png"),
        ("folds_unfit", "set/folds.csv:7"),
        ("folds_unfit", "set/folds.csv:8"),
        ("folds_unfit", "set/folds.csv"),
        ("folds_unfit", "set/folds.csv"),
    ]
    assert [one["what"] for one in faults[3:]] == [
        "'7' is no fold",
        "key 's5' occurs twice",
        "says nothing of item 's6'",
        "names 'nobody', which is no item",
    ]
    assert not (tmp_path / "runs").exists()


def test_folds_that_the_items_do_not_allow_are_a_fault_before_anything_is_written(
    cli, tmp_path, folder_set, write_recipe
):
    recipe = write_recipe({**folder_set, "folds": {"kind": "grouped", "group": "^(t)", "count": 2}})
    code, _, err = cli("run", recipe)
    assert code == 2
    assert err.splitlines()[-1] == "error: folds.group: '^(t)' does not match key 's0'; mend the expression"
    assert not (tmp_path / "runs").exists()
