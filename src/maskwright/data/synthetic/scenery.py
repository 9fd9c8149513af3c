"""Things of a synthetic aerial scene, drawn one upon the other: ground, roads, houses, courts, cars, trees."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.uint8]
Mask = NDArray[np.bool_]

BUILDING, ROAD, TREE = 1, 2, 3
USUAL_SIDE = 448
"""Side in fine pixels for which the numbers of houses and trees are meant."""
GROUNDS = (
    ((0.30, 0.38, 0.20), (0.42, 0.45, 0.26), (0.55, 0.48, 0.36)),  # meadow: lush, plain, bare
    ((0.47, 0.44, 0.29), (0.56, 0.50, 0.35), (0.66, 0.56, 0.43)),  # dry
    ((0.36, 0.37, 0.30), (0.46, 0.45, 0.39), (0.58, 0.52, 0.45)),  # yards
    ((0.24, 0.32, 0.17), (0.33, 0.40, 0.21), (0.50, 0.38, 0.29)),  # gardens on red soil
)
ROOFS = (
    (0.62, 0.33, 0.24),  # terracotta
    (0.52, 0.28, 0.22),
    (0.44, 0.34, 0.28),  # brown tile
    (0.33, 0.33, 0.36),  # slate
    (0.58, 0.58, 0.58),  # metal
    (0.72, 0.71, 0.68),  # pale sheet
    (0.36, 0.45, 0.55),  # blue sheet
    (0.40, 0.48, 0.40),  # green sheet
)
CARS = ((0.85, 0.85, 0.85), (0.15, 0.15, 0.17), (0.55, 0.08, 0.08), (0.15, 0.22, 0.42), (0.60, 0.60, 0.63))


class Sun(NamedTuple):
    """Where light comes from."""

    row: float
    """Unit vector on the ground towards the sun."""
    col: float
    climb: float
    """Tangent of its elevation."""

    def light(self, surface: Floats, floor: float = 0.42) -> Floats:
        """Return the brightness of a surface (height in pixels) by Lambert's law, 1 for flat ground."""
        slope_row, slope_col = np.gradient(surface)
        facing = (self.climb - slope_row * self.row - slope_col * self.col) / np.sqrt(1 + slope_row**2 + slope_col**2)
        return np.asarray(floor + (1 - floor) * np.maximum(facing, 0) / self.climb, np.float32)


class Patch(NamedTuple):
    """The part of a drawing around one thing, and each pixel's place in the thing's own directions."""

    box: tuple[slice, slice]
    along: Floats
    across: Floats

    def inside(self, length: float, width: float) -> Mask:
        """Return where a rectangle lies, given half its length and half its width."""
        return np.asarray((np.abs(self.along) <= length) & (np.abs(self.across) <= width))


@dataclass
class Scene:
    """A drawing on its way.

    Args:
        rng: all its chance.
        side: in fine pixels.
        sun: lights roofs and trees.
    """

    rng: np.random.Generator
    side: int
    sun: Sun
    colour: Floats = field(init=False)
    """RGB, 1 is white."""
    height: Floats = field(init=False)
    """Fine pixels above the ground."""
    ids: Ids = field(init=False)
    taken: Mask = field(init=False)
    """Where no further house may stand."""
    grain: Floats = field(init=False)
    """Noise that roofs, roads and trees take a piece of."""

    def __post_init__(self) -> None:
        self.colour = np.zeros((self.side, self.side, 3), np.float32)
        self.height = np.zeros((self.side, self.side), np.float32)
        self.ids = np.zeros((self.side, self.side), np.uint8)
        self.taken = np.zeros((self.side, self.side), bool)
        self.grain = 0.6 * self.noise(22) + 0.4 * self.noise(4, 1)

    def noise(self, cell: float, octaves: int = 3) -> Floats:
        """Return smooth noise of about -1..1 whose largest features are `cell` fine pixels wide."""
        import cv2

        total = np.zeros((self.side, self.side), np.float32)
        for octave in range(octaves):
            count = max(2, int(self.side / cell * 2**octave) + 2)
            grid = self.rng.uniform(-1, 1, (count, count)).astype(np.float32)
            total += cv2.resize(grid, (self.side, self.side), interpolation=cv2.INTER_CUBIC) / 2**octave
        return total / 1.6

    def patch(self, row: float, col: float, angle: float, reach: float = math.inf) -> Patch | None:
        """Return the surroundings of a point within `reach`; None if that is outside the drawing."""
        top, left = (int(max(0, min(place - reach, self.side))) for place in (row, col))
        bottom, right = (int(max(0, min(place + reach + 1, self.side))) for place in (row, col))
        if top >= bottom or left >= right:
            return None
        rows, cols = np.ogrid[top:bottom, left:right]
        down, over = (rows - row).astype(np.float32), (cols - col).astype(np.float32)
        sin, cos = np.float32(math.sin(angle)), np.float32(math.cos(angle))
        return Patch((slice(top, bottom), slice(left, right)), over * cos + down * sin, down * cos - over * sin)

    def paint(
        self, where: Floats | Mask, colour: object, box: tuple[slice, slice] = (slice(None), slice(None))
    ) -> None:
        """Lay a colour over the drawing; `where` is its opacity 0..1 in the box."""
        part = self.colour[box]
        part += where[:, :, None] * (np.asarray(colour, np.float32) - part)

    def line(self, points: NDArray[np.float64], width: float) -> Mask:
        """Return the mask of a line through (row, col) points."""
        import cv2

        mask = np.zeros((self.side, self.side), np.uint8)
        ends = np.round(points[:, ::-1] * 8).astype(np.int32)
        cv2.polylines(mask, [ends.reshape(-1, 1, 2)], False, 1, max(1, round(width)), cv2.LINE_8, 3)
        return mask.astype(bool)


