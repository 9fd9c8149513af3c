"""The ledger of first weights: for each member whose they are, under what licence, and who says so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from maskwright.core.errors import InputError, RecipeError
from maskwright.core.files import read_json
from maskwright.core.recipe.first import Weights
from maskwright.core.recipe.members import Model
from maskwright.models import hub, licences
from maskwright.models.licences import Use

SIDECAR = ".licence.json"
"""Beside `w.safetensors` lies `w.licence.json`: {"licence": ..., "source": ..., "commercial": ...}."""


@dataclass(frozen=True)
class Entry:
    """What is known of one member's first weights."""

    member: str
    weights: str
    """What they are, for a person: `imagenet of resnet34`, `w.safetensors`, `random`."""
    source: str = ""
    """Who made them; empty: nobody says."""
    licence: str | None = None
    """None: nobody states one, or none is needed."""
    commercial: Use = "unknown"
    """Whether they may be used commercially."""
    says: str = ""
    """Where licence and use are from: the recipe, a file, a table; empty: nowhere."""
    trained_on: str = ""
    """Images, as far as known. They have terms of their own: ImageNet's are for non-commercial research."""

    def to_plain(self) -> dict[str, Any]:
        """Return plain data, as it stands in weights.json."""
        return asdict(self)


def entry_of(member: str, model: Model, recipe_dir: Path, where: str) -> Entry:
    """Find out what is known of a member's first weights; what the recipe says of them comes first.

    Args:
        member: its name.
        model: its checked model block.
        recipe_dir: folder that a local file is relative to.
        where: recipe key for messages.

    Raises:
        InputError: a sidecar or the weights file is damaged.
    """
    first = model.first
    if first is None:
        return Entry(member, "random", "none needed", None, "yes", "nothing pretrained is used")
    if first.tag is not None:
        found = _tagged(member, model.encoder, first.tag)
    elif first.hub is not None:
        found = _from_hub(member, first)
    else:
        assert first.file is not None, first
        found = _from_file(member, first.file, recipe_dir / first.file)
    return _as_declared(found, first, where)


def keep_rule(entry: Entry, rule: Literal["any", "known", "commercial-ok"], where: str) -> None:
    """Refuse weights that a recipe's rules.weights does not allow.

    Raises:
        RecipeError: naming weights and licence, with what can be done.
    """
    if rule == "any" or entry.weights == "random":
        return
    known = entry.licence is not None or (entry.says and entry.commercial != "unknown")
    if known and (rule == "known" or entry.commercial == "yes"):
        return
    other = "choose other weights, or drop rules.weights"
    if not known:
        what, fix = "nobody says under what licence", "find out and add licence: and source: to the weights' block"
    elif entry.commercial == "no":
        what, fix = f"not for commercial use ({entry.licence or 'as declared'}, says {entry.says})", ""
    else:
        what = f"whether {entry.licence} (says {entry.says}) allows commercial use is not known"
        fix = "read it, and if it does add commercial: true to the weights' block"
    raise RecipeError(
        f"{entry.weights}: {what}; rules.weights is {rule}", where=where, fix=f"{fix}, {other}" if fix else other
    )


def _tagged(member: str, encoder: str, tag: str) -> Entry:
    import timm
    from segmentation_models_pytorch.encoders import encoders

    from maskwright.models.zoo.encoders import ENCODERS

    encoder = ENCODERS[encoder].donor if encoder in ENCODERS else encoder
    name = encoder.removeprefix("tu-")
    if encoder.startswith("tu-"):
        config = timm.models.get_pretrained_cfg(name, allow_unregistered=True)
        if config is None:
            return Entry(member, f"{tag} of {encoder}")
        licence = None if config.license in (None, "unknown") else str(config.license)
        source = config.origin_url or config.hf_hub_id or config.url or ""
        images = licences.trained_on(config.tag or "")
        full = f"tu-{config.architecture}.{config.tag}" if config.tag else encoder
        return Entry(member, f"{tag} of {full}", str(source), licence, licences.use_of(licence), "timm", images)
    origin = licences.smp_origin(name, tag) if encoder in encoders else None
    if origin is None:
        return Entry(member, f"{tag} of {encoder}")
    says = "maskwright's table"
    use = licences.use_of(origin.licence)
    return Entry(member, f"{tag} of {encoder}", origin.source, origin.licence, use, says, origin.trained_on)


