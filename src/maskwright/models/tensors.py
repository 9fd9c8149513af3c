"""Safetensors files with facts and a digest inside: written whole, read back and checked, never pickled."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from maskwright.core.errors import InputError, from_os_error
from maskwright.core.files import atomic_path

FACTS = "maskwright"
"""Key of our JSON text in the file's metadata."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write tensors and plain facts to one file, atomically, and check it by reading it back.

    The format is written here and not by the safetensors library because that reports a full disk
    as no OSError and needs a second copy of all tensors in memory (seen with 0.8.0).

    Args:
        path: final name, ending in .safetensors.
        tensors: on any device; any strides.
        facts: JSON-able; nothing in it may be an absolute path.

    Raises:
        StorageError: disk full or no permission; an older file of that name is untouched.
    """
    plain = {name: tensors[name].detach().to("cpu").contiguous() for name in sorted(tensors)}
    digest = digest_of(plain)
    header = _header(plain, {FACTS: json.dumps({"digest": digest, **facts}, ensure_ascii=False)})

    def verify(written: Path) -> None:
        read_tensors(written)

    with atomic_path(path, verify) as temporary, temporary.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        for tensor in plain.values():
            stream.write(_bytes(tensor))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read one of our files whole; damage of any byte is noticed.

    Raises:
        InputError: absent, pickled, truncated, damaged, or not written by maskwright.
    """
    tensors, facts = read_foreign(path)
    digest = facts.pop("digest", None)
    if digest is None:
        raise InputError("not written by maskwright", where=path, fix="give weights that maskwright trained")
    if digest != digest_of(tensors):
        raise InputError("damaged: its digest does not match", where=path, fix="delete it to have it made again")
    return tensors, facts


def read_foreign(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read any safetensors file and the facts in it, if they are ours.

    Raises:
        InputError: absent, pickled, truncated, or no safetensors.
    """
    try:
        path.stat()  # the library's own error of an absent file has no number
        with safe_open(str(path), framework="pt", device="cpu") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
        facts = json.loads(metadata.get(FACTS, "{}"))
    except OSError as error:
        raise from_os_error(error, path) from error
    except (SafetensorError, ValueError) as error:
        raise _no_safetensors(path, str(error).split(":")[-1].strip()) from None
    return tensors, facts if isinstance(facts, dict) else {}


def read_facts(path: Path) -> dict[str, Any]:
    """Read only the facts of one of our files, without its tensors.

    Raises:
        InputError: as read_foreign.
    """
    try:
        facts = json.loads(read_metadata(path).get(FACTS, "{}"))
    except ValueError:
        raise _no_safetensors(path) from None
    return facts if isinstance(facts, dict) else {}


def read_metadata(path: Path) -> dict[str, str]:
    """Read the texts that any safetensors file carries, without its tensors.

    Raises:
        InputError: absent, pickled, truncated, or no safetensors.
    """
    try:
        with safe_open(str(path), framework="pt", device="cpu") as file:
            return dict(file.metadata() or {})
    except OSError as error:
        raise from_os_error(error, path) from error
    except (SafetensorError, ValueError):
        raise _no_safetensors(path) from None


def _no_safetensors(path: Path, reason: str = "") -> InputError:
    """Say what a file is that did not open; its start is looked at only then, since a good file may begin so too."""
    with path.open("rb") as stream:
        start = stream.read(2)
    if start == b"PK" or start[:1] == b"\x80":
        what, fix = (
            "a pickled checkpoint, which can run code when it is opened",
            "convert it to .safetensors where you trust it",
        )
        return InputError(what, where=path, fix=fix)
    what = f"truncated or not a safetensors file{f' ({reason})' if reason else ''}"
    return InputError(what, where=path, fix="copy or make it again")


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """Return 32 hex digits of BLAKE2b over names, types, shapes and bytes, in the order of names."""
    total = hashlib.blake2b(digest_size=16)
    for name in sorted(tensors):
        tensor = tensors[name].detach().to("cpu").contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)};".encode())
        total.update(_bytes(tensor))
    return total.hexdigest()


def _bytes(tensor: Tensor) -> memoryview:
    flat: Any = tensor.reshape(-1).view(torch.uint8).numpy()
    return memoryview(flat)


def _header(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": dict(metadata)}
    offset = 0
    for name, tensor in tensors.items():
        end = offset + tensor.numel() * tensor.element_size()
        entries[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)  # the data begins aligned, as readers that map it expect


DTYPES: Mapping[torch.dtype, str] = {
    torch.bool: "BOOL",
    torch.uint8: "U8",
    torch.int8: "I8",
    torch.int16: "I16",
    torch.int32: "I32",
    torch.int64: "I64",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
"""Type names of the safetensors format."""
