"""A CSV of paths becomes items with attributes, and every row that is wrong is named with its line."""

import pickle

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, picture, save

from maskwright.core.errors import DataError
from maskwright.core.recipe.sources import TableSource
from maskwright.data.sources.open import join_source, open_source

SHAPE = (12, 16)
BLOCK = TableSource(table="t.csv", mask_column="mask", values={0: 0, 255: 1})


def write(root, text, names="abc", encoding="utf-8"):
    for place, name in enumerate(names):
        save(root / "photos" / f"{name}.jpg", picture(place))
        mask = np.zeros(SHAPE, np.uint8)
        mask[place] = 255
        save(root / "labels" / f"{name}.png", mask)
    (root / "t.csv").write_bytes(text.encode(encoding))


def faults_of(block, root, task=BINARY):
    with pytest.raises(DataError) as caught:
        open_source(block, root, task)
    return list(caught.value.faults)


ROWS = "image,mask,patient,site\nphotos/b.jpg,labels/b.png,p1, north \n./photos/a.jpg,labels/a.png,p2,\n"


def test_paths_and_further_columns(tmp_path):
    write(tmp_path, ROWS)
    source = open_source(BLOCK, tmp_path, BINARY)
    assert source.keys == ("photos/a", "photos/b")
    assert source.notes == ()
    assert source.labelled
    assert source.image_path("photos/a") == tmp_path / "photos/a.jpg"
    assert source.label_path("photos/a") == tmp_path / "labels/a.png"
    assert source.attributes("photos/b") == {"patient": "p1", "site": "north"}
    assert (source.weight("photos/a"), source.scored("photos/a")) == (1.0, True)
    label, valid = source.read_label("photos/b", SHAPE, BINARY)
    assert np.argwhere(label)[:, 0].tolist() == [1] * 16
    assert valid.all()
    assert pickle.loads(pickle.dumps(source)) == source


@pytest.mark.parametrize(("delimiter", "said"), [(";", "semicolons"), ("\t", "tabs")])
def test_the_delimiter_is_found_and_said(tmp_path, delimiter, said):
    write(tmp_path, "\ufeff" + ROWS.replace(",", delimiter).replace("\n", "\r\n"))
    source = open_source(BLOCK, tmp_path, BINARY)
    assert source.keys == ("photos/a", "photos/b")
    assert source.notes == (f"{tmp_path}/t.csv: columns are separated by {said}, as guessed from the header",)


def test_without_a_column_of_masks_items_are_unlabelled(tmp_path):
    write(tmp_path, ROWS)
    source = open_source(TableSource(table="t.csv"), tmp_path, BINARY)
    assert (source.labelled, source.label_path("photos/a")) == (False, None)
    assert source.attributes("photos/b")["mask"] == "labels/b.png"


def test_every_bad_row_is_named_with_its_line(tmp_path):
    write(
        tmp_path,
        "image,mask\n"
        "photos/a.jpg,labels/a.png\n"
        "/etc/passwd,labels/a.png\n"
        "photos/../../x.jpg,labels/a.png\n"
        "https://x.org/a.jpg,labels/a.png\n"
        "photos/\0.jpg,labels/a.png\n"
        "photos/z.jpg,labels/z.png\n"
        "photos\\a.jpg,labels/a.png\n"
        "photos/b.jpg\n"
        "photos/b.jpg,\n"
        "photos/c.jpg,C:\\masks\\c.png\n"
        "photos/c.jpg,labels/none.png\n"
        "\n",
    )
    start, leaves = f"{tmp_path}/t.csv", "leaves the data folder; use names below data.root"
    assert faults_of(BLOCK, tmp_path) == [
        f"{start}:3: name '/etc/passwd' {leaves}",
        f"{start}:4: name 'photos/../../x.jpg' {leaves}",
        f"{start}:5: name 'https://x.org/a.jpg' {leaves}",
        f"{start}:6: name 'photos/\\x00.jpg' {leaves}",
        f"{start}:7: no image 'photos/z.jpg' in {tmp_path}; add it, or take the row away",
        f"{start}:8: a second row of 'photos/a', the first is line 2; keep one, an image has one mask",
        f"{start}:9: 1 cells, the header has 2; mend the row",
        f"{start}:10: no mask of 'photos/b' in column 'mask'; add it, or set missing_mask: background",
        f"{start}:11: name 'C:\\\\masks\\\\c.png' {leaves}",
        f"{start}:12: a second row of 'photos/c', the first is line 11; keep one, an image has one mask",
    ]


