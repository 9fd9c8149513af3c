"""Writes docs/reference from the code: the recipe's blocks, the names in tables, the command line.

python tools/reference.py            write the pages anew
python tools/reference.py --check    exit 1, and say what differs, if a page is behind
"""

from __future__ import annotations

import argparse
import ast
import difflib
import inspect
import json
import os
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "reference"
NOTE = "<!-- written by tools/reference.py from {source}; do not edit, run make docs -->\n\n"
HELP_WIDTH = 100
PLAIN = {int: "whole number", float: "number", str: "text", bool: "true / false", type(None): "null", Any: "anything"}
BOUNDS = {
    "ge": "≥ {}", "gt": "> {}", "le": "≤ {}", "lt": "< {}", "min_length": "{} or more", "pattern": "`{}`",
}  # fmt: skip

TABLES = {
    "Architectures": ("members.NAME.model.architecture", "models/build.py", "ARCHITECTURES"),
    "Origins": ("`maskwright import-weights --from`", "models/imports/origins.py", "ORIGINS"),
    "Losses": ("members.NAME.loss", "training/losses/table.py", "LOSSES"),
    "Encoders of ours": (
        "members.NAME.model.encoder, beside those of segmentation-models-pytorch and, with tu-, of timm",
        "models/zoo/encoders.py",
        "ENCODERS",
    ),
    "Auxiliary heads": ("members.NAME.model.aux", "training/losses/heads.py", "HEAD_LOSSES"),
    "Augmentations": ("members.NAME.augment", "data/augment/table.py", "TABLE"),
    "Augmentation presets": ("members.NAME.augment", "core/recipe/presets.py", "PRESETS"),
    "Optimizers": ("members.NAME.optimizer.name", "training/optim.py", "OPTIMIZERS"),
    "Schedules": ("members.NAME.schedule.name", "training/schedule.py", "SCHEDULES"),
    "Symmetries": (
        "members.NAME.predict.tta (but identity, which is always there; d4 means all)",
        "core/grid.py",
        "SYMMETRY",
    ),
    "Seam weights": ("members.NAME.predict.seam", "inference/tiles.py", "SEAMS"),
    "Metrics": (
        "the report and `maskwright score`; decision.metric names them too, F scores as fbeta with a beta",
        "scoring/scores.py",
        "METRICS",
    ),
    "Dialects": ("`maskwright score --dialect`", "scoring/dialects.py", "DIALECTS"),
}
"""Heading -> where the names are used in a recipe, the file below src/maskwright, and its table."""


def recipe_page() -> str:
    """Return the page about every key of a recipe."""
    from maskwright.core.recipe.blocks import Recipe

    parts = [
        NOTE.format(source="src/maskwright/core/recipe and core/labels.py"),
        "# The recipe, key by key\n\n",
        "A recipe is YAML 1.2: `1e-4` is a number, two equal keys are refused, an unknown key is refused with the\n",
        "nearest known one. `extends: base.yaml` lays this recipe over another one: mappings are merged key by key,\n",
        "all else is replaced. The command line overrides any key, `members.a.train.epochs=3`, and names list\n",
        "entries by number, `output.0.file=answer.csv`. `maskwright schema` prints this page as JSON Schema.\n",
    ]
    for block in blocks(Recipe):
        doc = inspect.cleandoc(block.__doc__ or "")
        parts.append(f"\n## {block.__name__}\n\n{doc}\n\n| key | value | default | meaning |\n|---|---|---|---|\n")
        said = field_docs(block)
        for name, field in block.model_fields.items():
            cells = (f"`{name}`", kind(field.annotation, field.metadata), default(field), said.get(name, ""))
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(parts)


def blocks(root: type[BaseModel]) -> list[type[BaseModel]]:
    """Return a block and all blocks below it, in the order they are met."""
    found = [root]
    for block in found:
        for field in block.model_fields.values():
            found += [inner for inner in nested(field.annotation) if inner not in found]
    return found