def soften(mask: Mask, sigma: float) -> Floats:
    """Return a mask with soft edges."""
    import cv2

    return np.asarray(cv2.GaussianBlur(mask.astype(np.float32), (0, 0), sigma), np.float32)


def _step(values: Floats, low: float, high: float) -> Floats:
    share = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(share * share * (3 - 2 * share), np.float32)


def draw_ground(scene: Scene) -> None:
    """Cover everything with grass or soil, some of it bare, some of it mown."""
    rng, side = scene.rng, scene.side
    lush, plain, bare = (np.array(colour) for colour in GROUNDS[rng.integers(len(GROUNDS))])
    scene.paint(np.ones((side, side), np.float32), plain + rng.uniform(-0.04, 0.04, 3))
    scene.paint(_step(scene.noise(side / 3), -0.3, 0.6), lush)
    scene.paint(_step(scene.noise(side / 4, 4), rng.uniform(0.25, 0.5), 0.75), bare)
    if rng.random() < 0.35:
        row, col = rng.uniform(0, side, 2)
        field_ = scene.patch(row, col, rng.uniform(0, math.pi))
        assert field_ is not None, "a field lies inside"
        inside = _step(field_.across, 0, 6) * _step(scene.noise(side / 2, 1), -0.2, -0.1)
        stripes = np.sin(field_.along * np.float32(2 * math.pi / rng.uniform(9, 20)))
        scene.colour *= 1 + (0.08 * stripes * inside)[:, :, None]
    scene.colour *= 1 + 0.12 * scene.noise(9, 2)[:, :, None] + 0.06 * scene.noise(3, 1)[:, :, None]


class Road(NamedTuple):
    """A road through the whole scene."""

    points: NDArray[np.float64]
    """(N, 2) row, col."""
    width: float

    def heading(self, place: int) -> float:
        """Return its direction at one of its points, in radians from the columns."""
        step = self.points[place + 1] - self.points[place]
        return math.atan2(step[0], step[1])


def draw_roads(scene: Scene) -> list[Road]:
    """Draw one road, or two that cross; the second may be a track."""
    rng, side = scene.rng, scene.side
    roads: list[Road] = []
    for number in range(int(rng.integers(1, 3))):
        angle = roads[0].heading(30) + math.pi / 2 + rng.normal(0, 0.15) if roads else rng.uniform(0, math.pi)
        steps = np.linspace(-1.2, 1.2, 60) * side
        bend = rng.uniform(-0.25, 0.25) * steps * np.abs(steps) / side
        direction, normal = np.array([math.sin(angle), math.cos(angle)]), np.array([math.cos(angle), -math.sin(angle)])
        points = rng.uniform(0.25, 0.75, 2) * side + steps[:, None] * direction + bend[:, None] * normal
        road = Road(points, rng.uniform(20, 32) if number == 0 else rng.uniform(14, 22))
        _pave(scene, road, paved=bool(number == 0 or rng.random() < 0.6))
        roads.append(road)
    return roads


