"""What the house tests share: where the checkout is, and which of its files are ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

HIDDEN = {".ci", ".importlinter", ".pre-commit-config.yaml", ".gitignore"}
NOT_OURS = {"runs", "dist", "build"}
TEXT = {".py", ".md", ".toml", ".yaml", ".yml", ".txt", ".svg", ".html", ".css", ".js", ".json", ".csv", ""}


@pytest.fixture(scope="session")
def root() -> Path:
    return Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def committed(root: Path) -> list[Path]:
    """Every text file of the checkout but environments, caches and runs; needs no git."""
    tops = [top for top in sorted(root.iterdir()) if not top.name.startswith(".") or top.name in HIDDEN]
    found = [
        path
        for top in tops
        if top.name not in NOT_OURS
        for path in ([top] if top.is_file() else sorted(top.rglob("*")))
        if path.is_file() and path.suffix in TEXT and "__pycache__" not in path.parts
    ]
    assert len(found) > 50, "the checkout was not found"
    return found


@pytest.fixture(scope="session")
def python_files(committed: list[Path], root: Path) -> Callable[..., list[Path]]:
    """Python files below some folders of the checkout."""

    def below(*folders: str) -> list[Path]:
        return [p for p in committed if p.suffix == ".py" and p.relative_to(root).parts[0] in folders]

    return below


@pytest.fixture(scope="session")
def pages(root: Path) -> list[Path]:
    """All Markdown pages."""
    return [*sorted(root.glob("*.md")), *sorted((root / "docs").rglob("*.md"))]
