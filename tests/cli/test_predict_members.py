"""maskwright predict --input --members: some members of a run, named by the recipe or by the run's copy of it."""

import copy
import json

import numpy as np
import rasterio
from test_predict_scenes import write_raster


def test_members_by_name_are_blended_by_their_weights(cli, tmp_path, folder_set, write_recipe):
    recipe = copy.deepcopy(folder_set)
    recipe["members"]["b"] = copy.deepcopy(recipe["members"]["a"])
    recipe["members"]["b"]["optimizer"] = {"lr": 0.01}
    recipe["decision"] = {"blend": "mean"}
    path = write_recipe(recipe)
    code, _, err = cli("run", path, "--until", "decide")
    assert code == 0, err
    run = tmp_path / "runs" / "tiny"
    scene = write_raster(tmp_path / "scene.tif", 70, 90)
    found = {}
    for named, source in {"a": path, "b": run, "a,b": run / "recipe.yaml", "": path}.items():
        out = tmp_path / f"out-{named or 'all'}"
        words = ("--members", named) if named else ()
        options = ("--tta", "d4", "--window", 64, "--overlap", 16, "--memory", "2GB")
        code, _, err = cli("predict", source, "--input", scene, "--output", out, *words, *options)
        assert code == 0, err
        with rasterio.open(out / "scene_probability.tif") as file:
            found[named] = file.read(1) / 254
        assert sorted(json.loads((out / "scene.json").read_text())["members"]) == (
            named.split(",") if named else ["a", "b"]
        )
    weights = json.loads((run / "decision.json").read_text())["weights"]
    mean = weights["a"] * found["a"] + weights["b"] * found["b"]
    assert np.abs(found["a"] - found["b"]).max() > 3 / 254
    assert np.abs(found["a,b"] - mean).max() <= 1 / 254
    assert np.array_equal(found["a,b"], found[""])
