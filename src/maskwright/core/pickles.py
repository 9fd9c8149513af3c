"""Dictionaries of arrays out of pickles that others wrote, without unpickling: data is found, nothing is ever called.

joblib.dump and pickle.dump of {name: array} use a handful of opcodes. They are read here by a machine that knows these
and no others, in which every name of a class or a function stays a text. Arrays stay in the file and are read
one by one.
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from maskwright.core.errors import InputError, from_os_error

KINDS = "bui"
"""Kinds of numpy types that labels may have."""
_DEEP = 1 << 20
"""Values on the stack at most: a mark and some for each item of one batch of a dictionary."""


class _Name(NamedTuple):
    """A class or function that a pickle names; a text, never looked up."""

    module: str
    name: str


class _Made(NamedTuple):
    """What a pickle asks to be called, and with what; it is not."""

    what: _Name
    given: tuple[Any, ...]
    state: list[Any]
    """What it is filled with afterwards, if anything."""


class _Bytes(NamedTuple):
    """Bytes that stay in the file."""

    begin: int
    size: int


class _Raw(NamedTuple):
    """An array of joblib's: bytes between opcodes."""

    state: Mapping[str, Any]
    begin: int


class _Mark:
    """What the opcode MARK puts on the stack."""


_MARK = _Mark()


