"""Every rule on files equals what is counted pixel by pixel, for all dialects and all kinds of texts."""

import math
import random
from fractions import Fraction
from pathlib import Path

import naive_votes as naive
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from maskwright.core.progress import Silent
from maskwright.ensembling import votes
from maskwright.ensembling.votes_rules import VotePlan
from maskwright.workflows.vote import run_vote

ROWS = 40
Key = tuple[str, ...]
CHANCE = st.integers(0, 2**32 - 1).map(random.Random)
MANY = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_masks(chance: random.Random, members: int) -> list[dict[Key, naive.Mask]]:
    """Masks of members that agree more or less; some are empty, some full."""
    numbers = np.random.default_rng(chance.randrange(2**32))
    found: list[dict[Key, naive.Mask]] = [{} for _ in range(members)]
    for row in range(ROWS):
        shape = int(numbers.integers(1, 9)), int(numbers.integers(1, 30))
        truth = numbers.random(shape) < numbers.choice([0.02, 0.5, 0.95])
        for member in found:
            flips = numbers.random(shape) < numbers.choice([0, 0.05, 0.3])
            kind = numbers.random()
            mask = np.zeros(shape) if kind < 0.15 else np.ones(shape) if kind < 0.2 else truth ^ flips
            member[(f"item {row:03}",)] = mask.astype(np.uint8)
    return found


def with_classes(masks: list[dict[Key, naive.Mask]], format: str) -> list[dict[Key, naive.Mask]]:
    if format != "hand-bone":
        return masks
    return [{(f"ID{n // 3}.png", f"finger-{n % 3}"): mask for n, mask in enumerate(one.values())} for one in masks]


def put(folder: Path, masks: list[dict[Key, naive.Mask]], format: str, chance: random.Random) -> dict[str, str]:
    members = {}
    for number, one in enumerate(masks):
        name = f"m{number}"
        texts = {key: naive.odd_text_of(mask, format, chance) for key, mask in one.items()}
        naive.write(folder / f"{name}.csv", naive.HEADERS[format], texts, chance)
        members[name] = f"{name}.csv"
    return members


def asked(folder: Path, plain: dict[str, object]) -> list[str]:
    """Vote and return the lines that were written."""
    run_vote(VotePlan.model_validate({"output": "voted.csv", **plain}), folder, Silent())
    text = (folder / "voted.csv").read_bytes().decode()
    assert "\r" not in text
    assert text.endswith("\n")
    return text.splitlines()


def expected(folder: Path, answers: dict[Key, naive.Mask], format: str) -> list[str]:
    """What a plain program would write: the ids in the order of the first member."""
    first = (folder / "m0.csv").read_bytes().decode("utf-8-sig").replace("\r", "")
    quoted = first.startswith('"')
    lines = [",".join(naive.HEADERS[format])]
    for row in first.strip("\n").split("\n")[1:]:
        cells = row.replace('"', "").split(",")
        key = tuple(cells[: len(naive.HEADERS[format]) - 1])
        head = ",".join(f'"{cell}"' if quoted else cell for cell in key)
        lines.append(f"{head},{naive.text_of(answers[key], format)}")
    return lines


@MANY
@given(CHANCE, st.sampled_from(list(naive.HEADERS)), st.integers(1, 9))
def test_hard_votes(tmp_path: Path, chance: random.Random, format: str, members: int) -> None:
    masks = with_classes(random_masks(chance, members), format)
    files = put(tmp_path, masks, format, chance)
    least = chance.randint(1, members)
    answers = {key: naive.counted([one[key] for one in masks], least) for key in masks[0]}
    lines = expected(tmp_path, answers, format)
    assert asked(tmp_path, {"format": format, "members": files, "at_least": least}) == lines
    assert asked(tmp_path, {"format": format, "members": files, "threshold": least / members}) == lines
    share = chance.choice([0.45, 0.5, 0.34, 0.2, 1.0])
    enough = naive.weighted
    answers = {key: enough([one[key] for one in masks], [Fraction(1)] * members, share) for key in masks[0]}
    assert asked(tmp_path, {"format": format, "members": files, "threshold": share}) == expected(
        tmp_path, answers, format
    )


