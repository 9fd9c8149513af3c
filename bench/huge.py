"""Peak memory and time of `maskwright predict --input` on rasters of growing side, most of each without data.

    nice -n 19 python -m bench.huge               # 4096, 32768 and 50000 on a side, about 25 minutes of one processor
    nice -n 19 python -m bench.huge 4096 8192     # these sides
    nice -n 19 python -m bench.huge --full 8192   # every pixel has data

A tiny member of two folds, windows of 512, an overlap of 128. Every tenth block along the diagonals has data.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.scene_runs import command, peak, sparse, tiny_run

SIDES = (4096, 32768, 50000)


def blocks(side: int, *, full: bool) -> list[tuple[int, int]]:
    """Return where data are: everywhere, or at 24 places along both diagonals."""
    if full:
        return [(row, col) for row in range(0, side, 512) for col in range(0, side, 512)]
    places = [(side - 512) * step // 11 // 512 * 512 for step in range(12)]
    return [*zip(places, places, strict=True), *zip(places, reversed(places), strict=True)]


def main(words: list[str]) -> None:
    """Measure each side in a process of its own."""
    full = "--full" in words
    sides = [int(word) for word in words if word.isdigit()] or SIDES
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = tiny_run(folder)
        for side in sides:
            scene = sparse(folder / f"{side}.tif", side, blocks(side, full=full))
            options = ("--window", 512, "--overlap", 128, "--memory", "2GB")
            told = command("predict", run, "--input", scene, "--output", folder / "answers", *options)
            memory, processor, clock, said = peak(*told)
            print(f"{side:6d} x {side}: peak {memory} MB, {processor:.0f} s of processor, {clock:.0f} s", flush=True)
            print(f"        {said.strip().splitlines()[-1]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
