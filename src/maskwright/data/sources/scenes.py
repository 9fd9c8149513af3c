"""GeoTIFF scenes cut into chips, with labels from polygons on the ground or from label rasters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwright.core.errors import InputError
from maskwright.core.grid import IDENTITY, Grid, Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.findings import Finding
from maskwright.data.ground import Ground, ground_of, metres_a_pixel
from maskwright.data.pixels.header import Header, Pixels, Valid, refuse_size
from maskwright.data.pixels.rasters import is_tiff
from maskwright.data.pixels.scenes import Scene, any_valid, open_scene, read_part
from maskwright.data.sources.base import Defaults, Label, Limited, Source
from maskwright.data.sources.merge import Merged
from maskwright.data.sources.scene_chips import Chip, cut_scene
from maskwright.data.sources.scene_files import Files, find_files, open_scenes
from maskwright.data.sources.scene_join import Laid, lay_area, lay_labels
from maskwright.data.sources.scene_labels import PolygonLabel, SceneLabel


@dataclass(frozen=True)
class Scenes(Defaults):
    """Chips of scenes."""

    keys: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...]
    scenes: Mapping[str, Scene]
    chips: Mapping[str, Chip]
    labels: Mapping[str, SceneLabel]
    """Without an entry for scenes whose missing label means background."""
    areas: Mapping[str, PolygonLabel]
    """Where labels were drawn; empty: everywhere."""
    fields: Mapping[str, Mapping[str, str]]

    def image_path(self, key: str) -> Path:
        """Return the GeoTIFF a chip is read from."""
        return self.scenes[self.chips[key].scene].path

    def label_path(self, key: str) -> Path | None:
        """Return the file an item's label comes from; None if it has none."""
        label = self.labels.get(self.chips[key].scene)
        return None if label is None else label.path

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return the label file, and that of the area of interest."""
        scene = self.chips[key].scene
        return tuple(one.path for one in (self.labels.get(scene), self.areas.get(scene)) if one is not None)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return the scene, the metres of a pixel on the ground, and the further columns of a table."""
        chip = self.chips[key]
        metres = metres_a_pixel(self.scenes[chip.scene].grid)
        known = {} if metres is None else {"gsd": f"{metres[0] * chip.part[2] / chip.grid.shape[0]:.4g}"}
        return {"scene": chip.scene, **known, **self.fields.get(chip.scene, {})}

    def scored(self, key: str) -> bool:
        """Whether a chip may be held out and scored; False for overlapping ones and other scales."""
        return self.chips[key].scored

    def ground(self, key: str) -> Ground | None:
        """Return where a chip lies."""
        chip = self.chips[key]
        grid = chip.grid
        if not grid.crs:  # in pixels of the file, whatever the scale
            row, col, height, width = chip.part
            corners = (col, row, col + width, row, col + width, row + height, col, row + height)
            return Ground(chip.scene, tuple(float(value) for value in corners))
        return ground_of(grid, chip.scene)

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Return what is known of a chip without decoding it."""
        chip = self.chips[key]
        scene, shape = self.scenes[chip.scene], chip.grid.shape
        refuse_size(shape, max_pixels, scene.path)
        known = scene.header
        return replace(known, height=shape[0], width=shape[1])

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Read a chip from its scene."""
        chip = self.chips[key]
        path, shape = self.scenes[chip.scene].path, chip.grid.shape
        refuse_size(shape, max_pixels, path)
        return read_part(path, chip.part, shape)

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of a chip; see Source."""
        chip = self.chips[key]
        assert chip.grid.shape == tuple(shape), (key, shape)
        return self.read_part_label(chip, task)

    def read_part_label(self, chip: Chip, task: Task) -> tuple[Label, Valid]:
        """Read the label of any chip of these scenes, item or not."""
        assert self.labelled, "an unlabelled source was asked for a label"
        known = self.labels.get(chip.scene)
        if known is None:
            label, valid = _background(chip.grid.shape, task)
        else:
            label, valid = known.read(chip.part, chip.grid, task)
        area = self.areas.get(chip.scene)
        if area is not None:
            valid = valid & area.covered(chip.part, chip.grid)
            label[..., ~valid] = 0
        return label, valid


def _background(shape: Shape, task: Task) -> tuple[Label, Valid]:
    planes = (len(task.classes), *shape) if task.kind == "multilabel" else shape
    return np.zeros(planes, np.uint8), np.ones(shape, bool)


def join(block: SceneSource, root: Path, task: Task) -> tuple[Scenes, list[Finding]]:
    """Open scenes, lay labels on them, and cut them into chips.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes.

    Returns:
        the source of everything that joins, and every fault and suspicion of scenes and labels.

    Raises:
        InputError: a folder or file is absent, or a label file of all scenes cannot be read.
    """
    files = find_files(block, root)
    scenes, faults, notes = open_scenes(files.images, block.crs, "data.crs")
    laid = lay_labels(block, task, files, scenes)
    areas = lay_area(block, root / block.area, scenes) if block.area is not None else Laid()
    findings = [*files.findings, *faults, *laid.findings, *areas.findings]
    chips = _cut(block, scenes, areas, findings, notes)
    usable = {key: chip for key, chip in chips.items() if _labelled(block, files, laid, chip.scene)}
    return (
        Scenes(
            keys=tuple(sorted(usable)),
            labelled=block.labelled,
            notes=(*files.notes, *notes, *laid.notes, *areas.notes),
            scenes=scenes,
            chips=usable,
            labels=laid.labels,
            areas={key: label for key, label in areas.labels.items() if isinstance(label, PolygonLabel)},
            fields=files.fields,
        ),
        findings,
    )


def _labelled(block: SceneSource, files: Files, laid: Laid, scene: str) -> bool:
    """Say whether a scene has what it takes; one with a fault is left out, so that the rest can be looked at."""
    if not block.labelled or scene in laid.labels:
        return True
    return files.common is None and scene not in files.labels and block.missing_mask == "background"


def _cut(
    block: SceneSource, scenes: Mapping[str, Scene], areas: Laid, findings: list[Finding], notes: list[str]
) -> dict[str, Chip]:
    """Cut all scenes; leave out what has no valid pixel or lies outside of the area of interest."""
    chips: dict[str, Chip] = {}
    void, void_scenes = 0, []
    for key, scene in scenes.items():
        area = areas.labels.get(key)
        try:
            cut = cut_scene(key, scene, block)
        except InputError as error:
            findings.append(Finding.of(error, "no_place", (key,)))
            continue
        if isinstance(area, PolygonLabel):
            cut = {name: chip for name, chip in cut.items() if area.reaches(chip.part)}
        try:
            seen = any_valid(scene, [chip.part for chip in cut.values()])
        except InputError as error:
            findings.append(Finding.of(error, "damaged_file", (key,)))
            continue
        kept = {name: chip for (name, chip), good in zip(cut.items(), seen, strict=True) if good}
        void += len(cut) - len(kept)
        if cut and not kept:
            void_scenes.append(key)
        chips.update(kept)
    if void:
        notes.append(f"{void} chips without a valid pixel are left out")
    if void_scenes:
        what = f"{len(void_scenes)} of {len(scenes)} scenes have no valid pixel: {', '.join(void_scenes[:6])}"
        findings.append(Finding("void_scene", str(scenes[void_scenes[0]].path.parent), what, "check nodata and alpha"))
    sizes = sorted({metres[0] for scene in scenes.values() if (metres := metres_a_pixel(scene.grid))})
    if sizes:
        span = f"{sizes[0]:.3g}" if sizes[-1] < 1.01 * sizes[0] else f"{sizes[0]:.3g} to {sizes[-1]:.3g}"
        notes.append(f"{len(scenes)} scenes of {span} metres a pixel give {len(chips)} items")
    return chips


def grid_of(source: Source, key: str) -> Grid | None:
    """Return where the pixels of an item of any source lie; None: its file has no place, or is no TIFF."""
    if isinstance(source, Limited):
        return grid_of(source.whole, key)
    if isinstance(source, Merged):
        name, inner = source.place(key)
        return grid_of(source.parts[name], inner)
    if isinstance(source, Scenes):
        found = source.chips[key].grid
    elif is_tiff(source.image_path(key)):
        found = open_scene(source.image_path(key)).grid
    else:
        return None
    return found if found.crs or found.affine != IDENTITY else None
