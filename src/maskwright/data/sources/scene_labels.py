"""Labels of one scene, read for any part of it: polygons laid on its pixels, or a label raster on any grid."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.grid import Grid
from maskwright.core.labels import Task
from maskwright.data.ground import in_degrees, reproject
from maskwright.data.pixels import scenes
from maskwright.data.pixels.geotiff import Part
from maskwright.data.pixels.header import Valid
from maskwright.data.sources.base import Label
from maskwright.data.sources.encodings import map_values
from maskwright.data.sources.outlines import Drawing, Outlines, Vector
from maskwright.data.vectors.place import outline_of

OUTSIDE = -(2**31)
"""Raw value of pixels that a label raster does not reach."""


class SceneLabel(Protocol):
    """A label of a scene."""

    @property
    def path(self) -> Path:
        """Where it comes from."""

    def read(self, part: Part, grid: Grid, task: Task) -> tuple[Label, Valid]:
        """Read the label of a part of the scene.

        Args:
            part: row, column, height and width in pixels of the scene.
            grid: of the part as it is used.
            task: gives classes, values and ignore.
        """


@dataclass(frozen=True)
class PolygonLabel:
    """Polygons in pixels of a scene."""

    path: Path
    outlines: Outlines
    drawing: Drawing

    @cached_property
    def _boxes(self) -> NDArray[np.float64]:
        return self.outlines.boxes()

    def read(self, part: Part, grid: Grid, task: Task) -> tuple[Label, Valid]:
        """Draw the polygons that reach a part; see SceneLabel."""
        near = self._moved(part, grid)
        files, spans = {"": self.path}, {"": (0, len(near.codes))}
        one = Vector(("",), True, (), {}, files, spans, {}, near, self.drawing, {})
        return one.read_label("", grid.shape, task)

    def covered(self, part: Part, grid: Grid) -> Valid:
        """Return where any polygon covers a part, bool (H, W)."""
        near, found = self._moved(part, grid), np.zeros(grid.shape, np.uint8)
        for index in range(len(near.codes)):
            patch = near.draw(index, grid.shape, self.drawing.rule)
            found[patch.window] |= patch.mask
        return found.view(bool)

    def reaches(self, part: Part) -> bool:
        """Say whether the box of any polygon meets a part."""
        return bool(len(self._near(part)))

    def _near(self, part: Part) -> NDArray[np.intp]:
        row, col, height, width = part
        left, top, right, bottom = self._boxes.T
        return np.flatnonzero((left < col + width) & (right > col) & (top < row + height) & (bottom > row))

    def _moved(self, part: Part, grid: Grid) -> Outlines:
        row, col, height, width = part
        scale = grid.shape[1] / width, grid.shape[0] / height
        return self.outlines.moved([int(index) for index in self._near(part)], (col, row), scale)


@dataclass(frozen=True)
class RasterLabel:
    """A label raster beside a scene."""

    path: Path
    grid: Grid
    """Of the label raster; of the scene itself where both are the same."""
    same: bool
    """Whether it has the pixels of the scene."""
    values: Mapping[int, int | Literal["ignore"]] | None

    def read(self, part: Part, grid: Grid, task: Task) -> tuple[Label, Valid]:
        """Read the values of a part, by nearest pixel where grids differ; see SceneLabel."""
        if self.same:
            raw, nodata = scenes.read_mask_part(self.path, part, grid.shape)
            return map_values(raw, nodata, task, self.values, self.path)
        raw, there, nodata = self._warped(grid)
        label, valid = map_values(np.where(there, raw, task.values[0]), nodata, task, self.values or None, self.path)
        label[~there] = 0
        return label, valid & there

    def _warped(self, grid: Grid) -> tuple[NDArray[np.integer], Valid, int | None]:
        """Bring the label to a grid; bool (H, W) says where it reaches."""
        from rasterio.crs import CRS
        from rasterio.enums import Resampling
        from rasterio.transform import Affine
        from rasterio.warp import reproject as warp

        found = np.full(grid.shape, OUTSIDE, np.int32)
        part = self._part(grid)
        if part is None:
            return found, np.zeros(grid.shape, bool), None
        shape = int(part[2]), int(part[3])
        raw, nodata = scenes.read_mask_part(self.path, part, shape)
        if raw.size and (raw.max() > 2**31 - 1 or raw.min() <= OUTSIDE):
            what = f"label values reach {int(raw.max())}, too large to be classes"
            raise InputError(what, where=self.path, fix="check the file", kind="undeclared_value")
        a, b, c, d, e, f = self.grid.affine
        row, col = part[0], part[1]
        warp(
            raw.astype(np.int32),
            found,
            src_transform=Affine(a, b, a * col + b * row + c, d, e, d * col + e * row + f),
            src_crs=CRS.from_user_input(self.grid.crs),
            dst_transform=Affine(*grid.affine),
            dst_crs=CRS.from_user_input(grid.crs),
            resampling=Resampling.nearest,
            init_dest_nodata=True,
            dst_nodata=OUTSIDE,
            tolerance=0,
        )
        return found, found != OUTSIDE, nodata

    def _part(self, grid: Grid) -> Part | None:
        """Return the part of the label raster that a grid can reach; None: nothing of it."""
        ground = reproject(outline_of(grid), grid.crs, self.grid.crs)
        places = self.grid.to_pixels(ground)
        if not np.isfinite(places).all():
            return None
        if in_degrees(self.grid.crs) and not in_degrees(grid.crs) and np.ptp(ground[:, 0]) > 180:
            what, fix = "a scene crosses the antimeridian and its label raster is in degrees", "warp it to the scene"
            raise InputError(what, where=self.path, fix=fix, kind="no_place")
        height, width = self.grid.shape
        low = np.maximum(np.floor(places.min(axis=0)) - 2, 0)
        high = np.minimum(np.ceil(places.max(axis=0)) + 2, (width, height))
        if (low >= high).any():
            return None
        return low[1], low[0], high[1] - low[1], high[0] - low[0]

    def reaches(self, grid: Grid) -> bool:
        """Say whether the label raster can reach a grid."""
        return self.same or self._part(grid) is not None
