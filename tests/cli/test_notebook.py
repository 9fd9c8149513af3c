"""Notebooks that train and predict by themselves."""

import json
from pathlib import Path

import numpy as np


def cells(path: Path) -> list[str]:
    """Read the code cells of a notebook, having checked its form."""
    plain = json.loads(path.read_text(encoding="utf-8"))
    assert (plain["nbformat"], plain["nbformat_minor"]) == (4, 4)
    for cell in plain["cells"]:
        extra = {"execution_count", "outputs"} if cell["cell_type"] == "code" else set()
        assert set(cell) == {"cell_type", "metadata", "source"} | extra
        assert all(line.endswith("\n") for line in cell["source"][:-1])
    return ["".join(cell["source"]) for cell in plain["cells"] if cell["cell_type"] == "code"]


def test_its_cells_train_and_predict_what_the_verb_would(cli, tmp_path, monkeypatch, folder_set, write_recipe):
    folder_set["task"]["classes"] = ['"""b\\lock']  # a name that would end a literal
    folder_set["output"] = [{"format": "masks"}]
    recipe = write_recipe(folder_set)
    code, out, err = cli("notebook", recipe, "members.a.train.epochs=1", "--output", "nb")
    assert code == 0, err
    assert out.splitlines() == ["notebook: nb/train.ipynb", "notebook: nb/predict.ipynb"]
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "set").symlink_to(tmp_path / "set")
    monkeypatch.chdir(tmp_path / "elsewhere")
    for name in ("train", "predict"):
        names: dict[str, object] = {}
        for cell in cells(tmp_path / "nb" / f"{name}.ipynb"):
            exec(compile(cell, name, "exec"), names)
    masks = sorted((tmp_path / "elsewhere" / "runs" / "tiny" / "output" / "masks").iterdir())
    assert len(masks) == 8
    monkeypatch.chdir(tmp_path)
    assert cli("run", recipe, "members.a.train.epochs=1")[0] == 0
    for path in masks:  # to the byte
        assert np.array_equal(
            np.frombuffer(path.read_bytes(), np.uint8),
            np.frombuffer((tmp_path / "runs" / "tiny" / "output" / "masks" / path.name).read_bytes(), np.uint8),
        )


def test_what_somebody_wrote_into_it_is_kept(cli, folder_set, write_recipe):
    recipe = write_recipe(folder_set)
    Path("nb").mkdir()
    Path("nb/predict.ipynb").write_text("mine")
    code, _, err = cli("notebook", recipe, "--output", "nb")
    assert code == 2
    assert err == "error: nb/predict.ipynb: is there already; move it away, or choose another --output\n"
    assert [path.name for path in Path("nb").iterdir()] == ["predict.ipynb"]
