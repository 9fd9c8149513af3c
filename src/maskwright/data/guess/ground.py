"""Whether polygons on the ground lie on GeoTIFF scenes, for a first recipe."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from maskwright.core.errors import MaskwrightError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.findings import faults_of
from maskwright.data.guess.joins import Labels
from maskwright.data.guess.tree import Folder, split_of
from maskwright.data.sources import scenes
from maskwright.data.sources.scene_labels import PolygonLabel
from maskwright.data.vectors.read import SUFFIXES, read_features

CHIP = 512


def by_ground(root: Path, images: Folder, path: str) -> Labels | None:
    """Join a folder of GeoTIFF with one file of polygons, if they lie on each other; every polygon is an object.

    Args:
        root: of the tree.
        images: a folder of it.
        path: of the vector file, below the root.
    """
    suffix = PurePosixPath(path).suffix.lower()
    if suffix not in SUFFIXES or not all(name.lower().endswith((".tif", ".tiff")) for name in images.names):
        return None
    block = SceneSource(images=images.path, labels=path, chip=CHIP)
    name = PurePosixPath(path).stem.lower() or "object"
    try:
        source, findings = scenes.join(block, root, Task(kind="binary", classes=(name,)))
        fields = read_features(root / path).fields
    except MaskwrightError:
        return None
    hit = [key for key, label in source.labels.items() if isinstance(label, PolygonLabel) and len(label.outlines.codes)]
    if faults_of(findings) or not hit:
        return None
    listed = f"; attributes: {', '.join(fields[:8])} (attribute: and categories: make classes of one)" if fields else ""
    return Labels(
        images=images.path,
        train={"format": "scenes", "images": images.path, "labels": path, "chip": CHIP},
        task={"kind": "binary", "classes": [name]},
        keys=source.keys,
        share=len(hit) / len(source.scenes),
        split=split_of(images.path),
        said=(f"{path}: polygons that lie on {len(hit)} of the {len(source.scenes)} scenes in {images.path}{listed}",),
    )
