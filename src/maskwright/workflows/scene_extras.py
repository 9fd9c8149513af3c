"""What is made of a scene's finished rasters: polygons of its classes, and how sure each pixel's answer is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.core.files import read_json, write_json
from maskwright.core.grid import Grid
from maskwright.core.labels import Task, looks_background
from maskwright.core.recipe.scene_output import Polygons
from maskwright.core.version import __version__
from maskwright.data.ground import pixel_areas, pixel_in_metres
from maskwright.inference.spool import NODATA
from maskwright.output.geotiff import Layer, write_geotiff
from maskwright.output.uncertainty import STEPS, entropy_rows
from maskwright.output.vector import FORMATS, Ruler, Tracing, features_of, write_features

RULER = Ruler(pixel_areas, pixel_in_metres)


@dataclass(frozen=True)
class Place:
    """The files of one raster's answer."""

    folder: Path
    name: str
    """As the input, without suffix; safe as a file name."""

    @property
    def work(self) -> Path:
        """Finished row bands, until the final files are there."""
        return self.folder / f".{self.name}.bands"

    @property
    def probability(self) -> Path:
        """Probabilities of all planes."""
        return self.folder / f"{self.name}_probability.tif"

    @property
    def classes(self) -> Path:
        """Class ids."""
        return self.folder / f"{self.name}_classes.tif"

    @property
    def uncertainty(self) -> Path:
        """Entropy of the answers, where it was asked for."""
        return self.folder / f"{self.name}_uncertainty.tif"

    @property
    def facts(self) -> Path:
        """What the answer was made from; written after the rasters."""
        return self.folder / f"{self.name}.json"

    def polygons(self, kind: str) -> Path:
        """Polygons of a format, where they were asked for."""
        return self.folder / f"{self.name}_polygons{FORMATS[kind][1]}"

    def forget(self) -> None:
        """Delete what tells of rasters that are about to be made anew, and what was made of them."""
        for path in (self.facts, self.uncertainty, *(self.polygons(kind) for kind in FORMATS)):
            path.unlink(missing_ok=True)


def add_extras(
    place: Place, grid: Grid, task: Task, polygons: Polygons | None, say: Callable[[str], None], *, uncertainty: bool
) -> bool:
    """Make what is wanted beside finished rasters and is not there yet.

    Args:
        place: of the rasters.
        grid: theirs.
        task: names the classes.
        polygons: how they are drawn; None: not at all.
        say: is told of each file.
        uncertainty: whether that raster is wanted.

    Returns:
        Whether anything was made.
    """
    facts, made = read_json(place.facts), False
    if uncertainty and not (place.uncertainty.exists() and facts.get("uncertainty")):
        write_geotiff(place.uncertainty, _layer(grid), lambda band: entropy_rows(place.probability, task.kind))
        facts = {**facts, "uncertainty": True}
        write_json(place.facts, facts)
        say(f"predict {place.name}: uncertainty in {place.uncertainty.name}")
        made = True
    if polygons is not None and _draw(place, grid, task, polygons, facts, say):
        made = True
    return made


def _layer(grid: Grid) -> Layer:
    told = f"entropy of the answer over that of knowing nothing; value / {STEPS}; {NODATA} is no data"
    tags = {"SOFTWARE": f"maskwright {__version__}", "UNCERTAINTY": told}
    return Layer(grid, ("uncertainty",), NODATA, tags, scale=1 / STEPS)


def _draw(
    place: Place, grid: Grid, task: Task, polygons: Polygons, facts: dict[str, Any], say: Callable[[str], None]
) -> bool:
    """Write polygons of finished rasters if they are not there as wanted; say whether."""
    path = place.polygons(polygons.format)
    wanted = polygons.model_dump(mode="json")
    drawn = facts.get("polygons", {})
    if path.exists() and drawn.get(path.name) == wanted:
        return False
    names = dict(zip(task.values, task.value_names, strict=True))
    background = task.kind == "binary" or looks_background(task.classes[0])
    shown = {value: name for value, name in names.items() if value or not background}
    tracing = Tracing(shown, polygons.simplify, polygons.min_area, polygons.regularise)
    planes = task.plane_names if task.kind == "multilabel" else ()
    found = list(features_of(grid, (place.classes, place.probability), planes, RULER, tracing))
    write_features(path, found, grid.crs, polygons.format)
    write_json(place.facts, {**facts, "polygons": {**drawn, path.name: wanted}})
    say(f"predict {place.name}: {len(found)} polygon{'s' if len(found) != 1 else ''} in {path.name}")
    return True
