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
    if isinstance(kind, types.Integer):
        data = builder.inttoptr(array, ir.IntType(8).as_pointer())
    else:
        data = context.make_array(kind)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), wanted.as_pointer())


@primitive
def place_of(typing: Any, array: Any) -> Any:
    """Find the address of an array's first item, which the primitives here take in place of the array.

    In a kernel: place_of(array) -> int64. Helpers that pass arrays on count references, and plain indices are compared
    with 0 each time; inner loops want neither. Whoever holds an address holds the array too.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ptrtoint(context.make_array(array)(context, builder, args[0]).data, ir.IntType(64))

    return types.int64(array), build


@primitive
def get(typing: Any, place: Any, index: Any) -> Any:
    """Read a number of an int64 array.

    In a kernel: get(place_of(numbers), index) -> int64. Unchecked: the caller keeps 0 <= index < size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        return builder.load(builder.gep(data, [args[1]]))

    return types.int64(types.int64, types.int64), build


@primitive
def put(typing: Any, place: Any, index: Any, value: Any) -> Any:
    """Write a number of an int64 array.

    In a kernel: put(place_of(numbers), index, value). Unchecked: the caller keeps 0 <= index < size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.inttoptr(args[0], ir.IntType(64).as_pointer())
        builder.store(args[2], builder.gep(data, [args[1]]))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), build


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


@primitive
def put_runs4(typing: Any, text: Any, ends: Any, index: Any, before: Any, base: Any, edges: Any, at: Any) -> Any:
    """Read four runs, start and length in turn, and write where they start and end.

    In a kernel: put_runs4(text, ends, index, before, base, edges, at) -> int64, 0 if all is well: numbers have at most
    8 digits, no run is empty, and none begins before its forerunner ends, or before `before`. `text` is the address of
    bytes; `ends`, of int64, says where the numbers end, one white space before the next; `index` is the first of them;
    `base` is taken off starts; eight edges go to `edges`, of int64, from `at` on. Unchecked: the caller keeps 1 <=
    index, digits between ends, and 8 bytes of text before each end.
    """
    word, eight = ir.IntType(64), ir.VectorType(ir.IntType(64), 8)

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        data = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
        first = builder.gep(builder.inttoptr(args[1], word.as_pointer()), [args[2]])
        digits = ir.Constant(eight, ir.Undefined)
        for lane in range(8):
            end = builder.load(builder.gep(first, [ir.Constant(word, lane)]))
            there = builder.gep(data, [builder.sub(end, ir.Constant(word, 8))])
            found = builder.load(builder.bitcast(there, word.as_pointer()), align=1)
            digits = builder.insert_element(digits, found, ir.Constant(ir.IntType(32), lane))
        sides = (builder.bitcast(builder.gep(first, [ir.Constant(word, at)]), eight.as_pointer()) for at in (0, -1))
        stops, starts = (builder.load(side, align=8) for side in sides)
        lengths = builder.sub(builder.sub(stops, starts), ir.Constant(eight, [1] * 8))
        unused = builder.sub(ir.Constant(eight, [64] * 8), builder.shl(lengths, ir.Constant(eight, [3] * 8)))
        unused = builder.and_(unused, ir.Constant(eight, [63] * 8))  # too many digits: any number, and told
        digits = builder.xor(digits, ir.Constant(eight, [0x3030303030303030] * 8))
        numbers = _worth(builder, builder.shl(builder.lshr(digits, unused), unused))
        # a start loses base, a length gains its start
        offset = builder.insert_element(ir.Constant(eight, [0] * 8), args[4], ir.Constant(ir.IntType(32), 0))
        numbers = builder.sub(numbers, _lanes(builder, offset, offset, [0, 1] * 4))
        numbers = builder.add(numbers, _lanes(builder, numbers, ir.Constant(eight, [0] * 8), [8, 0, 8, 2, 8, 4, 8, 6]))
        former = builder.insert_element(ir.Constant(eight, [0] * 8), args[3], ir.Constant(ir.IntType(32), 0))
        former = builder.add(_lanes(builder, former, numbers, [0, *range(8, 15)]), ir.Constant(eight, [0, 1] * 4))
        odd = builder.or_(
            builder.icmp_signed(">", former, numbers), builder.icmp_signed(">", lengths, ir.Constant(eight, [8] * 8))
        )
        out = builder.gep(builder.inttoptr(args[5], word.as_pointer()), [args[6]])
        builder.store(numbers, builder.bitcast(out, eight.as_pointer()), align=8)
        return builder.zext(builder.bitcast(odd, ir.IntType(8)), word)

    return types.int64(*[types.int64] * 7), build


def _worth(builder: Any, digits: Any) -> Any:
    """Return what eight decimal digits of each lane are worth, the first in the lowest byte."""
    for bits, scale in ((8, 10), (16, 100), (32, 10_000)):
        lanes = ir.VectorType(ir.IntType(2 * bits), 256 // bits)
        count = 256 // bits
        parts = builder.bitcast(digits, lanes)
        low = builder.and_(parts, ir.Constant(lanes, [(1 << bits) - 1] * count))
        high = builder.lshr(parts, ir.Constant(lanes, [bits] * count))
        digits = builder.add(builder.mul(low, ir.Constant(lanes, [scale] * count)), high)
    return digits


def _lanes(builder: Any, one: Any, other: Any, chosen: list[int]) -> Any:
    """Return a vector of chosen lanes of two."""
    return builder.shuffle_vector(one, other, ir.Constant(ir.VectorType(ir.IntType(32), len(chosen)), chosen))


@primitive
def put1(typing: Any, array: Any, index: Any, value: Any) -> Any:
    """Write a byte.

    In a kernel: put1(bytes, index, value). Unchecked: the caller keeps 0 <= index < size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store(args[2], _address(context, builder, signature.args[0], args[:2], ir.IntType(8)))
        return context.get_dummy_value()

    return types.void(array, types.int64, types.uint8), build


@primitive
def clear64(typing: Any, array: Any, index: Any) -> Any:
    """Set 64 bytes from any address to 0.

    In a kernel: clear64(bytes, index). Unchecked: the caller keeps index + 64 <= size.
    """

    def build(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = _address(context, builder, signature.args[0], args, _VECTOR)
        builder.store(ir.Constant(_VECTOR, [0] * 64), wide, align=1)
        return context.get_dummy_value()

    return types.void(array, types.int64), build


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
