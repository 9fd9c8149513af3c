"""What this machine has: versions, devices, precision, memory, disk, and settings from outside that change a run."""

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
    "ruamel.yaml",
    "safetensors",
    "huggingface-hub",
)
OPTIONAL = ("tensorboard", "wandb", "mlflow", "fiftyone")
"""Libraries that some of what maskwright does needs or meets; named only where they are installed."""
SETTINGS = (
    "OMP_NUM_THREADS",
    "CUDA_VISIBLE_DEVICES",
    "HF_HUB_OFFLINE",
    "NUMBA_DISABLE_JIT",
    "RANK",
    "WORLD_SIZE",
)
"""Environment variables that change how a run goes."""


def examine() -> list[tuple[str, str]]:
    """Return (name, value) rows; a missing library is a row, not an error."""
    rows = [("maskwright", __version__), ("python", platform.python_version()), ("platform", platform.platform())]
    rows += [(name, _version(name)) for name in LIBRARIES]
    if _version("opencv-python") != "missing":
        rows.append(("opencv-python", "installed beside -headless: uninstall one, they overwrite each other"))
    rows += [(name, _version(name)) for name in OPTIONAL if _version(name) != "missing"]
    rows += _devices()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    rows.append(("memory", f"{memory / 2**30:.1f} GiB"))
    free = shutil.disk_usage(Path.cwd()).free
    rows.append(("free disk here", f"{free / 1e9:.1f} GB"))
    return rows + [(name, os.environ[name]) for name in SETTINGS if name in os.environ]


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

    ours, all_cores = len(os.sched_getaffinity(0)), os.cpu_count()
    cores = str(all_cores) if ours == all_cores else f"{ours} of {all_cores}"
    rows = [("cpu cores", cores), ("torch threads", str(torch.get_num_threads()))]
    if torch.cuda.is_available():
        for index in range(torch.cuda.device_count()):
            facts = torch.cuda.get_device_properties(index)
            ability = f"compute capability {facts.major}.{facts.minor}"
            rows.append((f"cuda:{index}", f"{facts.name}, {facts.total_memory / 2**30:.0f} GiB, {ability}"))
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        rows.append(("cuda, cudnn of torch", f"{torch.version.cuda}, {cudnn}"))
    else:
        rows.append(("cuda", "none; training runs on the CPU"))
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    rows.append(("precision: auto means", "bf16" if has_bf16(device) else "fp32"))
    return rows
