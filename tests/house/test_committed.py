import re
import tomllib
from pathlib import Path

MACHINE = re.compile(r"(?<![\w.~-])/(?:work|root|home|Users|mnt|media|opt|srv|data)/\w")
URL = re.compile(r"https?://([\w.-]+)")
STANDARDS = {"json-schema.org", "www.w3.org", "www.apache.org", "arxiv.org", "doi.org"}
UNFINISHED = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b|NotImplemented" + "Error")


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(root: Path) -> dict[str, str]:
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if line and not line.startswith("#"))


def test_no_committed_file_names_a_path_of_some_machine(committed: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}: {line.strip()[:80]}"
        for path in committed
        if path.relative_to(root).parts[0] != "tests"
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if MACHINE.search(line)
    ]
    assert found == []


def test_addresses_lead_to_standards_and_papers_only(committed: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}: {host}"
        for path in committed
        if path.relative_to(root).parts[0] != "tests"
        for host in URL.findall(path.read_text(encoding="utf-8"))
        if host not in STANDARDS
    ]
    assert found == []


def test_nothing_is_left_unfinished(committed: list[Path], root: Path) -> None:
    found = [
        f"{path.relative_to(root)}:{number}"
        for path in committed
        if path.relative_to(root).parts[0] not in ("tests", "docs", "LICENSE")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]
    assert found == []


def test_every_dependency_is_pinned_once_in_order_and_within_its_bounds(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = pins(root)
    assert list(pinned) == sorted(pinned)
    for text in [*project["dependencies"], *project["optional-dependencies"]["dev"]]:
        parsed = re.fullmatch(r"([\w.-]+)(?:\[\w+\])?(>=|==)([\d.]+)", text)
        assert parsed, text
        name, bound, version = parsed.groups()
        pin = pinned[normal(name)]
        parts = [[int(part) for part in each.split(".")] for each in (pin, version)]
        assert parts[0] == parts[1] if bound == "==" else parts[0] >= parts[1], f"{text}, pinned to {pin}"


def test_constraints_hold_versions_only(root: Path) -> None:
    for name, version in pins(root).items():
        assert re.fullmatch(r"[a-z0-9-]+", name), name
        assert re.fullmatch(r"[0-9][0-9a-z.]*", version), f"{name}=={version}"


def test_the_two_opencvs_never_meet(root: Path) -> None:
    assert [name for name in pins(root) if name.startswith("opencv")] == ["opencv-python-headless"]


def test_the_version_has_a_section_in_the_changelog(root: Path) -> None:
    from maskwright.core.version import __version__

    assert __version__ in (root / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_licence_is_apache_2_in_full(root: Path) -> None:
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert "Version 2.0, January 2004" in text
    assert "9. Accepting Warranty or Additional Liability." in text
    assert text.count("\n") > 195
