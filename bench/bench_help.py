"""How long `maskwright --help` takes as a whole process, beside Python itself and a bare import of torch."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from bench.common import Contestant, Row, contest, row


def process(*command: str) -> Contestant:
    """Return a callable that runs a command to its end."""

    def call() -> None:
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env={**os.environ, "COLUMNS": "100"})

    return call


def rows() -> list[Row]:
    """Measure whole processes, warm."""
    command = Path(sys.executable).with_name("maskwright")
    times = contest(
        {
            "ours": process(str(command), "--help"),
            "floor": process(sys.executable, "-c", "pass"),
            "argparse": process(sys.executable, "-c", "import argparse; argparse.ArgumentParser().print_help()"),
            "import torch": process(sys.executable, "-c", "import torch"),
        },
        rounds=7,
        least=0,
    )
    return [row("maskwright --help", times, limit=0.3, note="whole process")]
