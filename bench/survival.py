"""Kill a whole run ten times with SIGKILL, three times inside a checkpoint write, and compare with an undisturbed twin.

    python -m bench.survival            # about 10 minutes on two cores; prints one line a kill and a verdict

TMPDIR points to another file system (/dev/shm where there is one) in every second life. What must be equal, byte
for byte: weights, stored probabilities, masks, submission, folds, histories, scores item by item.
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from maskwright.data.synthetic.synthetic import write_scenes

RECIPE = """
name: survival
task: {kind: binary, classes: [roof]}
data: {root: scenes, train: {format: folder, images: images, masks: masks, values: {0: 0, 255: 1}}}
folds: {kind: stratified, count: 2}
members:
  unet:
    model: {architecture: unet, encoder: resnet18, options: {decoder_channels: [64, 32, 24, 16, 16]}}
    augment: [d4, {scale_crop: {scale: [0.8, 1.2]}}, {noise: {p: 0.5}}]
    train: {epochs: 6, steps_per_epoch: 6, batch_size: 4, crop: 96, ema: 0.95, save_every: 4}
    predict: {tta: d4, window: 96, overlap: 0.5}
output: [{format: masks}, {format: rle_csv}, {format: report, cases: 2}]
"""
SLOW = """
import os, sys, time
real = os.fsync
def slow(handle):
    time.sleep(0.08)
    real(handle)
os.fsync = slow
from maskwright.cli.app import main
main()
"""
COMPARED = (".safetensors", ".png", ".csv")


def main() -> None:
    """Run twin and victim, print what happened."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as text:
        folder = Path(text)
        write_scenes(folder / "scenes", 24, 128, seed=5)
        (folder / "r.yaml").write_text(RECIPE)
        started = time.monotonic()
        live(folder, "twin").communicate()
        whole = time.monotonic() - started
        print(f"undisturbed: {whole:.0f} s")
        kill_ten(folder, whole)
        child = live(folder, "victim")
        said, _ = child.communicate()
        if child.returncode != 0:
            sys.exit(f"the last life failed: {said}")
        twin, victim = digests(folder / "twin"), digests(folder / "victim")
        different = sorted(name for name in twin.keys() | victim.keys() if twin.get(name) != victim.get(name))
        partial = list((folder / "victim").rglob("*.partial"))
        print(f"{len(twin)} files compared, {len(different)} differ, {len(partial)} partial files left")
        for name in different:
            print(f"  differs: {name}")
        sys.exit(1 if different or partial else 0)


def kill_ten(folder: Path, whole: float) -> None:
    """Kill ten lives: three inside a checkpoint write, three in prediction, four at random moments."""
    rng = random.Random(11)
    out = folder / "victim"
    plans: list[tuple[str, Callable[[subprocess.Popen[str]], None]]] = []
    plans += [("at a random moment", lambda child: wait(child, 4 + rng.random() * whole / 4))] * 4
    plans += [
        (
            "inside a checkpoint write",
            lambda child: until(child, lambda: list(out.rglob(f"state/.*.{child.pid}.partial"))),
        )
    ] * 3
    plans += [("in prediction", lambda child: until(child, lambda: in_prediction(out, rng.randint(1, 20))))] * 3
    for turn, (name, moment) in enumerate(plans):
        child = live(folder, "victim", slow=True, elsewhere=turn % 2 == 1)
        moment(child)
        ended = child.poll() is not None
        child.kill()
        child.communicate()
        states = sorted(path.name for path in out.glob("members/*/*/state/*"))
        print(f"kill {turn + 1} {name}{' (had ended before)' if ended else ''}: states {states[-2:]}", flush=True)


def wait(child: subprocess.Popen[str], seconds: float) -> None:
    """Sleep, unless the child ends first."""
    until(child, lambda: False, seconds)


def until(child: subprocess.Popen[str], true: Callable[[], object], seconds: float = 240.0) -> None:
    """Wait for a condition, the child's end or a time limit."""
    end = time.monotonic() + seconds
    while time.monotonic() < end and child.poll() is None and not true():
        time.sleep(0.002)


def in_prediction(out: Path, items: int) -> bool:
    """Say whether at least `items` items are stored, or all there will be."""
    return len(list(out.glob("probabilities/*/*/*.safetensors"))) >= items


def live(folder: Path, name: str, *, slow: bool = False, elsewhere: bool = False) -> subprocess.Popen[str]:
    """Start a run."""
    temporary = "/dev/shm" if elsewhere and Path("/dev/shm").is_dir() else tempfile.gettempdir()
    command = [sys.executable, *(["-c", SLOW] if slow else ["-m", "maskwright"]), "run", "r.yaml", "--out", name]
    return subprocess.Popen(
        command,
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "TMPDIR": temporary, "OMP_NUM_THREADS": "1"},
    )


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file that must be reproducible."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.suffix in COMPARED and "state" not in path.parts
    }


if __name__ == "__main__":
    main()
