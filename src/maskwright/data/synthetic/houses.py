"""Houses of a synthetic aerial scene: where they stand, and roofs whose pitch the sun lights."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from maskwright.data.synthetic.scenery import BUILDING, ROOFS, USUAL_SIDE, Mask, Patch, Road, Scene, soften


class House(NamedTuple):
    """A rectangle on the ground, in fine pixels."""

    row: float
    col: float
    angle: float
    length: float
    """Half, along the ridge."""
    width: float
    """Half, across it."""


def draw_houses(scene: Scene, roads: list[Road]) -> None:
    """Put houses beside the roads and a few elsewhere; each needs free ground."""
    rng = scene.rng
    left = 0 if rng.random() < 0.05 else int(rng.integers(5, 18) * (scene.side / USUAL_SIDE) ** 2) + 1
    for house in _wishes(scene, roads):
        if left == 0:
            return
        patch = scene.patch(house.row, house.col, house.angle, math.hypot(house.length, house.width) + 15)
        if patch is None or rng.random() < 0.15:
            continue
        yard = patch.inside(house.length + 10, house.width + 10)
        if not patch.inside(house.length, house.width).any() or (scene.taken[patch.box] & yard).any():
            continue
        _drive(scene, house, roads)
        _roof(scene, house)
        scene.taken[patch.box] |= yard
        left -= 1


def _wishes(scene: Scene, roads: list[Road]) -> list[House]:
    """Return where houses would like to stand, the ones at roads first, in no order along them."""
    rng, side = scene.rng, scene.side
    wishes: list[House] = []
    for road in roads:
        for place in range(3, 57, 2):
            angle = road.heading(place)
            for hand in (-1, 1):
                house = _size(rng, angle + float(rng.choice([0, math.pi / 2])) + rng.normal(0, 0.06))
                away = road.width / 2 + rng.uniform(14, 34) + max(house.width, house.length)
                row, col = road.points[place] + hand * away * np.array([math.cos(angle), -math.sin(angle)])
                if -20 < row < side + 20 and -20 < col < side + 20:
                    wishes.append(house._replace(row=row, col=col))
    wishes = [wishes[place] for place in rng.permutation(len(wishes))]
    for row, col in rng.uniform(0, side, (8, 2)):
        wishes.append(_size(rng, rng.uniform(0, math.pi))._replace(row=row, col=col))
    return wishes


def _size(rng: np.random.Generator, angle: float) -> House:
    width = rng.uniform(13, 25)
    return House(0, 0, angle, width * rng.uniform(1.05, 2.0), width)


def _drive(scene: Scene, house: House, roads: list[Road]) -> None:
    """Lead a pale drive from a house to the nearest road; it has a roof's colour but no shadow."""
    rng = scene.rng
    here = np.array([house.row, house.col])
    ends = np.concatenate([road.points for road in roads])
    nearest = ends[np.argmin(((ends - here) ** 2).sum(1))]
    if rng.random() < 0.35 or np.hypot(*(nearest - here)) > 120:
        return
    path = scene.line(np.stack([here, nearest]), rng.uniform(8, 14)) & (scene.ids == 0)
    scene.paint(soften(path, 1.0), rng.choice([0.62, 0.70, 0.52]) + np.array([0.02, 0.0, -0.03]))


def _roof(scene: Scene, house: House) -> None:
    """Build a gabled, hipped, flat or winged roof: a height for each pixel, and from it light and ridges."""
    rng = scene.rng
    kind = str(rng.choice(["gable", "hip", "flat", "winged"], p=[0.42, 0.24, 0.16, 0.18]))
    pitch = 0.0 if kind == "flat" else rng.uniform(0.35, 0.75)
    parts = [house]
    if kind == "winged":
        shift = house.length * rng.uniform(-0.5, 0.5)
        row, col = house.row + shift * math.sin(house.angle), house.col + shift * math.cos(house.angle)
        wing = House(row, col, house.angle + math.pi / 2, house.width * rng.uniform(1.3, 1.7), house.width * 0.6)
        parts.append(wing)
    reach = math.hypot(house.length, house.width) * 1.8
    patch = scene.patch(house.row, house.col, house.angle, reach)
    assert patch is not None, "a house stands inside"
    rise = np.full(patch.along.shape, -1.0, np.float32)
    for part in parts:
        own = _same_box(scene, part, patch)
        inward, ends = part.width - np.abs(own.across), part.length - np.abs(own.along)
        slope = np.minimum(inward, ends) if kind == "hip" else inward
        rise = np.maximum(rise, np.where(np.minimum(inward, ends) >= 0, slope * pitch, -1))
    inside = (rise >= 0) & (scene.ids[patch.box] != BUILDING)
    tone = np.array(ROOFS[rng.integers(len(ROOFS))]) * rng.uniform(0.85, 1.15) + rng.uniform(-0.03, 0.03, 3)
    course = patch.along if rng.random() < 0.5 else patch.across
    tiles = np.sin(course * np.float32(2 * math.pi / rng.uniform(4, 7)))
    texture = 1 + rng.uniform(0.0, 0.06) * tiles + 0.09 * scene.grain[patch.box]
    light = scene.sun.light(np.maximum(rise, 0)) * texture
    scene.paint(inside, tone.astype(np.float32) * light[:, :, None], patch.box)
    scene.height[patch.box][inside] = rng.uniform(9, 18) + rise[inside]
    scene.ids[patch.box][inside] = BUILDING
    _on_roof(scene, house, patch, inside, flat=kind == "flat")


def _same_box(scene: Scene, part: House, patch: Patch) -> Patch:
    """Return the directions of a wing in the pixels of the whole house."""
    rows, cols = patch.box
    own = scene.patch(part.row, part.col, part.angle)
    assert own is not None, "the whole drawing"
    return Patch(patch.box, own.along[rows, cols], own.across[rows, cols])


def _on_roof(scene: Scene, house: House, patch: Patch, inside: Mask, *, flat: bool) -> None:
    """Add boxes, skylights or solar panels; they belong to the building."""
    rng = scene.rng
    for _ in range(int(rng.integers(0, 4))):
        place = rng.uniform(-0.7, 0.7, 2) * (house.length, house.width)
        panel = not flat and rng.random() < 0.4
        reach = np.array([8.0, 4.5]) if panel else rng.uniform(1.5, 4.0, 2)
        moved = Patch(patch.box, patch.along - np.float32(place[0]), patch.across - np.float32(place[1]))
        box = moved.inside(*reach) & inside
        scene.paint(box, (0.13, 0.15, 0.25) if panel else np.full(3, rng.choice([0.3, 0.8])), patch.box)
        scene.height[patch.box][box] += 4 if flat else 1
