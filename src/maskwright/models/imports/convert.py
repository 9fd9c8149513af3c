"""From a foreign checkpoint and a model block to a filled network with a map of every tensor, or a refusal."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from maskwright.core.errors import InputError
from maskwright.core.recipe.members import Model
from maskwright.models.adapt import SegModel, adapt_bands
from maskwright.models.imports.heads import Surgery, operate
from maskwright.models.imports.origins import ORIGINS, origin_of, rules_of
from maskwright.models.imports.reading import Checkpoint, read_checkpoint
from maskwright.models.imports.rules import Mapped, Row, apply_rules
from maskwright.models.initial import plain_name

SEED = 20261127
"""Of what the file does not bring, so that the same import gives the same bytes."""


@dataclass(frozen=True)
class Wanted:
    """What is to become of a checkpoint."""

    block: Model
    """The recipe's model; its weights do not matter, its stem says how other bands are met."""
    planes: int
    """K of the logits."""
    bands: int | None = None
    """C of the image; None: as many as the checkpoint takes."""
    surgery: Surgery = field(default_factory=Surgery)
    """How the checkpoint's classes become ours."""
    key: str | None = None
    """Where in the file the weights lie; None: as the origin's rule says."""
    partial: bool = False
    """Whether tensors may be missing or unused."""
    where: str = "model"
    """Recipe key for messages."""


@dataclass
class Imported:
    """What came of it."""

    model: SegModel
    checkpoint: Checkpoint
    bands: int
    origin: str
    rows: list[Row]
    left_out: dict[str, str]
    missing: list[str]
    unused: list[str]
    scope: str
    """whole, or encoder: what the origin's files hold."""
    unfit: list[str] = field(default_factory=list)
    """Tensors of another shape that were not taken, one line each."""

    @property
    def state(self) -> dict[str, Tensor]:
        """Tensors to write: the whole model's, or the encoder's."""
        whole = self.model.state_dict()
        if self.scope == "whole":
            return whole
        return {name: each for name, each in whole.items() if name.startswith("network.encoder.")}


def convert(path: Path, origin: str, wanted: Wanted) -> Imported:
    """Read a checkpoint, map its names to the model's, fill the model.

    Args:
        path: .pth, .pt or .safetensors.
        origin: a name from ORIGINS.
        wanted: the model, and how bands and classes are met.

    Raises:
        InputError: the file cannot be read safely; or, unless `partial`, a tensor is missing, unused, or of another
            shape. Nothing was written.
    """
    from maskwright.models.build import assemble, check

    kind = origin_of(origin, wanted.block, wanted.where)
    block = wanted.block.model_copy(update={"weights": None, "stem": "repeat"})
    keys = tuple(dict.fromkeys((wanted.key, *wanted.key.split(".")))) if wanted.key else kind.keys
    checkpoint = read_checkpoint(path, keys)
    mapped = apply_rules(rules_of(kind, block), checkpoint.tensors)

    def shapes(bands: int, planes: int) -> dict[str, torch.Size]:
        return _shapes(block, bands, planes, wanted.where)

    check(block, wanted.where)
    plain = shapes(3, wanted.planes)
    _aim(mapped, plain)
    stems = _differing(plain, shapes(5, wanted.planes))
    heads = _differing(plain, shapes(3, wanted.planes + 5))
    bands = wanted.bands or _bands_of(mapped, stems)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = assemble(block, bands, wanted.planes, wanted.where, pretrained=False)
    result = Imported(
        model, checkpoint, bands, origin, mapped.rows, mapped.left_out, [], list(mapped.unused), kind.scope
    )
    _check_constants(mapped, model, path)
    surgeon = _Surgeon(stems, heads, wanted, bands)
    filled = _fitted(result, mapped, surgeon)
    _refuse(result, mapped, wanted, path)
    with torch.no_grad():
        for name, tensor in plain_state(model).items():
            if name in filled:
                tensor.copy_(filled[name])
    model.train(False)
    return result


