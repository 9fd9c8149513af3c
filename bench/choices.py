"""Which loss, schedule, average and soup helps: out-of-fold scores of whole runs, one choice changed at a time.

    python -m bench.choices camvid PATH [--steps 600] [--seeds 3] [--jobs 1] [--only ROW ...] [--out FOLDER]
    python -m bench.choices nuclei PATH

The first row is the recipe's default preset (cross entropies + Dice, AdamW, poly with warm-up, no average); each other
row differs from it in the one thing it names. Sets are shrunk as in `bench.gain`; same network, crops, batch and
number of steps in all rows. Scores: IoU out of fold, and on items held out of all folds (camvid: val, nuclei: a
quarter), which soups need, as their parts are picked on the fold they are scored on. Gains are against the first row,
seed by seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from bench.gain import Setting, Variant, arguments, make_recipe, open_setting, table

Change = Callable[[dict[str, Any], Setting], None]
"""Changes a member in place."""


def main() -> None:
    """Shrink the set, run every choice with every seed, print the table."""
    options = arguments(__doc__).parse_args()
    folder = options.out / options.set
    setting = open_setting(options, folder)
    recipes = {name: (lambda seed, change=change: recipe_of(setting, change, seed)) for name, change in CHOICES.items()}
    table(recipes, options, folder, beside="held out")


def recipe_of(setting: Setting, change: Change, seed: int) -> dict[str, Any]:
    """Return the default preset with one change."""
    recipe = make_recipe(setting, Variant([{"hflip": {}}, {"scale_crop": {"scale": [0.75, 1.5]}}]), seed)
    member = recipe["members"]["unet"]
    del member["train"]["ema"]
    if setting.name == "camvid":
        recipe["data"]["test"] = {"format": "folder", "images": "test/images", "masks": "test/masks"}
    else:
        recipe["folds"]["holdout"] = 0.25
    change(member, setting)
    return recipe


def pixelwise(setting: Setting) -> str:
    """Return the task's cross entropy."""
    return "bce" if len(setting.classes) == 1 else "cross_entropy"


def loss(extra: dict[str, Any], *, plain: bool = True) -> Change:
    """Return a change of the loss; `plain` keeps the cross entropy beside it."""

    def change(member: dict[str, Any], setting: Setting) -> None:
        member["loss"] = {**({pixelwise(setting): 1.0} if plain else {}), **extra}

    return change


def weighted(kind: str) -> Change:
    """Return a change to class weights that follow from the data."""

    def change(member: dict[str, Any], setting: Setting) -> None:
        member["loss"] = {pixelwise(setting): {"weight": 1.0, "class_weights": kind}, "dice": 1.0}

    return change


def block(key: str, **values: Any) -> Change:
    """Return a change of a block's keys."""

    def change(member: dict[str, Any], _setting: Setting) -> None:
        member.setdefault(key, {}).update(values)

    return change


def several(*changes: Change) -> Change:
    """Return changes one after another."""

    def change(member: dict[str, Any], setting: Setting) -> None:
        for each in changes:
            each(member, setting)

    return change


def nothing(_member: dict[str, Any], _setting: Setting) -> None:
    """Change nothing."""


CHOICES: dict[str, Change] = {
    "default": nothing,
    "loss: cross entropy": loss({}),
    "loss: dice": loss({"dice": 1.0}, plain=False),
    "loss: + lovasz": loss({"lovasz": 1.0}),
    "loss: focal + dice": loss({"focal": 1.0, "dice": 1.0}, plain=False),
    "loss: ohem + dice": loss({"ohem": 1.0, "dice": 1.0}, plain=False),
    "loss: effective": weighted("effective"),
    "schedule: cosine": block("schedule", name="cosine"),
    "schedule: one_cycle": block("schedule", name="one_cycle", warmup=0.3),
    "schedule: constant": block("schedule", name="constant"),
    "swa": block("train", swa={"start": 0.7, "lr": 0.3}),
    "soup: greedy": several(
        block("train", validate_every=1, keep_best={"count": 5}, ema=0.98), block("predict", weights="soup")
    ),
    "ema: 0.98": block("train", ema=0.98),
    "ema: 0.995": block("train", ema=0.995),
}


if __name__ == "__main__":
    main()
