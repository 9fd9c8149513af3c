"""Each family of the podium solutions on a real set: does it learn, does it beat a trivial answer, does voting help?

    python -m bench.families PATH [--only FAMILY ...] [--steps 150] [--out runs/families]

PATH is the folder of all sets. Sets are cut down (`bench.family_sets`), networks are tiny and begin at random weights,
as two CPU cores have time for. Three members of a family differ in seed and augmentation; two folds each. One JSON line
a family goes into OUT/families.jsonl; finished families are not repeated, and interrupted runs go on.

Scores are IoU, pixels pooled, mean over classes. Trivial answers, out of fold: `constant`, the best of nothing, each
class or everything everywhere; `place`, what most training items of the other fold have at that place of the image.
Held out: items in no fold; `blend` is the decided answer, beside that member of the three (each the mean of two
networks) which was best out of fold, and the one which turned out best, on the same terms: at fixed thresholds where
the blend was left at them, at its own tuned ones where the blend's were kept. Last in that bracket the best member with
thresholds tuned wherever that gained anything at all out of fold, which is not enough for the blend's, and the 95 %
interval of the blend against the best of three under the blend's rule, over items drawn anew. `vote` is that
of the six networks' own submission files (at least 3; class vote with weights from out-of-fold scores; share .45),
beside mean and best of the six; last, the 95 % interval of the vote against the best of them, over items drawn anew.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bench.family_scores import blended, compare, trivial, votes
from bench.family_sets import SETS, prepare
from maskwright.core.progress import Silent
from maskwright.core.recipe.load import build
from maskwright.workflows.run import run_until
from maskwright.workflows.session import open_session

SWIN = {"embed": 24, "depths": [1, 1, 2, 1], "heads": [1, 2, 4, 8], "drop_path": 0.0}
MIT = {"dims": [16, 32, 40, 64], "depths": [1, 1, 1, 1]}
INTERN = {"channels": 16, "depths": [1, 1, 2, 1], "groups": [2, 4, 8, 16], "drop_path": 0.0}
QUERIES = {
    "channels": 64,
    "heads": 4,
    "queries": 16,
    "pixel_layers": 2,
    "pixel_hidden": 128,
    "layers": 3,
    "hidden": 128,
}
AUGMENT = {
    "a": ["hflip"],
    "b": ["hflip", {"scale_crop": {"scale": [0.75, 1.5]}}],
    "c": ["hflip", {"brightness_contrast": {"p": 0.7}}],
}
"""Member -> what it sees; seeds follow from names."""


@dataclass(frozen=True)
class Family:
    """A network, the set it learns, and how."""

    on: str
    model: dict[str, Any]
    loss: dict[str, Any] = field(default_factory=dict)
    lr: float = 2e-3
    crop: int = 96
    batch: int = 4
    longer: float = 1.0
    """How many times as many steps as the others."""
    train: dict[str, Any] = field(default_factory=dict)
    """What else differs in its training."""


FAMILIES = {
    # it sees windows padded to 256 pixels
    "pan": Family("camvid", {"architecture": "pan", "encoder": "swin_tiny", "options": {"encoder": SWIN}}, longer=0.3),
    "upernet": Family(
        "camvid",
        {
            "architecture": "upernet_mmseg",
            "encoder": "swin_tiny",
            "options": {"encoder": SWIN, "channels": 32},
            "aux": {"fcn": {"channels": 32}},
        },
    ),
    "segformer": Family(
        "camvid",
        {"architecture": "segformer_mmseg", "encoder": "mit_b0", "options": {"encoder": MIT, "channels": 64}},
    ),
    "mask2former": Family(
        "nuclei",
        {"architecture": "mask2former", "encoder": "swin_tiny", "options": {"encoder": SWIN, **QUERIES}},
        {"mask_set": {"points": 1024}},
        lr=1e-3,
    ),
    "mask2former maps": Family(
        "chest",
        {
            "architecture": "mask2former",
            "encoder": "swin_tiny",
            "options": {"encoder": SWIN, **QUERIES, "answer": "maps"},
        },
        {"bce": 0.5, "dice": 0.5},
        lr=1e-3,
    ),
    "internimage": Family(
        "nuclei",
        {
            "architecture": "upernet_mmseg",
            "encoder": "internimage_t",
            "options": {"encoder": INTERN, "channels": 32},
            "aux": {"fcn": {"channels": 32}},
        },
    ),
    "efficient_fpn": Family(
        "kampala",
        {
            "architecture": "efficient_fpn",
            "encoder": "mish_efficientnet_b0",
            "options": {"aspp": False, "encoder": {"drop_connect": 0.0}},
            "aux": {"twin": 0.1, "presence": 1.0},
        },
        {"focal": {"weight": 1.0, "alpha": 0.75, "gamma": 2.0}},
        crop=128,
        # its norms follow by one hundredth a step, as the original's: few steps need them made anew
        train={"ema": None, "swa": {"start": 0.5}},
    ),
    "regnet_unet": Family(
        "water",
        {"architecture": "unet_stride1", "encoder": "tu-regnetx_002", "spectral": 32},
        {"lovasz_hinge": {"elu": True}},
        lr=1e-3,
        crop=64,
    ),
}


TEAMS = {"camvid": ("pan", "upernet", "segformer"), "nuclei": ("mask2former", "internimage")}
"""Sets on which several families vote together, as the teams of SEEDS 001 and 000 did: weights from scores."""
BINARY_RULE = ["--threshold", "0.5", "--format", "kaggle"]


def main() -> None:
    """Run every family that is not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", type=Path)
    parser.add_argument("--only", nargs="*", choices=list(FAMILIES))
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--out", type=Path, default=Path("runs/families"))
    parser.add_argument("--on", choices=list(SETS), help="another set than the family's own")
    parser.add_argument("--again", action="store_true", help="score the votes of finished families again")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "families.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    if options.again:
        lines = [again(line, options) for line in lines]
        file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name in [] if options.again else options.only or FAMILIES:
        if name in [line["family"] for line in lines]:
            continue
        lines.append(measure(name, options))
        with file.open("a") as handle:
            handle.write(json.dumps(lines[-1]) + "\n")
        print(told(lines[-1]), flush=True)
    teams = [team(on, members, lines, options.out) for on, members in TEAMS.items()]
    print("\n".join(["", *(told(line) for line in lines), "", *filter(None, teams)]))


