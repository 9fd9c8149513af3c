"""What this machine has: versions, devices, precision, disk."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
from pathlib import Path

from maskwright.core.version import __version__

LIBRARIES = (
    "torch",
    "torchvision",
    "segmentation-models-pytorch",
    "timm",
    "accelerate",
    "albumentations",
    "numpy",
    "numba",
    "opencv-python-headless",
    "rasterio",
    "pillow",
    "pydantic",
    "safetensors",
)


def examine() -> list[tuple[str, str]]:
    """Return (name, value) rows; a missing library is a row, not an error."""
    rows = [("maskwright", __version__), ("python", platform.python_version()), ("platform", platform.platform())]
    rows += [(name, _version(name)) for name in LIBRARIES]
    if _version("opencv-python") != "missing":
        rows.append(("opencv-python", "installed beside -headless: uninstall one, they overwrite each other"))
    rows += _devices()
    free = shutil.disk_usage(Path.cwd()).free
    rows.append(("free disk here", f"{free / 1e9:.1f} GB"))
    return rows


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "missing"


def _devices() -> list[tuple[str, str]]:
    try:
        import torch
    except (ImportError, OSError) as error:
        return [("torch", f"does not import: {error}")]
    from maskwright.training.precision import has_bf16

    rows = [("cpu cores", str(os.cpu_count())), ("torch threads", str(torch.get_num_threads()))]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            rows.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB"))
    else:
        rows.append(("cuda", "none; training runs on the CPU"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows.append(("precision: auto means", "bf16" if has_bf16(device) else "fp32"))
    return rows
