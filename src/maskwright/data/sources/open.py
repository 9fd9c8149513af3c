"""Open the label format a recipe names (a new one is listed here), joined by key, or name every fault of the join."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from maskwright.core.errors import InputError, StorageError
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import Source as SourceUnion
from maskwright.data.findings import Finding, refuse
from maskwright.data.sources import coco, folder, merge, mined, polygons, rle_csv, scenes, table
from maskwright.data.sources.base import Source, limit_keys, limited

__all__ = ["join_source", "limit_keys", "limited", "open_source"]


def open_source(block: SourceUnion, root: Path, task: Task) -> Source:
    """Find the items of a source and join images and labels by key; no pixel is decoded.

    Args:
        block: data.train or data.test of the recipe.
        root: data.root.
        task: names the classes that a table may hold.

    Raises:
        DataError: with every fault of the join: missing and orphan masks, keys that occur twice, names
            that leave the root, missing columns, ...
    """
    source, findings = join_source(block, root, task)
    refuse(findings)
    assert source is not None, "a source that could not be opened has a fault"
    return source


def join_source(block: SourceUnion, root: Path, task: Task) -> tuple[Source | None, list[Finding]]:
    """Join as open_source does, and return what joins beside all findings; None if nothing could be opened."""
    try:
        return SOURCES[block.format](block, root, task)
    except (InputError, StorageError) as error:
        return None, [Finding.of(error, "no_folder")]


def _merge(block: Any, root: Path, task: Task) -> tuple[Source | None, list[Finding]]:
    return merge.join(block, root, task, join_source)


SOURCES: dict[str, Callable[[Any, Path, Task], tuple[Source | None, list[Finding]]]] = {
    "folder": folder.join,
    "rle_csv": rle_csv.join,
    "coco": coco.join,
    "polygons": polygons.join,
    "csv": table.join,
    "scenes": scenes.join,
    "mined": mined.join,
    "merge": _merge,
}
"""Format in the recipe -> the function that joins it."""