def _pave(scene: Scene, road: Road, *, paved: bool) -> None:
    rng = scene.rng
    surface = scene.line(road.points, road.width)
    soft = soften(surface, 0.8 if paved else 2.5)
    if paved:
        scene.paint(soften(scene.line(road.points, road.width + 8), 1.2), (0.60, 0.58, 0.54))
    tone = np.full(3, rng.uniform(0.34, 0.50)) if paved else np.array([0.58, 0.48, 0.37])
    scene.paint(soft, tone + rng.uniform(-0.015, 0.015, 3))
    worn = soften(scene.line(road.points, road.width * 0.55), 3.0)
    scene.colour *= 1 + (soft * (0.05 * worn + 0.12 * scene.grain))[:, :, None]
    if paved and road.width > 20:
        dashes = np.zeros_like(surface)
        for start in range(0, len(road.points) - 1, 2):
            dashes |= scene.line(road.points[start : start + 2], 2)
        scene.paint(dashes * np.float32(0.7), (0.85, 0.85, 0.80))
    scene.ids[surface] = ROAD
    scene.taken |= scene.line(road.points, road.width + 16)


def draw_flat_things(scene: Scene) -> None:
    """Add courts, pools and cars: sharp shapes in a roof's colours that are no roofs."""
    rng, side = scene.rng, scene.side
    for _ in range(int(rng.integers(0, 3))):
        court = rng.random() < 0.6
        half = (rng.uniform(24, 34), rng.uniform(13, 18)) if court else (rng.uniform(8, 13), rng.uniform(5, 7))
        row, col = rng.uniform(0.1, 0.9, 2) * side
        patch = scene.patch(row, col, rng.uniform(0, math.pi), math.hypot(*half) + 1)
        if patch is None or (inside := patch.inside(*half))[scene.taken[patch.box]].any():
            continue
        tone = np.array((0.58, 0.34, 0.26) if court else (0.25, 0.58, 0.68)) + rng.uniform(-0.05, 0.05, 3)
        scene.paint(inside * np.float32(0.92), tone, patch.box)
        if court:
            rim = patch.inside(half[0] - 2, half[1] - 2) & ~patch.inside(half[0] - 4, half[1] - 4)
            scene.paint((rim | (np.abs(patch.along) < 1)) & inside, (0.85, 0.83, 0.78), patch.box)
        scene.taken[patch.box] |= inside
    roads = np.argwhere(scene.ids == ROAD)
    for _ in range(int(rng.integers(2, 9)) if len(roads) else 0):
        row, col = roads[rng.integers(len(roads))]
        patch = scene.patch(row, col, rng.uniform(0, math.pi), 8)
        assert patch is not None, "a road pixel lies inside"
        body = patch.inside(6, 3)
        scene.paint(body, CARS[rng.integers(len(CARS))], patch.box)
        scene.paint(body & (np.abs(patch.along - 2) < 1.2), (0.10, 0.12, 0.15), patch.box)
        scene.height[patch.box][body] = 3


def draw_trees(scene: Scene) -> None:
    """Plant trees in clumps beside roads and houses; crowns may reach over both."""
    rng, side = scene.rng, scene.side
    clumps = scene.noise(side / 3)
    for _ in range(int(rng.integers(10, 60) * (side / USUAL_SIDE) ** 2) + 2):
        row, col = rng.uniform(0, side, 2)
        if clumps[int(row), int(col)] < rng.uniform(-0.6, 0.5) or scene.ids[int(row), int(col)] != 0:
            continue
        radius = rng.uniform(6, 17)
        patch = scene.patch(row, col, rng.uniform(0, math.pi), radius * 1.4)
        assert patch is not None, "a tree stands inside"
        wave = 1 + 0.16 * np.sin(3 * np.arctan2(patch.across, patch.along) + rng.uniform(0, 6))
        wave += 0.22 * scene.grain[patch.box]
        away = np.hypot(patch.along * 1.1, patch.across) / (radius * wave)
        crown = away < 1
        dome = np.maximum(1 - away**2, 0) * radius * 0.75
        leaves = dome + 2.2 * np.roll(scene.grain, int(rng.integers(side)), 0)[patch.box] * np.sqrt(crown)
        green = np.array([0.22, 0.31, 0.14]) * rng.uniform(0.75, 1.35) + rng.uniform(-0.03, 0.03, 3)
        light = scene.sun.light(np.asarray(leaves, np.float32), 0.5)
        scene.paint(crown, green.astype(np.float32) * light[:, :, None], patch.box)
        tall = scene.height[patch.box]
        tall[crown] = np.maximum(tall, 0.9 * radius + dome)[crown]
        scene.ids[patch.box][crown] = TREE
