"""The table of the five podium solutions: every row says how it is done here and which test proves it."""

import ast
import re
from pathlib import Path

import pytest

from maskwright.core.recipe.load import build
from maskwright.core.recipe.plain import merge_overrides
from maskwright.workflows.session import check_names

ROWS = 94
SMALLEST = {
    "name": "table",
    "task": {"kind": "binary", "classes": ["roof"]},
    "data": {"train": {"format": "folder", "images": "images", "masks": "masks"}},
}
KEY = re.compile(r"`([a-z][\w.]*=[^`]+)`")
COMMAND = re.compile(r"`(?:maskwright|torchrun) [^`]+`")


@pytest.fixture(scope="module")
def rows(root: Path) -> dict[int, tuple[str, str, str]]:
    """Number -> what, key or command, tests."""
    page = (root / "docs" / "explain" / "podium-table.md").read_text(encoding="utf-8")
    lines = [line.strip("| ").split(" | ") for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert all(len(line) == 4 for line in lines), [line for line in lines if len(line) != 4]
    return {int(number): (what, how, tests) for number, what, how, tests in lines}


def test_every_row_is_there_and_says_how_and_where_it_is_proved(rows: dict[int, tuple[str, str, str]]) -> None:
    assert list(rows) == list(range(1, ROWS + 1))
    for number, (_, how, tests) in rows.items():
        assert KEY.search(how) or COMMAND.search(how), number
        assert "::" in tests, number


def test_every_test_that_is_named_exists(rows: dict[int, tuple[str, str, str]], root: Path) -> None:
    known: dict[str, set[str]] = {}
    absent = []
    for number, (_, _, tests) in rows.items():
        for name in tests.split(", "):
            file, _, function = name.partition("::")
            if file not in known:
                path = root / "tests" / file
                tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
                known[file] = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
            if function not in known[file]:
                absent.append(f"row {number}: {name}")
    assert absent == []


def test_every_key_is_one_that_a_recipe_takes(rows: dict[int, tuple[str, str, str]], root: Path) -> None:
    for number, (_, how, _) in rows.items():
        keys = KEY.findall(how)
        where = f"podium-table.md, row {number}"
        check_names(build(merge_overrides(SMALLEST, keys), where=where), root / where)
