"""Several sources as one: keys begin with the part's name, items have their part's weight and role."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.core.grid import Shape
from maskwright.core.labels import Task
from maskwright.core.recipe.sources import MergeSource, PlainSource
from maskwright.data.findings import Finding
from maskwright.data.ground import Ground
from maskwright.data.pixels.header import Header, Pixels, Valid
from maskwright.data.sources.base import Label, Limited, Source

Join = Callable[[PlainSource, Path, Task], tuple[Source | None, list[Finding]]]


@dataclass(frozen=True)
class Merged:
    """Items of several sources."""

    keys: tuple[str, ...]
    labelled: bool
    notes: tuple[str, ...]
    parts: Mapping[str, Source]
    weights: Mapping[str, float]
    train_only: frozenset[str]
    """Names of parts that are never scored."""
    bare: str | None = None
    """The part whose keys do not begin with its name."""

    def place(self, key: str) -> tuple[str, str]:
        """Return the part that an item is of, and its key there."""
        name, slash, inner = key.partition("/")
        if slash and name in self.parts and name != self.bare:
            return name, inner
        assert self.bare is not None, key
        return self.bare, key

    def ordered(self) -> tuple[str, ...] | None:
        """Return the keys of one part after the other, each in its order, if any part has one."""
        orders = {name: part.ordered() for name, part in self.parts.items()}
        if not any(orders.values()):
            return None
        starts = {name: "" if name == self.bare else f"{name}/" for name in self.parts}
        return tuple(f"{starts[name]}{key}" for name, own in orders.items() for key in own or self.parts[name].keys)

    def _part(self, key: str) -> tuple[Source, str]:
        name, inner = self.place(key)
        return self.parts[name], inner

    def image_path(self, key: str) -> Path:
        """Return the image file of an item."""
        part, inner = self._part(key)
        return part.image_path(inner)

    def label_path(self, key: str) -> Path | None:
        """Return the file an item's label comes from; None if it has none."""
        part, inner = self._part(key)
        return part.label_path(inner)

    def label_paths(self, key: str) -> tuple[Path, ...]:
        """Return all files an item's label comes from."""
        part, inner = self._part(key)
        return part.label_paths(inner)

    def attributes(self, key: str) -> Mapping[str, str]:
        """Return what else is known of an item, and the name of its part."""
        name, inner = self.place(key)
        return {"part": name, **self.parts[name].attributes(inner)}

    def weight(self, key: str) -> float:
        """Return the weight of the item's part."""
        return self.weights[self.place(key)[0]]

    def scored(self, key: str) -> bool:
        """Whether an item may be held out and scored: its part may be, and the part says so of it."""
        name, inner = self.place(key)
        return name not in self.train_only and self.parts[name].scored(inner)

    def palette(self, key: str) -> bytes | None:
        """Return the palette of an item's mask where its indices are class ids."""
        part, inner = self._part(key)
        return part.palette(inner)

    @property
    def soft(self) -> bool:
        """Whether labels of some part are probabilities."""
        return any(part.soft for part in self.parts.values())

    def read_soft(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item as probabilities, as its part does."""
        part, inner = self._part(key)
        return part.read_soft(inner, shape, task)

    def read_header(self, key: str, max_pixels: int) -> Header:
        """Read the header of an item's image as its part does."""
        part, inner = self._part(key)
        return part.read_header(inner, max_pixels)

    def read_image(self, key: str, max_pixels: int) -> tuple[Pixels, Valid]:
        """Decode the image of an item as its part does."""
        part, inner = self._part(key)
        return part.read_image(inner, max_pixels)

    def ground(self, key: str) -> Ground | None:
        """Return where an item lies on the ground; pixels of a scene without coordinates are of this part alone."""
        name, inner = self.place(key)
        found = self.parts[name].ground(inner)
        if name == self.bare:
            return found
        return found._replace(plane=f"{name}/{found.plane}") if found is not None and found.plane else found

    def read_label(self, key: str, shape: Shape, task: Task) -> tuple[Label, Valid]:
        """Read the label of an item as its part does."""
        part, inner = self._part(key)
        return part.read_label(inner, shape, task)


def drawn_weight(source: Source, key: str, given: Mapping[str, float]) -> float:
    """Return how often an item is drawn, relative to others.

    Args:
        source: a merge, or any other.
        key: of the item.
        given: name of a part -> weight in the place of the part's own.
    """
    whole = source.whole if isinstance(source, Limited) else source
    if isinstance(whole, Merged):
        name = whole.place(key)[0]
        if name in given:
            return given[name]
    return source.weight(key)


def join(block: MergeSource, root: Path, task: Task, join_part: Join) -> tuple[Merged | None, list[Finding]]:
    """Join each part by itself.

    Args:
        block: the recipe's block.
        root: data.root.
        task: names the classes.
        join_part: joins a plain source.

    Returns:
        the source of all parts that could be opened, None if none could; and the findings of all,
        each beginning with the name of its part.
    """
    parts: dict[str, Source] = {}
    findings: list[Finding] = []
    notes: list[str] = []
    for name, inner in block.parts.items():
        part, found = join_part(inner, root, task)
        findings += [_of_part(name, finding, bare=name == block.bare) for finding in found]
        if part is not None:
            parts[name] = part
            notes += [f"{name}: {note}" for note in part.notes]
    if not parts:
        return None, findings
    keys = {name: [key if name == block.bare else f"{name}/{key}" for key in part.keys] for name, part in parts.items()}
    taken = [key for key in keys.get(block.bare or "", []) if key.partition("/")[0] in set(block.parts) - {block.bare}]
    if taken:
        what = f"the key '{taken[0]}' of the bare part begins with the name of another part"
        findings.append(Finding("nothing_joins", str(block.bare), what, "rename that part", tuple(taken)))
    merged = Merged(
        keys=tuple(sorted(key for mine in keys.values() for key in mine)),
        labelled=all(part.labelled for part in parts.values()),
        notes=tuple(notes),
        parts=parts,
        weights={name: inner.weight for name, inner in block.parts.items()},
        train_only=frozenset(name for name, inner in block.parts.items() if inner.role == "train_only"),
        bare=block.bare,
    )
    return merged, findings


def _of_part(name: str, finding: Finding, *, bare: bool) -> Finding:
    where = f"{name}: {finding.where}" if finding.where else name
    return replace(finding, where=where, keys=finding.keys if bare else tuple(f"{name}/{key}" for key in finding.keys))
