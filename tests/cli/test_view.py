"""export-view through the real command line."""

import json

from cli_helpers import tree
from pycocotools.coco import COCO


def test_a_run_becomes_a_view_and_other_folders_are_left_alone(cli, tmp_path, folder_set, write_recipe, capsys):
    member = folder_set["members"]["a"]
    folder_set["members"]["a"] = {**member, "train": {**member["train"], "epochs": 1}}
    folder_set["data"]["test"] = {"format": "folder", "images": "images"}
    folder_set["folds"]["holdout"] = 0.25
    path = write_recipe(folder_set)
    code, _, err = cli("export-view", path, "--to", "coco")
    assert code == 2
    assert err.endswith("run maskwright decide, or maskwright run\n")
    assert cli("run", path, "--until", "decide")[0] == 0
    code, out, err = cli("export-view", path, "--to", "coco", "--out", "look")
    assert (code, out) == (0, "view: look\n"), err
    truth = COCO(str(tmp_path / "look" / "annotations" / "instances_truth.json"))
    answers = COCO(str(tmp_path / "look" / "annotations" / "instances_prediction.json"))
    capsys.readouterr()
    splits = [image["split"] for image in answers.dataset["images"]]
    assert {split: splits.count(split) for split in splits} == {"oof": 6, "holdout": 2, "test": 8}
    assert len(truth.dataset["images"]) == 8
    assert len(truth.dataset["annotations"]) == 8  # one block in each
    assert {image.get("fold") for image in truth.dataset["images"]} == {0, 1, None}
    assert all(0 <= image["iou"] <= 1 for image in truth.dataset["images"])
    before = tree(tmp_path / "look")
    assert cli("export-view", path, "--to", "coco", "--out", "look", "--images", "link")[0] == 0
    assert tree(tmp_path / "look") == before
    code, out, err = cli("export-view", tmp_path / "runs" / "tiny", "--to", "fiftyone")
    assert code == 0, err
    view = tmp_path / "runs" / "tiny" / "view-fiftyone"
    samples = json.loads((view / "samples.json").read_text())["samples"]
    assert len(samples) == 16
    assert all((view / sample["prediction"]["mask_path"]).exists() for sample in samples)
    assert str(tmp_path) not in "".join(file.read_text() for file in view.glob("*.json"))
    for words, says in (
        (("--out", "set"), "error: set: is not empty and holds no view; choose another --out\n"),
        (("--to", "fiftyon"), "error: --to: unknown view 'fiftyon' (did you mean 'fiftyone'?); use one of: coco, "),
        (("--images", "move"), "error: --images: unknown way 'move'; use one of: copy, link\n"),
    ):
        code, _, err = cli("export-view", path, *words)
        assert code == 2
        assert err.startswith(says), err