def _aim(mapped: Mapped, own: Collection[str]) -> None:
    """Aim at the names that a library's wrapper gives its encoder, where rules aim at the encoder's own."""
    wrapped = {plain_name(name): name for name in own if name.startswith("encoder.")}
    moved = {
        target: wrapped[plain_name(target)]
        for target in mapped.filled
        if target not in own and target.startswith("encoder.") and plain_name(target) in wrapped
    }
    mapped.filled = {moved.get(target, target): tensor for target, tensor in mapped.filled.items()}
    mapped.rows = [replace(row, target=moved.get(row.target, row.target)) for row in mapped.rows]


def plain_state(model: SegModel) -> dict[str, Tensor]:
    """Return a model's own tensors by the names that rules aim at: as in its state dict, without network."""
    return {name.removeprefix("network."): each for name, each in model.state_dict(keep_vars=True).items()}


def fill_encoder(encoder: nn.Module, given: Mapping[str, Tensor], origin: str, block: Model, bands: int) -> None:
    """Fill an encoder of ours with a library's weights of the same one; norms of maps stay as they begin.

    Args:
        encoder: to be filled in place.
        given: the library's state dict.
        origin: a name from ORIGINS.
        block: the recipe's model.
        bands: C of the encoder's image.
    """
    mapped = apply_rules(rules_of(ORIGINS[origin], block), given)
    own = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict(keep_vars=True).items()}
    lacking = [name for name in own if name not in mapped.filled and not name.startswith("encoder.norms.")]
    assert not lacking, lacking
    assert not mapped.broken, mapped.broken
    with torch.no_grad():
        for name, tensor in own.items():
            if name not in mapped.filled:
                continue
            found = mapped.filled[name]
            tensor.copy_(found if found.shape == tensor.shape else adapt_bands(found, bands, block.stem))


@dataclass(frozen=True)
class _Surgeon:
    """Which tensors depend on bands and classes, and what is done with them."""

    stems: frozenset[str]
    heads: frozenset[str]
    wanted: Wanted
    bands: int

    def fit(self, name: str, tensor: Tensor, like: Tensor) -> tuple[Tensor | None, str]:
        """Return a tensor in the shape of the model's and how; None where it is left at random, "" where it fits."""
        if like.is_floating_point():
            if not tensor.is_floating_point():
                raise ValueError(f"{name} holds {str(tensor.dtype).removeprefix('torch.')} in the file, and is a float")
            odd = int((~torch.isfinite(tensor)).sum())
            if odd:
                raise ValueError(f"{name} has {odd} of {tensor.numel()} values in the file that are no finite numbers")
        if name in self.heads and self.wanted.surgery.given:
            return operate(self.wanted.surgery, tensor, like, name)
        if tensor.shape == like.shape:
            return tensor, ""
        others = (
            tensor.ndim == like.ndim == 4 and tensor.shape[0] == like.shape[0] and tensor.shape[2:] == like.shape[2:]
        )
        if name in self.stems and others and self.wanted.bands is not None:
            stem = self.wanted.block.stem
            how = f"bands {tensor.shape[1]} to {like.shape[1]}: {stem}"
            return (None if stem == "random" else adapt_bands(tensor, like.shape[1], stem)), how
        raise ValueError(f"{name} is {tuple(tensor.shape)} in the file and {tuple(like.shape)} in the model")


def _fitted(result: Imported, mapped: Mapped, surgeon: _Surgeon) -> dict[str, Tensor]:
    own = plain_state(result.model)
    filled: dict[str, Tensor] = {}
    changed: dict[str, str] = {}
    for name, like in own.items():
        if name not in mapped.filled:
            outside = result.scope == "encoder" and not name.startswith("encoder.")
            if not (outside or name.endswith("num_batches_tracked") or name.startswith(FREE[result.scope])):
                result.missing.append(name)
            continue
        try:
            tensor, how = surgeon.fit(name, mapped.filled[name], like)
        except ValueError as error:
            result.unfit.append(str(error))
            continue
        if how:
            changed[name] = how
        if tensor is not None:
            filled[name] = tensor
    targets = {row.target for row in result.rows}
    parts = {plain_name(name).partition(".")[0] for name in own}
    for row in result.rows:
        if row.target in own or row.how == "a constant":
            continue
        if result.scope == "encoder" and plain_name(row.target).partition(".")[0] not in parts:
            result.left_out[row.source] = "of the classifier"
        else:
            result.unused.append(row.source)
    assert targets >= set(changed), changed
    result.rows = [
        Row(row.source, row.target, ", ".join(filter(None, (row.how, changed.get(row.target, "")))), row.shape)
        for row in result.rows
        if row.target in own or row.how == "a constant"
    ]
    return filled


