"""What an original computed, from ../shared/parity: inputs, outputs, and how close is close enough."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from maskwright.core.recipe.members import Model
from maskwright.models.imports.convert import Imported, Wanted, convert

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "parity"
FACTOR = 5.0
"""How many times the float32 noise that config.json states an output may be off."""


class Fixture:
    """One folder of ../shared/parity."""

    def __init__(self, name: str) -> None:
        self.folder = _found() / name
        if not self.folder.is_dir():
            pytest.skip(f"no ../shared/parity/{name} here")
        self.config = json.loads((self.folder / "config.json").read_text())
        self.io = load_file(self.folder / "io.safetensors")

    def noise(self, output: str) -> float:
        """Return the scale of an output's noise: float32 against float64, or, unstated, what a trembling input does."""
        exact = self.config["float32_vs_float64_max_abs_diff"].get(output)
        trembling = self.config.get("max_abs_change_of_outputs_when_1e-6_noise_is_added_to_in.input", {})
        return float(exact if exact is not None else trembling[output])

    def close(self, got: torch.Tensor, output: str) -> None:
        """Assert that an output is the original's, within FACTOR times its noise."""
        wanted = self.io[f"out.{output}"]
        assert got.shape == wanted.shape, (output, got.shape, wanted.shape)
        off = (got.double() - wanted.double()).abs().max().item()
        assert off <= FACTOR * self.noise(output), f"{output} is off by {off:.2e}, noise {self.noise(output):.2e}"

    def imported(self, block: Model, planes: int, origin: str, file: str = "weights.safetensors", **more) -> Imported:
        """Return the fixture's weights in a model of ours; all of them are used."""
        result = convert(self.folder / file, origin, Wanted(block, planes, **more))
        assert not result.missing + result.unused + result.unfit
        return result


def _found() -> Path:
    here = Path(__file__).resolve()
    for parent in here.parents:
        if (parent / "shared" / "parity").is_dir():
            return parent / "shared" / "parity"
    pytest.skip("no ../shared/parity here")
