"""The verbs of the command line; help opens without torch because every room is imported inside a verb."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from maskwright.cli.commands import (
    bring,
    chip,
    crf,
    doubt,
    inspect,
    look,
    notebook,
    predict,
    probe,
    queue,
    run,
    score,
    selftrain,
    synth,
    tune,
    view,
    vote,
)
from maskwright.core.version import __version__

app = typer.Typer(
    name="maskwright",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    help="One recipe takes labelled imagery to a tuned, explained ensemble of segmentation models.\n\n"
    "Example: maskwright demo --out runs/demo",
    epilog="Exit codes: 0 done, 2 bad input, 3 folder in use, 4 disk, 5 memory, 130/143 stopped (run again to go on).",
)

VERBS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "inspect": inspect.inspect,
    "split": run.split,
    "train": run.train,
    "probe": probe.probe,
    "find-lr": run.find_lr,
    "soup": run.soup,
    "selftrain": selftrain.selftrain,
    "predict": predict.predict,
    "decide": run.decide,
    "export": run.export,
    "report": run.report,
    "export-view": view.export_view,
    "notebook": notebook.notebook,
    "suspects": doubt.suspects,
    "mine": doubt.mine,
    "demo": run.demo,
    "search": tune.search,
    "ablate": tune.ablate,
    "queue": queue.queue,
    "init": inspect.init,
    "score": score.score,
    "vote": vote.vote,
    "crf": crf.crf,
    "chip": chip.chip,
    "import-weights": bring.import_weights,
    "recipes": look.recipes,
    "synth": synth.synth,
    "doctor": look.doctor,
    "schema": look.schema,
}
"""Every verb, in the order of the help text."""

for _name, _function in VERBS.items():
    app.command(_name)(_function)


@app.callback(invoke_without_command=True)
def options(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks.")] = False,
) -> None:
    """Take the options that stand before the verb."""
    if debug:
        os.environ["MASKWRIGHT_DEBUG"] = "1"
    if version:
        sys.stdout.write(f"maskwright {__version__}\n")
        raise typer.Exit
    if context.invoked_subcommand is None:
        sys.stdout.write(context.get_help() + "\n")


def main() -> None:
    """Run the command line and leave with the promised exit code."""
    arguments = sys.argv[1:]
    if "--debug" in arguments:  # also after the verb, where people type it
        arguments.remove("--debug")
        os.environ["MASKWRIGHT_DEBUG"] = "1"
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="maskwright")
    except typer.Exit as leaving:
        sys.exit(leaving.exit_code)
    except (Exception, KeyboardInterrupt) as error:
        # typer carries its own copy of click since 0.27, so the class cannot be named for all versions
        if hasattr(error, "format_message"):
            sys.stderr.write(f"error: command line: {error.format_message()}; see maskwright --help\n")
            sys.exit(2)
        from maskwright.cli.console import exit_code_for

        sys.exit(exit_code_for(error))
    sys.exit(code if isinstance(code, int) else 0)
