"""Writes the tree in README from what is on disk and each file's first docstring line.

python tools/tree.py            write it anew
python tools/tree.py --check    exit 1, and say what differs, if README is behind
"""

from __future__ import annotations

import argparse
import ast
import difflib
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN = "<!-- tree: written by tools/tree.py, do not edit -->"
END = "<!-- end of tree -->"
WIDTH = 122
COLUMN = 26
"""Where the clauses start."""
LEAST = 28
"""Characters that must be left when a clause is cut to fit on its line."""

TOP = {
    "src/maskwright/": "the package; each folder is a room, and imports run downhill in this order",
    "examples/": "recipes for real data sets, each with its command and measured score",
    "bench/": "what `make bench` measures: ours beside peers and the floor, in one run",
    "tools/": "what writes and checks the generated pages",
    "tests/": "a folder for each room, and house/ for the house itself",
    "docs/": "start, how-to, explanations, reference, design, log",
}
ROOMS = (
    "core", "scoring", "data", "models", "training", "inference", "ensembling", "output", "workflows", "cli", "recipes",
)  # fmt: skip


def first_line(path: Path) -> str:
    """Return the clause a file says about itself: first docstring line, first comment, or first heading.

    Raises:
        SystemExit: the file says nothing.
    """
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        said = (ast.get_docstring(ast.parse(text)) or "").strip().split("\n")[0]
    else:
        said = text.lstrip().split("\n")[0].lstrip("# ").strip()
    if not said:
        raise SystemExit(f"{path.relative_to(ROOT)}: says nothing about itself; write a first docstring line")
    return said.rstrip(".")


def entries(folder: Path, suffixes: tuple[str, ...]) -> list[Path]:
    """Return the folder's files and sub-folders worth showing, files first, in a fixed order."""
    files = [path for path in folder.iterdir() if path.suffix in suffixes and path.name != "__init__.py"]
    rooms = [path for path in folder.iterdir() if (path / "__init__.py").exists()]
    order = {name: place for place, name in enumerate(ROOMS)}
    return sorted(files, key=lambda p: p.name) + sorted(rooms, key=lambda p: (order.get(p.name, len(order)), p.name))


def package(folder: Path, depth: int) -> Iterator[tuple[int, str, str]]:
    """Yield (depth, name, clause) of everything in a package folder."""
    for path in entries(folder, (".py", ".yaml")):
        if path.is_dir():
            yield depth, f"{path.name}/", first_line(path / "__init__.py")
            yield from package(path, depth + 1)
        else:
            yield depth, path.name, first_line(path)


def fitted(clause: str) -> str:
    """Cut a clause that is too long for its line at its last `;`, `:` or full stop, if enough is left."""
    room = WIDTH - COLUMN
    if len(clause) <= room:
        return clause
    place = max(clause.rfind(mark, 0, room) for mark in ("; ", ": ", ". "))
    return clause[:place] if place >= LEAST else clause


def rows() -> Iterator[tuple[int, str, str]]:
    """Yield every line of the tree."""
    for name, clause in TOP.items():
        yield 0, name, clause
        folder = ROOT / name
        if name == "src/maskwright/":
            yield 1, "__init__.py", first_line(folder / "__init__.py")
            yield from package(folder, 1)
        elif name in ("examples/", "bench/", "tools/"):
            for path in entries(folder, (".py", ".yaml")):
                yield 1, path.name, first_line(path)
        elif name == "docs/":
            for path in sorted(folder.glob("*.md")):
                yield 1, path.name, first_line(path)
            for sub in sorted(path for path in folder.iterdir() if any(path.glob("*.md"))):
                yield 1, f"{sub.name}/", ", ".join(path.stem for path in sorted(sub.glob("*.md")))


def tree() -> str:
    """Return the whole tree as a fenced block."""
    lines: list[str] = []
    for depth, name, clause in rows():
        head = f"{'  ' * depth}{name}".ljust(COLUMN)
        if len(head) > COLUMN:
            head += " "
        indent = " " * (COLUMN + 2)
        lines += textwrap.wrap(
            fitted(clause), WIDTH, initial_indent=head, subsequent_indent=indent, break_on_hyphens=False
        )
    return "\n".join(["```text", *(line.rstrip() for line in lines), "```"])


def main() -> int:
    """Write or check README's tree; return the exit code."""
    parser = argparse.ArgumentParser(description="README's tree")
    parser.add_argument("--check", action="store_true", help="change nothing, say what differs")
    check = parser.parse_args().check
    readme = ROOT / "README.md"
    old = readme.read_text(encoding="utf-8")
    if BEGIN not in old or END not in old:
        raise SystemExit(f"README.md: no '{BEGIN}' ... '{END}'; put the marks back")
    before, _, rest = old.partition(BEGIN)
    after = rest.partition(END)[2]
    new = f"{before}{BEGIN}\n{tree()}\n{END}{after}"
    if old == new:
        return 0
    if not check:
        readme.write_text(new, encoding="utf-8")
        return 0
    sys.stdout.writelines(difflib.unified_diff(old.splitlines(True), new.splitlines(True), "README.md", "on disk", n=0))
    sys.stdout.write("README.md: the tree is behind; run make docs\n")
    return 1


if __name__ == "__main__":
    raise SystemExit(main())