def nested(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the blocks inside an annotation."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        yield from nested(inner)


def field_docs(block: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field, also of those it inherits, on one line."""
    docs: dict[str, str] = {}
    for parent in block.__mro__:
        if parent is not BaseModel and issubclass(parent, BaseModel):
            docs = own_docs(parent) | docs
    return docs


def own_docs(block: type[BaseModel]) -> dict[str, str]:
    """Return the docstring below each field that a block itself declares."""
    (definition,) = ast.parse(inspect.getsource(block)).body
    assert isinstance(definition, ast.ClassDef), block
    docs: dict[str, str] = {}
    for field, after in zip(definition.body, definition.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant) and isinstance(after.value.value, str):
            docs[field.target.id] = re.sub(r"\bNone\b", "null", " ".join(after.value.value.split()))
    return docs


def kind(annotation: Any, metadata: typing.Sequence[Any] = ()) -> str:
    """Say in words what values an annotation takes."""
    said, allowed = _kind(annotation), limits(metadata)
    return f"{said} ({allowed})" if allowed else said


def _kind(annotation: Any) -> str:
    origin, inner = typing.get_origin(annotation), typing.get_args(annotation)
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return f"[{annotation.__name__}](#{annotation.__name__.lower()})"
    if origin is typing.Annotated:
        return kind(inner[0], inner[1:])
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value).strip(chr(34))}`" for value in inner)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(kind(each) for each in inner)
    if origin is tuple and inner[-1] is not Ellipsis:
        return "[" + ", ".join(kind(each) for each in inner) + "]"
    if origin is tuple:
        return f"list of {kind(inner[0])}"
    if origin is dict:
        return f"map of {kind(inner[0])} to {kind(inner[1])}"
    return PLAIN[annotation]


def limits(metadata: typing.Sequence[Any]) -> str:
    """Say in symbols what a field's metadata allows, e.g. `1..100`, `> 0`."""
    found: dict[str, Any] = {}
    for item in metadata:
        for inner in item.metadata if isinstance(item, FieldInfo) else [item]:
            found |= {name: getattr(inner, name) for name in BOUNDS if getattr(inner, name, None) is not None}
    said = [f"{found.pop('ge')}..{found.pop('le')}"] if {"ge", "le"} <= found.keys() else []
    return ", ".join(said + [BOUNDS[name].format(value) for name, value in found.items()])


def default(field: FieldInfo) -> str:
    """Return a field's default as it would be written in a recipe."""
    if field.is_required():
        return "**needed**"
    value = field.get_default(call_default_factory=True)
    if isinstance(value, BaseModel):
        return "its defaults"
    return f"`{flow(value)}`"


def flow(value: Any) -> str:
    """Write a default as a recipe would, in YAML's flow style."""
    if isinstance(value, BaseModel):  # an output: its format says which
        return "{format: " + str(value.model_dump()["format"]) + "}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {flow(inner)}" for key, inner in value.items()) + "}"
    if isinstance(value, tuple | list):
        return "[" + ", ".join(flow(inner) for inner in value) + "]"
    if isinstance(value, str) and re.fullmatch(r"[A-Za-z_.][\w.]*", value):
        return value
    return json.dumps(value)


def names_page() -> str:
    """Return the page of every name that a table knows."""
    parts = [
        NOTE.format(source="the tables themselves"),
        "# Names a recipe may use\n\nEach list is one literal table in one file; a new entry there is all it takes.\n",
    ]
    for title, (key, file, table) in TABLES.items():
        listed = ", ".join(f"`{name}`" for name in table_keys(ROOT / "src" / "maskwright" / file, table))
        parts.append(f"\n## {title}\n\nFor {key if ' ' in key else f'`{key}`'}, from `{file}`.\n\n{listed}\n")
        if title == "Augmentations":
            parts.append(augmentations())
        if title == "Encoders of ours":
            parts.append(networks())
    return "".join(parts)


def networks() -> str:
    """Return a table of the settings that networks of ours take."""
    from maskwright.models.build import ARCHITECTURES
    from maskwright.models.zoo.encoders import ENCODERS
    from maskwright.models.zoo.own import Either, Own
    from maskwright.models.zoo.unet_stride1 import UnetStride1

    rows = ["\nSettings in `model.options`, and of the encoder in `model.options.encoder`:\n"]
    rows.append("\n| of | setting | default | meaning |\n|---|---|---|---|\n")
    ours = {name: kind.own if isinstance(kind, Either) else kind for name, kind in ARCHITECTURES.items()}
    given: dict[str, type[BaseModel]] = {
        f"`{name}`{' on encoders of ours' if isinstance(ARCHITECTURES[name], Either) else ''}": kind.options
        for name, kind in ours.items()
        if isinstance(kind, Own | UnetStride1)
    }
    for kind in ENCODERS.values():
        given.setdefault(f"encoders `{kind.family}`", type(kind.defaults))
    for name, block in given.items():
        said = field_docs(block)
        for key, field in block.model_fields.items():
            cells = (name, f"`{key}`", default(field), said.get(key, ""))
            rows.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n")
    return "".join(rows)


def augmentations() -> str:
    """Return a table of every augmentation with its parameters."""
    from maskwright.data.augment.base import Step
    from maskwright.data.augment.table import TABLE

    rows = ["\n| name | parameters, with defaults | what it does |\n|---|---|---|\n"]
    for name, step in TABLE.items():
        given = [f"{key}: {default(field).strip('`*')}" for key, field in step.model_fields.items()]
        doc = inspect.cleandoc(step.__doc__ or "").split("\n\n")[0].replace("\n", " ")
        said: dict[str, str] = {}
        for block in reversed([each for each in step.__mro__ if issubclass(each, Step)]):
            said |= field_docs(block)
        said.pop("p")  # the same everywhere
        doc = " ".join([doc, *(f"`{key}`: {text}" for key, text in said.items())]).replace("|", "\\|")
        rows.append(f"| `{name}` | `{{{', '.join(reversed(given))}}}` | {doc} |\n")
    return "".join(rows)


def table_keys(path: Path, table: str) -> list[str]:
    """Return the keys of a literal dict at the top level of a module, without importing it.

    Raises:
        SystemExit: the module has no such dict.
    """
    if not path.exists():
        raise SystemExit(f"{path.relative_to(ROOT)}: no such file; tell tools/reference.py where {table} went")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        value = getattr(node, "value", None)
        if isinstance(value, ast.Dict) and any(isinstance(t, ast.Name) and t.id == table for t in targets):
            return [str(ast.literal_eval(key)) for key in value.keys if key is not None]
    raise SystemExit(f"{path.relative_to(ROOT)}: no literal table {table}; tell tools/reference.py its new name")


def cli_page() -> str:
    """Return the page of every verb's help text, as a terminal of 100 columns shows it."""
    from typer.testing import CliRunner

    from maskwright.cli.app import VERBS, app

    runner = CliRunner()
    parts = [NOTE.format(source="the help texts"), "# The command line\n"]
    for verb in [(), *((name,) for name in VERBS)]:
        shown = runner.invoke(app, [*verb, "--help"], prog_name="maskwright", env={"COLUMNS": str(HELP_WIDTH)})
        if shown.exit_code:
            raise SystemExit(f"maskwright {' '.join(verb)} --help failed: {shown.output}")
        heading = f"\n## maskwright {verb[0]}\n" if verb else ""
        parts.append(f"{heading}\n```text\n{shown.output.rstrip()}\n```\n")
    return "".join(parts)


def main() -> int:
    """Write or check the pages; return the exit code."""
    parser = argparse.ArgumentParser(description="docs/reference")
    parser.add_argument("--check", action="store_true", help="change nothing, say what differs")
    check = parser.parse_args().check
    os.environ.update(NO_COLOR="1", TERM="dumb")
    behind = 0
    for name, page in PAGES.items():
        path, new = FOLDER / name, page()
        old = path.read_text(encoding="utf-8") if path.exists() else ""
        if old == new:
            continue
        if not check:
            path.write_text(new, encoding="utf-8")
            continue
        behind += 1
        sys.stdout.writelines(
            difflib.unified_diff(old.splitlines(True), new.splitlines(True), name, "in the code", n=0)
        )
        sys.stdout.write(f"docs/reference/{name} is behind; run make docs\n")
    return 1 if behind else 0


PAGES: dict[str, Callable[[], str]] = {
    "recipe.md": recipe_page,
    "names.md": names_page,
    "cli.md": cli_page,
}

if __name__ == "__main__":
    raise SystemExit(main())
