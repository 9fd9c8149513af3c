"""Small pictures with discs, and jobs that train a tiny network on them; also for scripts in other processes."""

import hashlib

import numpy as np
from PIL import Image

from maskwright.core.labels import Task
from maskwright.core.recipe.members import Member, Model, Train
from maskwright.core.recipe.sources import FolderSource
from maskwright.data.dataset import Preprocess
from maskwright.data.sources.open import open_source
from maskwright.training.fit import FoldJob

TASK = Task(kind="binary", classes=("disc",))
TWO = Task(kind="multiclass", classes=("ground", "disc"))
TINY = Model(architecture="unet", encoder="tu-mobilenetv3_small_050", options={"decoder_channels": [16, 8, 8, 4, 4]})
PLAIN = Preprocess((0, 1, 2), 255.0, (0.4, 0.4, 0.4), (0.2, 0.2, 0.2))


class Never:
    """A stop that nobody asks for."""

    signal_number = None


class After:
    """A stop that is asked for when it was looked at some times."""

    def __init__(self, looks):
        self.looks = looks

    @property
    def signal_number(self):
        self.looks -= 1
        return 15 if self.looks < 0 else None


class Told:
    """A reporter that remembers."""

    def __init__(self):
        self.warnings, self.started, self.advanced = [], [], 0

    def say(self, text):
        self.warnings.append(text)

    warn = say

    def task(self, name, total, done=0):
        self.started.append((name, total, done))
        return self

    def __enter__(self):
        return self

    def __exit__(self, *_error):
        return None

    def advance(self, count=1, note=""):
        self.advanced += count


def draw(folder):
    """Write twelve pictures with a bright disc each, and their masks."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    rows, columns = np.mgrid[:48, :56]
    for number in range(12):
        rng = np.random.default_rng(number)
        row, column, radius = rng.uniform(8, 40), rng.uniform(8, 48), rng.uniform(6, 14)
        mask = ((rows - row) ** 2 + (columns - column) ** 2 < radius**2).astype(np.uint8)
        image = mask[..., None] * 70 + 80 + rng.normal(0, 25, (48, 56, 3))
        Image.fromarray(image.clip(0, 255).astype(np.uint8)).save(folder / "images" / f"k{number:02d}.png")
        Image.fromarray(mask).save(folder / "masks" / f"k{number:02d}.png")


def job_on(folder, model=TINY, augment=("hflip", {"rotate": {}}), weights=None, **train):
    """Make a job: eight pictures to train on, four to validate on; `train` may name a task besides."""
    task = train.pop("task", TASK)
    source = open_source(FolderSource(images="images", masks="masks"), folder, task)
    settings = {"epochs": 2, "batch_size": 4, "steps_per_epoch": 3, "crop": 32, "ema": 0.8, "precision": "fp32"}
    given = {
        name: train.pop(name) for name in ("loss", "loss_weights", "optimizer", "schedule", "sampling") if name in train
    }
    member = Member(model=model, augment=augment, train=Train(**{**settings, **train}), **given)
    return FoldJob(
        member=member,
        task=task,
        source=source,
        train_keys=source.keys[:8],
        valid_keys=source.keys[8:],
        preprocess=PLAIN,
        max_pixels=10**6,
        seed=5,
        metric="iou",
        weights=weights,
        pixels=np.array([pixels_of(folder, key) for key in source.keys[:8]]),
        facts={"member": "a", "fold": 0},
    )


def pixels_of(folder, key):
    """Return the pixels of background and disc in a picture."""
    return np.bincount(np.asarray(Image.open(folder / "masks" / f"{key}.png")).reshape(-1), minlength=2)


def results(folder):
    """Return name -> digest of the files that must not depend on what happened on the way."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != "timing.jsonl"
    }