def test_links_out_of_the_root_are_refused(tmp_path):
    root = tmp_path / "root"
    write(root, "image,mask\nphotos/l.jpg,labels/a.png\n")
    save(tmp_path / "secret.jpg", picture(1))
    (root / "photos" / "l.jpg").symlink_to(tmp_path / "secret.jpg")
    assert faults_of(BLOCK, root) == [
        f"{root}/t.csv:2: name 'photos/l.jpg' links out of the data folder; use names below data.root"
    ]


def test_a_missing_mask_may_mean_background(tmp_path):
    write(tmp_path, "image,mask\nphotos/a.jpg,\nphotos/b.jpg,labels/b.png\n")
    source = open_source(BLOCK.model_copy(update={"missing_mask": "background"}), tmp_path, BINARY)
    assert source.notes == (f"{tmp_path}/t.csv: 1 of 2 rows lack a mask and count as background",)
    assert source.label_path("photos/a") is None
    assert not source.read_label("photos/a", SHAPE, BINARY)[0].any()


def test_one_mask_for_two_images_is_suspected(tmp_path):
    write(tmp_path, "image,mask\nphotos/a.jpg,labels/a.png\nphotos/b.jpg,labels/a.png\n")
    source, findings = join_source(BLOCK, tmp_path, BINARY)
    assert source is not None
    assert source.keys == ("photos/a", "photos/b")
    assert [(one.kind, one.severity, str(one)) for one in findings] == [
        (
            "label_shared",
            "suspicion",
            f"{tmp_path}/t.csv:3: the mask 'labels/a.png' also belongs to line 2; "
            "give each image its own mask, unless both show the same",
        )
    ]


def test_a_header_without_the_columns_and_files_that_are_no_table(tmp_path):
    write(tmp_path, "photo,masks\nphotos/a.jpg,labels/a.png\n")
    assert faults_of(BLOCK, tmp_path) == [
        f"{tmp_path}/t.csv:1: no column 'image', the header holds 'photo', 'masks'; "
        "set image_column, or mend the header",
        f"{tmp_path}/t.csv:1: no column 'mask' (did you mean 'masks'?), the header holds 'photo', 'masks'; "
        "set mask_column, or mend the header",
    ]
    write(tmp_path, "image,mask\n")
    assert faults_of(BLOCK, tmp_path) == [f"{tmp_path}/t.csv: no rows; check the table"]
    write(tmp_path, "image,mask\nphotos/\u00e9.jpg,labels/a.png\n", encoding="latin-1")
    assert faults_of(BLOCK, tmp_path) == [
        f"{tmp_path}/t.csv: not UTF-8 text (invalid continuation byte); save the table as UTF-8 CSV"
    ]
    (tmp_path / "t.csv").unlink()
    assert faults_of(BLOCK, tmp_path) == [f"{tmp_path}/t.csv: no such file or folder; check the path"]


def test_keys_that_differ_in_case_alone_are_refused(tmp_path):
    write(tmp_path, "image,mask\nphotos/a.jpg,labels/a.png\nphotos/A.jpg,labels/b.png\n")
    save(tmp_path / "photos" / "A.jpg", picture(4))
    assert faults_of(BLOCK, tmp_path) == [
        f"{tmp_path}/t.csv: keys 'photos/a' and 'photos/A' differ only in case; rename one, some disks see one file"
    ]


def test_planes_in_columns_of_their_own(tmp_path):
    write(tmp_path, "image,l,h,age\nphotos/a.jpg,labels/a.png,labels/b.png,40\nphotos/b.jpg,labels/c.png,,50\n")
    block = TableSource(table="t.csv", encoding="planes", mask_columns={"heart": "h", "lung": "l"})
    assert faults_of(block, tmp_path, PLANES) == [
        f"{tmp_path}/t.csv:3: no mask of 'photos/b' in column 'h'; add it, or set missing_mask: background"
    ]
    source = open_source(block.model_copy(update={"missing_mask": "background"}), tmp_path, PLANES)
    assert source.keys == ("photos/a", "photos/b")
    assert source.attributes("photos/b") == {"age": "50"}
    label, _ = source.read_label("photos/a", SHAPE, PLANES)
    assert [np.flatnonzero(plane.any(axis=1)).tolist() for plane in label] == [[0], [1]]
    label, _ = source.read_label("photos/b", SHAPE, PLANES)
    assert [np.flatnonzero(plane.any(axis=1)).tolist() for plane in label] == [[2], []]
