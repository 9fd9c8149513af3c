"""Reads foreign checkpoints safely: tensors come out, no code of the file runs, and what else it holds is named."""

from __future__ import annotations

import hashlib
import pickletools
import warnings
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from maskwright.core.errors import InputError, from_os_error
from maskwright.models.imports.inert import Refused, Still, refusal, stand_ins
from maskwright.models.tensors import read_foreign, read_metadata

ZIP = b"PK"
OLD = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
"""How files of torch before 1.6 begin: a pickled magic number."""
OLD_PICKLES = 4
"""Those of a file before its tensors: magic number, version, platform, and the object itself."""
TORCHS = frozenset({"builtins.bytearray", "builtins.complex", "builtins.set", "torch.serialization._get_layout"})
"""Names that torch's own reader takes, and that have no stand-in."""
TAKEN_FOR = (
    (b"version http", "a pointer of Git LFS, not the file itself", "fetch it with git lfs pull"),
    (b"<!doctype", "a web page, not a checkpoint", "download it again"),
    (b"<html", "a web page, not a checkpoint", "download it again"),
)
"""How files begin, in small letters, that are no checkpoints; what they are, and what to do."""
DEEP = 4
"""Levels of mappings in mappings that are looked into."""
WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What DDP, compile and the classes that trainers wrap networks in put before every name."""
COUNTERS = ("n_averaged", "steps", "num_updates", "decay")
"""Numbers that running averages keep beside their weights, whose names may have a wrapper that these have not."""


@dataclass(frozen=True)
class Checkpoint:
    """What was read."""

    tensors: Mapping[str, Tensor]
    """Names as in the file, without wrappers' prefixes; on the CPU, contiguous, floats as float32."""
    part: str
    """Where in the file they lay, e.g. state_dict; empty: at its top."""
    dropped: tuple[str, ...]
    """Its other parts, e.g. optimizer, ema_state_dict."""
    digest: str
    """32 hex digits of BLAKE2b over the file's bytes."""
    told: Mapping[str, str] = field(default_factory=dict)
    """Texts that a safetensors file carries, e.g. licence."""
    odd: tuple[str, ...] = ()
    """Entries among the weights that are none: no tensors, or counters of an average."""


def read_checkpoint(path: Path, keys: Sequence[str]) -> Checkpoint:
    """Read the tensors of a checkpoint.

    Args:
        path: .safetensors, or what torch.save wrote; told apart by their first bytes.
        keys: where weights may lie in the file, the preferred place first.

    Raises:
        InputError: absent, truncated, damaged, without weights, or it would call something when it is opened.
    """
    try:
        with path.open("rb") as stream:
            digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
            stream.seek(0)
            start = stream.read(len(OLD))
    except OSError as error:
        raise from_os_error(error, path) from error
    told: dict[str, str] = {}
    if start.startswith((ZIP, OLD)):
        found = _unpickled(path, zipped=start.startswith(ZIP))
    elif start[:1] == b"\x80":
        raise InputError(
            "a pickle that torch.save did not write",
            where=path,
            fix="save the state dict with torch.save or as .safetensors",
        )
    else:
        _check_kind(path, start)
        found, told = read_foreign(path)[0], read_metadata(path)
    part, given, dropped = _weights(found, keys, path)
    tensors = {name: _plain(tensor, name, path) for name, tensor in given.items() if isinstance(tensor, Tensor)}
    if not tensors:
        raise InputError("holds no tensors", where=path, fix="give a file with a model's weights")
    counters = [name for name in COUNTERS if name in tensors and tensors[name].numel() == 1]
    tensors = {name: tensor for name, tensor in tensors.items() if name not in counters}
    odd = (*(name for name, each in given.items() if not isinstance(each, Tensor)), *counters)
    return Checkpoint(_unwrapped(tensors), part, dropped, digest, told, odd)


def _unpickled(path: Path, *, zipped: bool) -> Any:
    try:
        if zipped:
            _check_zip(path)
            named = torch.serialization.get_unsafe_globals_in_checkpoint(str(path))
        else:
            named = _named_in_old(path)
        inert = stand_ins(named)
        with warnings.catch_warnings(), torch.serialization.safe_globals(inert):  # type: ignore[arg-type]
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except Refused as error:
        raise refusal(str(error), path) from None
    except InputError:
        raise
    except OSError as error:
        raise from_os_error(error, path) from error
    except Exception as error:  # whatever a made-up pickle makes the reader stumble on
        raise _unreadable(str(error), path) from None


def _named_in_old(path: Path) -> list[str]:
    """Return what the pickles of a file of torch before 1.6 name, without opening any."""
    found: set[str] = set()
    with path.open("rb") as stream:
        for _ in range(OLD_PICKLES):
            for code, given, _ in pickletools.genops(stream):
                if code.name == "GLOBAL":
                    module, name = str(given).split(" ", 1)
                    module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
                    found.add(f"{module}.{name}")
    return sorted(found - TORCHS)


