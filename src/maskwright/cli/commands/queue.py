"""The verb that runs recipes as they arrive in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def queue(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Folder that recipes are put into.")],
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[KEY=VALUE]...", help="Overrides for every recipe.")
    ] = None,
    devices: Annotated[
        str | None, typer.Option("--devices", help="cpu, or CUDA devices: 0,1 runs two recipes [default: all].")
    ] = None,
    once: Annotated[bool, typer.Option("--once/--watch", help="Leave when all is run, or wait for more.")] = False,
    poll: Annotated[float, typer.Option("--poll", help="Seconds between looks at the folder.")] = 10.0,
) -> None:
    """Run recipes as they arrive in DIR, one on each device; a queue that was stopped or killed goes on.

    Example: maskwright queue configs --devices 0,1 data.root=PATH
    """
    from maskwright.cli.console import Console
    from maskwright.workflows.queue import Settings, check_devices, check_settings, run_queue

    settings = Settings(check_devices(devices), poll, once, tuple(overrides or ()))
    check_settings(settings)
    run_queue(folder, settings, Console())