@MANY
@given(CHANCE, st.sampled_from(list(naive.HEADERS)), st.integers(1, 12))
def test_weighted_votes(tmp_path: Path, chance: random.Random, format: str, members: int) -> None:
    masks = with_classes(random_masks(chance, members), format)
    files = put(tmp_path, masks, format, chance)
    given_weights = {name: round(chance.random() + 0.01, 4) for name in reversed(files)}
    threshold = chance.choice([0.35, 0.5, 0.7261])
    fractions = [Fraction(str(given_weights[name])) for name in files]
    answers = {key: naive.weighted([one[key] for one in masks], fractions, threshold) for key in masks[0]}
    plain = {"format": format, "members": files, "threshold": threshold}
    assert asked(tmp_path, {**plain, "weights": given_weights}) == expected(tmp_path, answers, format)

    scores = {name: chance.choice([80.14, 80.43, 81.2, 82.16, 81.83]) for name in files}
    (tmp_path / "scores.txt").write_text(
        "member,score\n" + "".join(f"{name}.csv,{scores[name]}\n" for name in reversed(files))
    )
    logs = [Fraction(math.log(scores[name] - min(scores.values()) + 1) + 1) for name in files]
    answers = {key: naive.weighted([one[key] for one in masks], logs, threshold) for key in masks[0]}
    assert asked(tmp_path, {**plain, "weights": "scores.txt"}) == expected(tmp_path, answers, format)
    assert asked(tmp_path, {**plain, "scores": scores}) == expected(tmp_path, answers, format)


@MANY
@given(CHANCE, st.sampled_from(["dacon", "kaggle"]))
def test_groups_of_groups(tmp_path: Path, chance: random.Random, format: str) -> None:
    """The nest of SEEDS 000.7: two groups and a lone member, two of the three."""
    masks = random_masks(chance, 8)
    files = put(tmp_path, masks, format, chance)
    names = list(files)
    plan = {
        "format": format,
        "at_least": 2,
        "members": {
            "internimage": {"at_least": 2, "members": {name: files[name] for name in names[:4]}},
            "swin": files[names[7]],
            "mask2former": {
                "threshold": 0.5,
                "weights": {"x": 2, names[6]: 1},
                "members": {
                    "x": {"at_least": "all", "members": {name: files[name] for name in names[4:6]}},
                    names[6]: files[names[6]],
                },
            },
        },
    }
    answers = {}
    for key in masks[0]:
        one = [member[key] for member in masks]
        inner = naive.counted(one[4:6], 2)
        mask2former = naive.weighted([inner, one[6]], [Fraction(2), Fraction(1)], 0.5)
        answers[key] = naive.counted([naive.counted(one[:4], 2), one[7], mask2former], 2)
    assert asked(tmp_path, plan) == expected(tmp_path, answers, format)


@MANY
@given(CHANCE, st.integers(1, 5))
def test_best_member_of_each_class(tmp_path: Path, chance: random.Random, members: int) -> None:
    masks = with_classes(random_masks(chance, members), "hand-bone")
    files = put(tmp_path, masks, "hand-bone", chance)
    scores = {(name, kind): chance.choice([0.9, 0.95, 0.97]) for name in files for kind in range(3)}
    rows = [f"{name},finger-{kind},{score}" for (name, kind), score in scores.items()]
    chance.shuffle(rows)
    (tmp_path / "best.txt").write_text("member,class,score\n" + "\n".join(rows))
    best = {kind: max(range(members), key=lambda n: (scores[f"m{n}", kind], -n)) for kind in range(3)}
    answers = {key: masks[best[int(key[1][-1])]][key] for key in masks[0]}
    plan = {"format": "hand-bone", "members": files, "rule": "best", "scores": "best.txt"}
    assert asked(tmp_path, plan) == expected(tmp_path, answers, "hand-bone")


