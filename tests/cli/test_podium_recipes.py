"""The podium solutions from their recipes: official files in small go in, the competition's file comes out."""

import json

import joblib
import numpy as np
import pytest
import rasterio
from PIL import Image

from maskwright.workflows.session import open_session, packaged_recipes


def test_wildfire_goes_from_the_competitions_files_to_its_pickle(cli, tmp_path):
    assert cli("synth", "wildfire", "--output", "mini", "--items", "4")[0] == 0
    code, out, err = cli("run", "wildfire", "data.root=mini", "--quick")
    assert code == 0, err
    asked = (tmp_path / "mini" / "Wildfire" / "test_meta.csv").read_text().split()[1:]
    found = joblib.load(tmp_path / "runs" / "wildfire-quick" / "output" / "y_pred.pkl")
    assert sorted(found) == sorted(asked)
    for label in found.values():
        assert (label.dtype, label.shape) == (np.uint8, (256, 256))
        assert set(np.unique(label)) <= {0, 1}
    kept = tmp_path / "runs" / "wildfire-quick" / "members" / "regnet" / "fold0"
    assert (kept / "last.safetensors").exists()
    assert len(list(kept.glob("candidates/snapshot-*"))) == 2
    assert "none, since every item was trained on" in out


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_open_cities_goes_from_two_tiers_of_scenes_to_its_chips(cli, tmp_path):
    assert cli("synth", "open_cities", "--output", "mini", "--items", "4")[0] == 0
    alone = ("members.b2=null", "output.1.members=[b1]")
    code, out, err = cli("selftrain", "open_cities", "data.root=mini", "--quick", *alone)
    assert code == 0, err
    assert "train only" in out
    assert "round 1: " in out
    step_two = tmp_path / "runs" / "open_cities-quick" / "selftrain" / "round1"
    assert "drop_connect: 0.5" in (step_two / "recipe.yaml").read_text()
    steps = (step_two / "members" / "b1" / "fold0" / "log.jsonl").read_text().splitlines()
    assert ['"beside"' in line for line in steps] == [False, False, True]
    assert json.loads((step_two / "lessons.json").read_text())["source"]["within"] == "train_tier_2"
    assert list((step_two / "labels" / "fold1").iterdir())
    chips = sorted(path.name for path in (tmp_path / "mini" / "test").glob("*/*.tif"))
    for folder in ("submission_format", "low_variance"):
        written = tmp_path / "runs" / "open_cities-quick" / "output" / folder
        assert sorted(path.name for path in written.iterdir()) == chips
        for name in chips:
            with rasterio.open(written / name) as file:
                assert (file.count, file.shape, file.dtypes) == (1, (1024, 1024), ("uint8",))
                assert set(np.unique(file.read(1))) <= {0, 255}
    _mines_negatives(cli, tmp_path)


def _mines_negatives(cli, tmp_path):
    """Its second step: windows without buildings are listed, trained on and judged."""
    (tmp_path / "mini" / "more").mkdir()
    for index, path in enumerate(sorted((tmp_path / "mini" / "test").glob("*/*.tif"))[:2]):
        with rasterio.open(path) as file:
            part = np.moveaxis(file.read()[:3, :96, :96], 0, 2)
        Image.fromarray(part).save(tmp_path / "mini" / "more" / f"{index}.png")
    loose = [
        "members.b2=null",
        "output.1.members=[b1]",
        "mine.pixel=1",
        "mine.presence=1",
        "mine.window=64",
    ]  # a step or two of training see something everywhere
    code, out, err = cli("mine", "open_cities", "data.root=mini", "--quick", *loose, "--pool", "mini/more")
    assert code == 0, err
    mined = tmp_path / "runs" / "open_cities-quick" / "mined"
    found = json.loads((mined / "mined.json").read_text())
    assert len(found["negatives"]) >= 2
    assert all(value is not None for one in found["negatives"] for value in one["presence"])
    assert json.loads((mined / "verdict.json").read_text())["kept"] is False
    assert "mine: false positives at recall " in out


def test_every_podium_recipe_runs_quick_from_its_twin():
    from maskwright.data.synthetic.twins.table import TWINS

    assert set(TWINS) <= set(packaged_recipes())


def test_a_quick_block_is_laid_over_and_the_command_line_over_it(tmp_path, folder_set, write_recipe):
    from maskwright.core.progress import Silent

    folder_set["quick"] = {
        "data": {"limit": 6},
        "members": {"a": {"train": {"epochs": 7}, "model": {"options": {"decoder_channels": [8, 8, 8, 8, 8]}}}},
    }
    folder_set["data"]["root"] = str(tmp_path / "set")
    path = write_recipe(folder_set)
    plain = open_session(str(path), [], Silent()).recipe
    assert (plain.data.limit, plain.members["a"].train.epochs) == (None, 2)
    quick = open_session(str(path), ["members.a.train.epochs=5"], Silent(), quick=True).recipe
    assert (quick.name, quick.data.limit, quick.members["a"].train.epochs) == ("tiny-quick", 6, 5)
    assert quick.members["a"].model.options["decoder_channels"] == [8, 8, 8, 8, 8]
    assert quick.quick == {}
