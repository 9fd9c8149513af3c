"""Stored probabilities of all members beside the truth, joined by key; a model that saw an item is refused."""

from __future__ import annotations

import math
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.progress import Reporter
from maskwright.core.stop import Stop
from maskwright.inference.store import Store, dequantise

if TYPE_CHECKING:
    from maskwright.data.folds.folds import FoldRow

T = TypeVar("T")
Looks = Callable[[str], NDArray[np.uint8]]
"""Key -> colours of an item, uint8 (H, W, 3)."""
Truth = Callable[[str], tuple[NDArray[np.uint8], NDArray[np.bool_]]]
"""Key -> label and valid, as a source reads them; called from several threads."""
AGAIN = "delete the folder and run maskwright predict"
KEPT_BYTES = 64 << 20
"""Packed labels in memory: thousands of large ones."""
WORKERS = 4
"""Threads that read and count; reading, decoding and counting all let go of the interpreter."""


@dataclass(frozen=True)
class Entry:
    """One item that is to be read."""

    key: str
    fold: int
    """The fold that held it out; -1: in none."""
    group: str
    """Items of one group were kept together; the unit that chance draws."""


@dataclass(frozen=True)
class Item:
    """One item with all members' probabilities."""

    entry: Entry
    values: NDArray[np.uint16]
    """uint16 (M, K, H, W), probability times `scale`, members in the order of the set."""
    scale: int
    """255 or 65535."""
    label: NDArray[np.uint8]
    """uint8 (H, W), or (K, H, W) for multilabel."""
    valid: NDArray[np.bool_]
    """bool (H, W): the label counts and the image has data."""
    look: Callable[[], NDArray[np.uint8]] | None = None
    """Gives the colours, uint8 (H, W, 3), to who asks for them."""


class Labels:
    """Labels that were read once, packed in memory: choosing goes through all items several times.

    Args:
        truth: reads a label; most often by decoding its image too, for the pixels without data.
        most: bytes that are kept; what does not fit is read again.
    """

    def __init__(self, truth: Truth, most: int = KEPT_BYTES) -> None:
        self._truth, self._left = truth, most
        self._kept: dict[str, tuple[bytes, bytes | None, tuple[int, ...], tuple[int, ...]]] = {}

    def __call__(self, key: str) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
        """Return label and valid of an item, the same each time."""
        kept = self._kept.get(key)
        if kept is not None:
            label, valid, shape, sides = kept
            whole = np.frombuffer(zlib.decompress(label), np.uint8).reshape(shape)
            if valid is None:
                return whole, np.ones(sides, np.bool_)
            bits = np.frombuffer(zlib.decompress(valid), np.uint8)
            return whole, np.unpackbits(bits, count=math.prod(sides)).view(np.bool_).reshape(sides)
        found, there = self._truth(key)
        label = zlib.compress(np.ascontiguousarray(found, np.uint8).data, 1)
        valid = None if there.all() else zlib.compress(np.packbits(there).data, 1)
        size = len(label) + len(valid or b"")
        if size <= self._left:  # threads may both see room for the last few labels: a bound, not a fence
            self._left -= size
            self._kept[key] = label, valid, found.shape, there.shape
        return found, there


