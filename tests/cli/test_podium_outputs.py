"""The three recipes of votes from official files in small to the competition's file, read by what SEEDS says of it."""

import json

import numpy as np


def table(path):
    """Return header and rows of a CSV file without quotation marks, whose lines all end in a line feed."""
    data = path.read_bytes()
    assert data.endswith(b"\n")
    assert not data.startswith(b"\xef\xbb\xbf")
    assert not {b"\r", b'"'} & {data[at : at + 1] for at in range(len(data))}
    header, *rows = data.decode("ascii").split("\n")[:-1]
    return header, [row.split(",") for row in rows]


def mask_of(text, shape, empty):
    """Decode run lengths, row by row from pixel 1; refuse what no writer of masks would write."""
    mask = np.zeros(shape[0] * shape[1], np.uint8)
    if text == empty:
        return mask.reshape(shape)
    numbers = [int(word) for word in text.split(" ")]
    end = 0
    for start, length in zip(numbers[::2], numbers[1::2], strict=True):
        assert start > end, (start, end)
        assert 0 < length <= mask.size - start + 1, (start, length)
        mask[start - 1 : start - 1 + length] = 1
        end = start + length  # runs that touch would be one
    return mask.reshape(shape)


def runs_of(mask, empty):
    """Encode a mask as 000.1 and 003.2 do: flattened in C order, starts from 1."""
    flat = np.concatenate([[0], mask.reshape(-1), [0]]).astype(int)
    starts, ends = np.flatnonzero(np.diff(flat) == 1) + 1, np.flatnonzero(np.diff(flat) == -1) + 1
    return " ".join(f"{start} {end - start}" for start, end in zip(starts, ends, strict=True)) or empty


def ids(rows, columns=1):
    return [tuple(row[:columns]) for row in rows]


def run(cli, name, change=None):
    assert cli("synth", name, "--output", "mini", "--items", "4")[0] == 0
    if change is not None:
        change()
    code, _, err = cli("run", name, "data.root=mini", "--quick")
    assert code == 0, err


def test_dacon_buildings_votes_in_groups_and_writes_a_row_of_run_lengths_for_each_test_image(cli, tmp_path):
    run(cli, "dacon_buildings")
    output, shape = tmp_path / "runs" / "dacon_buildings-quick" / "output", (224, 224)
    sample = (tmp_path / "mini" / "sample_submission.csv").read_text().split()
    masks = {}
    for file in sorted(output.rglob("*.csv")):
        header, rows = table(file)
        assert (header, [row[0] for row in rows]) == (sample[0], [row.split(",")[0] for row in sample[1:]])
        masks[file.relative_to(output).with_suffix("").as_posix()] = [mask_of(row[1], shape, "-1") for row in rows]
        again = "\n".join([header, *(f"{row[0]},{runs_of(mask_of(row[1], shape, '-1'), '-1')}" for row in rows)])
        assert file.read_bytes() == f"{again}\n".encode()
    for row in range(len(sample) - 1):
        said = {name: found[row] for name, found in masks.items()}
        groups = [
            sum(said[f"submission_members/{name}.fold{fold}"] for fold in (0, 1)) >= 2
            for name in ("internimage", "mask2former")
        ]
        voted = np.sum([*groups, said["submission_members/swin_again"]], axis=0) >= 2
        np.testing.assert_array_equal(said["submission"], voted)
    assert any(mask.any() for found in masks.values() for mask in found)


def test_trash_writes_a_class_for_each_of_256_x_256_pixels(cli, tmp_path):
    listed = tmp_path / "mini" / "test.json"

    def turn_round():
        told = json.loads(listed.read_text())
        listed.write_text(json.dumps({**told, "images": told["images"][::-1]}))

    run(cli, "trash", turn_round)
    output = tmp_path / "runs" / "trash-quick" / "output"
    wanted = [image["file_name"] for image in json.loads(listed.read_text())["images"]]
    assert wanted == sorted(wanted, reverse=True)  # rows follow the file, and not names (SEEDS 001.2)
    labels = {}
    for file in sorted(output.rglob("*.csv")):
        header, rows = table(file)
        assert (header, [row[0] for row in rows]) == ("image_id,PredictionString", wanted)
        found = {name: np.array(text.split(" "), int) for name, text in rows}
        assert all(label.size == 65536 and label.min() >= 0 and label.max() <= 10 for label in found.values())
        again = [header, *(f"{name},{' '.join(str(value) for value in found[name])}" for name, _ in rows)]
        assert file.read_bytes() == ("\n".join(again) + "\n").encode()
        labels[file.stem] = found
    weights = {"upernet_swin": 0.6961, "pan_swin": 0.6989, "segformer": 0.6798}
    for name in wanted:
        scores = np.zeros((11, 65536))
        for member, weight in weights.items():
            scores[labels[member][name], np.arange(65536)] += weight
        np.testing.assert_array_equal(labels["submission"][name], scores.argmax(0))


def test_hand_bone_writes_29_rows_of_run_lengths_for_each_film(cli, tmp_path):
    from maskwright.data.synthetic.twins.hand_bone import CLASSES

    run(cli, "hand_bone")
    output, shape = tmp_path / "runs" / "hand_bone-quick" / "output", (2048, 2048)
    sample = (tmp_path / "mini" / "data" / "sample_submission.csv").read_text().split("\n")
    tables = {}
    for file in sorted(output.glob("*.csv")):
        if file.stem != "best_of_scores":
            header, rows = table(file)
            assert header == sample[0] == "image_name,class,rle"
            assert ids(rows, 2) == [tuple(row.split(",")[:2]) for row in sample[1:-1]]
            for place in range(0, len(rows), 29):
                assert [row[1] for row in rows[place : place + 29]] == list(CLASSES)
                assert len({row[0] for row in rows[place : place + 29]}) == 1
            for row in rows[::7]:
                assert runs_of(mask_of(row[2], shape, ""), "") == row[2]
            tables[file.stem] = {tuple(row[:2]): row[2] for row in rows}
    assert set(tables) == {"submission", "hard", "best_of"}
    members = {
        name: {tuple(row[:2]): row[2] for row in table(output / "hard_members" / f"{name}.csv")[1]}
        for name in ("unet_b7", "upernet_convnext")
    }
    for key in list(tables["hard"])[::11]:
        one, two = (mask_of(said[key], shape, "") for said in members.values())
        np.testing.assert_array_equal(mask_of(tables["hard"][key], shape, ""), (one + two) / 2 >= 0.45)
    scores = {}
    for member, kind, score in table(output / "best_of_scores.csv")[1]:
        scores.setdefault(kind, []).append((-float(score), list(members).index(member), member))
    for (name, kind), runs in tables["best_of"].items():
        assert runs == members[min(scores[kind])[2]][name, kind]
