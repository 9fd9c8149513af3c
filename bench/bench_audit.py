"""The audit of a set beside a plain parallel decode of the same images and masks.

`MASKWRIGHT_AUDIT_ITEMS=7000 python -m bench audit` makes the set larger than 48 pairs. The floor decodes
every image and mask with Pillow in as many threads, and does nothing with them; OpenCV does so as a peer.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from bench.common import Row, contest, row
from maskwright.core.labels import Task
from maskwright.core.progress import Silent
from maskwright.core.recipe.blocks import Data
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.audit import audit

SIDE = 1024
FOLDER = os.environ.get("MASKWRIGHT_AUDIT_FOLDER")
"""Where the set is made, and kept for another time; else it is made anew."""
ITEMS = int(os.environ.get("MASKWRIGHT_AUDIT_ITEMS", "48"))
ROUNDS = int(os.environ.get("MASKWRIGHT_AUDIT_ROUNDS", "5"))
"""Rounds of the contest; 0: one call each and no peer, for sets of thousands."""
THREADS = min(16, len(os.sched_getaffinity(0)))
WARM = 24
"""Items that are looked at before the clock starts."""
SCENES = 24
"""Distinct pictures; items beyond are mixtures of two of them."""


def noise(chance: np.random.Generator, shape: tuple[int, ...], octaves: int = 6) -> np.ndarray:
    """Return smooth noise with detail at every scale, as photographs have."""
    total = np.zeros(shape, np.float32)
    for octave in range(octaves):
        step = 2 ** (octaves - octave)
        coarse = chance.standard_normal((shape[0] // step + 2, shape[1] // step + 2, *shape[2:])).astype(np.float32)
        total += cv2.resize(coarse, shape[1::-1], interpolation=cv2.INTER_CUBIC) * step
    return total


def make(folder: Path) -> None:
    """Write images/*.png and masks/*.png with three classes."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    scenes = []
    for seed in range(min(SCENES, ITEMS)):
        chance = np.random.default_rng(seed)
        field, tint = noise(chance, (SIDE, SIDE)), noise(chance, (SIDE, SIDE, 3))
        mask = np.digitize(field, np.quantile(field, [0.6, 0.9])).astype(np.uint8)
        light = tint / tint.std() * 24 + field[:, :, None] / field.std() * 30 + mask[:, :, None] * 25 + 90
        scenes.append((np.clip(light + chance.standard_normal(light.shape) * 2, 0, 248).astype(np.uint8), mask))

    def write(index: int) -> None:
        turn = index // len(scenes)
        image, mask = (np.roll(pixels, 37 * turn, axis=1) for pixels in scenes[index % len(scenes)])
        if turn:  # half of it another scene, moved otherwise, so that none shows what another shows
            other, _ = scenes[(7 * index + 5 * turn + 1) % len(scenes)]
            image = cv2.addWeighted(image, 0.5, np.roll(other[::-1], 53 * turn, axis=0), 0.5, index % 7)
        for name, pixels in (("images", image), ("masks", mask)):
            cv2.imwrite(str(folder / f"{name}/{index:05}.png"), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 1])

    with ThreadPoolExecutor(THREADS) as executor:
        list(executor.map(write, range(ITEMS)))


def processor_seconds(call: Callable[[], object]) -> float:
    """Return the processor time of all threads for one call, which other programs disturb less than the clock."""
    begin = time.process_time()
    call()
    return time.process_time() - begin


def rows() -> list[Row]:
    """Measure the audit against the two plain decodes."""
    task = Task(kind="multiclass", classes=("ground", "wood", "water"))
    with tempfile.TemporaryDirectory() as temporary:
        name = FOLDER or temporary
        folder = Path(name)
        if not (folder / "masks").exists():
            make(folder)
        data = Data(root=name, train=FolderSource(images="images", masks="masks"))
        paths = sorted(folder.glob("*/*.png"))

        def decode_all(read: object) -> None:
            with ThreadPoolExecutor(THREADS) as executor:
                for _ in executor.map(read, paths):  # type: ignore[arg-type]
                    pass

        def examine(limit: int | None) -> None:
            found = audit.examine(task, data.model_copy(update={"limit": limit}), Silent())
            assert not found.faults, found.faults[0]

        contestants = {
            "ours": lambda: examine(None),
            "floor": lambda: decode_all(lambda path: np.array(Image.open(path))),
            "OpenCV decode": lambda: decode_all(lambda path: cv2.imread(str(path), cv2.IMREAD_UNCHANGED)),
        }
        if not ROUNDS:
            del contestants["OpenCV decode"]
        examine(min(ITEMS, WARM))  # compiled code is loaded once
        for path in paths:  # the disk has no part in it, as far as memory holds the files
            path.read_bytes()
        spent, once = {}, {}
        for who, call in contestants.items():
            begin = time.perf_counter()
            spent[who] = processor_seconds(call)
            once[who] = time.perf_counter() - begin
        times = contest(contestants, rounds=ROUNDS, least=0.0) if ROUNDS else once
    clock = "wall time" if ROUNDS else "wall time of one call"
    note = (
        f"{ITEMS} pairs of {SIDE}x{SIDE} PNG, {THREADS} threads, {clock}; floor: Pillow decodes all; "
        f"in processor seconds {spent['ours'] / spent['floor']:.2f}x"
    )
    return [row("audit of a set", times, target=1.15, note=note)]
