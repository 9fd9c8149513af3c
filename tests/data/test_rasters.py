"""Every kind of file is read exactly, and every damaged or foreign one is refused by name."""

import contextlib
import io
import re
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine
from data_helpers import picture, save
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from maskwright.core.errors import InputError, StorageError
from maskwright.data.pixels.rasters import Header, read_header, read_image, read_mask, read_mask_and_nodata

LIMIT = 10_000


def refusal(function: object, *args: object) -> str:
    with pytest.raises(InputError) as caught:
        function(*args)  # type: ignore[operator]
    return str(caught.value)


def png(width: int, height: int, depth: int, kind: int, rows: bytes, **chunks: bytes) -> bytes:
    """Write a PNG by hand, in depths that Pillow cannot write."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0))
    middle = b"".join(chunk(name.encode(), data) for name, data in chunks.items())
    return b"\x89PNG\r\n\x1a\n" + head + middle + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def write_tiff(path: Path, bands: np.ndarray, **options: object) -> Path:
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        height=bands.shape[1],
        width=bands.shape[2],
        count=bands.shape[0],
        dtype=bands.dtype,
        crs="EPSG:32636",
        transform=Affine(0.5, 0, 500000, 0, -0.5, 40000),
        **options,
    ) as dataset:
        dataset.write(bands)
    return path


@pytest.mark.parametrize(("bands", "suffix"), [(1, "png"), (3, "png"), (3, "bmp"), (1, "bmp"), (1, "gif")])
def test_plain_8_bit_pictures_come_back_bit_for_bit(tmp_path: Path, bands: int, suffix: str) -> None:
    original = picture(1, bands=bands)
    path = save(tmp_path / f"a.{suffix}", original)
    pixels, valid = read_image(path, LIMIT)
    expected = np.repeat(original, 3, axis=2) if suffix == "gif" else original  # a GIF is a palette picture
    np.testing.assert_array_equal(pixels, expected)
    assert valid.all()
    header = read_header(path, LIMIT)
    assert (header.height, header.width, header.bands, header.dtype, header.has_alpha) == (
        12,
        16,
        expected.shape[2],
        "uint8",
        False,
    )


def test_alpha_is_no_band_and_its_zeros_do_not_count(tmp_path: Path) -> None:
    rgba = picture(2, bands=4)
    rgba[:, :, 3] = 255
    rgba[3, 4, 3] = 0
    pixels, valid = read_image(save(tmp_path / "a.png", rgba), LIMIT)
    assert pixels.shape == (12, 16, 3)
    assert not valid[3, 4]
    assert valid.sum() == valid.size - 1
    assert (pixels[3, 4] == 0).all()
    assert read_header(tmp_path / "a.png", LIMIT) == Header(12, 16, 3, "uint8", "PNG", has_alpha=True)


def test_grey_with_alpha_has_one_band(tmp_path: Path) -> None:
    grey = picture(3, bands=2)
    grey[:, :, 1] = 7
    grey[0, 0, 1] = 0
    path = tmp_path / "a.png"
    Image.merge("LA", [Image.fromarray(grey[:, :, 0]), Image.fromarray(grey[:, :, 1])]).save(path)
    pixels, valid = read_image(path, LIMIT)
    assert pixels.shape == (12, 16, 1)
    assert np.argwhere(~valid).tolist() == [[0, 0]]


def test_palette_is_colour_in_an_image_and_index_in_a_mask(tmp_path: Path) -> None:
    indices = np.array([[0, 1], [2, 1]], np.uint8)
    image = Image.frombytes("P", (2, 2), indices.tobytes())
    image.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    image.save(tmp_path / "a.png", transparency=2)
    pixels, valid = read_image(tmp_path / "a.png", LIMIT)
    assert pixels.tolist() == [[[10, 20, 30], [40, 50, 60]], [[0, 0, 0], [40, 50, 60]]]
    assert valid.tolist() == [[True, True], [False, True]]
    np.testing.assert_array_equal(read_mask(tmp_path / "a.png", LIMIT), indices)


@pytest.mark.parametrize(
    ("depth", "rows", "expected"),
    [(1, b"\0\xa0", [1, 0, 1, 0]), (2, b"\0\x1b", [0, 1, 2, 3]), (4, b"\0\x12\x3f", [1, 2, 3, 15])],
)
def test_masks_of_few_bits_keep_their_small_values(
    tmp_path: Path, depth: int, rows: bytes, expected: list[int]
) -> None:
    path = tmp_path / "m.png"
    path.write_bytes(png(4, 1, depth, 0, rows))
    assert read_mask(path, LIMIT).tolist() == [expected]


def test_16_bit_grey_and_colour_keep_all_their_bits(tmp_path: Path) -> None:
    grey = np.array([[1, 300, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "g.png")
    np.testing.assert_array_equal(read_image(tmp_path / "g.png", LIMIT)[0][:, :, 0], grey)
    np.testing.assert_array_equal(read_mask(tmp_path / "g.png", LIMIT), grey)
    (tmp_path / "c.png").write_bytes(png(1, 1, 16, 2, b"\0" + bytes([1, 2, 3, 4, 5, 6])))
    pixels, _ = read_image(tmp_path / "c.png", LIMIT)
    assert pixels.tolist() == [[[0x0102, 0x0304, 0x0506]]]
    assert pixels.dtype == np.uint16
    assert read_header(tmp_path / "c.png", LIMIT).dtype == "uint16"
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 6, b"\0" + bytes([1, 2, 3, 4, 5, 6, 0, 9, 7, 7, 7, 7, 7, 7, 0, 0])))
    pixels, valid = read_image(tmp_path / "a.png", LIMIT)
    assert pixels.tolist() == [[[0x0102, 0x0304, 0x0506], [0, 0, 0]]]
    assert valid.tolist() == [[True, False]]
    (tmp_path / "la.png").write_bytes(png(2, 1, 16, 4, b"\0" + bytes([1, 2, 3, 4, 5, 6, 0, 0])))
    pixels, valid = read_image(tmp_path / "la.png", LIMIT)
    assert pixels.tolist() == [[[0x0102], [0]]]
    assert valid.tolist() == [[True, False]]


def test_one_transparent_colour_hides_its_pixels(tmp_path: Path) -> None:
    (tmp_path / "c.png").write_bytes(png(2, 1, 8, 2, b"\0" + bytes([9, 8, 7, 1, 2, 3]), tRNS=bytes([0, 9, 0, 8, 0, 7])))
    assert read_image(tmp_path / "c.png", LIMIT)[1].tolist() == [[False, True]]
    (tmp_path / "g.png").write_bytes(png(4, 1, 2, 0, b"\0\x1b", tRNS=bytes([0, 2])))
    assert read_image(tmp_path / "g.png", LIMIT)[1].tolist() == [[True, True, False, True]]


def test_exif_orientation_is_named_and_not_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    original = np.full((8, 16, 3), 90, np.uint8)
    save(tmp_path / "a.jpg", original, exif=exif)
    assert read_header(tmp_path / "a.jpg", LIMIT).orientation == 6
    assert read_image(tmp_path / "a.jpg", LIMIT)[0].shape == (8, 16, 3)


def test_tiff_bands_nodata_alpha_and_palette(tmp_path: Path) -> None:
    bands = np.arange(13 * 4 * 5, dtype=np.int16).reshape(13, 4, 5) - 3
    bands[:, 1, 2] = -99
    bands[0, 0, 0] = -99  # nodata in one band alone still counts
    path = write_tiff(tmp_path / "a.tif", bands, nodata=-99)
    pixels, valid = read_image(path, LIMIT)
    assert np.argwhere(~valid).tolist() == [[1, 2]]
    assert (pixels[1, 2] == 0).all()
    np.testing.assert_array_equal(pixels[valid], np.moveaxis(bands, 0, -1)[valid])
    assert read_header(path, LIMIT) == Header(4, 5, 13, "int16", "GTiff", has_alpha=False)
    rgba = np.full((4, 4, 5), 9, np.uint8)
    rgba[3, 2, 2] = 0
    pixels, valid = read_image(write_tiff(tmp_path / "b.tif", rgba, photometric="RGB", alpha="YES"), LIMIT)
    assert pixels.shape == (4, 5, 3)
    assert np.argwhere(~valid).tolist() == [[2, 2]]
    with rasterio.open(write_tiff(tmp_path / "p.tif", np.ones((1, 2, 2), np.uint8)), "r+") as dataset:
        dataset.write_colormap(1, {0: (0, 0, 0, 255), 1: (5, 6, 7, 255)})
    assert read_image(tmp_path / "p.tif", LIMIT)[0][0, 0].tolist() == [5, 6, 7]
    assert read_mask(tmp_path / "p.tif", LIMIT).tolist() == [[1, 1], [1, 1]]


def test_a_float_that_is_no_number_does_not_count(tmp_path: Path) -> None:
    bands = np.ones((2, 3, 3), np.float32)
    bands[1, 2, 2] = np.nan
    bands[0, 0, 1] = np.inf
    pixels, valid = read_image(write_tiff(tmp_path / "a.tif", bands), LIMIT)
    assert np.argwhere(~valid).tolist() == [[0, 1], [2, 2]]
    assert np.isfinite(pixels).all()


def test_tiff_masks_keep_nodata_apart_and_whole_floats_are_taken(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "m.tif", np.array([[[0, 1, -1]]], np.int16), nodata=-1)
    values, nodata = read_mask_and_nodata(path, LIMIT)
    assert values.tolist() == [[0, 1, -1]]
    assert nodata == -1
    assert read_mask(write_tiff(tmp_path / "f.tif", np.array([[[0, 2.0]]], np.float32)), LIMIT).tolist() == [[0, 2]]
    text = refusal(read_mask, write_tiff(tmp_path / "g.tif", np.array([[[0, 0.5]]], np.float32)), LIMIT)
    assert text == f"{tmp_path}/g.tif: a mask must hold whole numbers; store class ids as uint8"


def test_an_image_without_coordinates_is_no_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", height=2, width=2, count=1, dtype="uint8") as out:
            out.write(np.ones((1, 2, 2), np.uint8))
    assert read_image(tmp_path / "a.tif", LIMIT)[0].shape == (2, 2, 1)


def test_files_that_are_no_images_are_refused_by_their_first_bytes(tmp_path: Path) -> None:
    secret = tmp_path / "secret.bin"
    secret.write_bytes(bytes(64))
    vrt = tmp_path / "a.tif"
    vrt.write_text(
        '<VRTDataset rasterXSize="8" rasterYSize="8">'
        '<VRTRasterBand dataType="Byte" band="1" subClass="VRTRawRasterBand">'
        f'<SourceFilename relativetoVRT="0">{secret}</SourceFilename></VRTRasterBand></VRTDataset>'
    )
    assert refusal(read_image, vrt, LIMIT) == (
        f"{vrt}: is a GDAL VRT, which may point at any file and is never opened; give the GeoTIFF it points at"
    )
    eps = tmp_path / "a.png"
    eps.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n")
    assert refusal(read_header, eps, LIMIT) == (
        f"{eps}: is no PNG, JPEG, GIF, BMP or TIFF (it begins with %!PS-Ado); convert it, or take it out of the set"
    )
    empty = tmp_path / "e.png"
    empty.write_bytes(b"")
    assert refusal(read_header, empty, LIMIT) == (
        f"{empty}: is empty (0 bytes); copy it again, or take it out of the set"
    )
    assert refusal(read_header, tmp_path / "absent.png", LIMIT) == (
        f"{tmp_path}/absent.png: no such file or folder; check the path"
    )


def test_a_wrong_suffix_does_not_matter(tmp_path: Path) -> None:
    save(tmp_path / "a.png", picture(1))
    (tmp_path / "a.png").rename(tmp_path / "b.tif")
    assert read_header(tmp_path / "b.tif", LIMIT).driver == "PNG"


def test_bombs_are_refused_by_their_header(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png(60_000, 60_000, 8, 0, b"\0"))
    text = (
        f"{path}: 60000 x 60000 = 3600000000 pixels are more than the 10000 allowed; "
        "cut it into tiles, or raise data.max_pixels if you trust the file"
    )
    assert refusal(read_header, path, LIMIT) == refusal(read_image, path, LIMIT) == text
    tiff = write_tiff(tmp_path / "a.tif", np.zeros((1, 200, 200), np.uint8))
    assert "200 x 200 = 40000 pixels are more than the 10000 allowed" in refusal(read_image, tiff, LIMIT)


def test_masks_must_have_one_channel_and_no_blur(tmp_path: Path) -> None:
    colour = save(tmp_path / "c.png", picture(1))
    assert refusal(read_mask, colour, LIMIT) == (
        f"{colour}: a mask must have one channel, this one has 3 (RGB); save class ids as a grey or palette PNG, "
        "or set encoding: rgb if colours stand for classes"
    )
    blurred = save(tmp_path / "j.jpg", picture(1, bands=1))
    assert refusal(read_mask, blurred, LIMIT) == f"{blurred}: a JPEG mask has blurred label values; save masks as PNG"
    two = write_tiff(tmp_path / "t.tif", np.zeros((2, 3, 3), np.uint8))
    assert refusal(read_mask, two, LIMIT) == (
        f"{two}: a mask must have one channel, this one has 2; keep the band of class ids, "
        "or set encoding: rgb if colours stand for classes"
    )
    small = save(tmp_path / "s.png", picture(1, bands=1))
    assert refusal(read_mask, small, LIMIT, (10, 16)) == (
        f"{small}: the mask has 12 x 16 pixels (height x width), its image 10 x 16; make both the same size"
    )


def test_cmyk_and_animations_are_refused(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4)).save(tmp_path / "a.jpg")
    assert refusal(read_image, tmp_path / "a.jpg", LIMIT) == (
        f"{tmp_path}/a.jpg: has colour mode CMYK; convert it to grey, RGB or RGBA"
    )
    frames = [Image.fromarray(picture(seed, bands=1)[:, :, 0]) for seed in (1, 2)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert refusal(read_image, tmp_path / "a.gif", LIMIT) == f"{tmp_path}/a.gif: is an animation; save one frame as PNG"


def test_no_permission_is_a_matter_of_storage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "a.png", picture(1))

    def denied(*args: object, **kwargs: object) -> object:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(StorageError, match="check the permissions"):
        read_header(path, LIMIT)


def _encoded() -> dict[str, bytes]:
    found = {}
    for name, options in {"png": {}, "jpeg": {}, "gif": {}, "bmp": {}, "tiff": {}}.items():
        stream = io.BytesIO()
        Image.fromarray(picture(5)).save(stream, name, **options)
        found[name] = stream.getvalue()
    return found


ENCODED = _encoded()


@given(kind=st.sampled_from(["png", "jpeg", "bmp", "tiff"]), share=st.floats(0.01, 0.97))
def test_truncated_files_are_always_refused(tmp_path_factory: pytest.TempPathFactory, kind: str, share: float) -> None:
    path = tmp_path_factory.getbasetemp() / f"cut.{kind}"
    whole = ENCODED[kind]
    path.write_bytes(whole[: max(1, int(len(whole) * share))])
    assert re.match(rf"{re.escape(str(path))}: is ", refusal(read_image, path, LIMIT))


@given(kind=st.sampled_from(sorted(ENCODED)), places=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 255))))
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path_factory: pytest.TempPathFactory, kind: str, places: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.getbasetemp() / f"bad.{kind}"
    data = bytearray(ENCODED[kind])
    for place, value in places:
        data[int(place * len(data))] = value
    path.write_bytes(data)
    for function in (read_header, read_image, read_mask):
        with contextlib.suppress(InputError):
            function(path, LIMIT)


@given(place=st.floats(0, 0.999), bit=st.integers(0, 7))
def test_one_flipped_bit_of_a_png_never_passes_as_other_pixels(
    tmp_path_factory: pytest.TempPathFactory, place: float, bit: int
) -> None:
    path = tmp_path_factory.getbasetemp() / "flip.png"
    data = bytearray(ENCODED["png"])
    data[int(place * len(data))] ^= 1 << bit
    path.write_bytes(data)
    refusal(read_image, path, LIMIT)
