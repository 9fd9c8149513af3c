"""One pass measures a set exactly, whatever the number of threads, and names every fault of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from data_helpers import BINARY, PLANES, SCENES, data_block, picture, save
from hypothesis import given
from hypothesis import strategies as st
from test_rasters import write_tiff

from maskwright.core.errors import DataError, InputError, Interrupted
from maskwright.core.progress import Silent
from maskwright.core.recipe.sources import FolderSource, RleCsvSource
from maskwright.core.stop import Stop
from maskwright.data.audit import audit
from maskwright.data.audit.fingerprint import Fingerprint, take
from maskwright.data.audit.measure import Measured, Moments
from maskwright.data.audit.small import reduce
from maskwright.data.audit.statistics import Statistics
from maskwright.data.pixels.header import Header
from maskwright.data.sources.open import open_source


def pass_over(block, root, task=BINARY, workers=2, **data):
    return take(open_source(block, root, task), task, data_block(root, block, **data), Silent(), workers)


def notes_of(block, root, task=BINARY, **data):
    """Say all that is no fault, without what can only be said of larger sets."""
    found = audit.check(open_source(block, root, task), task, data_block(root, block, **data), Silent())
    return list(found.notes)


def faults_of(block, root, task=BINARY, like=None, **data):
    with pytest.raises(DataError) as caught:
        audit.check(open_source(block, root, task), task, data_block(root, block, **data), Silent(), like=like)
    return list(caught.value.faults)


def test_sizes_counts_and_statistics_are_exact(folder_set):
    block, root = folder_set("ab")
    found, faults = pass_over(block, root)
    assert faults == []
    first = found.items[0]
    assert (first.key, first.path, first.height, first.width, first.bands, first.dtype) == (
        "a", "a.png", 12, 16, 3, "uint8",
    )  # fmt: skip
    assert first.bytes == (root / "images/a.png").stat().st_size
    assert first.pixels == (11 * 16, 16)
    assert first.valid == 12 * 16
    assert found.class_pixels == (11 * 16 + 10 * 16, 16 + 32)
    pixels = np.concatenate([picture(0).reshape(-1, 3), picture(1).reshape(-1, 3)]) / 255
    np.testing.assert_allclose(found.mean, pixels.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.std, pixels.std(0), rtol=1e-12)
    assert (found.bands, found.dtype, found.divide) == (3, "uint8", 255.0)
    assert (found.duplicates, found.notes, found.similar) == ((), (), ())


def test_the_result_does_not_depend_on_the_number_of_threads_and_survives_json(folder_set):
    block, root = folder_set("abcdefgh")
    found, _ = pass_over(block, root, workers=1)
    assert found == pass_over(block, root, workers=5)[0]
    assert Fingerprint.from_plain(json.loads(json.dumps(found.to_plain()))) == found
    with pytest.raises(InputError) as caught:
        Fingerprint.from_plain({"items": []})
    assert str(caught.value) == (
        "fingerprint.json: the fingerprint is of another version ('duplicates'); run inspect again"
    )


def test_pixels_that_alpha_hides_or_the_label_ignores_are_left_out(tmp_path):
    rgba = picture(1, bands=4)
    rgba[:, :, 3] = 255
    rgba[0, :, 3] = 0
    save(tmp_path / "images" / "a.png", rgba)
    mask = np.zeros((12, 16), np.uint8)
    mask[:2] = 1
    mask[5] = 255
    save(tmp_path / "masks" / "a.png", mask)
    found, _ = pass_over(FolderSource(images="images", masks="masks"), tmp_path, SCENES)
    assert found.items[0].pixels == (9 * 16, 16, 0)
    assert found.items[0].valid == 10 * 16
    np.testing.assert_allclose(found.mean, rgba[1:, :, :3].reshape(-1, 3).mean(0) / 255)  # ignored pixels are seen
    assert notes_of(FolderSource(images="images", masks="masks"), tmp_path, SCENES) == [
        "data.train: class 'car' has no pixel; check its id and values, or take it out of the task",
        "data.train: 1 of 1 images hide pixels by alpha or nodata (8.33% of all); they do not count",
    ]


def test_bands_are_measured_in_the_order_the_recipe_names_them(tmp_path):
    bands = np.random.default_rng(0).integers(0, 9000, (5, 6, 7)).astype(np.uint16)
    (tmp_path / "images").mkdir()
    write_tiff(tmp_path / "images" / "a.tif", bands)
    found, _ = pass_over(FolderSource(images="images"), tmp_path, bands=(4, 2))
    np.testing.assert_allclose(found.mean, bands[[3, 1]].mean((1, 2)) / 65535)
    assert found.divide == 65535
    assert (found.class_pixels, found.items[0].pixels) == ((), ())
    assert pass_over(FolderSource(images="images"), tmp_path, divide=10_000.0)[0].divide == 10_000


def test_grey_beside_colour_counts_three_times_and_is_said(tmp_path):
    save(tmp_path / "images" / "a.png", picture(1))
    save(tmp_path / "images" / "b.png", picture(2, bands=1))
    found, faults = pass_over(FolderSource(images="images"), tmp_path)
    assert faults == []
    grey = np.repeat(picture(2, bands=1), 3, axis=2)
    np.testing.assert_allclose(found.mean, np.concatenate([picture(1), grey]).mean((0, 1)) / 255)
    assert found.bands == 3
    assert notes_of(FolderSource(images="images"), tmp_path) == [
        "data.train: 1 of 2 images are grey beside colour ones; their band is used three times"
    ]


def test_a_constant_band_has_deviation_1(tmp_path):
    save(tmp_path / "images" / "a.png", np.full((4, 4, 1), 51, np.uint8))
    found, _ = pass_over(FolderSource(images="images"), tmp_path)
    assert (found.mean, found.std) == ((0.2,), (1.0,))
    assert notes_of(FolderSource(images="images"), tmp_path) == [
        "data.train: 1 of 1 items have an image of one colour: 'a'",
        "data.train: band 1 of the bands used is constant; leave it out: data.bands",
    ]


def test_equal_images_are_found_however_they_are_compressed(folder_set):
    block, root = folder_set("abcd")
    save(root / "images" / "c.png", picture(0), compress_level=1)
    save(root / "images" / "d.bmp", picture(0))
    (root / "images" / "d.png").unlink()
    found, _ = pass_over(block, root)
    assert found.duplicates == (("a", "c", "d"),)
    assert notes_of(block, root) == [
        "data.train: equal images whose labels differ: 'a', 'c', 'd'; keep the right one of each",
        "data.train: files of several formats: 1 BMP, 3 PNG",
    ]


def test_blank_images_are_not_called_duplicates(tmp_path):
    for name in "ab":
        save(tmp_path / "images" / f"{name}.png", np.zeros((4, 4, 3), np.uint8))
    assert pass_over(FolderSource(images="images"), tmp_path)[0].duplicates == ()


def test_exif_orientation_and_items_without_a_valid_pixel_are_noted(tmp_path):
    from PIL import Image

    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / "images" / "a.jpg", picture(1), exif=exif)
    save(tmp_path / "masks" / "a.png", np.full((12, 16), 255, np.uint8))
    found = notes_of(FolderSource(images="images", masks="masks"), tmp_path, SCENES)
    assert [note for note in found if "class" not in note] == [
        "data.train: 1 of 1 items have no pixel that counts: 'a'; take them out, or check task.ignore",
        "data.train: the labels ignore 100.0% of all pixels; check task.ignore and values",
        "data.train: 1 of 1 images carry an EXIF orientation, which is not applied: pixels are used as stored",
    ]


def test_planes_are_counted_each_for_itself(tmp_path):
    save(tmp_path / "images" / "a.png", picture(1))
    (tmp_path / "t.csv").write_text("ImageId,c,EncodedPixels\na,lung,1 3\na,heart,2 5\n")
    block = RleCsvSource(images="images", table="t.csv", class_column="c", order="row")
    found, faults = pass_over(block, tmp_path, PLANES)
    assert (faults, found.class_pixels) == ([], (3, 5))


def test_one_run_names_every_fault_of_a_set(folder_set):
    block, root = folder_set("abcdefgh")
    images, masks = root / "images", root / "masks"
    whole = (images / "a.png").read_bytes()
    (images / "a.png").write_bytes(whole[: len(whole) // 2])
    save(masks / "a.png", np.full((12, 16), 9, np.uint8))  # the label below a damaged image is looked at too
    save(masks / "b.png", np.zeros((12, 15), np.uint8))
    (images / "c.png").write_bytes(b"")
    (images / "d.png").unlink()
    (images / "d.tif").write_text("<VRTDataset></VRTDataset>")
    save(images / "e.png", picture(1, 200, 200))
    save(images / "f.png", picture(1)[:, :, 0].astype(np.uint16))
    (images / "g.png").unlink()
    write_tiff(images / "g.tif", np.zeros((5, 12, 16), np.uint8) + np.arange(16, dtype=np.uint8))
    found = faults_of(block, root, max_pixels=10_000)
    assert found == [
        f"{images}/a.png: is damaged or truncated (image file is truncated); copy it again, or take it out of the set",
        f"{masks}/b.png: the mask has 12 x 15 pixels (height x width), its image 12 x 16; make both the same size",
        f"{images}/c.png: is empty (0 bytes); copy it again, or take it out of the set",
        f"{images}/d.tif: is a GDAL VRT, which may point at any file and is never opened; "
        "give the GeoTIFF it points at",
        f"{images}/e.png: 200 x 200 = 40000 pixels are more than the 10000 allowed; "
        "cut it into tiles, or raise data.max_pixels if you trust the file",
        f"{masks}/a.png: label values outside the task: 9 (25.00%) of all label pixels; the task declares [0, 1]; "
        "what they mean cannot be told; declare their classes, set task.ignore, or set values: {0: 0, 1: 1, 9: 1}",
        f"{images}/f.png: holds uint16 values, most images uint8; convert it to the same scale",
        f"{images}/g.tif: has 5 bands, most images 3; take it out, or set data.bands to what all have",
    ]


def test_faults_of_the_join_and_of_the_contents_come_together(folder_set):
    block, root = folder_set("abc")
    (root / "masks" / "b.png").unlink()
    save(root / "masks" / "c.png", np.full((12, 16), 7, np.uint8))
    found = audit.examine(BINARY, data_block(root, block), Silent())
    assert [str(fault).split(":")[0] for fault in found.faults] == [f"{root}/images/b.png", f"{root}/masks/c.png"]
    assert [fault.kind for fault in found.faults] == ["missing_label", "undeclared_value"]
    found = audit.examine(BINARY, data_block(root, block, limit=2), Silent())
    assert len(found.faults) == 2
    nothing = FolderSource(images="no")
    found = audit.examine(BINARY, data_block(root, nothing), Silent())
    assert [str(fault) for fault in found.findings] == [
        f"{root}/no: no such folder; check data.root and the folder's name"
    ]
    plain = json.loads(json.dumps(found.to_plain(), allow_nan=False))
    assert (plain["version"], plain["sets"]["train"]["items"], plain["shift"]) == (1, 0, None)


def test_bands_and_normalisation_the_recipe_asks_for_must_be_there(folder_set):
    block, root = folder_set("ab")
    assert faults_of(block, root, bands=(1, 4))[0] == (
        f"{root}/images/a.png: has 3 bands, but data.bands names 4; name bands that all images have"
    )
    assert faults_of(block, root, bands=(1, 2), normalize="imagenet") == [
        "data.normalize: imagenet is for 3 bands, 2 are used; set data.bands, or normalize: dataset"
    ]


def test_items_to_predict_must_be_like_those_models_learn_from(folder_set, tmp_path):
    block, root = folder_set("ab")
    like, _ = pass_over(block, root)
    other = replace(like, dtype="uint16", bands=4)
    assert faults_of(block, root, like=other) == [
        "data.test: holds uint8 values, the training images uint16; convert them to the same scale",
        "data.test: images have 3 bands, the training images 4; give the same bands",
    ]


def test_a_clean_set_passes_and_a_stop_is_heard(folder_set):
    block, root = folder_set("ab")
    source, data = open_source(block, root, BINARY), data_block(root, block)
    assert len(audit.check(source, BINARY, data, Silent()).items) == 2
    stop = Stop()
    stop.signal_number = 15
    with pytest.raises(Interrupted):
        audit.check(source, BINARY, data, Silent(), stop)


@given(
    cuts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int16, np.float32, np.float64, np.int32]),
    bands=st.sampled_from([1, 3, 5, 13]),
    seed=st.integers(0, 1000),
)
def test_moments_of_parts_add_up_to_those_of_the_whole(cuts, dtype, bands, seed):
    rng = np.random.default_rng(seed)
    images = [(rng.normal(100, 30, (rows, 7, bands))).astype(dtype) for rows in cuts]
    valids = [rng.random(image.shape[:2]) < 0.7 for image in images]
    total = Moments(0, np.zeros(bands), np.zeros(bands))
    for image, valid in zip(images, valids, strict=True):
        total = total + Moments.of(image, valid)
    pixels = np.concatenate([image[valid] for image, valid in zip(images, valids, strict=True)]).astype(np.float64)
    assert total.count == len(pixels)
    if len(pixels):
        np.testing.assert_allclose(total.mean, pixels.mean(0), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(total.squares / len(pixels), pixels.var(0), rtol=1e-6, atol=1e-6)


def test_a_set_without_items_is_no_crash(tmp_path):
    (tmp_path / "images").mkdir()
    source = replace(open_source_of_nothing(tmp_path), keys=())
    found, faults = take(source, BINARY, data_block(tmp_path), Silent())
    assert (found.items, found.bands, faults) == ((), 0, [])
    assert audit.check(source, BINARY, data_block(tmp_path), Silent()).notes == ()


def open_source_of_nothing(root: Path):
    save(root / "images" / "a.png", picture(1))
    return open_source(FolderSource(images="images"), root, BINARY)


def test_pixels_of_several_planes_are_mapped_and_counted_in_pairs():
    label = np.zeros((2, 64, 64), np.uint8)
    label[0, :32], label[1, :, :16] = 1, 1  # the upper half; the left quarter
    valid = np.ones((64, 64), bool)
    valid[60:] = False
    image = np.zeros((64, 64, 3), np.uint8)
    sums = Statistics(PLANES)
    one = Measured("a", header=Header(64, 64, 3, "uint8", "PNG", False), pixels=(2048, 960), valid=3840)
    one.small = reduce(image, label, valid)
    sums.take(one)
    plain = sums.to_plain()
    assert plain["overlap_pixels"] == [[2048, 512], [512, 960]]
    assert np.array_equal(np.array(plain["overlap"]), np.pad(np.ones((8, 4)), ((0, 8), (0, 12))))
    assert Statistics(BINARY).to_plain()["overlap"] == []
