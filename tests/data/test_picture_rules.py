"""Every rule of docs/reference/pictures.md, held against Pillow, OpenCV and rasterio where they agree with it."""

import warnings
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
from data_helpers import picture, save
from PIL import Image
from test_rasters import png, refusal, write_tiff

from maskwright.core.errors import InputError
from maskwright.data.pixels.rasters import read_header, read_image, read_mask, read_mask_and_nodata

LIMIT = 100_000
RGB = picture(1)
GREY = RGB[:, :, 0]
DEEP = RGB.astype(np.uint16) * 257 + 3


def write(path, bands, **options):
    """Write a TIFF without coordinates."""
    bands = bands if bands.ndim == 3 else bands[None]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        count, height, width = bands.shape
        shape = {"height": height, "width": width, "count": count, "dtype": bands.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as dataset:
            dataset.write(bands)
    return path


def same(path, expected):
    pixels, valid = read_image(path, LIMIT)
    np.testing.assert_array_equal(pixels[:, :, 0] if expected.ndim == 2 else pixels, expected)
    assert valid.all()
    header = read_header(path, LIMIT)
    assert (header.shape, header.bands, header.dtype) == (pixels.shape[:2], pixels.shape[2], str(pixels.dtype))
    return header


@pytest.mark.parametrize("bands", [1, 3, 4])
def test_16_bit_png_is_read_as_opencv_reads_it(tmp_path, bands):
    values = np.dstack([DEEP, np.full_like(DEEP[:, :, :1], 65535)])[:, :, : bands if bands > 1 else 1]
    order = [2, 1, 0, 3][:bands] if bands > 1 else [0]
    assert cv2.imwrite(str(tmp_path / "a.png"), values[:, :, order])
    seen = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED).reshape(*values.shape[:2], -1)[:, :, order]
    same(tmp_path / "a.png", seen[:, :, :3])
    np.testing.assert_array_equal(seen, values)


def test_16_bit_colour_with_one_transparent_colour(tmp_path):
    row = b"\0" + bytes([1, 2, 3, 4, 5, 6, 1, 2, 3, 4, 5, 7])
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, row, tRNS=bytes([1, 2, 3, 4, 5, 6])))
    pixels, valid = read_image(tmp_path / "a.png", LIMIT)
    assert valid.tolist() == [[False, True]]
    assert pixels.tolist() == [[[0, 0, 0], [0x0102, 0x0304, 0x0507]]]
    (tmp_path / "g.png").write_bytes(png(2, 1, 16, 0, b"\0" + bytes([1, 2, 1, 3]), tRNS=bytes([1, 2])))
    assert read_image(tmp_path / "g.png", LIMIT)[1].tolist() == [[False, True]]


def test_a_colour_profile_and_a_gamma_change_nothing(tmp_path):
    row = b"\0" + bytes(range(10, 22))
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, row, gAMA=(45455).to_bytes(4, "big")))
    assert read_image(tmp_path / "a.png", LIMIT)[0].ravel().tolist() == [
        256 * high + high + 1 for high in range(10, 22, 2)
    ]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 30}])
def test_jpeg_is_read_as_pillow_reads_it(tmp_path, options):
    for values in (picture(2, 40, 33), picture(2, 40, 33, 1)):
        path = save(tmp_path / "a.jpg", values, **options)
        with Image.open(path) as opened:
            same(path, np.asarray(opened))


def test_interlaced_png(tmp_path):
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2), (1, 2, 0, 1)]
    rows = b"".join(
        b"\0" + GREY[row, left::step].tobytes()
        for top, down, left, step in passes
        for row in range(top, GREY.shape[0], down)
    )
    data = bytearray(png(GREY.shape[1], GREY.shape[0], 8, 0, rows))
    data[28] = 1  # the last byte of IHDR
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    (tmp_path / "a.png").write_bytes(data)
    same(tmp_path / "a.png", GREY)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