@MANY
@given(CHANCE, st.integers(1, 6), st.sampled_from([2, 11, 256]))
def test_votes_on_classes(tmp_path: Path, chance: random.Random, members: int, classes: int) -> None:
    numbers = np.random.default_rng(chance.randrange(2**32))
    maps = [numbers.integers(0, classes, (6, 1, 211)).astype(np.uint8) for _ in range(members)]
    for one in maps[1:]:
        agreed = numbers.random(one.shape) < 0.6
        one[agreed] = maps[0][agreed]
    keys: list[Key] = [(f"batch_01/{n:04}.jpg",) for n in range(6)]
    for number, one in enumerate(maps):
        rows = {key: " ".join(map(str, one[n].reshape(-1))) + chance.choice(["", " "]) for n, key in enumerate(keys)}
        naive.write(tmp_path / f"m{number}.csv", ("image_id", "PredictionString"), rows, chance)
    weights = {f"m{n}": chance.choice([0.7234, 0.7143, 0.6961, 1.0]) for n in range(members)}
    plan = {"format": "class-string", "members": {f"m{n}": f"m{n}.csv" for n in range(members)}, "weights": weights}
    lines = asked(tmp_path, plan)
    assert lines[0] == "image_id,PredictionString"
    fractions = [Fraction(str(value)) for value in weights.values()]
    found = dict(line.replace('"', "").split(",") for line in lines[1:])
    assert len(found) == len(keys)
    for n, (key,) in enumerate(keys):
        answer = naive.heaviest([one[n] for one in maps], fractions)
        assert found[key] == " ".join(map(str, answer.reshape(-1)))


def test_a_sample_gives_ids_and_order(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("img_id,mask_rle\nT2,1 3\nT1,-1\n")
    (tmp_path / "b.csv").write_text("img_id,mask_rle\nT1,5 1\nT2,2 4\n")
    (tmp_path / "sample.csv").write_text("img_id,mask_rle\r\nT1,\r\nT2,\r\n")
    plan = {"format": "dacon", "members": {"a": "a.csv", "b": "b.csv"}, "at_least": 2, "sample": "sample.csv"}
    assert asked(tmp_path, plan) == ["img_id,mask_rle", "T1,-1", "T2,2 2"]


def test_the_weights_of_seed_000(tmp_path: Path) -> None:
    """Scores of SEEDS 000.7 and the threshold 0.35, against the formula as it is written there."""
    listed = [80.14] * 5 + [80.43, 80.64, 80.64, 80.69, 80.74, 80.78, 81.20, 81.21, 81.28, 81.29, 81.32, 81.59, 81.83]
    listed += [82.04, 82.16, 82.16]
    chance = random.Random(5)
    masks = random_masks(chance, len(listed))
    files = put(tmp_path, masks, "dacon", chance)
    raw = np.array([np.log(score - min(listed) + 1) + 1 for score in listed])
    share = raw / raw.sum()
    answers = {
        key: (np.sum([w * one[key] for w, one in zip(share, masks, strict=True)], axis=0) >= 0.35).astype(np.uint8)
        for key in masks[0]
    }
    scores = dict(zip(files, listed, strict=True))
    plan = {"format": "dacon", "members": files, "scores": scores, "threshold": 0.35}
    assert asked(tmp_path, plan) == expected(tmp_path, answers, "dacon")


def test_many_blocks_and_long_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few rows, pages given back all the time, rows longer than a block and than the room for text."""
    monkeypatch.setattr(votes, "BLOCK", 300)
    monkeypatch.setattr(votes, "BLOCKS_KEPT", 1)
    numbers, chance = np.random.default_rng(3), random.Random(3)
    masks = [
        {(f"T{n}",): (numbers.random((20, 40 if n % 7 else 2000)) < 0.5).astype(np.uint8) for n in range(60)}
        for _ in range(3)
    ]
    files = put(tmp_path, masks, "dacon", chance)
    answers = {key: naive.counted([one[key] for one in masks], 1) for key in masks[0]}
    plan = {"format": "dacon", "members": files, "at_least": 1}
    assert asked(tmp_path, plan) == expected(tmp_path, answers, "dacon")