def _from_hub(member: str, first: Weights) -> Entry:
    assert first.hub is not None, first
    card = hub.card_of(first.hub, first.revision)
    stated = card.get("license")
    name = card.get("license_name") if stated == "other" else stated
    licence = licences.normal(name) if isinstance(name, str) and name != "unknown" else None
    images = card.get("datasets")
    commit = hub.commit_of(first)
    at = f"{first.revision} ({commit})" if commit and commit != first.revision else first.revision
    return Entry(
        member,
        f"{first.file or hub.FILE} of {first.hub} at {at}",
        f"hub: {first.hub}",
        licence,
        licences.use_of(licence),
        "the model card" if licence else "",
        ", ".join(map(str, images)) if isinstance(images, list) else "",
    )


def _from_file(member: str, name: str, path: Path) -> Entry:
    """Ask the sidecar, then the file itself, then, if maskwright trained it, what it had started from."""
    from maskwright.models.tensors import read_facts, read_metadata

    said = name if not Path(name).is_absolute() else Path(name).name
    sidecar = path.with_name(f"{path.name.removesuffix('.safetensors')}{SIDECAR}")
    if sidecar.is_file():
        return _stated(Entry(member, said, says=sidecar.name), read_json(sidecar), sidecar)
    if not path.is_file():
        return Entry(member, said)
    metadata = read_metadata(path)
    brought = read_facts(path).get("imported")
    if isinstance(brought, Mapping):
        return _imported(Entry(member, said), brought, path)
    licence = metadata.get("licence") or metadata.get("license")
    if licence:
        given = {"licence": licence, "source": metadata.get("source", "")}
        return _stated(Entry(member, said, says="the file's metadata"), given, path)
    before = read_facts(path).get("first_weights")
    if not isinstance(before, Mapping):
        return Entry(member, said)
    source = f"trained with maskwright from: {before.get('weights')}"
    if before.get("commercial") != "no":  # on whose images the member was trained, the file does not say
        return Entry(member, said, source)
    return Entry(member, said, source, before.get("licence"), "no", "the weights it was trained from")


def _imported(entry: Entry, brought: Mapping[str, Any], path: Path) -> Entry:
    """Lay on an entry what import-weights wrote into a file: whose checkpoint it was, its digest, stated terms."""
    source = brought.get("source") or f"{brought.get('file')}, a checkpoint of {brought.get('origin')}"
    given = {key: brought.get(key) for key in ("licence", "commercial")}
    says = "import-weights" if any(each is not None for each in given.values()) else ""
    found = _stated(replace(entry, says=says), given, path)
    return replace(found, source=f"{source} ({brought.get('digest')})")


def _stated(entry: Entry, given: Any, where: Path) -> Entry:
    """Lay what a sidecar or a file's metadata states on an entry."""
    try:
        block = Weights.model_validate({"tag": "-", **given})
    except (ValueError, TypeError):
        raise InputError(
            f"must be a mapping of licence, source (texts) and commercial (true or false), got {str(given)[:80]}",
            where=where,
            fix="mend it",
        ) from None
    licence = None if block.licence is None else licences.normal(block.licence)
    use = licences.use_of(licence) if block.commercial is None else _use(block.commercial)
    return replace(entry, source=block.source or entry.source, licence=licence, commercial=use)


def _as_declared(found: Entry, first: Weights, where: str) -> Entry:
    """Lay what the recipe declares on what was found; a known prohibition is not declared away in silence."""
    if first.licence is None and first.commercial is None:
        return replace(found, source=first.source or found.source)
    licence = found.licence if first.licence is None else licences.normal(first.licence)
    use = licences.use_of(licence) if first.commercial is None else _use(first.commercial)
    if found.commercial == "no" and use == "yes" and first.licence is None:
        raise RecipeError(
            f"{found.weights}: not for commercial use ({found.licence}, says {found.says}), but commercial is true",
            where=where,
            fix="if you have them under other terms, say which: licence: NAME",
        )
    source = first.source or found.source
    return replace(found, source=source, licence=licence, commercial=use, says="the recipe")


def _use(allowed: bool) -> Use:
    return "yes" if allowed else "no"
