"""Notebooks that train and predict by themselves: the resolved recipe inside, one cell a stage."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from maskwright.core.recipe.blocks import Recipe
from maskwright.core.recipe.load import dump_resolved, recipe_hash

TRAIN = ("inspect", "split", "train")
PREDICT = ("predict", "decide", "export", "report")
TOLD = {
    "inspect": "Every file is read once; faults are named, and nothing is trained on a set that has any.",
    "split": "Items are dealt into folds, as the recipe says.",
    "train": "Every member on every fold. Stopped and run again, the cell goes on where it was.",
    "predict": "Probabilities of every item by models that did not see it, and of the test items by all of them.",
    "decide": "Weights, thresholds and the honest score, from out-of-fold probabilities.",
    "export": "The files that the recipe's `output` asks for.",
    "report": "What was found, as a page: report.html in the run folder.",
}
"""Stage -> what its cell does."""


def write_notebooks(recipe: Recipe, run: Path, version: str) -> dict[str, str]:
    """Return the text of both notebooks.

    Args:
        recipe: resolved, as it will be run.
        run: run folder that the notebooks share.
        version: of maskwright.

    Returns:
        train.ipynb and predict.ipynb -> JSON of notebook format 4.4, without outputs; equal for equal arguments.
    """
    return {
        f"{name}.ipynb": _notebook(name, recipe, run, version, stages)
        for name, stages in (("train", TRAIN), ("predict", PREDICT))
    }


def _notebook(name: str, recipe: Recipe, run: Path, version: str, stages: Sequence[str]) -> str:
    """Return one notebook."""
    before = "" if name == "train" else " It needs the run folder that train.ipynb leaves."
    files = sorted({member.model.local_file for member in recipe.members.values()} - {None}, key=str)
    needed = "".join(f" `{file}` (first weights) must lie beside it." for file in files)
    cells = [
        _words(
            f"# {recipe.name}: {name}\n\nWritten by maskwright {version}, recipe hash {recipe_hash(recipe)}. Run the "
            f"cells in their order.{before}{needed}"
        ),
        _code(
            f"DATA = {_text(recipe.data.root if not Path(recipe.data.root).is_absolute() else '.')}  "
            f"# the folder that holds the set\nRUN = {_text(run.as_posix())}\nRECIPE = {_block(recipe, version)}"
        ),
        _code(
            "from pathlib import Path\n\nfrom maskwright import __version__, open_session, run_until\n"
            f"from maskwright.cli.console import Console\n\nif __version__ != {_text(version)}:\n"
            f'    print(f"written for maskwright {version}, this is {{__version__}}")\n'
            f'Path({_text(f"{recipe.name}.yaml")}).write_text(RECIPE, encoding="utf-8")\n'
            f'session = open_session({_text(f"{recipe.name}.yaml")}, [f"data.root={{DATA}}"], Console(), '
            "out=Path(RUN))"
        ),
    ]
    for stage in stages:
        cells += [_words(f"## {stage}\n\n{TOLD[stage]}"), _code(f"run_until(session, {_text(stage)})")]
    if name == "predict":
        cells.append(
            _code(
                'for path in sorted(session.run.output.rglob("*"))[:20]:\n    print(path.relative_to(RUN).as_posix())'
            )
        )
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    plain = {"cells": cells, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 4}
    return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"


def _words(text: str) -> dict[str, object]:
    return {"cell_type": "markdown", "metadata": {}, "source": text.splitlines(keepends=True)}


def _code(text: str) -> dict[str, object]:
    source = text.splitlines(keepends=True)
    return {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": [], "source": source}


def _text(text: str) -> str:
    """Return a text as a Python literal in double quotes."""
    return json.dumps(text, ensure_ascii=False)


def _block(recipe: Recipe, version: str) -> str:
    """Return the resolved recipe as a literal over several lines."""
    plain = dump_resolved(recipe, version).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')
    return f'"""{plain}"""'