def _check_constants(mapped: Mapped, model: SegModel, path: Path) -> None:
    buffers = {name.removeprefix("network."): each for name, each in model.named_buffers()}
    for name, given in mapped.constants.items():
        ours = buffers.get(name)
        if ours is None:
            mapped.broken.append(f"{name} is in the file and the model has none")
        elif ours.shape != given.shape or not torch.equal(ours.to(given.dtype), given):
            raise InputError(
                f"{name} is a constant of the architecture and differs from ours {tuple(ours.shape)}",
                where=path,
                fix="check the encoder's options, such as window",
            )


def _refuse(result: Imported, mapped: Mapped, wanted: Wanted, path: Path) -> None:
    if mapped.broken:
        raise InputError(f"{mapped.broken[0]}{_more(mapped.broken)}", where=path, fix="check architecture and options")
    other_classes = bool(result.unfit) and not result.missing and not result.unused
    if wanted.partial or not (result.missing or result.unused or result.unfit):
        if not any(row for row in result.rows if row.target in plain_state(result.model)):
            raise InputError("not one tensor fits the model", where=path, fix="check architecture, encoder and --from")
        return
    said = []
    if result.unfit:
        said.append(f"{result.unfit[0]}{_more(result.unfit)}")
    if result.missing:
        said.append(f"{len(result.missing)} tensors are missing, first {result.missing[0]}")
    if result.unused:
        said.append(f"{len(result.unused)} of the file's are not used, first {result.unused[0]}")
    fix = f"check {wanted.where} and --from, or take what fits with --partial"
    if other_classes and wanted.surgery.given and "class" in result.unfit[0]:
        fix = "give another --head"
    elif other_classes and all(".weight is" in each or ".bias is" in each for each in result.unfit):
        fix = f"check {wanted.where}, other classes need --head, other bands --bands"
    raise InputError(f"does not fit {wanted.where}: {'; '.join(said)}".replace("; ", ", "), where=path, fix=fix)


def _more(faults: list[str]) -> str:
    return f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""


def _bands_of(mapped: Mapped, stems: frozenset[str]) -> int:
    """Return how many bands the checkpoint takes, as its first layer says; 3 if it has none."""
    return next((int(mapped.filled[name].shape[1]) for name in sorted(stems) if name in mapped.filled), 3)


def _differing(one: Mapping[str, torch.Size], other: Mapping[str, torch.Size]) -> frozenset[str]:
    return frozenset(name for name, shape in one.items() if other.get(name) != shape)


def _shapes(block: Model, bands: int, planes: int, where: str) -> dict[str, torch.Size]:
    """Return the shapes of a model's tensors, built without memory where that can be."""
    from maskwright.models.build import assemble

    for device in ("meta", "cpu"):
        try:
            with torch.random.fork_rng(devices=[]), torch.device(device):
                model = assemble(block, bands, planes, where, pretrained=False)
        except RuntimeError:
            if device == "cpu":
                raise
        else:
            return {name: each.shape for name, each in plain_state(model).items()}
    raise AssertionError(device)


FREE: Mapping[str, tuple[str, ...]] = {"whole": (), "encoder": ("encoder.norms.",)}
"""What may be missing by scope: classifiers have no norms of their maps."""


def facts_of(result: Imported, wanted: Wanted, file: str, terms: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written into the weights file: what loads it again, and where it is from.

    Args:
        result: of convert.
        wanted: as given to it.
        file: name of the checkpoint, without folder.
        terms: licence, source and commercial, as far as somebody stated them.
    """
    block = wanted.block.model_copy(update={"weights": None, "stem": "repeat"})
    told = {
        "origin": result.origin,
        "file": file,
        "digest": f"blake2b:{result.checkpoint.digest}",
        "licence": terms.get("licence"),
        "source": terms.get("source"),
        "commercial": terms.get("commercial"),
    }
    return {"model": block.model_dump(), "bands": result.bands, "planes": wanted.planes, "imported": told}
