import copy
import sys
from pathlib import Path

import numpy as np
import pytest
from cli_helpers import draw
from PIL import Image
from ruamel.yaml import YAML

from maskwright.cli import app


@pytest.fixture
def cli(monkeypatch, capsys, tmp_path):
    """Run the real command line in this process: cli("run", "r.yaml") -> (exit code, stdout, stderr)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["maskwright", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            app.main()
        seen = capsys.readouterr()
        return int(left.value.code or 0), seen.out, seen.err

    return call


TINY_MEMBER = {
    "model": {
        "architecture": "unet",
        "encoder": "tu-mobilenetv3_small_050",
        "options": {"decoder_channels": [16, 12, 8, 8, 8]},
    },
    "augment": ["hflip", {"brightness_contrast": {"p": 0.5}}],
    "optimizer": {"lr": 0.003},
    "train": {"epochs": 2, "steps_per_epoch": 3, "batch_size": 2, "crop": 32, "precision": "fp32", "ema": 0.9},
    "predict": {"tta": ["hflip"], "batch_size": 2},
}


@pytest.fixture
def folder_set(tmp_path):
    """A clean binary set of eight items in two folders, and the recipe that reads it (as plain data)."""
    rng = np.random.default_rng(0)
    for part in ("images", "masks"):
        (tmp_path / "set" / part).mkdir(parents=True)
    for index in range(8):
        image, mask = draw(rng)
        Image.fromarray(image).save(tmp_path / "set" / "images" / f"s{index}.png")
        Image.fromarray(mask).save(tmp_path / "set" / "masks" / f"s{index}.png")
    return {
        "name": "tiny",
        "task": {"kind": "binary", "classes": ["block"]},
        "data": {
            "root": "set",
            "train": {"format": "folder", "images": "images", "masks": "masks", "values": {0: 0, 255: 1}},
        },
        "folds": {"kind": "plain", "count": 2},
        "members": {"a": copy.deepcopy(TINY_MEMBER)},  # tests may change theirs
        "output": [{"format": "masks"}, {"format": "rle_csv"}, {"format": "report", "cases": 2}],
    }


@pytest.fixture
def write_recipe(tmp_path):
    """Write plain data as tmp_path/r.yaml and return the path."""

    def write(data, name: str = "r.yaml") -> Path:
        path = tmp_path / name
        with path.open("w") as stream:
            YAML(typ="safe", pure=True).dump(data, stream)
        return path

    return write
