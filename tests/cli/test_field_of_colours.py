"""A random field that looks at colours, said by a recipe: on items, and on whole scenes predicted by windows."""

import json

import numpy as np
import rasterio
from PIL import Image

from maskwright.core.recipe.crf import Colours, Crf
from maskwright.ensembling.crf import refine

FIELD = {"gt_prob": 0.7, "sxy": 1.5, "steps": 3, "colours": {"sxy": 2, "srgb": 20, "compat": 8}}
CRF = Crf(**{**FIELD, "colours": Colours(**FIELD["colours"])})


def mask(path):
    return (np.asarray(Image.open(path)) > 0).astype(np.uint8)


def test_a_recipe_says_it_and_items_and_scenes_get_it(cli, tmp_path, folder_set, write_recipe):
    folder_set["decision"] = {"thresholds": "fixed", "postprocess": "off"}
    folder_set["output"] = [{"format": "masks"}]
    recipe = write_recipe(folder_set)
    code, _, err = cli("run", recipe)
    assert code == 0, err
    output = tmp_path / "runs" / "tiny" / "output" / "masks"
    plain = {path.stem: mask(path) for path in sorted(output.iterdir())}
    code, out, err = cli("run", recipe, f"decision.crf={json.dumps({**FIELD, 'keep': 'always'})}")
    assert code == 0, err
    told = "gt_prob 0.7, sxy 1.5, compat 3, 3 steps, colours sxy 2, srgb 20, compat 8"
    assert f"decide: crf {told} kept: the recipe says so" in out
    for name, label in plain.items():
        image = np.asarray(Image.open(tmp_path / "set" / "images" / f"{name}.png"))
        np.testing.assert_array_equal(mask(output / f"{name}.png"), refine(label, CRF, 2, image))

    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 90, (4, 70, 150), np.uint8)
    pixels[:3, 20:45, 30:110] += 120
    pixels[3] = 255
    pixels[3, :30, :25] = 0  # nothing is known there
    profile = {"driver": "GTiff", "count": 4, "height": 70, "width": 150, "dtype": "uint8", "photometric": "RGB"}
    where = {"crs": "EPSG:32645", "transform": rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 3_060_000)}
    with rasterio.open(tmp_path / "scene.tif", "w", alpha="yes", **profile, **where) as file:
        file.write(pixels)
    run = tmp_path / "runs" / "tiny"
    ask = ("predict", run, "--input", tmp_path / "scene.tif", "--window", 64, "--overlap", 16, "--output")
    code, _, err = cli(*ask, tmp_path / "smooth")
    assert code == 0, err
    decision = json.loads((run / "decision.json").read_text())
    (run / "decision.json").write_text(json.dumps({**decision, "crf": None}))
    code, _, err = cli(*ask, tmp_path / "rough")
    assert code == 0, err
    smooth, rough = (rasterio.open(tmp_path / name / "scene_classes.tif").read(1) for name in ("smooth", "rough"))
    known = rough != 255
    assert not known[:30, :25].any()
    image = np.ascontiguousarray(pixels[:3].transpose(1, 2, 0))
    np.testing.assert_array_equal(smooth, refine(rough, CRF, 2, image, known))
    assert not np.array_equal(smooth, rough)
    facts = [json.loads((tmp_path / name / "scene.json").read_text()) for name in ("smooth", "rough")]
    assert (facts[0]["crf"], "crf" in facts[1]) == (CRF.model_dump(mode="json"), False)

    # what it would hold is told before anything is predicted, as are rasters without colours of 8 bits
    far = {**decision, "crf": {**decision["crf"], "sxy": 50.0, "steps": 1000}}
    (run / "decision.json").write_text(json.dumps(far))
    code, _, err = cli(*ask, tmp_path / "far")
    assert (code, list((tmp_path / "far").glob("scene*"))) == (5, [])
    said = "the random field looks so far that what it holds takes more than a quarter of --memory; allow more --memory"
    assert said in err
    assert err.count("\n") == 1
    with rasterio.open(tmp_path / "deep.tif", "w", **{**profile, "dtype": "uint16", "count": 3}, **where) as file:
        file.write(pixels[:3].astype(np.uint16))
    (run / "decision.json").write_text(json.dumps(decision))
    ask = ("predict", run, "--input", tmp_path / "deep.tif", "--window", 64, "--output", tmp_path / "deep")
    code, _, err = cli(*ask)
    assert (code, list((tmp_path / "deep").glob("deep*"))) == (2, [])
    assert "deep.tif: is of uint16, and the random field knows colours of 0 to 255; leave decision.crf.colours" in err


def test_images_of_16_bits_are_refused_before_any_training(cli, tmp_path, folder_set, write_recipe):
    for path in (tmp_path / "set" / "images").iterdir():
        grey = np.asarray(Image.open(path).convert("L")).astype(np.uint16) * 257
        Image.fromarray(grey).save(path)
    folder_set["decision"] = {"crf": FIELD}
    code, _, err = cli("run", write_recipe(folder_set))
    assert (code, (tmp_path / "runs" / "tiny" / "members").exists()) == (2, False)
    assert err.splitlines()[-1] == (
        "error: decision.crf.colours: item 's0' is of uint16, and the random field knows colours of 0 to 255; "
        "leave them out, or give 8-bit images"
    )
