"""The inspect stage writes audit.json and the fingerprints together, says doubts aloud, and notices edits."""

import json
import os

import numpy as np
import pytest
import torch
from PIL import Image

from maskwright.core.errors import DataError, InputError
from maskwright.core.progress import Silent
from maskwright.models.tensors import write_tensors
from maskwright.workflows import inputs, stages
from maskwright.workflows.session import open_session

RECIPE = """
name: tiny
task: {kind: binary, classes: [blob]}
data: {root: set, train: {format: folder, images: images, masks: masks}, test: {format: folder, images: test}}
"""


class Told(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said, self.warned = [], []

    def say(self, text):
        self.said.append(text)

    def warn(self, text):
        self.warned.append(text)


@pytest.fixture
def data(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for index in range(6):
        chance = np.random.default_rng(index)
        image = chance.integers(20, 120, (32, 40, 3)).astype(np.uint8)
        mask = np.zeros((32, 40), np.uint8)
        mask[4 + index : 14 + index, 6:20] = 1
        image[mask == 1] += 90
        for folder, pixels in (("images", image), ("masks", mask), ("test", 255 - image)):
            (tmp_path / "set" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / f"set/{folder}/s{index}.bmp")
    (tmp_path / "r.yaml").write_text(RECIPE)
    return tmp_path / "set"


def inspect(*overrides):
    told = Told()
    session = open_session("r.yaml", overrides, told)
    with session.working():
        stages.inspect(session)
    return session, told


def test_audit_and_fingerprints_are_written_and_kept(data):
    session, _ = inspect()
    plain = json.loads(session.run.audit.read_text())
    assert (plain["version"], sorted(plain["sets"])) == (1, ["test", "train"])
    train = plain["sets"]["train"]
    assert (train["items"], train["labelled"], train["objects_counted"]) == (6, 6, 6)
    assert train["classes"][1] == {"name": "blob", "pixels": 840, "images": 6, "objects": 6, "areas": [0] * 7 + [6]}
    assert np.array(train["mean_image"]).shape == (32, 32, 3)
    assert train["objects_per_image"] == [0, 6]
    assert session.fingerprint().class_pixels == (6 * 32 * 40 - 840, 840)
    assert str(data.parent) not in session.run.audit.read_text()
    again = inspect()[1]
    assert again.said == ["inspect train: nothing to do", "inspect test: nothing to do"]
    session.run.audit.unlink()
    assert "inspect train: 6 items, no faults" in inspect()[1].said


def test_an_edit_that_keeps_the_size_is_inspected_again_and_a_touch_is_not(data):
    session, _ = inspect()
    first = session.fingerprint()
    os.utime(data / "images/s3.bmp", ns=(10**18, 10**18))
    assert inspect()[1].said == ["inspect train: nothing to do", "inspect test: nothing to do"]
    content = bytearray((data / "images/s3.bmp").read_bytes())
    content[-7] ^= 64
    (data / "images/s3.bmp").write_bytes(bytes(content))
    session, told = inspect()
    assert told.said[0].startswith("inspect train: again, since files was ")
    assert session.fingerprint().items[3].digest != first.items[3].digest


def test_suspicions_are_warnings_and_faults_write_nothing(data):
    Image.fromarray(np.array(Image.open(data / "masks/s4.bmp"))).save(data / "masks/s3.bmp")
    _, told = inspect()
    assert told.warned == [
        "suspicion: data.train: different images have one and the same label: 's3', 's4'; "
        "check which label is whose; if they show one place, keep them in one fold"
    ]
    assert "inspect train: 6 items, no faults, 1 suspicion" in told.said
    (data / "masks/s1.bmp").unlink()
    (data / "images/s2.bmp").write_bytes(b"")
    with pytest.raises(DataError) as caught:
        inspect("name=other")
    assert [fault.partition(":")[0] for fault in caught.value.faults] == ["set/images/s1.bmp", "set/images/s2.bmp"]
    assert not (data.parent / "runs/other").exists()


def test_other_weights_under_the_same_name_are_noticed(data):
    weights = data.parent / "w.safetensors"
    write_tensors(weights, {"a": torch.zeros(1)}, {})
    member = "members={a: {model: {architecture: unet, encoder: resnet18, weights: w.safetensors}}}"

    def file_inputs():
        session = open_session("r.yaml", [member], Silent())
        return inputs.train_inputs(session, "a")["weights_file"]

    before = file_inputs()
    write_tensors(weights, {"a": torch.ones(1)}, {})
    assert file_inputs() != before
    weights.unlink()
    with pytest.raises(InputError, match=r"no such file: w\.safetensors"):
        file_inputs()
