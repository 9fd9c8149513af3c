"""Recipe block of the rasters and polygons that whole scenes are answered with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import Field

from maskwright.core.recipe.base import Block
from maskwright.core.recipe.sources import SceneSource, Source


class Polygons(Block):
    """Polygons drawn from the class raster of a scene."""

    format: Literal["gpkg", "geojson", "fgb"] = "gpkg"
    """GeoPackage, GeoJSON (RFC 7946: longitude and latitude) or FlatGeobuf."""
    simplify: float = Field(default=0.0, ge=0)
    """How far outlines may be moved to have fewer corners, in metres; 0: they follow pixels."""
    min_area: float = Field(default=0.0, ge=0)
    """Smaller features are left out, in square metres."""
    regularise: bool = False
    """Whether outlines get right angles where their sides have a common direction, as those of buildings do."""


class ScenesOutput(Block):
    """Whole scenes of data.test as GeoTIFF on their own grids; predict --input takes its settings from here too."""

    format: Literal["scenes"] = "scenes"
    uncertainty: bool = False
    """Whether a raster NAME_uncertainty.tif is written too: the entropy of each pixel's answer, 0 (sure) to 1."""
    polygons: Polygons | None = None
    """Polygons of the classes too; {} for the defaults."""


def scenes_clashes(outputs: Sequence[object], test: Source | None) -> list[str]:
    """List where outputs of scenes disagree with each other or with the test set, in words."""
    places = [place for place, output in enumerate(outputs) if isinstance(output, ScenesOutput)]
    found = ["output: two scenes entries write the same folder; keep one"] if len(places) > 1 else []
    if places and test is not None and not isinstance(test, SceneSource):
        what = f"scenes are those of data.test, whose format is {test.format}"
        found.append(f"output[{places[0]}]: {what}; use format: scenes there, or leave this out")
    return found
