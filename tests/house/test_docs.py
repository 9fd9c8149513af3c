import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from maskwright.cli.app import VERBS, app
from maskwright.core import errors
from maskwright.core.recipe.load import build
from maskwright.core.recipe.plain import merge, read_yaml
from maskwright.workflows.session import check_names

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
COMMAND = re.compile(r"`maskwright ([^`\n]+)`")
LINE = re.compile(r"^(?:.* -m )?maskwright (.+)", re.MULTILINE)
SMALLEST = {
    "name": "docs",
    "task": {"kind": "binary", "classes": ["roof"]},
    "data": {"train": {"format": "folder", "images": "images", "masks": "masks"}},
}


def fences(page: Path, *languages: str) -> list[str]:
    return [body for language, body in FENCE.findall(page.read_text(encoding="utf-8")) if language in languages]


@pytest.mark.parametrize("tool", ["tree.py", "reference.py"])
def test_generated_pages_are_what_the_code_says(tool: str, root: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(root / "tools" / tool), "--check"],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_link_between_pages_leads_somewhere(pages: list[Path], root: Path) -> None:
    dead = [
        f"{page.relative_to(root)}: {link}"
        for page in pages
        for link in LINK.findall(page.read_text(encoding="utf-8"))
        if "://" not in link and not link.startswith("#") and not (page.parent / link.partition("#")[0]).exists()
    ]
    assert dead == []


def test_every_verb_shows_an_example_of_itself() -> None:
    runner = CliRunner()
    for verb in VERBS:
        shown = " ".join(runner.invoke(app, [verb, "--help"]).output.split())
        assert f"Example: maskwright {verb}" in shown, verb


def test_every_make_target_that_is_named_exists(pages: list[Path], root: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (root / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    named = {
        target
        for page in pages
        for target in re.findall(r"(?:`|^ {0,4})make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert {"demo", "test", "check"} <= named <= targets


def test_every_command_in_the_pages_is_one_that_the_program_has(pages: list[Path], root: Path) -> None:
    runner = CliRunner()
    known = {verb: set(re.findall(r"--[a-z-]+", runner.invoke(app, [verb, "--help"]).output)) for verb in VERBS}
    faults = []
    for page in pages:
        if page.name in ("design.md", "cli.md"):
            continue
        typed = [line for body in fences(page, "sh") for line in LINE.findall(body)]
        for text in [*typed, *COMMAND.findall(page.read_text(encoding="utf-8"))]:
            verb, *words = text.split("#")[0].split() or [""]
            if not re.fullmatch(r"[a-z][a-z-]*", verb):
                continue
            flags = {word.partition("=")[0] for word in words if word.startswith("--")}
            if verb not in known or not flags <= known[verb]:
                faults.append(f"{page.relative_to(root)}: maskwright {text.strip()}")
    assert faults == []


def test_every_recipe_in_the_pages_is_accepted(pages: list[Path], root: Path, tmp_path: Path) -> None:
    seen = 0
    for page in pages:
        for number, body in enumerate(fences(page, "yaml")):
            file = tmp_path / f"{page.stem}-{number}.yaml"
            file.write_text(body, encoding="utf-8")
            given = read_yaml(file)
            given.pop("extends", None)
            base = {key: value for key, value in SMALLEST.items() if key not in ("task", "data") or key not in given}
            recipe = build(merge(base, given), where=f"{page.relative_to(root)}, recipe {number + 1}")
            check_names(recipe, file)
            seen += 1
    assert seen >= 8


def test_the_page_on_exit_codes_agrees_with_the_code(root: Path) -> None:
    page = (root / "docs" / "reference" / "exit-codes.md").read_text(encoding="utf-8")
    said = {int(code) for code in re.findall(r"^\| (\d+) \|", page, re.MULTILINE)}
    known = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert said == known | {130, 143}


def test_readme_opens_with_what_it_is_a_picture_and_two_commands(root: Path) -> None:
    head = (root / "README.md").read_text(encoding="utf-8").splitlines()[:45]
    assert any("docs/images/path.svg" in line for line in head)
    assert "make demo" in "\n".join(head)
    assert "make test" in "\n".join(head)


def test_the_readme_names_every_verb_once(root: Path) -> None:
    rows = re.findall(r"^\| `maskwright ([a-z-]+)", (root / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(rows) == sorted(VERBS)
