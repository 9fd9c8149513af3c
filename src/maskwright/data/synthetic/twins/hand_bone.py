"""The twin of the hand-bone competition (SEEDS 003.1): X-rays of both hands of each person, polygons of 29 bones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskwright.core.files import write_text
from maskwright.data.synthetic.twins.files import Rng, relief, test_items
from maskwright.data.synthetic.twins.pictures import save_png

SIDE = 2048
WRIST = ("Trapezium", "Trapezoid", "Capitate", "Hamate", "Scaphoid", "Lunate", "Triquetrum", "Pisiform")
CLASSES = (*(f"finger-{number}" for number in range(1, 20)), *WRIST, "Radius", "Ulna")
"""In their order."""
FINGERS = ((430, -0.6, 3), (720, -0.15, 4), (980, 0.0, 4), (1220, 0.1, 4), (1450, 0.25, 4))
"""Where each begins, from the left, how it leans, and its bones; the thumb comes first."""
FIRST = (1, 4, 8, 12, 16)
"""Number of the tip of each."""
THUMB, LENGTHS = (140, 180, 250), (150, 190, 230, 330)
"""Pixels of each bone, from the tip."""
Outline = NDArray[np.int64]
"""(N, 2) of x, y in pixels."""


def write(folder: Path, items: int, seed: int) -> None:
    """Write data/train/DCM, data/train/outputs_json and data/test/DCM; see table.Write.

    A person has two images; an odd count leaves the last one with one.
    """
    rng = np.random.default_rng([seed, 3])
    tests = test_items(items)
    people = -(-items // 2) + -(-tests // 2)
    numbers = sorted(rng.choice(np.arange(1, 550), people, replace=False).tolist())
    stems = iter(rng.choice(10**12, items + tests, replace=False).tolist())
    films: list[tuple[str, str]] = []
    for place, number in enumerate(numbers):
        train = place < -(-items // 2)
        left = items - 2 * place if train else tests - 2 * (place - -(-items // 2))
        for side in range(min(2, left)):
            name, below = f"image{1_660_000_000_000 + next(stems)}", f"ID{number:03}"
            image, bones = _x_ray(np.random.default_rng([seed, 3, number, side]), mirrored=side == 1)
            save_png(folder / "data" / ("train" if train else "test") / "DCM" / below / f"{name}.png", image)
            if train:
                told = json.dumps({"annotations": _annotations(bones)}, indent=1)
                write_text(folder / "data" / "train" / "outputs_json" / below / f"{name}.json", told + "\n")
            else:
                films.append((below, name))
    rows = ["image_name,class,rle", *(f"{name}.png,{kind}," for _, name in sorted(films) for kind in CLASSES)]
    write_text(folder / "data" / "sample_submission.csv", "\n".join(rows) + "\n")


def _annotations(bones: dict[str, Outline]) -> list[dict[str, Any]]:
    return [
        {"id": f"{number:024x}", "type": "poly_seg", "attributes": {}, "points": outline.tolist(), "label": kind}
        for number, (kind, outline) in enumerate(bones.items())
    ]


def _x_ray(rng: Rng, *, mirrored: bool) -> tuple[NDArray[np.uint8], dict[str, Outline]]:
    """Return RGB (2048, 2048, 3), grey, and each bone's outline; bones of the wrist overlap."""
    import cv2

    bones = _skeleton(rng)
    turn = rng.uniform(-0.12, 0.12) + (rng.choice([-1, 1]) * 0.5 if rng.random() < 0.15 else 0)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    for kind, outline in bones.items():
        moved = (outline - SIDE / 2) @ matrix.T + SIDE / 2
        moved[:, 0] = SIDE - moved[:, 0] if mirrored else moved[:, 0]
        bones[kind] = np.clip(np.rint(moved), 0, SIDE - 1)
    whole = {kind: outline.astype(np.int64) for kind, outline in bones.items()}
    quarter = SIDE // 4
    dense, flesh = np.zeros((quarter, quarter), np.float32), np.zeros((quarter, quarter), np.uint8)
    for points in whole.values():
        bone = np.zeros((quarter, quarter), np.uint8)
        cv2.fillPoly(bone, [(points // 4).astype(np.int32)], 1)
        inner = cv2.GaussianBlur(bone.astype(np.float32), (0, 0), 5)
        dense += bone * (1.35 - 0.6 * inner) * rng.uniform(0.8, 1.1)  # the rim is denser than the middle
        flesh |= bone
    flesh = cv2.dilate(flesh, np.ones((41, 41), np.uint8))
    light = 12 + 45 * cv2.GaussianBlur(flesh.astype(np.float32), (0, 0), 4) + 75 * dense
    light += 4 * relief(rng, quarter, 10) + 2 * rng.standard_normal(light.shape)
    large = cv2.resize(light.astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_LINEAR)
    grey = np.clip(large, 0, 255).astype(np.uint8)
    return np.repeat(grey[:, :, None], 3, 2), whole


def _skeleton(rng: Rng) -> dict[str, NDArray[np.float64]]:
    """Place 19 bones of five fingers, 8 of the wrist, and two of the arm, for an upright left hand."""
    places: dict[str, tuple[float, float, float, float, float]] = {}
    scale = rng.uniform(0.9, 1.05)
    for finger, (left, lean, count) in enumerate(FINGERS):
        place = np.array([left, 1360.0 if finger == 0 else 1230.0])
        ahead = np.array([np.sin(lean), -np.cos(lean)])
        lengths = THUMB if finger == 0 else LENGTHS
        for bone in range(count, 0, -1):  # from the palm to the tip; they are numbered from the tip
            length = lengths[bone - 1] * scale * (1.08 if finger == 2 else 1)
            middle = place + ahead * length / 2
            places[f"finger-{FIRST[finger] + bone - 1}"] = (middle[0], middle[1], length * 0.52, 44.0, lean)
            place = place + ahead * (length + 14)
    spots = ((640, 1350), (790, 1345), (960, 1340), (1130, 1350), (690, 1470), (880, 1490), (1060, 1475), (1120, 1440))
    for kind, (x, y) in zip(WRIST, spots, strict=True):
        places[kind] = (x, y, rng.uniform(75, 100), rng.uniform(62, 90), rng.uniform(-0.5, 0.5))
    places["Radius"] = (780, 1800, 260, 110, 0.05)
    places["Ulna"] = (1090, 1830, 250, 80, -0.05)
    return {kind: _bone(rng, *places[kind]) for kind in CLASSES}


def _bone(rng: Rng, x: float, y: float, along: float, across: float, lean: float) -> NDArray[np.float64]:
    """Return the outline of something long with thicker ends."""
    angles = np.linspace(0, 2 * np.pi, 40, endpoint=False)
    thick = across * (0.72 + 0.28 * np.abs(np.cos(angles)) ** 3) * rng.uniform(0.95, 1.05, 40)
    up, side = along * np.cos(angles), thick * np.sign(np.sin(angles)) * np.abs(np.sin(angles)) ** 0.6
    shift = rng.normal(0, 8, 2)
    return np.stack(
        [
            x + side * np.cos(lean) + up * np.sin(lean) + shift[0],
            y - up * np.cos(lean) + side * np.sin(lean) + shift[1],
        ],
        1,
    )