def measure(name: str, options: argparse.Namespace) -> dict[str, Any]:
    """Train a family's members, decide, vote, and score everything."""
    family, run = FAMILIES[name], options.out / name.replace(" ", "_")
    family = replace(family, on=options.on or family.on)
    begun, busy = time.monotonic(), time.process_time()
    common = prepare(family.on, options.path.absolute(), (options.out / "data" / family.on).absolute())
    plain = make_recipe(name, common, round(options.steps * family.longer))
    maskwright(plain, run, "decide")
    decision = json.loads((run / "decision.json").read_text())
    evidence = decision["evidence"]
    alone = {each["name"]: each["fixed"] for each in evidence["members"]}
    plain["output"] = [vote_block(common["task"]["kind"], alone)]
    maskwright(plain, run)
    recipe = build(plain)
    held = json.loads((run / "held_out.json").read_text())[0]
    return {
        "family": name,
        "set": family.on,
        "items": evidence["items"],
        "held": held["items"],
        "steps": plain["members"]["a"]["train"]["steps_per_epoch"] * EPOCHS,
        "crop": family.crop,
        "batch": family.batch,
        "parameters": parameters(run),
        "loss": losses(run),
        "out of fold": evidence["honest"],
        "members": alone,
        **trivial(recipe, run),
        "blend": held["decided"],
        **members_of(decision, held["members"]),
        **votes(recipe, run),
        "blend gap": blended(run.with_suffix(".yaml"), run),
        "cpu seconds": round(time.process_time() - busy),
        "seconds": round(time.monotonic() - begun),
    }