class StoredItems:
    """Items that all members predicted and that have labels; read one at a time.

    Args:
        stores: member -> its store; the order is the order of members everywhere.
        entries: the items.
        truth: reads a label.
        split: what the stores must say they hold.
        task: checks labels and planes.
        looks: gives the colours of an item to a random field that wants them.

    Raises:
        InputError: an item is missing in a store, was made for another split, or has another shape.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        entries: Sequence[Entry],
        truth: Truth,
        split: str,
        task: Task,
        looks: Looks | None = None,
    ) -> None:
        assert stores, "no member to read"
        assert entries, "no item to read"
        self.members = tuple(stores)
        self.entries = tuple(sorted(entries, key=lambda entry: entry.key))
        self.split, self.task = split, task
        self._stores, self._truth, self._looks = dict(stores), Labels(truth), looks
        self._shapes: dict[str, tuple[int, int, int]] = {}
        for name, store in stores.items():
            self._check_member(name, store)

    def _check_member(self, name: str, store: Store) -> None:
        there = frozenset(store.keys())
        missing = [entry.key for entry in self.entries if entry.key not in there]
        if missing:
            more = f" (and of {len(missing) - 1} more)" if len(missing) > 1 else ""
            raise InputError(
                f"member '{name}' has no probabilities of item '{missing[0]}'{more}",
                where=store.folder,
                fix="run maskwright predict",
            )
        for entry in self.entries:
            shape, facts = store.describe(entry.key)
            fault = self._fault(name, entry, facts)
            if fault is not None:
                raise InputError(fault, where=store.folder, fix=AGAIN)
            whose = "the task asks for" if name == self.members[0] else f"those of '{self.members[0]}' are"
            wanted = self._shapes.setdefault(entry.key, (self.task.planes, *shape[1:]))
            if shape != wanted:
                raise InputError(
                    f"probabilities of item '{entry.key}' by member '{name}' are {shape}, {whose} {wanted}",
                    where=store.folder,
                    fix=AGAIN,
                )

    def _fault(self, name: str, entry: Entry, facts: Mapping[str, Any]) -> str | None:
        """Say why an item's facts forbid its use, or None."""
        if facts.get("member") != name:
            return f"item '{entry.key}' is by member '{facts.get('member')}', not '{name}'"
        if facts.get("split") != self.split:
            return f"item '{entry.key}' of member '{name}' is of the split '{facts.get('split')}', not '{self.split}'"
        return None

    @property
    def pixels(self) -> int:
        """Pixels of all items, valid or not."""
        return sum(height * width for _, height, width in self._shapes.values())

    def size(self, key: str) -> tuple[int, int]:
        """Return (height, width) of an item in pixels."""
        return self._shapes[key][1:]

    @property
    def groups(self) -> tuple[str, ...]:
        """Distinct groups, sorted."""
        return tuple(sorted({entry.group for entry in self.entries}))

    def read(self, entry: Entry) -> Item:
        """Read one item: each member's file once, and the label.

        Raises:
            InputError: a file is damaged, or the label does not fit it.
        """
        parts = [self._stores[name].read_item(entry.key) for name in self.members]
        scale = max(scale for _, _, scale in parts)
        values = np.empty((len(parts), *parts[0][0].shape), np.uint16)
        for place, (stored, _, own) in zip(values, parts, strict=True):
            np.multiply(stored, np.uint16(scale // own), out=place)
        label, valid = self._truth(entry.key)
        for _, has_data, _ in parts:
            valid = valid & has_data
        self._check_label(entry.key, label, values.shape[2:])
        look = None if self._looks is None else partial(self._looks, entry.key)
        return Item(entry, values, scale, label, valid, look)

    def _check_label(self, key: str, label: NDArray[np.uint8], shape: tuple[int, ...]) -> None:
        wanted = (self.task.planes, *shape) if self.task.kind == "multilabel" else shape
        if label.shape != wanted:
            raise InputError(
                f"the label of item '{key}' is {label.shape}, its probabilities are {wanted}",
                fix="run maskwright inspect and predict again",
            )
        assert label.max(initial=0) <= self.task.values[-1], (key, label.max(initial=0))

    def __iter__(self) -> Iterator[tuple[str, int, dict[str, NDArray[np.float32]], NDArray[Any], NDArray[np.bool_]]]:
        """Give (key, fold, {member: float32 (K, H, W)}, label, valid) of each item, sorted by key."""
        for entry in self.entries:
            item = self.read(entry)
            planes = [dequantise(values, item.scale) for values in item.values]
            yield entry.key, entry.fold, dict(zip(self.members, planes, strict=True)), item.label, item.valid

    def each(
        self, work: Callable[[Item], T], reporter: Reporter, name: str, stop: Stop | None = None
    ) -> Iterator[tuple[Entry, T]]:
        """Read every item once and give what `work` makes of it, in the order of keys.

        Args:
            work: called in a thread with one item; few items are in memory at a time.
            reporter: gets one progress bar.
            name: of the bar.
            stop: looked at between items.

        Raises:
            InputError: as read.
            Interrupted: a signal asked to stop.
        """
        workers = max(1, min(WORKERS, os.cpu_count() or 1))
        waiting: deque[tuple[Entry, Future[T]]] = deque()
        with reporter.task(name, len(self.entries)) as tick, ThreadPoolExecutor(workers) as pool:
            for entry in self.entries:
                if stop is not None:
                    stop.check("nothing is decided yet")
                waiting.append((entry, pool.submit(lambda entry=entry: work(self.read(entry)))))  # type: ignore[misc]
                if len(waiting) > workers:
                    done, future = waiting.popleft()
                    yield done, future.result()
                    tick.advance()
            for done, future in waiting:
                yield done, future.result()
                tick.advance()


def held_out(
    keys: Sequence[str],
    stores: Mapping[str, Store],
    truth: Truth,
    split: str,
    task: Task,
    looks: Looks | None = None,
) -> StoredItems:
    """Return items that were in no fold, each a group of its own; see StoredItems."""
    return StoredItems(stores, [Entry(key, -1, key) for key in keys], truth, split, task, looks)


class OutOfFold(StoredItems):
    """Items of all folds, each predicted by the models of the fold that held it out, and by no other.

    Args:
        stores: member -> store of its out-of-fold probabilities.
        rows: folds.csv; rows of folds below 0 are left out.
        truth: reads a label.
        task: checks labels and planes.
        recipe: hash of the recipe, for decision.json.
        single: all items were held out by fold 0, and the folds of `rows` are parts of that one validation set.
        looks: as StoredItems.

    Raises:
        InputError: as StoredItems; or a model saw an item or its group in training.
    """

    def __init__(
        self,
        stores: Mapping[str, Store],
        rows: Sequence[FoldRow],
        truth: Truth,
        task: Task,
        recipe: str = "",
        single: bool = False,
        looks: Looks | None = None,
    ) -> None:
        self.recipe, self.single = recipe, single
        entries = [Entry(row.key, row.fold, row.group) for row in rows if row.fold >= 0]
        _refuse_straddling(entries)
        self.folds = tuple(sorted({entry.fold for entry in entries}))
        if len(self.folds) < 2:
            raise InputError(
                f"items of {len(self.folds)} {'group' if single else 'fold'}, but deciding needs 2 or more",
                fix=f"raise folds.{'share' if single else 'count'} and split again",
            )
        super().__init__(stores, entries, truth, "oof", task, looks)

    def _fault(self, name: str, entry: Entry, facts: Mapping[str, Any]) -> str | None:
        fault = super()._fault(name, entry, facts)
        held = 0 if self.single else entry.fold
        if fault is None and facts.get("folds") != [held]:
            return (
                f"item '{entry.key}' of member '{name}' was predicted by the models of folds {facts.get('folds')} "
                f"but fold {held} held it out, so a model saw it in training"
            )
        return fault


def _refuse_straddling(entries: Sequence[Entry]) -> None:
    fold_of: dict[str, Entry] = {}
    for entry in entries:
        first = fold_of.setdefault(entry.group, entry)
        if first.fold != entry.fold:
            raise InputError(
                f"group '{entry.group}' is in fold {first.fold} (item '{first.key}') and in fold {entry.fold} "
                f"(item '{entry.key}'), so models saw part of it in training",
                where="folds.csv",
                fix="run maskwright split and train again",
            )