def _unreadable(text: str, path: Path) -> InputError:
    for mark in ("Unsupported global: GLOBAL ", "unsupported GLOBAL ", "unrecognized function "):
        if mark in text:
            return refusal(text.partition(mark)[2].split()[0], path)
    if "Only persistent_load of storage is allowed" in text:
        return InputError(
            "refused: opening it would call the classes of a whole model, kept in the way of torch before 1.6",
            where=path,
            fix="save the model's state dict with torch.save where it was made",
        )
    text = text.rpartition("WeightsUnpickler error: ")[2].strip()
    reason = text.splitlines()[0][:100] if text else "it ends early"
    return InputError(
        f"cannot be read as a checkpoint: truncated, damaged or of another kind ({reason})",
        where=path,
        fix="copy it again, or save the state dict as .safetensors where it was made",
    )


def _check_kind(path: Path, start: bytes) -> None:
    """Refuse what stands in many a download's place by its name."""
    for begins, what, fix in TAKEN_FOR:
        if start.lower().startswith(begins):
            raise InputError(what, where=path, fix=fix)


def _check_zip(path: Path) -> None:
    """Refuse archives that are larger than they look, and programs."""
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    if any("/code/" in entry.filename or entry.filename.endswith("constants.pkl") for entry in entries):
        raise InputError(
            "a TorchScript program, not weights", where=path, fix="save the model's state dict with torch.save"
        )
    size = sum(entry.file_size for entry in entries)
    if size > path.stat().st_size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise InputError(
            f"compressed or larger inside ({size} bytes) than outside, which torch.save never writes",
            where=path,
            fix="take it from a source you trust",
        )


def _weights(found: Any, keys: Sequence[str], path: Path) -> tuple[str, Mapping[str, Any], tuple[str, ...]]:
    """Return where the weights lie, what lies there, and the names of what lies beside."""
    if isinstance(found, Still):
        return "whole model", dict(_walk(found, "")), ()
    dropped: list[str] = []
    part: list[str] = []
    for _ in range(DEEP):
        if not isinstance(found, Mapping):
            break
        named = {str(name): each for name, each in found.items()}
        if any(isinstance(each, Tensor) for each in named.values()):
            return ".".join(part), named, tuple(dropped)
        place = next((key for key in keys if key in named), None)
        if place is None:
            break
        dropped += [name for name in named if name != place]
        part.append(place)
        found = named[place]
        if isinstance(found, Still):
            return ".".join(part), dict(_walk(found, "")), tuple(dropped)
    what = (
        f"a mapping of {', '.join(list(map(str, found))[:8]) or 'nothing'}"
        if isinstance(found, Mapping)
        else type(found).__name__
    )
    raise InputError(
        f"holds no weights where they are looked for: {what}",
        where=path,
        fix=f"say where they lie with --key NAME (looked for: {', '.join(keys)})",
    )


def _walk(module: Still, prefix: str, depth: int = 0) -> Iterator[tuple[str, Tensor]]:
    """Give the parameters and persistent buffers of a module that was pickled whole."""
    if depth > 64:
        return
    state = getattr(module, "state", {})
    idle = state.get("_non_persistent_buffers_set") or ()
    for kind in ("_parameters", "_buffers"):
        own = state.get(kind)
        for name, tensor in own.items() if isinstance(own, Mapping) else ():
            if isinstance(tensor, Tensor) and name not in idle:
                yield f"{prefix}{name}", tensor
    children = state.get("_modules")
    for name, child in children.items() if isinstance(children, Mapping) else ():
        if isinstance(child, Still):
            yield from _walk(child, f"{prefix}{name}.", depth + 1)


def _plain(tensor: Tensor, name: str, path: Path) -> Tensor:
    """Return a tensor of its own, floats as float32; refuse what is larger than the bytes behind it."""
    if tensor.layout != torch.strided or tensor.is_quantized or tensor.device.type != "cpu":
        raise InputError(
            f"'{name}' is {tensor.layout}, {tensor.dtype}, on {tensor.device}", where=path, fix="save it dense"
        )
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise InputError(
            f"'{name}' claims {tuple(tensor.shape)} values and brings fewer", where=path, fix="save it contiguous"
        )
    plain = tensor.detach().float() if tensor.is_floating_point() else tensor.detach()
    return plain.clone(memory_format=torch.contiguous_format)


def _unwrapped(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    for wrapper in WRAPPERS * 2:
        if tensors and all(name.startswith(wrapper) for name in tensors):
            tensors = {name.removeprefix(wrapper): tensor for name, tensor in tensors.items()}
    return tensors
