"""Bad input: one line that says what to do, the promised exit code, nothing written."""

import csv

import numpy as np
import pytest
from PIL import Image

from maskwright.core.recipe.plain import merge_overrides
from maskwright.core.rle import encode

RLE = {"format": "rle_csv", "images": "images", "table": "labels.csv", "order": "row"}


def refused(cli, tmp_path, recipe_path, *more):
    """Run and return the single error line."""
    before = sorted(str(path) for path in tmp_path.rglob("*"))
    code, _, err = cli("run", recipe_path, *more)
    lines = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 2, err
    assert len(lines) == 1, err
    assert "Traceback" not in err
    assert "; " in lines[0], "the line must say what to do"
    assert sorted(str(path) for path in tmp_path.rglob("*")) == before, "nothing may be written"
    return lines[0]


def write_table(tmp_path, rows):
    with (tmp_path / "set" / "labels.csv").open("w", newline="") as stream:
        csv.writer(stream).writerows([["ImageId", "EncodedPixels"], *rows])


@pytest.fixture
def rle_set(folder_set, tmp_path):
    rows = []
    for path in sorted((tmp_path / "set" / "masks").iterdir()):
        rows.append([path.stem, encode(np.asarray(Image.open(path)) > 0, order="row", base=1)])
    write_table(tmp_path, rows)
    return {**folder_set, "data": {"root": "set", "train": RLE}}, rows


def test_misspelt_key(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(merge_overrides(folder_set, ["members.a.train.epoch=3"]))
    line = refused(cli, tmp_path, path)
    assert line.startswith(f"error: {path}:members.a.train: unknown key 'epoch' (did you mean 'epochs'?); use one of: ")


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("members.a.loss={dicee: 1}", "unknown loss 'dicee' (did you mean 'dice'?)"),
        ("members.a.loss={cross_entropy: 1}", "cross_entropy"),
        ("members.a.model.architecture=unett", "unknown architecture 'unett' (did you mean 'unet'?)"),
        ("members.a.model.encoder=resnet19", "unknown encoder 'resnet19'"),
        ("members.a.optimizer.name=adam", "unknown optimizer 'adam' (did you mean 'adamw'?)"),
        ("members.a.schedule.name=polly", "unknown schedule 'polly' (did you mean 'poly'?)"),
        ("members.a.augment=[hflop]", "unknown augmentation 'hflop' (did you mean 'hflip'?)"),
        ("decision.thresholds=argmax", "decision.thresholds: argmax does not fit a binary task"),
    ],
)
def test_names_and_contradictions_are_refused_before_any_work(cli, tmp_path, folder_set, write_recipe, override, told):
    assert told in refused(cli, tmp_path, write_recipe(folder_set), override)


def test_missing_mask(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "set" / "masks" / "s3.png").unlink()
    line = refused(cli, tmp_path, write_recipe(folder_set))
    assert "s3" in line
    assert "missing_mask: background" in line


def test_sizes_that_differ(cli, tmp_path, folder_set, write_recipe):
    Image.fromarray(np.zeros((40, 41), np.uint8)).save(tmp_path / "set" / "masks" / "s3.png")
    line = refused(cli, tmp_path, write_recipe(folder_set))
    assert "masks/s3.png" in line
    assert "40 x 41" in line
    assert "40 x 40" in line


def test_undeclared_label_value(cli, tmp_path, folder_set, write_recipe):
    mask = np.zeros((40, 40), np.uint8)
    mask[:4] = 7
    Image.fromarray(mask).save(tmp_path / "set" / "masks" / "s3.png")
    line = refused(cli, tmp_path, write_recipe(folder_set))
    assert (
        "masks/s3.png: label values outside the task: 7 (1.25%) of all label pixels; the task declares [0, 255]" in line
    )
    assert "what they mean cannot be told" in line
    assert "values: {0: 0, 255: 1, 7: ignore}" in line


def test_truncated_png(cli, tmp_path, folder_set, write_recipe):
    path = tmp_path / "set" / "images" / "s3.png"
    path.write_bytes(path.read_bytes()[:-900])
    assert "images/s3.png: " in refused(cli, tmp_path, write_recipe(folder_set))


