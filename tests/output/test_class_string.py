"""Class ids as text, byte by byte; OpenCV's nearest neighbour is the measure of sizes."""

import cv2
import numpy as np
import pytest

from maskwright.core.errors import InputError
from maskwright.core.labels import Task
from maskwright.core.recipe.outputs import ClassStringOutput, VoteOutput, output_clashes, vote_clashes
from maskwright.output.class_string import nearest, write_class_strings


def test_bytes(tmp_path):
    labels = {"b/1": np.array([[0, 10], [3, 4]], np.uint8), "a/2": np.zeros((1, 3), np.uint8)}
    block = ClassStringOutput(key_extension=".jpg")
    write_class_strings(tmp_path / "s.csv", block, tuple(labels), labels.__getitem__)
    assert (tmp_path / "s.csv").read_bytes() == b"image_id,PredictionString\nb/1.jpg,0 10 3 4\na/2.jpg,0 0 0\n"


def test_a_sample_gives_header_and_order_and_one_without_rows_the_header_alone(tmp_path):
    labels = {"b": np.array([[1]], np.uint8), "a": np.array([[2]], np.uint8), "c": np.array([[3]], np.uint8)}
    block, sample = ClassStringOutput(key_extension=".jpg"), tmp_path / "sample.csv"

    def written(text):
        sample.write_text(text)
        write_class_strings(tmp_path / "s.csv", block, tuple(labels), labels.__getitem__, sample)
        return (tmp_path / "s.csv").read_text().splitlines()

    assert written("image_id,PredictionString\n") == ["image_id,PredictionString", "b.jpg,1", "a.jpg,2", "c.jpg,3"]
    swapped = "PredictionString,image_id\n,c.jpg\n,b.jpg\n,a.jpg\n"
    assert written(swapped) == ["PredictionString,image_id", "3,c.jpg", "1,b.jpg", "2,a.jpg"]
    with pytest.raises(InputError, match=r"1 id \(a.jpg\) of ours has no row in the sample submission"):
        written("image_id,PredictionString\nc.jpg,\nb.jpg,\n")
    with pytest.raises(InputError, match=r"sample.csv:5: id 'b.jpg' stands in two rows of the sample submission"):
        written("image_id,PredictionString\nc.jpg,\nb.jpg,\na.jpg,\nb.jpg,\n")
    with pytest.raises(InputError, match="set key_column and label_column of the output to the sample's"):
        written("image,PredictionString\n")


@pytest.mark.parametrize(("shape", "size"), [((512, 512), (256, 256)), ((7, 9), (3, 4)), ((5, 4), (11, 13))])
def test_sizes_are_those_of_opencv(shape, size):
    label = np.random.default_rng(0).integers(0, 11, shape).astype(np.uint8)
    assert (nearest(label, size) == cv2.resize(label, size[::-1], interpolation=cv2.INTER_NEAREST)).all()


def test_clashes():
    binary = Task(kind="binary", classes=("roof",))
    said = ["output[0]: class_string_csv holds one class a pixel, and the task is binary; use rle_csv"]
    assert output_clashes([ClassStringOutput()], binary) == said
    vote = VoteOutput.model_validate({"of": {"format": "rle_csv"}, "group": {"at_least": 1, "members": ["a", "c"]}})
    assert vote_clashes([vote], {"a": False, "b": False}, 2, True) == [
        "output[0].group: no member 'c'; the recipe has a, b"
    ]
    assert vote_clashes([vote], {}, 2, True) == []
