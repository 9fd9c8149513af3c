"""Votes on submission files: eight of 60,640 rows beside reading and writing their bytes, and the usual loop.

Floor: the bytes of all eight files are read and those of one are written. The usual loop decodes each row of each file
into pixels, sums, compares and encodes again; it is timed on some rows, and multiplied.
"""

from __future__ import annotations

import csv
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from bench.bench_rle import Mask, notebook_decode, notebook_encode
from bench.common import Row, contest, row
from maskwright.core.progress import Silent
from maskwright.core.rle import encode
from maskwright.ensembling.votes_rules import VotePlan
from maskwright.workflows.vote import run_vote

ROWS, FILES, SIDE = int(os.environ.get("MASKWRIGHT_BENCH_ROWS", "60640")), 8, 224
LOOPED = 600
"""Rows that the usual loop is timed on."""
KINDS = 97
"""Different masks; their texts come again and again."""


def buildings(seed: int, share: float = 0.05) -> Mask:
    """Rectangles that cover a share of a square, more or less."""
    numbers, mask = np.random.default_rng(seed), np.zeros((SIDE, SIDE), np.uint8)
    while mask.mean() < share:
        row, col = numbers.integers(0, SIDE, 2)
        height, width = numbers.integers(6, 40, 2)
        mask[row : row + height, col : col + width] = 1
    return mask


def submissions(folder: Path) -> list[Path]:
    """Files of about 90 MB: about 150 runs a row, members that agree mostly, some rows empty."""
    chance = random.Random(0)
    truths = [buildings(seed) for seed in range(KINDS)]
    paths = []
    for number in range(FILES):
        flips = [buildings(1000 + number * KINDS + kind, 0.003) for kind in range(KINDS)]
        texts = [encode(np.roll(truth, number % 3, 1) ^ flip) for truth, flip in zip(truths, flips, strict=True)]
        path = folder / f"member{number}.csv"
        with path.open("w") as stream:
            stream.write("img_id,mask_rle\n")
            for item in range(ROWS):
                text = "-1" if item % 41 == 7 else texts[(item * 31) % KINDS]
                stream.write(f"TEST_{item:05},{text}\n")
        paths.append(path)
    chance.shuffle(paths)
    return paths


def loop(paths: list[Path], rows: int) -> list[str]:
    """Decode, sum, compare, encode: row by row as in a notebook, without its quadratic look-ups."""
    tables = []
    for path in paths:
        with path.open() as stream:
            reader = csv.reader(stream)
            next(reader)
            tables.append([next(reader)[1] for _ in range(rows)])
    written = []
    for texts in zip(*tables, strict=True):
        masks = [notebook_decode(text.replace("-1", ""), (SIDE, SIDE), "row") for text in texts]
        voted = (np.sum(masks, axis=0) >= 2).astype(np.uint8)
        written.append(notebook_encode(voted, "row") if voted.any() else "-1")
    return written


def raw(paths: list[Path], out: Path) -> None:
    for path in paths:
        held = path.read_bytes()
    out.write_bytes(held)


def processor(call: Callable[[], object]) -> float:
    """Seconds of processor time, of all threads, in the best of three calls."""
    spent = []
    for _ in range(3):
        begin = time.process_time()
        call()
        spent.append(time.process_time() - begin)
    return min(spent)


def peak_growth(plan: VotePlan, folder: Path) -> float:
    """MB that a process of its own grows by beyond its imports while it votes."""
    code = (
        "import sys,resource\nfrom pathlib import Path\nfrom maskwright.core.progress import Silent\n"
        "from maskwright.ensembling import votes_edge_kernels, votes_kernels\n"
        "from maskwright.ensembling.votes_rules import VotePlan\n"
        "from maskwright.workflows.vote import run_vote\n"
        "peak=lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss/1024\nbefore=peak()\n"
        "run_vote(VotePlan.model_validate_json(sys.argv[1]),Path(sys.argv[2]),Silent())\nprint(peak()-before)"
    )
    import subprocess

    command = [sys.executable, "-c", code, plan.model_dump_json(), str(folder)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def rows() -> list[Row]:
    """Measure a majority of eight, and a nest of votes with weights."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("MASKWRIGHT_BENCH")) as name:
        folder = Path(name)
        paths = submissions(folder)
        members = {path.stem: path.name for path in paths}
        plain = {"format": "dacon", "members": members, "output": "voted.csv", "at_least": 2}
        plan = VotePlan.model_validate(plain)
        run_vote(plan, folder, Silent())
        with (folder / "voted.csv").open() as stream:
            head = [line.rstrip("\n").split(",")[1] for line, _ in zip(stream, range(LOOPED + 1), strict=False)][1:]
        assert head == loop(paths, LOOPED), "the loop says otherwise"
        begin = time.process_time()
        loop(paths, LOOPED)
        looped = (time.process_time() - begin) * ROWS / LOOPED
        halves = {
            "one": {"at_least": 2, "members": dict(list(members.items())[:4])},
            "two": {"threshold": 0.4, "scores": {n: 80.0 + i for i, n in enumerate(list(members)[4:])}},
        }
        halves["two"]["members"] = dict(list(members.items())[4:])
        nest = VotePlan.model_validate({**plain, "at_least": 1, "members": halves})
        found = []
        for what, one in (("majority vote", plan), ("two weighted groups", nest)):
            ours = processor(lambda one=one: run_vote(one, folder, Silent()))
            floor = processor(lambda: raw(paths, folder / "raw.csv"))
            times = contest(
                {
                    "ours": lambda one=one: run_vote(one, folder, Silent()),
                    "floor": lambda: raw(paths, folder / "raw.csv"),
                },
                rounds=5,
            )
            size = sum(path.stat().st_size for path in paths) / 1e6
            grown = peak_growth(one, folder)
            note = (
                f"{FILES} files of {ROWS} rows, {size:.0f} MB; processor time {ours:.2f} s, of raw bytes {floor:.2f} s "
                f"({ours / floor:.2f}x), of the loop {looped:.0f} s ({looped / ours:.0f}x); memory +{grown:.0f} MB"
            )
            peers = {"decode loop (processor time)": looped}
            found.append(row(f"{what} of submissions", {**times, **peers}, target=3, least=40, note=note))
        return found
