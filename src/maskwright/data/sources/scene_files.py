"""Which scenes there are, and which label file belongs to each: from folders joined by key, or from a table."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from maskwright.core.errors import InputError
from maskwright.core.files import inside
from maskwright.core.recipe.sources import SceneSource
from maskwright.data.findings import Finding
from maskwright.data.ground import check_system
from maskwright.data.pixels.scenes import Scene, open_scene
from maskwright.data.sources.csv_file import CsvFile
from maskwright.data.sources.folder import nothing_joins
from maskwright.data.sources.listing import Naming, case_twins, list_images
from maskwright.data.sources.vector import files_below
from maskwright.data.vectors.read import SUFFIXES as VECTORS

RASTERS = (".tif", ".tiff")


@dataclass
class Files:
    """Scenes and their label files by key."""

    images: dict[str, Path] = field(default_factory=dict)
    labels: dict[str, Path] = field(default_factory=dict)
    """Of scenes that have a file of their own."""
    common: Path | None = None
    """The one label file of all scenes."""
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def find_files(block: SceneSource, root: Path) -> Files:
    """List scenes and label files.

    Args:
        block: the recipe's block.
        root: data.root.

    Raises:
        InputError: a folder or file that the recipe names is absent.
    """
    found = _from_table(block, root) if block.table is not None else _from_folder(block, root)
    if block.labels is not None:
        _join_labels(found, block, root)
    if not found.images and not found.findings:
        where = root / (block.table or block.images or "")
        found.findings.append(Finding("no_images", str(where), "no scenes", "check the folder"))
    return found


def _from_folder(block: SceneSource, root: Path) -> Files:
    assert block.images is not None, block
    path = root / block.images
    if path.is_file():
        return Files(images={path.stem: path})
    skip = None if block.labels is None else root / block.labels
    if skip is not None and (not skip.is_dir() or skip.resolve() == path.resolve()):
        skip = None
    naming, other = Naming(suffix=block.image_suffix), Naming(suffix=block.label_suffix)
    listing = list_images(path, root, naming, other if other.suffix else None, skip)
    images = {key: file for key, file in listing.paths.items() if file.suffix.lower() in RASTERS}
    notes = list(listing.notes)
    if aside := len(listing.paths) - len(images):
        notes.append(f"{path}: {aside} images that are no TIFF are left aside")
    return Files(images=images, findings=list(listing.faults), notes=notes)


def _from_table(block: SceneSource, root: Path) -> Files:
    assert block.table is not None, block
    wanted: dict[str, str | None] = {"image_column": block.image_column, "label_column": block.label_column}
    table, found, aside = CsvFile(root / block.table, wanted), Files(), 0
    for line, cells in table.rows():
        where = f"{table.path}:{line}"
        if block.within and not _plain(cells[table.columns["image_column"]], block).startswith(f"{block.within}/"):
            aside += 1
            continue
        try:
            image = _named(cells[table.columns["image_column"]], block, root, where)
            text = cells[table.columns["label_column"]].strip() if block.label_column is not None else ""
            label = _named(text, block, root, where) if text else None
        except InputError as error:
            found.findings.append(Finding.of(error, "odd_name"))
            continue
        key = image.relative_to(root).as_posix()[: -len(image.suffix)]
        if key in found.images:
            what = f"a second row of '{key}'"
            found.findings.append(Finding("row_twice", where, what, "keep one", (key,)))
            continue
        found.images[key], found.fields[key] = image, table.others(cells)
        if label is not None:
            found.labels[key] = label
        elif block.label_column is not None and block.missing_mask == "refuse":
            what = f"no label of '{key}' in column '{block.label_column}'"
            found.findings.append(
                Finding("missing_label", where, what, "add it, or set missing_mask: background", (key,))
            )
    found.findings += table.findings + case_twins(found.images, table.path)
    found.notes += table.notes
    if aside:
        found.notes.append(f"{table.path}: {aside} rows of scenes outside of {block.within} are left aside")
    return found


def _plain(text: str, block: SceneSource) -> str:
    """Return the path below the root that a cell means."""
    return text.strip().removeprefix(block.uri_prefix).lstrip("/" if block.uri_prefix else "")


def _named(text: str, block: SceneSource, root: Path, where: str) -> Path:
    """Return the file below the root that a cell names."""
    name = _plain(text, block)
    if "://" in name:
        start = name[: name.rfind("/", 0, name.rfind("/")) + 1]
        raise InputError(
            f"'{name[:120]}' is an address, and nothing is fetched",
            where=where,
            fix=f"copy the files below data.root and set uri_prefix to what precedes their path, e.g. '{start[:120]}'",
            kind="odd_name",
        )
    path = inside(root, name, where)
    if not path.is_file():
        what, fix = f"no file '{name[:120]}' in {root}", "add it, take the row away, or set uri_prefix"
        raise InputError(what, where=where, fix=fix, kind="missing_label")
    return path


def _join_labels(found: Files, block: SceneSource, root: Path) -> None:
    """Find the label file of all scenes, or of each."""
    assert block.labels is not None, block
    path = root / block.labels
    if path.is_file():
        found.common = path
        return
    named, twins = files_below(path, (*VECTORS, *RASTERS))
    for one, other in twins:
        what = f"{one} and {other} are one name"
        found.findings.append(Finding("key_twice", str(path), what, "keep one"))
    naming = Naming(suffix=block.label_suffix)
    by_key: dict[str, list[Path]] = {}
    for name, real in sorted(named.items()):
        key = naming.key(name)
        if key is not None and path / real not in found.images.values():
            by_key.setdefault(key, []).append(path / real)
    for key, paths in by_key.items():
        if len(paths) > 1:
            names = " and ".join(PurePosixPath(one).name for one in paths)
            found.findings.append(Finding("key_twice", str(path), f"{names} have one key '{key}'", "keep one", (key,)))
    missing, orphans = sorted(found.images.keys() - by_key.keys()), sorted(by_key.keys() - found.images.keys())
    if found.images and len(missing) == len(found.images) and orphans:
        found.findings.append(nothing_joins(missing, orphans, path))
        return
    found.labels = {key: paths[0] for key, paths in by_key.items() if key in found.images}
    for key in missing if block.missing_mask == "refuse" else []:
        what, fix = f"no label of key '{key}' in {path}", "add it, or set missing_mask: background"
        found.findings.append(Finding("missing_label", str(found.images[key]), what, fix, (key,)))
    for key in orphans:
        what = f"no scene of key '{key}'"
        found.findings.append(Finding("orphan_label", str(by_key[key][0]), what, "add it, or take the label away"))


def open_scenes(
    images: Mapping[str, Path], crs: str | None, where: str
) -> tuple[dict[str, Scene], list[Finding], list[str]]:
    """Read the headers of scenes.

    Args:
        images: key -> file.
        crs: system of those that do not name theirs.
        where: recipe key, for messages.

    Returns:
        key -> scene of those that can be read; faults of the others; notes.
    """
    from concurrent.futures import ThreadPoolExecutor

    default = "" if crs is None else check_system(crs, where)

    def one(key: str) -> Scene | Finding:
        try:
            scene = open_scene(images[key])
        except InputError as error:
            return Finding.of(error, "unreadable_image", (key,))
        return scene if scene.grid.crs else replace(scene, grid=replace(scene.grid, crs=default))

    with ThreadPoolExecutor(8) as executor:
        read = dict(zip(images, executor.map(one, images), strict=True))
    scenes = {key: scene for key, scene in read.items() if isinstance(scene, Scene)}
    return scenes, [fault for fault in read.values() if isinstance(fault, Finding)], list(_told(scenes.values()))


def _told(scenes: Iterable[Scene]) -> Iterable[str]:
    """Say what is not as most people expect."""
    every = list(scenes)
    nowhere = sum(not scene.grid.crs for scene in every)
    if nowhere:
        yield f"{nowhere} of {len(every)} scenes name no coordinate system: they have pixels and no place"
    turned = sum(bool(scene.grid.crs) and not scene.grid.north_up for scene in every)
    if turned:
        yield f"{turned} of {len(every)} scenes are turned, mirrored or south-up; they are read as they are stored"
