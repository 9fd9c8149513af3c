import configparser
import json
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "torchvision", "rasterio", "cv2", "albumentations", "numba", "segmentation_models_pytorch")
HEAVY += ("timm", "sklearn", "scipy", "accelerate", "transformers", "PIL", "matplotlib")
COMMAND = (
    "import json, sys\nsys.argv = ['maskwright', *{arguments!r}]\n"
    "from maskwright.cli.app import main\n"
    "try:\n    main()\nexcept SystemExit as leaving:\n    code = leaving.code\n"
    "sys.stderr.write(json.dumps([code, sorted(sys.modules)]))\n"
)


def loaded_after(code: str) -> tuple[str, str]:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120)
    return done.stdout, done.stderr


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["run", "--help"], ["score", "--help"]], ids=" ".join)
def test_help_opens_without_heavy_libraries(arguments: list[str]) -> None:
    out, err = loaded_after(COMMAND.format(arguments=arguments))
    code, modules = json.loads(err)
    assert code in (0, None)
    assert "maskwright" in out
    assert [name for name in HEAVY if name in modules] == []


def test_core_and_the_package_itself_load_no_heavy_library(root: Path) -> None:
    core = sorted((root / "src" / "maskwright" / "core").rglob("*.py"))
    names = [".".join(path.relative_to(root / "src").with_suffix("").parts) for path in core]
    imports = "\n".join(f"import {name.removesuffix('.__init__')}" for name in ["maskwright", *names])
    _, err = loaded_after(f"{imports}\nimport json, sys\nsys.stderr.write(json.dumps(sorted(sys.modules)))")
    # rle_kernels is numba by nature and imported by nobody until a run length is coded
    allowed = {"numba", "scipy"} if any(name.endswith("rle_kernels") for name in names) else set()
    assert [name for name in HEAVY if name in json.loads(err) and name not in allowed] == []


def test_import_contracts_name_every_room(root: Path) -> None:
    contracts = configparser.ConfigParser()
    contracts.read(root / ".importlinter", encoding="utf-8")
    layers = contracts["importlinter:contract:downhill"]
    listed = {*layers["layers"].split(), *layers["exhaustive_ignores"].split()}
    rooms = {path.parent.name for path in (root / "src" / "maskwright").glob("*/__init__.py")}
    assert rooms <= listed
