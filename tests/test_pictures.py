"""read_picture: whatever people call a picture becomes 8-bit RGB, or one clear sentence."""

import contextlib
import io
import struct
import threading
import warnings
import zlib

import numpy as np
import pytest
from deep_pictures import png16, tiff16
from PIL import Image, PngImagePlugin

from minicnn.data import pictures
from minicnn.data.pictures import MAX_PIXELS, identify_format, read_picture
from minicnn.errors import PictureError

pytestmark = pytest.mark.filterwarnings("error")

RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def noise(height: int = 40, width: int = 50) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


def png(width: int, height: int, bits: int, colour_type: int, rows: bytes) -> bytes:
    """A PNG file written by hand, for what Pillow does not write."""

    def chunk(chunk_type: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + chunk_type + data + struct.pack(">I", zlib.crc32(chunk_type + data))

    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def refusal(picture, **options) -> str:
    with pytest.raises(PictureError) as caught:
        read_picture(picture, **options)
    assert "Traceback" not in str(caught.value) and "\n" not in str(caught.value)
    return str(caught.value)


# ---- what a picture may come as


def test_path_string_bytes_file_pillow_image_and_array_give_the_same_pixels(tmp_path):
    pixels = noise()
    path = tmp_path / "noise.png"
    Image.fromarray(pixels).save(path)
    with path.open("rb") as file:
        ways = [path, str(path), path.read_bytes(), bytearray(path.read_bytes()), file, Image.fromarray(pixels), pixels]
        for way in ways:
            seen = read_picture(way)
            assert seen.dtype == np.uint8
            np.testing.assert_array_equal(seen, pixels)


def test_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    Image.fromarray(noise()).save(tmp_path / "mine.png")
    assert read_picture("~/mine.png").shape == (40, 50, 3)


def test_a_pillow_image_is_left_as_it_was():
    file = io.BytesIO(encoded(Image.fromarray(noise(400, 400)), "JPEG"))
    image = Image.open(file)
    assert read_picture(image, short_side=20).shape == (400, 400, 3)
    assert image.size == (400, 400) and image.mode == "RGB"


@pytest.mark.parametrize(
    "array, first",
    [
        (np.full((2, 3), 7, np.uint8), 7),
        (np.full((2, 3, 1), 7, np.uint8), 7),
        (np.full((2, 3), True), 255),
        (np.full((2, 3), 65535, np.uint16), 255),
        (np.full((2, 3), 32896, ">u2"), 128),
        (np.full((2, 3, 3), 200, np.int64), 200),
        (np.full((2, 3, 3), 0.5, np.float32), 128),
        (np.full((2, 3), 1.0), 255),
    ],
)
def test_arrays_of_every_usual_kind(array, first):
    pixels = read_picture(array)
    assert pixels.shape == (2, 3, 3) and pixels.dtype == np.uint8 and (pixels == first).all()


# ---- kinds of picture


@pytest.mark.parametrize("form", ["PNG", "BMP", "TIFF", "PPM", "TGA"])
def test_lossless_formats_are_exact(form):
    np.testing.assert_array_equal(read_picture(encoded(Image.fromarray(noise()), form)), noise())


def test_sixteen_bits_of_grey_are_scaled_not_cut_off():
    ramp = np.array([[0, 128, 257, 32896, 65278, 65535]], np.uint16)
    expected = [0, 0, 1, 128, 254, 255]  # v / 257, rounded
    image = Image.fromarray(ramp)
    for picture in (encoded(image, "PNG"), encoded(image, "TIFF"), image, image.convert("I")):
        assert read_picture(picture)[0, :, 0].tolist() == expected
    big_endian = encoded(Image.frombytes("I;16B", (6, 1), ramp.astype(">u2").tobytes()), "TIFF")
    assert read_picture(big_endian)[0, :, 1].tolist() == expected


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_sixteen_bit_png_with_colour_and_alpha(channels):
    values = np.zeros((1, 2, channels), np.uint16)
    values[0, 0] = 65535
    if channels % 2 == 0:
        values[..., -1] = 65535  # opaque
    assert read_picture(png16(values)).tolist() == [[[255] * 3, [0] * 3]]


DEEP = {
    "PNG": png16,
    "interlaced PNG": lambda values: png16(values, interlaced=True),
    "TIFF": tiff16,
    "big-endian TIFF": lambda values: tiff16(values, ">"),
    "compressed TIFF": lambda values: tiff16(values, compressed=True),
    "compressed big-endian TIFF": lambda values: tiff16(values, ">", compressed=True),
}


@pytest.mark.parametrize("form", DEEP)
@pytest.mark.parametrize("channels", [3, 4])
def test_no_bit_of_deep_colours_is_lost(form, channels):
    values = np.random.default_rng(0).integers(0, 4096, (9, 10, channels)).astype(np.uint16)
    values[..., 3:] = 65535
    data = DEEP[form](values)
    np.testing.assert_array_equal(read_picture(data, white=4095), np.rint(values[..., :3] / 4095 * 255))
    assert pictures.largest_value(data) == values[..., :3].max()


def test_deep_grey_with_alpha_keeps_its_bits_too():
    values = np.array([[[4095, 65535], [1365, 65535], [1365, 0]]], np.uint16)
    assert read_picture(png16(values), white=4095)[0, :, 0].tolist() == [255, 85, 255]  # what is transparent is white
    assert pictures.largest_value(png16(values)) == 4095


def test_deep_colours_are_turned_the_right_way_up():
    values = np.zeros((2, 3, 3), np.uint16)
    values[0, 0] = 65535
    assert read_picture(tiff16(values, orientation=3))[1, 2].tolist() == [255, 255, 255]


@pytest.mark.parametrize("compressed", [False, True])
def test_deep_colours_in_planes_are_refused_because_pillow_would_mix_them_up(compressed):
    data = tiff16(np.zeros((4, 4, 3), np.uint16), planar=True, compressed=compressed)
    assert "a plane for each channel" in refusal(data) and pictures.largest_value(data) is None


def test_a_tiff_of_a_rare_kind_is_not_called_damaged_only():
    photometric = struct.pack("<HHI", 262, 3, 1)
    of_another_kind = tiff16(np.zeros((4, 4, 3), np.uint16)).replace(photometric + b"\2", photometric + b"\x08")  # CIELab
    assert "or a TIFF of a kind that cannot be read" in refusal(of_another_kind)


def test_deep_colours_that_break_off_are_called_truncated():
    data = png16(np.random.default_rng(0).integers(0, 65536, (40, 40, 3)).astype(np.uint16))
    assert "truncated or damaged" in refusal(data[: len(data) // 2])


def test_floating_point_tiff_holds_zero_to_one():
    assert read_picture(encoded(Image.fromarray(np.array([[0, 0.25, 1]], np.float32)), "TIFF"))[0, :, 0].tolist() == [
        0,
        64,
        255,
    ]


def test_cmyk_jpeg():
    pixels = read_picture(encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG", quality=95))
    np.testing.assert_allclose(pixels, np.broadcast_to(RED, (16, 16, 3)), atol=12)


def test_palette_one_bit_and_lab_pictures():
    drawing = Image.new("RGB", (4, 2), BLUE)
    drawing.putpixel((0, 0), RED)
    palette = drawing.convert("P", palette=Image.Palette.ADAPTIVE, colors=4)
    assert read_picture(encoded(palette, "PNG"))[0, :2].tolist() == [list(RED), list(BLUE)]
    assert read_picture(encoded(Image.new("1", (9, 3), 1), "PNG")).tolist() == np.full((3, 9, 3), 255).tolist()
    assert read_picture(encoded(Image.new("LAB", (2, 2), (255, 128, 128)), "TIFF")).shape == (2, 2, 3)


def test_what_is_transparent_becomes_white():
    half = Image.new("RGBA", (3, 1), (0, 0, 0, 255))
    half.putpixel((1, 0), (0, 0, 0, 0))
    half.putpixel((2, 0), (255, 0, 0, 128))
    assert read_picture(encoded(half, "PNG"))[0].tolist() == [[0, 0, 0], [255, 255, 255], [255, 127, 127]]
    np.testing.assert_array_equal(read_picture(np.asarray(half)), read_picture(half))
    assert read_picture(encoded(Image.new("LA", (1, 1), (9, 0)), "PNG"))[0, 0].tolist() == [255, 255, 255]
    palette = Image.new("P", (2, 1))
    palette.putpalette([*RED, *GREEN])
    palette.putpixel((1, 0), 1)
    assert read_picture(encoded(palette, "PNG", transparency=1))[0].tolist() == [list(RED), [255, 255, 255]]
    assert read_picture(encoded(Image.new("RGB", (1, 1), RED), "PNG", transparency=RED))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("form", ["GIF", "PNG", "WEBP"])
def test_first_frame_of_an_animation(form):
    red, blue = Image.new("RGB", (8, 8), RED), Image.new("RGB", (8, 8), BLUE)
    data = encoded(red, form, save_all=True, append_images=[blue, blue], **({"lossless": True} if form == "WEBP" else {}))
    assert Image.open(io.BytesIO(data)).n_frames > 1
    assert read_picture(data)[4, 4].tolist() == list(RED)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_brings_the_red_corner_back_to_the_top_left(orientation, form):
    upright = np.zeros((32, 48, 3), np.uint8)
    upright[:16, :16] = RED
    stored = {  # how a camera stores it, from the EXIF standard: which row and column of the array are the visual top and left
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    lossless = {"lossless": True} if form == "WEBP" else {"quality": 95} if form == "JPEG" else {}
    seen = read_picture(encoded(Image.fromarray(np.ascontiguousarray(stored)), form, exif=exif, **lossless))
    assert seen.shape == (32, 48, 3)
    assert seen[4, 4, 0] > 200 and seen[-5, -5].max() < 50 and seen[4, -5].max() < 50


def test_broken_exif_data_are_no_reason_to_fail():
    data = encoded(Image.new("RGB", (8, 8), RED), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x05garbage")
    assert read_picture(data).shape == (8, 8, 3)


def test_one_pixel_and_twenty_thousand_wide():
    assert read_picture(encoded(Image.new("RGB", (1, 1), GREEN), "PNG")).tolist() == [[list(GREEN)]]
    assert read_picture(encoded(Image.new("L", (20_000, 3)), "PNG")).shape == (3, 20_000, 3)


def test_more_pixels_than_pillow_likes_are_read_without_a_warning():
    width, height = 20_000, 4_500  # 90 megapixels: Pillow warns from 89
    assert read_picture(encoded(Image.new("1", (width, height)), "PNG")).shape == (height, width, 3)


def test_a_large_jpeg_is_decoded_smaller_if_it_will_be_shrunk_anyway():
    smooth = Image.fromarray(noise(8, 12)).resize((1200, 800), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG")
    assert read_picture(data).shape == (800, 1200, 3)
    small = read_picture(data, short_side=100)
    assert small.shape == (200, 300, 3)  # a quarter: still twice what is wanted
    np.testing.assert_allclose(small, np.asarray(smooth.resize((300, 200), Image.Resampling.BOX)), atol=10)
    assert read_picture(data, short_side=500).shape == (800, 1200, 3)


# ---- what is no picture


def test_a_picture_that_claims_more_than_the_limit_is_refused_before_it_is_decoded():
    message = refusal(png(60_000, 60_000, 8, 0, b""), name="bomb.png")
    assert "bomb.png" in message and "60000 x 60000" in message and f"{MAX_PIXELS // 10**6} megapixels" in message


@pytest.mark.parametrize(
    "form, options",
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("WEBP", {}),
        ("PPM", {}),
        ("JPEG2000", {}),
    ],
)
def test_a_truncated_file_is_called_truncated_wherever_it_ends(form, options):
    data = encoded(Image.fromarray(noise()), form, **options)
    for length in range(16, len(data) - 40, max(1, len(data) // 60)):
        assert "truncated" in refusal(data[:length], name="cut")


@pytest.mark.parametrize(
    "data, description",
    [
        (b"name,label\ncat,1\n", "text"),
        ("고양이 그림".encode() * 60, "text"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04....", "zip archive"),
        (b"\n <!doctype html><title>404", "web page"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\0\0\0\x18ftypisom\0\0\0\0", "video"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"),
        (b"\x93NUMPY\x01\0", "numpy.load"),
        (b"\0" * 600, "zeros"),
        (b"\x9c\xfe\xfd\x80\x81", "9c fe fd 80 81"),
    ],
)
def test_what_is_no_picture_is_named_with_what_it_looks_like(tmp_path, data, description):
    path = tmp_path / "photo.jpg"
    path.write_bytes(data)
    message = refusal(path)
    assert str(path) in message and description in message and not identify_format(data)[0]


def test_a_picture_of_an_iphone_needs_its_reader(monkeypatch):
    monkeypatch.setattr(pictures, "can_read_heic", lambda: False)
    assert 'HEIC picture, as iPhones take them (pip install "minicnn[heic]"' in refusal(b"\0\0\0\x18ftypheic\0\0\0\0")
    assert identify_format(b"\0\0\0\x1cftypmif1\0\0\0\0mif1avif") == (True, "AVIF")


def test_missing_empty_folder_and_device(tmp_path):
    assert "no such file" in refusal(tmp_path / "none.jpg")
    assert "is a folder" in refusal(tmp_path)
    (tmp_path / "empty.png").touch()
    message = refusal(tmp_path / "empty.png")
    assert "empty.png" in message and "zero bytes" in message
    assert "zero bytes" in refusal(b"")
    assert "not an ordinary file" in refusal("/dev/zero")
    assert "cannot be read" in refusal("a\0b") or "no such file" in refusal("a\0b")
    assert "binary mode" in refusal(io.StringIO("text"))
    assert "got NoneType" in refusal(None)


@pytest.mark.parametrize(
    "array, words",
    [
        (np.zeros((3, 32, 32), np.uint8), "transpose(1, 2, 0)"),
        (np.zeros((0, 5), np.uint8), "(0, 5)"),
        (np.zeros((2, 2, 2, 3), np.uint8), "(2, 2, 2, 3)"),
        (np.array([[0.0, 255.0]]), "from 0 to 255"),
        (np.array([[np.nan]]), "nan"),
        (np.array([[300]]), "300"),
        (np.array([[-1]]), "-1"),
        (np.array([["a"]]), "<U1"),
    ],
)
def test_arrays_that_are_no_pictures(array, words):
    assert words in refusal(array, name="mine") and "mine" in refusal(array, name="mine")


def test_damage_of_any_kind_is_a_picture_error_or_a_picture():
    rng = np.random.default_rng(3)
    for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP"):
        data = encoded(Image.fromarray(noise(16, 16)), form)
        for _ in range(60):
            broken = bytearray(data)
            broken[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
            with contextlib.suppress(PictureError):
                assert read_picture(bytes(broken)).shape[2] == 3


def test_pillows_settings_are_the_users_again_afterwards_also_with_threads():
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    data = encoded(Image.fromarray(noise()), "JPEG")
    threads = [threading.Thread(target=lambda: [read_picture(data) for _ in range(50)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert limit == Image.MAX_IMAGE_PIXELS and warnings.filters == filters


def test_text_in_a_png_that_unpacks_to_gigabytes_is_refused_or_passed_over():
    info = PngImagePlugin.PngInfo()
    info.add_text("comment", "0" * (PngImagePlugin.MAX_TEXT_CHUNK + 1), zip=True)
    try:
        assert read_picture(encoded(Image.new("L", (2, 2)), "PNG", pnginfo=info)).shape == (2, 2, 3)
    except PictureError as error:
        assert "damaged" in str(error)