def test_one_bit_is_black_and_white_in_images_and_0_and_1_in_masks(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(GREY > 99).save(path)
    assert same(path, (GREY > 99) * np.uint8(255)).bands == 1
    np.testing.assert_array_equal(read_mask(path, LIMIT), GREY > 99)


@pytest.mark.parametrize("bits", [2, 4])
def test_few_bits_are_stretched_in_images_and_kept_in_masks(tmp_path, bits):
    values = GREY % 2**bits
    path = write(tmp_path / "a.tif", values, NBITS=bits)
    same(path, values * np.uint8(255 // (2**bits - 1)))
    np.testing.assert_array_equal(read_mask(path, LIMIT), values)


@pytest.mark.parametrize("kind", ["uint8", "uint16", "int16", "int32", "uint32", "float32", "float64", "int8"])
def test_tiffs_of_every_type_keep_it(tmp_path, kind):
    bands = np.moveaxis(RGB // 2, -1, 0).astype(kind)
    path = write(tmp_path / "a.tif", bands)
    assert same(path, np.moveaxis(bands, 0, -1)).dtype == kind
    one = write(tmp_path / "m.tif", bands[0])
    np.testing.assert_array_equal(read_mask(one, LIMIT), bands[0])


def test_a_negative_is_turned_in_images_and_refused_in_masks(tmp_path):
    path = write(tmp_path / "a.tif", GREY, photometric="MINISWHITE")
    with Image.open(path) as opened:
        same(path, np.asarray(opened))
    np.testing.assert_array_equal(read_image(path, LIMIT)[0][:, :, 0], 255 - GREY)
    bits = write(tmp_path / "b.tif", (GREY > 99).astype(np.uint8), photometric="MINISWHITE", NBITS=1)
    same(bits, (GREY <= 99) * np.uint8(255))
    for negative in (path, bits):
        assert refusal(read_mask, negative, LIMIT) == (
            f"{negative}: a mask stored as a negative (MINISWHITE) is read in two ways; save it as MINISBLACK"
        )


def test_palettes_are_colours_in_images_and_indices_in_masks(tmp_path):
    indices = (GREY % 4).astype(np.uint8)
    colours = np.array([[0, 0, 0], [250, 10, 20], [30, 240, 40], [50, 60, 230]], np.uint8)
    picture_ = Image.fromarray(indices)
    picture_.putpalette(colours.ravel().tolist())
    for suffix in ("png", "bmp", "tif", "gif"):
        path = tmp_path / f"a.{suffix}"
        picture_.save(path)
        same(path, colours[indices])
        if suffix != "gif":  # Pillow sorts a GIF's palette
            np.testing.assert_array_equal(read_mask(path, LIMIT), indices)


def test_partly_transparent_palette_entries_count_unless_they_are_clear(tmp_path):
    picture_ = Image.fromarray((GREY % 3).astype(np.uint8))
    picture_.putpalette([9, 9, 9, 50, 50, 50, 90, 90, 90])
    picture_.save(tmp_path / "a.png", transparency=bytes([0, 128, 255]))
    pixels, valid = read_image(tmp_path / "a.png", LIMIT)
    np.testing.assert_array_equal(valid, GREY % 3 > 0)
    assert set(np.unique(pixels)) == {0, 50, 90}
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", LIMIT), GREY % 3)


@pytest.mark.parametrize(("mode", "name"), [("CMYK", "CMYK"), ("LAB", "CIELAB")])
def test_colour_modes_that_need_a_conversion_are_refused_in_tiffs(tmp_path, mode, name):
    path = tmp_path / "a.tif"
    Image.fromarray(RGB).convert(mode).save(path)
    for function in (read_image, read_mask):
        assert refusal(function, path, LIMIT) == f"{path}: has colour mode {name}; convert it to grey, RGB or RGBA"


def test_several_pages_are_refused_and_overviews_are_none(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(GREY), Image.fromarray(GREY[::-1])]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert refusal(read_image, path, LIMIT) == f"{path}: has 2 pages; save each page as a file of its own"
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:])
    assert refusal(read_mask, tmp_path / "a.png", LIMIT) == f"{tmp_path}/a.png: is an animation; save one frame as PNG"
    whole = write_tiff(tmp_path / "o.tif", np.ones((1, 256, 256), np.uint8), tiled=True, blockxsize=64, blockysize=64)
    with rasterio.open(whole, "r+") as dataset:
        dataset.build_overviews([2, 4])
    assert read_mask(whole, LIMIT).all()


def test_masks_packed_with_loss_are_refused_and_images_are_not(tmp_path):
    path = write(tmp_path / "a.tif", np.repeat(np.arange(64, dtype=np.uint8)[None], 64, axis=0), compress="JPEG")
    assert refusal(read_mask, path, LIMIT) == (
        f"{path}: a mask packed with loss (JPEG) has blurred label values; save masks with deflate or LZW"
    )
    assert read_image(path, LIMIT)[0].shape == (64, 64, 1)
    for packing in ("DEFLATE", "LZW", "PACKBITS", "ZSTD"):
        np.testing.assert_array_equal(read_mask(write(path, GREY, compress=packing), LIMIT), GREY)


def test_a_palette_of_16_bits_is_an_index_in_masks_and_refused_in_images(tmp_path):
    path = write(tmp_path / "a.tif", GREY.astype(np.uint16), photometric="PALETTE")
    assert refusal(read_image, path, LIMIT) == f"{path}: has a palette of 16 bits; save it as RGB"
    np.testing.assert_array_equal(read_mask(path, LIMIT), GREY)


def test_scale_and_offset_of_a_tiff_are_not_applied(tmp_path):
    path = write_tiff(tmp_path / "a.tif", GREY.astype(np.uint16)[None])
    with rasterio.open(path, "r+") as dataset:
        dataset.scales, dataset.offsets = (0.1,), (5,)
    same(path, GREY.astype(np.uint16))


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_exif_orientation_is_reported_and_not_applied(tmp_path, suffix):
    exif = Image.Exif()
    exif[0x0112] = 6
    path = save(tmp_path / f"a.{suffix}", RGB, exif=exif)
    header = read_header(path, LIMIT)
    assert (header.orientation, header.shape) == (6, RGB.shape[:2])
    with Image.open(path) as opened:
        np.testing.assert_array_equal(read_image(path, LIMIT)[0], np.asarray(opened))


def test_the_fourth_byte_of_a_bmp_is_no_alpha(tmp_path):
    save(tmp_path / "a.bmp", np.dstack([RGB, np.zeros_like(GREY)]))
    with Image.open(tmp_path / "a.bmp") as opened:
        same(tmp_path / "a.bmp", np.asarray(opened.convert("RGB")))


def test_nodata_of_a_mask_is_told(tmp_path):
    assert read_mask_and_nodata(write(tmp_path / "a.tif", GREY, nodata=0), LIMIT)[1] == 0
    assert read_mask_and_nodata(write(tmp_path / "b.tif", GREY), LIMIT)[1] is None


@pytest.mark.parametrize("name", ["WEBP", "PPM", "ICO"])
def test_other_formats_are_refused_whatever_their_name(tmp_path: Path, name):
    Image.fromarray(RGB).save(tmp_path / "a.png", name)
    with pytest.raises(InputError, match="is no PNG, JPEG, GIF, BMP or TIFF"):
        read_image(tmp_path / "a.png", LIMIT)
