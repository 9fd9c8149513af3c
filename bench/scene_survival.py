"""Kill `maskwright predict --input` at 30 % and 70 %, fill the disk under it, and compare with an undisturbed twin.

    python -m bench.scene_survival      # about two minutes on two cores; the disk is a tmpfs, which needs root

What must be so: no file under a final name after a kill, a resumed command predicts again only what was in flight, a
full disk ends with exit code 4, its path and its free space, leaves no partial file, and goes on when there is room.
All bytes of the answers are those of the twin.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.scene_runs import call, command, digests, sparse, tiny_run

SIDE, WINDOW, OVERLAP = 3072, 256, 64
FINAL = ("*.tif", "*.json", "*.xml")


def main() -> None:
    """Run twin and victims, print what happened."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = tiny_run(folder)
        everywhere = [(row, col) for row in range(0, SIDE, 512) for col in range(0, SIDE, 512)]
        scene = sparse(folder / "scene.tif", SIDE, everywhere)
        words = ("predict", run, "--input", scene, "--window", WINDOW, "--overlap", OVERLAP, "--output")
        said = call(*words, folder / "twin")
        print(said.strip().splitlines()[-1], flush=True)
        twin = digests(folder / "twin")
        good = [killed(folder, words, share, twin) for share in (0.3, 0.7)]
        good += [full(folder, words, megabytes, twin) for megabytes in (6, 19, 24)]
        sys.exit(0 if all(good) else 1)


def killed(folder: Path, words: tuple[object, ...], share: float, twin: dict[str, str]) -> bool:
    """Kill a command when a share of its row bands is whole, and go on with it."""
    out = folder / f"killed{share:.0%}"
    given, environment = command(*words, out)
    rows = -(-(SIDE - WINDOW) // (WINDOW - OVERLAP)) + 1
    child = subprocess.Popen(given, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while bands(out) < share * rows and child.poll() is None:
        time.sleep(0.002)
    child.kill()
    child.wait()
    before, finals = bands(out), [path.name for pattern in FINAL for path in out.glob(pattern)]
    said = call(*words, out)
    again = next((line for line in said.splitlines() if "were there already" in line), "nothing was there")
    same = digests(out) == twin
    print(f"killed with {before} of {rows} bands whole, final names: {finals or 'none'}; {again}; same bytes: {same}")
    return same and not finals and f"{before} of {rows} row bands" in again


def full(folder: Path, words: tuple[object, ...], megabytes: int, twin: dict[str, str]) -> bool:
    """Run a command on a disk that is too small, and go on when it has grown."""
    with disk(folder / f"disk{megabytes}", megabytes) as out:
        given, environment = command(*words, out)
        done = subprocess.run(given, env=environment, capture_output=True, text=True, check=False)
        left = sorted(path.name for path in out.rglob("*") if path.is_file())
        said = done.stderr.strip().splitlines()[-1].replace(str(folder), "")
        named = done.returncode == 4 and "MiB free" in said
        clean = not [name for name in left if name.endswith((".tif", ".partial", ".json", ".xml"))]
        subprocess.run(["mount", "-o", "remount,size=200m", str(out)], check=True)
        again = call(*words, out)
        same = digests(out) == twin
        kept = next((line for line in again.splitlines() if "were there already" in line), "nothing was there")
        print(
            f"{megabytes} MB: exit code {done.returncode}: {said}; left: {left}; with room: {kept}; same bytes: {same}"
        )
        return named and clean and same


@contextmanager
def disk(path: Path, megabytes: int) -> Iterator[Path]:
    """Mount a disk of some megabytes."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(path)], check=True)
    try:
        yield path
    finally:
        subprocess.run(["umount", str(path)], check=True)


def bands(out: Path) -> int:
    """Count the row bands that are whole."""
    journal = out / ".scene.bands" / "journal.jsonl"
    if not journal.exists():
        return 0
    lines = journal.read_bytes().split(b"\n")[1:-1]
    return sum("band" in json.loads(line) for line in lines)


if __name__ == "__main__":
    main()