def members_of(decision: Mapping[str, Any], held: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return each member's held-out score on the blend's terms, and tuned where that gained out of fold."""
    terms = "tuned" if decision["kept_thresholds"] else "fixed"
    own = {
        each["name"]: "tuned" if each["tuned_honest"] > each["fixed"] else "fixed"
        for each in decision["evidence"]["members"]
    }
    return {
        "blend members": {each["name"]: each[terms] for each in held},
        "tuned members": {each["name"]: each[own[each["name"]]] for each in held},
    }


def again(line: dict[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    """Return the line with the votes and members of its run folder scored anew."""
    run = options.out / line["family"].replace(" ", "_")
    decision = json.loads((run / "decision.json").read_text())
    members = members_of(decision, json.loads((run / "held_out.json").read_text())[0]["members"])
    recipe = build(json.loads(run.with_suffix(".yaml").read_text()))
    return {**line, **members, **votes(recipe, run), "blend gap": blended(run.with_suffix(".yaml"), run)}


EPOCHS, FOLDS = 4, 2


def make_recipe(name: str, common: Mapping[str, Any], steps: int) -> dict[str, Any]:
    """Return the recipe of a family: three members, two folds."""
    family = FAMILIES[name]
    train = {
        "epochs": EPOCHS,
        "steps_per_epoch": max(1, steps // EPOCHS),
        "batch_size": family.batch,
        "crop": family.crop,
        "precision": "fp32",
        "ema": 0.95,
        "validate_every": EPOCHS,
        "workers": 0,
        **family.train,
    }
    member = {
        "model": family.model,
        "loss": family.loss,
        "optimizer": {"lr": family.lr},
        "train": train,
        "predict": {"window": "whole", "keep_folds": True},
    }
    return {
        "version": 1,
        "name": f"family-{name.replace(' ', '-')}",
        **common,
        "members": {each: {**member, "augment": augment} for each, augment in AUGMENT.items()},
        "output": [{"format": "masks"}],
    }


def vote_block(kind: str, alone: Mapping[str, float]) -> dict[str, Any]:
    """Return the vote that the seed with such a task took, each fold's network with a voice."""
    table: dict[str, Any] = {"format": "rle_csv", "file": "vote.csv"}
    voices = by_fold(alone)
    group: dict[str, Any] = {"members": list(voices)}
    if kind == "binary":
        group["at_least"] = len(voices) // 2
    elif kind == "multilabel":
        table["class_column"], group["threshold"] = "class", 0.45
    else:
        table["format"], group["weights"] = "class_string_csv", voices
    return {"format": "vote", "of": table, "group": group}


def by_fold(alone: Mapping[str, float]) -> dict[str, float]:
    """Return the score of a member for each network of it."""
    return {f"{name}.fold{fold}": found for name, found in alone.items() for fold in range(FOLDS)}


def maskwright(recipe: Mapping[str, Any], run: Path, until: str = "report") -> None:
    """Run the recipe as a user would, but in this process, which has imported everything once."""
    run.mkdir(parents=True, exist_ok=True)
    path = run.with_suffix(".yaml")
    path.write_text(json.dumps(recipe))
    run_until(open_session(str(path), [], Silent(), out=run), until)


def parameters(run: Path) -> int:
    """Return how many numbers a member has learned."""
    from maskwright.models.weights import load_model

    model, _ = load_model(run / "members" / "a" / "fold0" / "last.safetensors")
    return sum(each.numel() for each in model.parameters())


def losses(run: Path) -> dict[str, Any]:
    """Return mean losses of the first and last tenth of all trainings, and in how many they fell."""
    ends = []
    for log in sorted(run.glob("members/*/fold*/log.jsonl")):
        steps = [json.loads(line)["loss"] for line in log.read_text().splitlines()]
        tenth = max(1, len(steps) // 10)
        ends.append((statistics.mean(steps[:tenth]), statistics.mean(steps[-tenth:])))
    first, last = (statistics.mean(each[side] for each in ends) for side in (0, 1))
    return {"first": first, "last": last, "fell": sum(b < a for a, b in ends), "of": len(ends)}


def team(on: str, families: Sequence[str], lines: Sequence[Mapping[str, Any]], out: Path) -> str:
    """Let members of several families vote by their submission files; return a row, or nothing if one is not there."""
    there = {line["family"]: line for line in lines}
    if not set(families) <= there.keys():
        return ""
    folder = out / "teams" / on
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    alone: dict[str, float] = {}
    for family in families:
        for member, found in by_fold(there[family]["members"]).items():
            alone[f"{family}_{member}"] = found
            shutil.copyfile(out / family / "output/vote_members" / f"{member}.csv", folder / f"{family}_{member}.csv")
    files = {name: folder / f"{name}.csv" for name in alone}
    recipe = build(json.loads((out / f"{families[0]}.yaml").read_text()))
    rule = ["--rule", "class", "--format", "class-string"] if recipe.task.kind == "multiclass" else BINARY_RULE
    weights = ",".join(f"{name}={found:.4f}" for name, found in alone.items())
    command = [sys.executable, "-m", "maskwright", "vote", *rule, "--weights", weights, "--output", folder / "vote.csv"]
    subprocess.run([*map(str, command), *map(str, files.values())], check=True, stdout=subprocess.DEVNULL)
    found = compare(folder / "vote.csv", files, recipe)
    low, high = found["gap"]
    return (
        f"| {', '.join(families)} | {on} | {found['vote']:.3f} ({beside(found['vote members'])}) | "
        f"{low:+.3f} to {high:+.3f} |"
    )


def told(line: Mapping[str, Any]) -> str:
    """Return a family's row of the table."""
    loss, alone, low, high = line["loss"], line["members"], *line["gap"]
    picked = max(alone, key=alone.__getitem__)
    cells = [
        line["family"],
        f"{line['set']}, {line['items']} + {line['held']}",
        f"{line['parameters'] / 1e6:.2f} M, {line['steps']} x {line['batch']} at {line['crop']} px",
        f"{loss['first']:.2f} to {loss['last']:.2f} ({loss['fell']} of {loss['of']})",
        f"{line['out of fold']:.3f} ({alone[picked]:.3f})",
        f"{line['constant']:.3f}, {line['place']:.3f}",
        f"{line['blend']:.3f} ({line['blend members'][picked]:.3f}, {max(line['blend members'].values()):.3f}; "
        f"{max(line['tuned members'].values()):.3f}; {line['blend gap'][0]:+.3f} to {line['blend gap'][1]:+.3f})",
        f"{line['vote']:.3f} ({beside(line['vote members'])})",
        f"{low:+.3f} to {high:+.3f}",
    ]
    return f"| {' | '.join(cells)} |"


def beside(held: Mapping[str, float]) -> str:
    """Return the mean and the best of what answers alone on held-out items."""
    return f"{statistics.mean(held.values()):.3f}, {max(held.values()):.3f}"


if __name__ == "__main__":
    main()