def test_vrt_named_tif(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "set" / "images" / "s3.png").unlink()
    (tmp_path / "set" / "images" / "s3.tif").write_text(
        '<VRTDataset rasterXSize="40" rasterYSize="40"><VRTRasterBand dataType="Byte" band="1"><SimpleSource>'
        "<SourceFilename>/etc/passwd</SourceFilename></SimpleSource></VRTRasterBand></VRTDataset>"
    )
    assert "images/s3.tif: " in refused(cli, tmp_path, write_recipe(folder_set))


def test_image_bomb_is_refused_by_its_header(cli, tmp_path, folder_set, write_recipe):
    Image.fromarray(np.zeros((400, 400, 3), np.uint8)).save(tmp_path / "set" / "images" / "s3.png")
    line = refused(cli, tmp_path, write_recipe(folder_set), "data.max_pixels=2000")
    assert "images/s3.png: 400 x 400 = 160000 pixels are more than the 2000 allowed" in line


def test_rle_past_the_end(cli, tmp_path, rle_set, write_recipe):
    data, rows = rle_set
    write_table(tmp_path, [[rows[0][0], "1590 20"], *rows[1:]])
    line = refused(cli, tmp_path, write_recipe(data))
    assert "labels.csv:2" in line
    assert "1600" in line


def test_duplicate_ids(cli, tmp_path, rle_set, write_recipe):
    data, rows = rle_set
    write_table(tmp_path, [*rows, rows[2]])
    line = refused(cli, tmp_path, write_recipe(data))
    assert "labels.csv:10" in line
    assert "rows: instance" in line


def test_parent_folder_in_a_csv(cli, tmp_path, rle_set, write_recipe):
    data, rows = rle_set
    write_table(tmp_path, [["../s0", rows[0][1]], *rows[1:]])
    code, _, err = cli("run", write_recipe(data))
    assert code == 2
    assert "name '../s0' leaves the data folder" in err


def test_pickled_checkpoint(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "w.pth").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    line = refused(cli, tmp_path, write_recipe(folder_set), "members.a.model.weights=w.pth")
    assert "w.pth" in line
    assert ".safetensors" in line


def test_all_faults_of_a_set_are_told_in_one_run(cli, tmp_path, folder_set, write_recipe):
    masks = tmp_path / "set" / "masks"
    Image.fromarray(np.full((40, 40), 9, np.uint8)).save(masks / "s1.png")
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(masks / "s2.png")
    (tmp_path / "set" / "images" / "s5.png").write_bytes(b"")
    code, _, err = cli("run", write_recipe(folder_set))
    assert code == 2
    for name in ("s1.png", "s2.png", "s5.png"):
        assert sum(name in line for line in err.splitlines() if line.startswith("error: ")) == 1, err


def test_a_changed_recipe_names_the_differing_keys(cli, tmp_path, folder_set, write_recipe):
    path = write_recipe(folder_set)
    code, _, err = cli("run", path, "--until", "train")
    assert code == 0, err
    code, _, err = cli("run", path, "members.a.train.epochs=3")
    assert code == 2
    assert "members.a.train.epochs was 2, now 3" in err
    assert "--redo" in err
    code, out, _ = cli("run", path, "members.a.train.epochs=3", "--redo", "--until", "train")
    assert code == 0
    assert "train a fold 0: again" in out


def test_unknown_verb_and_stage(cli, tmp_path, folder_set, write_recipe):
    code, _, err = cli("trian", "r.yaml")
    assert code == 2
    assert err.startswith("error: command line: ")
    assert "unknown stage 'trane'" in refused(cli, tmp_path, write_recipe(folder_set), "--until", "trane")


def test_a_pickle_that_is_called_safetensors_is_refused_before_any_work(cli, tmp_path, folder_set, write_recipe):
    (tmp_path / "w.safetensors").write_bytes(b"\x80\x04cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    line = refused(cli, tmp_path, write_recipe(folder_set), "members.a.model.weights=w.safetensors")
    assert line == (
        f"error: {tmp_path}/w.safetensors: a pickled checkpoint, which can run code when it is opened; "
        "convert it to .safetensors where you trust it"
    )
