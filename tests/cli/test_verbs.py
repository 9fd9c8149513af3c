"""The verbs that look and score, and a whole small run, through the real command line."""

import json

import numpy as np
import pytest
from PIL import Image

from maskwright.core.labels import default_palette
from maskwright.core.rle import encode


def masks(folder, arrays):
    for name, array in arrays.items():
        path = folder / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return folder


def test_a_whole_run_writes_masks_submission_and_report(cli, tmp_path, folder_set, write_recipe):
    folder_set["folds"]["holdout"] = 0.25
    path = write_recipe(folder_set)
    code, out, err = cli("run", path)
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    assert len(list((run / "output" / "masks").glob("*.png"))) == 8
    assert (run / "output" / "submission.csv").read_text().splitlines()[0] == "ImageId,EncodedPixels"
    assert (run / "report.html").stat().st_size > 10_000
    decision = json.loads((run / "decision.json").read_text())
    assert decision["evidence"]["items"] == 6
    assert "out-of-fold iou:" in out
    assert "holdout iou:" in out
    assert str(tmp_path) not in "".join(file.read_text() for file in run.glob("*.json"))
    code, out, _ = cli("run", run)
    assert code == 0
    assert out.count("nothing to do") == 8


def test_a_lost_probability_file_is_made_again(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    assert cli("run", path, "--until", "decide")[0] == 0
    files = sorted((tmp_path / "runs" / "tiny" / "probabilities" / "a" / "oof").glob("*.safetensors"))
    before = files[0].read_bytes()
    files[0].unlink()
    assert cli("run", path, "--until", "decide")[0] == 0
    assert files[0].read_bytes() == before


def test_quick_takes_the_whole_path_in_its_own_folder(cli, tmp_path, folder_set, write_recipe):
    folder_set["folds"]["count"] = 4
    code, _, err = cli("run", write_recipe(folder_set), "--quick")
    assert code == 0, err
    assert (tmp_path / "runs" / "tiny-quick" / "report.html").exists()
    assert "Only 16 items" in (tmp_path / "runs" / "tiny-quick" / "report.html").read_text()


def test_single_stages_ask_for_what_comes_before(cli, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, _, err = cli("decide", path)
    assert code == 2
    assert "predict/a is not finished" in err
    assert err.strip().endswith("run maskwright predict, or maskwright run")
    for verb in ("inspect", "split", "train", "predict", "decide", "export", "report"):
        code, _, err = cli(verb, path)
        assert code == 0, (verb, err)


def test_score_equals_a_hand_count(cli, tmp_path):
    truth = np.array([[0, 0, 1, 1], [2, 2, 9, 9]], np.uint8)
    predicted = np.array([[0, 1, 1, 1], [2, 0, 0, 0]], np.uint8)
    left, right = masks(tmp_path / "p", {"a/x": predicted}), masks(tmp_path / "t", {"a/x": truth})
    code, out, _ = cli("score", left, right, "--task", "multiclass", "--classes", "3", "--ignore", "9", "--json")
    assert code == 0
    told = json.loads(out)
    assert told["classes"]["class 0"]["iou"] == pytest.approx(1 / 3)
    assert told["classes"]["class 1"]["iou"] == pytest.approx(2 / 3)
    assert told["classes"]["class 2"]["iou"] == pytest.approx(1 / 2)
    assert told["mean"]["iou"] == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)


def test_score_takes_0_255_masks_and_planes(cli, tmp_path):
    block = np.zeros((4, 4), np.uint8)
    block[:2] = 255
    left = masks(tmp_path / "p", {"i/lung": block, "i/heart": block.T.copy()})
    right = masks(tmp_path / "t", {"i/lung": block, "i/heart": block})
    code, out, err = cli("score", left, right, "--task", "multilabel", "--classes", "2")
    assert code == 0, err
    assert out.splitlines() == [
        "1 items, multilabel; pixels pooled over items, classes absent from both sides skipped",
        "class                          iou      dice precision    recall  accuracy        pixels  images",
        "heart                       0.3333    0.5000    0.5000    0.5000    0.5000             8       1",
        "lung                        1.0000    1.0000    1.0000    1.0000    1.0000             8       1",
        "mean                        0.6667    0.7500    0.7500    0.7500    0.7500            16       1",
        "share of right pixels       0.7500",
    ]


def test_score_refuses_masks_without_partner_and_other_sizes(cli, tmp_path):
    small, large = np.zeros((2, 2), np.uint8), np.zeros((3, 3), np.uint8)
    left = masks(tmp_path / "p", {"a": small, "b": small})
    right = masks(tmp_path / "t", {"a": large, "c": small})
    code, _, err = cli("score", left, right, "--task", "binary", "--classes", "1")
    assert code == 2
    assert f"error: {right}/c: no prediction of that name; predict it, or take the truth away" in err
    assert f"error: {left}/b: no truth of that name; take it away" in err
    (left / "b.png").unlink()
    (right / "c.png").unlink()
    code, _, err = cli("score", left, right, "--task", "binary", "--classes", "1")
    assert code == 2
    assert err == f"error: {left}/a.png: 2x2 pixels, but {right}/a.png has 3x3; predict at native size\n"


def test_recipes_are_listed_printed_and_valid(cli, tmp_path):
    code, out, _ = cli("recipes")
    assert code == 0
    names = [line.split()[0] for line in out.splitlines()]
    assert {"demo", "starter_binary", "starter_multiclass", "starter_multilabel"} <= set(names)
    for name in names:
        code, out, _ = cli("recipes", name)
        (tmp_path / f"{name}.yaml").write_text(out)
        code, _, err = cli("inspect", f"{name}.yaml", "data.root=nowhere")
        assert code == 2
        assert "nowhere" in err, err
    code, _, err = cli("recipes", "starter_binry")
    assert code == 2
    assert "did you mean 'starter_binary'?" in err


def test_schema_and_doctor_and_version(cli):
    code, out, _ = cli("schema")
    assert code == 0
    assert json.loads(out)["properties"]["task"]
    code, out, _ = cli("doctor")
    assert code == 0
    assert "torch" in out
    assert cli("--version")[1].startswith("maskwright ")


def test_palettes_tell_classes_apart():
    for count in (1, 2, 11, 29, 150):
        colours = default_palette(count, background=True)
        assert len({tuple(row) for row in colours.tolist()}) == count


def test_a_multilabel_run_from_one_row_per_image_and_class(cli, tmp_path, folder_set, write_recipe):
    rows = ["image_name,class,rle"]
    for path in sorted((tmp_path / "set" / "masks").iterdir()):
        mask = np.asarray(Image.open(path)) > 0
        rows.append(f"{path.stem}.png,block,{encode(mask, order='row', base=1)}")
        rows.append(f"{path.stem}.png,left,{encode(mask & (np.arange(40) < 20), order='row', base=1)}")
    (tmp_path / "set" / "labels.csv").write_text("\n".join(rows) + "\n")
    columns = {"key_column": "image_name", "class_column": "class", "rle_column": "rle"}
    folder_set["task"] = {"kind": "multilabel", "classes": ["block", "left"]}
    folder_set["data"]["train"] = {
        "format": "rle_csv",
        "images": "images",
        "table": "labels.csv",
        "order": "row",
    } | columns
    folder_set["output"][1] = {"format": "rle_csv", "key_extension": ".png"} | columns
    code, _, err = cli("run", write_recipe(folder_set))
    assert code == 0, err
    output = tmp_path / "runs" / "tiny" / "output"
    assert sorted(path.name for path in (output / "masks" / "s0").iterdir()) == ["block.png", "left.png"]
    written = (output / "submission.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in written[1:3]] == [["s0.png", "block"], ["s0.png", "left"]]
    decision = json.loads((tmp_path / "runs" / "tiny" / "decision.json").read_text())
    assert decision["rule"] == "per_class"
    assert len(decision["edges"]) == 2


def test_score_speaks_dialects_and_counts_at_outlines(cli, tmp_path):
    for folder, rows in (
        ("truth", ([[0, 0, 0, 1]], [[0, 0, 2, 2]])),
        ("guess", ([[0, 0, 1, 1]], [[0, 0, 0, 2]])),
    ):
        (tmp_path / folder).mkdir()
        for number, row in enumerate(rows):
            Image.fromarray(np.array(row, np.uint8)).save(tmp_path / folder / f"{number}.png")
    base = ("score", str(tmp_path / "guess"), str(tmp_path / "truth"), "--task", "multiclass", "--classes", "4")
    code, out, _ = cli(*base, "--dialect", "mmseg", "--dialect", "smp_macro", "--boundary", "--json")
    assert code == 0
    found = json.loads(out)
    assert found["dialects"]["mmseg"] == pytest.approx(0.5 / 0.9)
    assert found["dialects"]["smp_macro"] == pytest.approx(2 / 3)
    assert len(found["dialects"]) == 7
    assert found["boundary_iou"]["mean"] == pytest.approx(found["mean"]["iou"])  # all pixels lie at outlines
    code, out, _ = cli(*base, "--dialect", "mmseg", "--boundary")
    assert "mmseg                       0.5556  mmseg mIoU: nanmean over classes of pooled pixels" in out
    assert "mmseg_aacc                  0.7500  mmseg aAcc: share of right pixels" in out
    head = "class iou dice precision recall accuracy boundary pixels images"
    assert " ".join(out.splitlines()[1].split()) == head
    code, _, err = cli(*base, "--dialect", "mmsg")
    assert code == 2
    assert err.startswith("error: --dialect: unknown dialect 'mmsg' (did you mean 'mmseg'?); use one of: ")


def scored(cli, tmp_path, *options):
    """Score two images of four classes: class 1 only in the first, class 2 only in the second, class 3 nowhere."""
    guess = {"a": np.array([[0, 0, 1, 1]], np.uint8), "b": np.array([[0, 0, 0, 2]], np.uint8)}
    truth = {"a": np.array([[0, 0, 0, 1]], np.uint8), "b": np.array([[0, 0, 2, 2]], np.uint8)}
    folders = masks(tmp_path / "guess", guess), masks(tmp_path / "truth", truth)
    return cli("score", *folders, "--task", "multiclass", "--classes", "4", *options)


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ((), (4 / 6, 1 / 2, 1 / 2, None)),
        (("--empty", "one"), (4 / 6, 1 / 2, 1 / 2, 1)),
        (("--empty", "zero"), (4 / 6, 1 / 2, 1 / 2, 0)),
        (("--per", "image"), (2 / 3, 1 / 2, 1 / 2, None)),
        (("--per", "image", "--empty", "one"), (2 / 3, 3 / 4, 3 / 4, 1)),
        (("--per", "image", "--empty", "zero"), (2 / 3, 1 / 4, 1 / 4, 0)),
    ],
)
def test_score_says_how_images_are_pooled_and_what_an_absent_class_is_worth(options, wanted, cli, tmp_path):
    code, out, err = scored(cli, tmp_path, "--json", *options)
    assert code == 0, err
    told = json.loads(out)
    assert [row["iou"] for row in told["classes"].values()] == pytest.approx(list(wanted))
    assert told["mean"]["iou"] == pytest.approx(np.mean([value for value in wanted if value is not None]))
    assert [row["pixels"] for row in told["classes"].values()] == [5, 1, 2, 0]
    assert [row["images"] for row in told["classes"].values()] == [2, 1, 1, 0]
    assert told["pixel_accuracy"] == pytest.approx(6 / 8)


