"""How byte-level kernels are compiled: one stated signature each, cached, many bytes at a time.

Only kernel modules import this file, and they are imported late: numba costs 0.2 s. A stated
signature means that a read-only or unusual array never starts a second compilation in the middle
of a run. The wide loads are plain LLVM vectors, so each processor gets its own best instructions.
Whoever changes this file deletes the *.nbi beside it: numba knows a cached kernel by its own file alone.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

import numba
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

F = TypeVar("F", bound=Callable[..., Any])
Word: TypeAlias = Any
"""A uint64 inside a kernel; numba keeps it unsigned where numpy's annotations would not."""

BYTES = types.Array(types.uint8, 1, "C", readonly=True)
BYTES_OUT = types.Array(types.uint8, 1, "C")
NUMBERS = types.Array(types.int64, 1, "C", readonly=True)
NUMBERS_OUT = types.Array(types.int64, 1, "C")
_VECTOR = ir.VectorType(ir.IntType(8), 64)


def kernel(signature: Any) -> Callable[[F], F]:
    """Compile a function for one signature, without the GIL, cached on disk if any folder can be written.

    Args:
        signature: numba signature, e.g. int64(BYTES).
    """

    def compiled(function: F) -> F:
        try:
            return numba.njit(signature, nogil=True, cache=True)(function)  # type: ignore[no-any-return]
        except (RuntimeError, OSError):  # no folder for the cache: package and home are read-only, or the disk is full
            return numba.njit(signature, nogil=True)(function)  # type: ignore[no-any-return]

    return compiled


def helper(function: F) -> F:
    """Compile a small function into the kernels that call it.

    Put in as source, since a call that passes arrays counts references: kernels were 2-8 times slower.
    """
    return numba.njit(nogil=True, inline="always")(function)  # type: ignore[no-any-return]


def primitive(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make an instruction that numba lacks from a function that writes LLVM."""
    return intrinsic(function)  # type: ignore[no-any-return]


def _address(context: Any, builder: Any, kind: Any, place: tuple[Any, Any], wanted: Any) -> Any:
    array, index = place
    data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), wanted.as_pointer())


@primitive
def load8(typing: Any, array: Any, index: Any) -> Any:
    """Read a little-endian word from any address.

    In a kernel: load8(bytes, index) -> uint64. Unchecked: the caller keeps index + 8 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load(_address(context, builder, signature.args[0], args, ir.IntType(64)), align=1)

    return types.uint64(array, types.int64), build


@primitive
def store8(typing: Any, array: Any, index: Any, word: Any) -> Any:
    """Write a little-endian word to any address.

    In a kernel: store8(bytes, index, word). Unchecked: the caller keeps index + 8 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], args[:2], ir.IntType(64)), align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint64), build


def _wide(context: Any, builder: Any, kind: Any, place: tuple[Any, Any]) -> Any:
    return builder.load(_address(context, builder, kind, place, _VECTOR), align=1)


def _spread(builder: Any, value: Any) -> Any:
    """Return 64 bytes of one value."""
    nothing, first = ir.Constant(_VECTOR, ir.Undefined), ir.Constant(ir.IntType(32), 0)
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), 64), [0] * 64)
    return builder.shuffle_vector(builder.insert_element(nothing, value, first), nothing, lanes)


@primitive
def differs64(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Compare 64 bytes from any address with a value, one bit each.

    In a kernel: differs64(bytes, index, value) -> uint64, bit k says bytes[index + k] != value.
    Unchecked: the caller keeps index + 64 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _wide(context, builder, signature.args[0], args[:2])
        return builder.bitcast(builder.icmp_unsigned("!=", found, _spread(builder, args[2])), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint8), build


@primitive
def outside64(typing: Any, array: Any, index: Any, low: Any, high: Any) -> Any:
    """Compare 64 bytes from any address with a range, one bit each.

    In a kernel: outside64(bytes, index, low, high) -> uint64, bit k denies low <= bytes[index + k] <= high.
    Unchecked: the caller keeps index + 64 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        found = _wide(context, builder, signature.args[0], args[:2])
        above = builder.sub(found, _spread(builder, args[2]))
        width = _spread(builder, builder.sub(args[3], args[2]))
        return builder.bitcast(builder.icmp_unsigned(">", above, width), ir.IntType(64))

    return types.uint64(array, types.int64, types.uint8, types.uint8), build


@primitive
def changes64(typing: Any, array: Any, index: Any) -> Any:
    """Compare each of 64 bytes with the byte before it, one bit each.

    In a kernel: changes64(bytes, index) -> uint64, bit k says bytes[index + k] != bytes[index + k - 1].
    Unchecked: the caller keeps 1 <= index and index + 64 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        before = builder.sub(args[1], ir.Constant(ir.IntType(64), 1))
        old, new = (_wide(context, builder, signature.args[0], (args[0], place)) for place in (before, args[1]))
        return builder.bitcast(builder.icmp_unsigned("!=", old, new), ir.IntType(64))

    return types.uint64(array, types.int64), build


@primitive
def ones(typing: Any, bits: Any) -> Any:
    """Count the set bits.

    In a kernel: ones(word) -> int64 0..64.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.uint64), build


@primitive
def lowest(typing: Any, bits: Any) -> Any:
    """Count the zeros below the lowest set bit.

    In a kernel: lowest(word) -> int64 0..63, 64 for a word of zeros.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), build