@dataclass(frozen=True)
class _Place:
    """Where the numbers of an array are."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    column_first: bool
    where: _Bytes | bytes


class LabelBook:
    """A file that holds a dictionary of arrays.

    Args:
        path: as joblib.dump (without compression) or pickle.dump wrote it.

    Raises:
        InputError: absent, compressed, or anything but a dictionary of names and arrays of whole numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as stream:
                self._data = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise from_os_error(error, path) from error
        except ValueError:
            raise self._refusal("the file is empty") from None
        if self._data[:1] != b"\x80":
            raise self._refusal("compressed, or no pickle")
        try:
            self._places = _Machine(self._data).run()
        except (ValueError, IndexError, KeyError, TypeError, struct.error, OverflowError, AttributeError) as error:
            raise self._refusal(str(error)) from None

    def _refusal(self, why: str) -> InputError:
        return InputError(
            f"no dictionary of labels ({why})", where=self.path, fix="write {name: uint8 array} with joblib.dump"
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Keys of the dictionary in its order."""
        return tuple(self._places)

    def read(self, name: str) -> NDArray[Any]:
        """Return an array by its key."""
        place = self._places[name]
        where = place.where
        data = where if isinstance(where, bytes) else self._data[where.begin : where.begin + where.size]
        flat = np.frombuffer(data, place.dtype)
        return flat.reshape(place.shape, order="F" if place.column_first else "C")


class _Machine:
    """The part of pickle's machine that dictionaries of arrays need."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.at = data, 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> dict[str, _Place]:
        """Go through the opcodes; return where each array is."""
        while True:
            code = self.take(1)
            if code == b".":
                break
            if code not in _CODES:
                raise ValueError(f"opcode {code!r} at byte {self.at - 1}")
            _CODES[code](self)
            if len(self.stack) > _DEEP:
                raise ValueError("too deep")
        (found,) = self.stack
        if not isinstance(found, dict):
            raise ValueError("it holds something else")
        return {name: self._place(name, value) for name, value in found.items()}

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        data = self.data[self.at : self.at + count]
        if len(data) != count:
            raise ValueError("it is cut off")
        self.at += count
        return data

    def number(self, kind: str) -> int:
        """Read a number, as struct calls its kind."""
        (value,) = struct.unpack(kind, self.take(struct.calcsize(kind)))
        return int(value)

    def line(self) -> str:
        """Read up to a line feed."""
        end = self.data.find(b"\n", self.at, self.at + 1000)
        if end < 0:
            raise ValueError("a name without an end")
        return self.take(end + 1 - self.at)[:-1].decode("utf-8")

    def text(self, kind: str) -> None:
        """Put a text whose length is of a kind."""
        self.stack.append(self.take(self.number(kind)).decode("utf-8", "surrogatepass"))

    def span(self, kind: str) -> None:
        """Put bytes whose length is of a kind; they stay where they are."""
        size = self.number(kind)
        if self.at + size > len(self.data):
            raise ValueError("it is cut off")
        self.stack.append(_Bytes(self.at, size))
        self.at += size

    def keep(self, place: int | None = None) -> None:
        """Remember the top of the stack."""
        self.memo[len(self.memo) if place is None else place] = self.stack[-1]

    def marked(self) -> list[Any]:
        """Take all values above the last mark."""
        last = len(self.stack) - 1
        while self.stack[last] is not _MARK:
            last -= 1
            if last < 0:
                raise ValueError("a mark is missing")
        values = self.stack[last + 1 :]
        del self.stack[last:]
        return values

    def join(self, count: int) -> None:
        """Make a tuple of the last values."""
        values = tuple(self.stack[-count:])
        del self.stack[-count:]
        self.stack.append(values)

    def put(self, pairs: list[Any]) -> None:
        """Put pairs into the dictionary below."""
        target = self.stack[-1]
        target.update({_text(key): value for key, value in zip(pairs[::2], pairs[1::2], strict=True)})

    def pair(self) -> None:
        """Put the last two values into the dictionary below."""
        pairs = self.stack[-2:]
        del self.stack[-2:]
        self.put(pairs)

    def call(self) -> None:
        """Note a call, and make none; a text that was bytes once becomes bytes again."""
        given, what = self.stack.pop(), self.stack.pop()
        if not isinstance(what, _Name) or not isinstance(given, tuple):
            raise ValueError("a call of what is no name")
        if what == ("_codecs", "encode"):
            self.stack.append(given[0].encode("latin-1"))
        else:
            self.stack.append(_Made(what, given, []))

    def fill(self) -> None:
        """Give what was made its state; the bytes of joblib's arrays follow at once."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Made):
            raise ValueError("a state of what was not made")
        if target.what != _WRAPPER:
            target.state.append(state)
            return
        if "numpy_array_alignment_bytes" in state:
            padding = self.number("<B")
            self.at += padding
        raw = _Raw(state, self.at)
        self.at += self._size(raw)
        if self.at > len(self.data):
            raise ValueError("it is cut off")
        target.state.append(raw)

    def _size(self, raw: _Raw) -> int:
        return math.prod(_shape(raw.state["shape"])) * _dtype(raw.state["dtype"]).itemsize

    def _place(self, name: Any, value: Any) -> _Place:
        """Return where an array is, whichever way it was written."""
        where: _Bytes | bytes
        if not isinstance(value, _Made):
            raise ValueError(f"'{name}' is no array")
        if value.what == _WRAPPER and value.state:
            raw = value.state[0]
            where = _Bytes(raw.begin, self._size(raw))
            found = _Place(_shape(raw.state["shape"]), _dtype(raw.state["dtype"]), raw.state["order"] == "F", where)
        elif value.what.name == "_reconstruct" and value.state:
            _, shape, dtype, columns, where = value.state[0]
            found = _Place(_shape(shape), _dtype(dtype), bool(columns), where)
        elif value.what.name == "_frombuffer":
            where, dtype, shape, order = value.given
            found = _Place(_shape(shape), _dtype(dtype), order == "F", where)
        else:
            raise ValueError(f"'{name}' is no array")
        size = len(where) if isinstance(where, bytes) else where.size
        if size != math.prod(found.shape) * found.dtype.itemsize:
            raise ValueError(f"{size} bytes for '{name}' of {found.shape}")
        return found


def _text(name: Any) -> str:
    if not isinstance(name, str):
        raise ValueError(f"a key is no text but {type(name).__name__}")
    return name


def _shape(given: Any) -> tuple[int, ...]:
    if not isinstance(given, tuple) or not all(isinstance(side, int) and side >= 0 for side in given):
        raise ValueError("a shape that is none")
    return given


def _dtype(given: Any) -> np.dtype[Any]:
    """Return the type that dtype('u1', ...) means; of whole numbers and truth values alone."""
    if not isinstance(given, _Made) or given.what != ("numpy", "dtype") or not isinstance(given.given[0], str):
        raise ValueError("a type that is none")
    found = np.dtype(given.given[0])
    if found.kind not in KINDS:
        raise ValueError(f"numbers of type {found}")
    return found.newbyteorder(given.state[0][1]) if given.state and given.state[0][1] in "<>" else found


_WRAPPER = _Name("joblib.numpy_pickle", "NumpyArrayWrapper")


def _named(machine: _Machine) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.stack.append(_Name(_text(module), _text(name)))


def _integer(machine: _Machine) -> None:
    machine.stack.append(int.from_bytes(machine.take(machine.number("<B")), "little", signed=True))


_CODES: Mapping[bytes, Callable[[_Machine], Any]] = {
    b"\x80": lambda m: m.number("<B"),  # PROTO
    b"\x95": lambda m: m.number("<Q"),  # FRAME
    b"(": lambda m: m.stack.append(_MARK),
    b"}": lambda m: m.stack.append({}),
    b")": lambda m: m.stack.append(()),
    b"0": lambda m: m.stack.pop(),
    b"N": lambda m: m.stack.append(None),
    b"\x88": lambda m: m.stack.append(True),
    b"\x89": lambda m: m.stack.append(False),
    b"K": lambda m: m.stack.append(m.number("<B")),
    b"M": lambda m: m.stack.append(m.number("<H")),
    b"J": lambda m: m.stack.append(m.number("<i")),
    b"\x8a": _integer,
    b"\x8c": lambda m: m.text("<B"),
    b"X": lambda m: m.text("<I"),
    b"\x8d": lambda m: m.text("<Q"),
    b"C": lambda m: m.span("<B"),
    b"B": lambda m: m.span("<I"),
    b"\x8e": lambda m: m.span("<Q"),
    b"\x96": lambda m: m.span("<Q"),  # BYTEARRAY8
    b"\x94": lambda m: m.keep(),
    b"q": lambda m: m.keep(m.number("<B")),
    b"r": lambda m: m.keep(m.number("<I")),
    b"h": lambda m: m.stack.append(m.memo[m.number("<B")]),
    b"j": lambda m: m.stack.append(m.memo[m.number("<I")]),
    b"c": lambda m: m.stack.append(_Name(m.line(), m.line())),
    b"\x93": _named,
    b"t": lambda m: m.stack.append(tuple(m.marked())),
    b"\x85": lambda m: m.join(1),
    b"\x86": lambda m: m.join(2),
    b"\x87": lambda m: m.join(3),
    b"R": lambda m: m.call(),
    b"\x81": lambda m: m.call(),  # NEWOBJ
    b"b": lambda m: m.fill(),
    b"s": lambda m: m.pair(),
    b"u": lambda m: m.put(m.marked()),
}
"""Opcodes of pickle that dictionaries of arrays need -> what is done."""