def test_score_writes_each_item_and_any_beta(cli, tmp_path):
    code, out, err = scored(cli, tmp_path, "--csv", str(tmp_path / "items.csv"), "--beta", "1.5", "--boundary")
    assert code == 0, err
    assert "f1.5" in out.splitlines()[1]
    first, *rows = (line.split(",") for line in (tmp_path / "items.csv").read_text().splitlines())
    assert first[:9] == ["item", "iou", "dice", "precision", "recall", "accuracy", "f0.5", "f2", "f1.5"]
    assert first[9:14] == ["boundary_iou", "tp:class 0", "fp:class 0", "fn:class 0", "tn:class 0"]
    assert [row[0] for row in rows] == ["a", "b"]
    assert float(rows[0][1]) == pytest.approx((2 / 3 + 1 / 2) / 2, abs=1e-6)
    assert rows[0][10:14] == ["2", "0", "1", "1"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--per", "images"), "--per: unknown per 'images' (did you mean 'image'?); use one of: area, image, pooled"),
        (("--empty", "nan"), "--empty: unknown empty 'nan'; use one of: one, skip, zero"),
        (("--beta", "0"), "--beta: 0 is no beta; give a number above 0, e.g. 2"),
    ],
)
def test_score_refuses_words_it_does_not_know(options, message, cli, tmp_path):
    code, out, err = scored(cli, tmp_path, *options, "--csv", str(tmp_path / "items.csv"))
    assert (code, out, err) == (2, "", f"error: {message}\n")
    assert not (tmp_path / "items.csv").exists()
