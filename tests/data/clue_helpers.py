"""Generated items whose labels fit their images, and ways to spoil them, for the tests of plausibility."""

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from maskwright.core.labels import Task
from maskwright.data.audit.small import reduce
from maskwright.data.plausible import plausible

BLOBS = Task(kind="binary", classes=("blob",))
STREET = Task(kind="multiclass", classes=("sky", "building", "road", "tree"), ignore=255)
PLANES = Task(kind="multilabel", classes=("blob", "bar"))
SHADES = np.array([[150, 180, 235], [170, 120, 90], [90, 85, 80], [60, 130, 50]], np.float32)
Labelled = tuple[np.ndarray, np.ndarray]
Spoil = Callable[[int, np.ndarray, np.ndarray], Labelled]


def textured(label: np.ndarray, shades: np.ndarray, seed: int) -> np.ndarray:
    """Colour a label, with a texture of its own and noise."""
    chance = np.random.default_rng(seed)
    height, width = label.shape
    texture = cv2.resize(chance.normal(0, 10, (height // 6, width // 6, 3)), (width, height))
    return np.clip(shades[label] + texture + chance.normal(0, 5, (height, width, 3)), 1, 250).astype(np.uint8)


def blobs(seed: int, height: int = 48, width: int = 64) -> Labelled:
    """Draw warm blobs on green ground, some across the left and the right border."""
    chance = np.random.default_rng(700 + seed)
    label = np.zeros((height, width), np.uint8)
    for at in [(0, 1.0), (width, 1.0), *((chance.integers(8, width - 8), 1.0) for _ in range(3))]:
        place = (int(at[0]), int(chance.integers(6, height - 6)))
        cv2.ellipse(label, place, (int(chance.integers(4, 8)), int(chance.integers(3, 6))), 0, 0, 360, 1, -1)
    return textured(label, np.array([[90, 110, 80], [200, 90, 70]], np.float32), seed), label


def street(seed: int, height: int = 48, width: int = 64) -> Labelled:
    """Draw sky over buildings and trees over a road."""
    chance = np.random.default_rng(900 + seed)
    label = np.zeros((height, width), np.uint8)
    for left in range(0, width, 8):
        label[int(chance.integers(8, 22)) :, left : left + 8] = chance.choice([1, 1, 3])
    label[int(chance.integers(30, 38)) :] = 2
    return textured(label, SHADES, seed), label


def make(
    draw: Callable[..., Labelled], task: Task, count: int = 20, spoil: Spoil | None = None, **size: int
) -> Mapping[str, plausible.Clues]:
    """Describe items; `spoil` changes image and label of each, 255 in a label then does not count."""
    clues = {}
    for index in range(count):
        image, label = draw(index, **size)
        if spoil is not None:
            image, label = spoil(index, image, label)
        image, label = np.ascontiguousarray(image), np.ascontiguousarray(label)
        valid = label != 255 if label.ndim == 2 else np.ones(label.shape[1:], bool)
        label = np.where(valid, label, 0).astype(np.uint8)
        clues[f"item{index:02}"] = plausible.describe(reduce(image, label, valid), task, label)
    return clues


def kinds(findings: list) -> list[str]:
    return [finding.kind for finding in findings]
