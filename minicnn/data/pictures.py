"""Reading a picture of any kind into 8-bit RGB, with an error that explains why a file is not a picture."""

from __future__ import annotations

import functools
import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

from ..errors import PictureError
from . import deep_colour
from .orientation import upright

# The formats that Pillow may decode: pictures, and nothing that starts another program (EPS runs Ghostscript).
FORMATS = ("JPEG", "MPO", "PNG", "GIF", "BMP", "DIB", "TIFF", "WEBP", "PPM", "JPEG2000", "AVIF", "TGA", "ICO", "HEIF")
MAX_PIXELS = 500_000_000
MAX_16_BIT = 65535
VISIBLE_ON_WHITE = 225  # luma: what is brighter cannot be told from white
PICTURE_SIGNATURES = {  # the first bytes of a file, to tell a damaged picture from another kind of file
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n": "PNG",
    b"GIF8": "GIF",
    b"BM": "BMP",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"\0\0\0\x0cjP": "JPEG 2000",
    **{b"P%d" % digit: "PPM" for digit in range(1, 7)},
}
OTHER_SIGNATURES = {
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript file",
    b"PK\x03\x04": "a zip archive (for a set of pictures use open_pictures)",
    b"\x1f\x8b": "a gzip archive",
    b"Rar!": "a RAR archive",
    b"7z\xbc\xaf": "a 7z archive",
    b"\x89HDF": "an HDF5 file",
    b"\x93NUMPY": "a NumPy array file (read it with numpy.load and pass the array)",
    b"version https://git-lfs": "a Git LFS pointer (fetch the picture itself with 'git lfs pull')",
    b"<!DOCTYPE": "a web page (did a download answer with an error page?)",
    b"<html": "a web page (did a download answer with an error page?)",
    b"<svg": "an SVG drawing (export it as PNG)",
    b"<?xml": "an XML file, perhaps an SVG drawing (export it as PNG)",
    b"\x1aE\xdf\xa3": "a video",
}
BRANDS = {b"avif": "AVIF", b"avis": "AVIF", **dict.fromkeys((b"heic", b"heix", b"heim", b"heis", b"mif1", b"msf1"), "HEIC")}


def read_picture(
    picture: Any, *, short_side: int | None = None, name: str | None = None, white: int = MAX_16_BIT
) -> np.ndarray:
    """The pixels of a picture, in 8-bit RGB, the right way up.

    Parameters
    ----------
    picture : path, bytes, file object, Pillow image or array
        Arrays are (H, W), (H, W, 1), (H, W, 3) or (H, W, 4): uint8, uint16 (0 to 65535), bool, other integers from 0 to
        255, or floating-point numbers from 0 to 1.
    short_side : int, optional
        The length to which the caller will shrink the short side. A JPEG of more than twice that size may then be decoded at
        a half, a quarter or an eighth of its size, which is much faster. Other pictures are read in full.
    name : str, optional
        The name of the picture in error messages.
    white : int
        The value of 16-bit pictures, grey or in colour, that becomes 255; larger ones do too. A camera of 12 bits has its white
        at 4095. (An alpha channel of 16 bits always ends at 65535. Of a Pillow image in colour there are only 8 bits.)

    Returns
    -------
    uint8 (H, W, 3)
        EXIF rotation is applied, grey repeated for three channels, 16-bit values scaled, transparent pixels laid on white, as
        on a web page, or on black where most of what is visible is as good as white; of an animation it is the first frame. A
        uint8 array (H, W, 3) is returned as it is.

    Raises
    ------
    PictureError
        For anything that is not a picture, or cannot be read completely.
    """
    if isinstance(picture, np.ndarray):
        return _rgb_from_array(picture, name or "the array", white)
    with _pillow_settings():
        if isinstance(picture, Image.Image):
            return _rgb_from_image(picture, name or "the Pillow image", None, white)
        data, name = _bytes_of(picture, name)
        image = _open(data, name)
        if deep_colour.raw_mode(image):
            return _rgb_from_array(_deep_colours(image, data, name), name, white)
        return _rgb_from_image(image, name, short_side, white)


def largest_value(data: bytes) -> int | None:
    """The largest value of an encoded picture of 16 bits, alpha aside; None for any other, and where it cannot be read."""
    with _pillow_settings():
        try:
            image = _open(data, "the picture")
            if deep_colour.raw_mode(image):
                return int(_deep_colours(image, data, "the picture")[..., :3].max())
            if not image.mode.startswith("I") or image.width * image.height > MAX_PIXELS:
                return None
            return int(np.asarray(image).max())
        except Exception:  # as in _decode; whoever reads the picture is told
            return None


# ---- the file


def _bytes_of(picture: Any, name: str | None) -> tuple[bytes, str]:
    """The encoded picture, and its name for error messages."""
    if isinstance(picture, (str, os.PathLike)):
        path = Path(os.fsdecode(picture)).expanduser()
        name = name or str(path)
        try:
            if path.is_dir():
                raise PictureError(f"{name} is a folder, not a picture; name the pictures in it, or use open_pictures for all")
            if path.exists() and not path.is_file():
                raise PictureError(f"{name} is not an ordinary file, so it cannot be read as a picture")
            data = path.read_bytes()
        except FileNotFoundError:
            raise PictureError(f"{name}: there is no such file; check the path") from None
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
            if isinstance(error, PictureError):
                raise
            raise PictureError(f"{name} cannot be read: {getattr(error, 'strerror', None) or error}") from None
    elif isinstance(picture, (bytes, bytearray, memoryview)):
        data, name = bytes(picture), name or "the picture"
    elif hasattr(picture, "read"):
        data, name = _read_all(picture), name or str(getattr(picture, "name", "the picture"))
    else:
        raise PictureError(
            f"a picture is a path, bytes, an open binary file, a Pillow image or an array; got {type(picture).__name__}"
        )
    if not data:
        raise PictureError(f"{name} is empty (zero bytes); copy or download it again")
    return data, name


def _read_all(file: BinaryIO) -> bytes:
    data = file.read()
    if not isinstance(data, bytes):
        raise PictureError("a picture's file must be opened in binary mode: open(path, 'rb')")
    return data


def _open(data: bytes, name: str) -> Image.Image:
    """The opened image: its header has been read, its pixels have not been decoded."""
    try:
        return Image.open(io.BytesIO(data), formats=_known_formats())
    except Exception as error:  # Pillow's plugins raise exceptions of many types while they parse a header
        is_picture, description = identify_format(data)
        if description == "TIFF":
            raise PictureError(
                f"{name} is truncated or damaged, or a TIFF of a kind that cannot be read; copy it again, or save it as PNG"
            ) from error
        if is_picture:
            raise PictureError(
                f"{name} is truncated or damaged: it begins as {description} and breaks off; copy it again"
            ) from error
        raise PictureError(f"{name} is not a picture that can be read: it looks like {description}") from error


@functools.lru_cache(maxsize=1)
def _known_formats() -> tuple[str, ...]:
    """Those of FORMATS that this build of Pillow knows; HEIF where the package pillow-heif is installed."""
    Image.init()
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        pass
    else:
        register_heif_opener()
    return tuple(name for name in FORMATS if name in Image.OPEN)


def can_read_heic() -> bool:
    """Whether the package pillow-heif is there, which reads the pictures of iPhones."""
    return "HEIF" in _known_formats()


def identify_format(data: bytes) -> tuple[bool, str]:
    """Whether the first bytes of a file are those of a picture that can be read, and what the file most likely is."""
    head = data[:512]
    for signature, description in PICTURE_SIGNATURES.items():
        if head.startswith(signature):
            return True, description
    if head[:4] == b"RIFF" and (head[8:12] in b"WEBP" or len(head) < 12):
        return True, "WebP"
    if head[4:8] == b"ftyp":
        brand = "AVIF" if b"avif" in head[8:64] else BRANDS.get(head[8:12])  # the main brand may be that of the container
        if brand == "HEIC":
            if can_read_heic():
                return True, "HEIC"
            return False, 'a HEIC picture, as iPhones take them (pip install "minicnn[heic]", or convert it to JPEG)'
        return (True, brand) if brand else (False, "a video")
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    for signature, description in OTHER_SIGNATURES.items():
        if text[: len(signature)].lower() == signature.lower():
            return False, description
    if not any(head):
        return False, "nothing but zeros (a copy that went wrong?)"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < 509:  # a character of several bytes may be cut off at the end
            return False, f"something unknown (its first bytes are {head[:8].hex(' ')})"
    return False, f"text (it begins {head[:24].decode('utf-8', 'replace')!r})"


class _UserSettings:
    """The user's process-wide Pillow settings, kept while any thread decodes. The last thread to finish restores them."""

    lock = threading.Lock()
    decoding_threads = 0
    max_pixels: int | None = None
    warning_filters: warnings.catch_warnings | None = None


@contextmanager
def _pillow_settings() -> Iterator[None]:
    """No limit but MAX_PIXELS, which is checked as soon as the header is read, and no warnings about odd metadata."""
    with _UserSettings.lock:
        if _UserSettings.decoding_threads == 0:
            _UserSettings.max_pixels, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
            _UserSettings.warning_filters = warnings.catch_warnings()
            _UserSettings.warning_filters.__enter__()
            warnings.filterwarnings("ignore", module=r"PIL\.")
        _UserSettings.decoding_threads += 1
    try:
        yield
    finally:
        with _UserSettings.lock:
            _UserSettings.decoding_threads -= 1
            if _UserSettings.decoding_threads == 0:
                Image.MAX_IMAGE_PIXELS = _UserSettings.max_pixels
                _UserSettings.warning_filters.__exit__(None, None, None)


# ---- the pixels


def _rgb_from_image(image: Image.Image, name: str, short_side: int | None, white: int) -> np.ndarray:
    image = _decode(image, name, short_side)
    if image.mode == "F" or image.mode.startswith("I"):
        return _rgb_from_array(_numbers(image), name, white)
    try:
        return np.array(_opaque(image))
    except ValueError as error:
        raise PictureError(f"{name} is of mode {image.mode}, which cannot be converted to RGB; convert it first") from error


def _deep_colours(image: Image.Image, data: bytes, name: str) -> np.ndarray:
    """The numbers of a colour picture of 16 bits, uint16 (H, W, 3) or (H, W, 4), for which it is decoded twice."""
    mode, again = deep_colour.raw_mode(image), _open(data, name)
    deep_colour.ask_for_lower_bytes(again)
    return deep_colour.joined(_decode(image, name), _decode(again, name), mode)


def _decode(image: Image.Image, name: str, short_side: int | None = None) -> Image.Image:
    """The opened image with its pixels, the right way up."""
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise PictureError(
            f"{name} claims {width} x {height} pixels; pictures of up to {MAX_PIXELS // 10**6} megapixels are read. "
            "If it really is that large, cut or shrink it first."
        )
    if width * height == 0:
        raise PictureError(f"{name} has no pixels: it is {width} wide and {height} high")
    if deep_colour.is_planar(image):
        raise PictureError(f"{name} is a 16-bit TIFF with a plane for each channel, which cannot be read; save it as PNG")
    try:
        if short_side and image.format in ("JPEG", "MPO"):
            scale = 2 * short_side / min(width, height)
            image.draft(None, (round(width * scale), round(height * scale)))  # decoded at this size or larger
        image.load()
    except Exception as error:  # as in _open: struct.error, zlib.error, SyntaxError, OSError, ...
        raise PictureError(f"{name} is truncated or damaged ({_reason(error)}); copy or download it again") from error
    return upright(image)


def _reason(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


def _numbers(image: Image.Image) -> np.ndarray:
    """Grey values of more than 8 bits. Pillow opens 16-bit files in mode I or I;16, depending on the format and its release."""
    values = np.asarray(image)
    return values.astype(np.uint16) if image.mode.startswith("I") and values.min() >= 0 and values.max() <= 65535 else values


def _opaque(image: Image.Image) -> Image.Image:
    """RGB, with transparent pixels laid on white, or on black where most of what is visible could not be seen on white."""
    if image.mode in ("LA", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        visible = np.asarray(image.getchannel("A")).astype(np.uint32)
        if visible.min() < 255:
            is_bright = np.asarray(image.convert("RGB").convert("L")) > VISIBLE_ON_WHITE
            background = "black" if 2 * visible[is_bright].sum() > visible.sum() else "white"
            image = Image.alpha_composite(Image.new("RGBA", image.size, background), image)
    return image.convert("RGB")


def _rgb_from_array(array: np.ndarray, name: str, white: int) -> np.ndarray:
    """8-bit RGB from an array of grey, RGB or RGBA values."""
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    if array.size == 0 or array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[-1] not in (3, 4)):
        hint = " Is it (3, H, W)? Then pass array.transpose(1, 2, 0)." if array.shape[:1] in ((1,), (3,)) else ""
        raise PictureError(f"{name}: expected an array (H, W), (H, W, 3) or (H, W, 4), got shape {array.shape}.{hint}")
    if array.ndim == 3 and array.shape[-1] == 4:
        colours, alpha = _eight_bits(array[..., :3], name, white), _eight_bits(array[..., 3:], name, MAX_16_BIT)
        return np.array(_opaque(Image.fromarray(np.concatenate([colours, alpha], axis=-1))))
    pixels = _eight_bits(array, name, white)
    return np.repeat(pixels[..., None], 3, axis=-1) if pixels.ndim == 2 else pixels


def _eight_bits(array: np.ndarray, name: str, white: int) -> np.ndarray:
    if array.dtype == np.uint8:
        return array
    if array.dtype == bool:
        return array.astype(np.uint8) * 255
    if array.dtype.kind == "u" and array.dtype.itemsize == 2:  # in either byte order
        return ((np.minimum(array, white) * np.uint32(255) + white // 2) // white).astype(np.uint8)  # rounded
    if array.dtype.kind not in "iuf":
        raise PictureError(f"{name} holds {array.dtype}; expected numbers: uint8, uint16, or floating point from 0 to 1")
    low, high = array.min(), array.max()
    if array.dtype.kind == "f":
        if not (low >= -1e-3 and high <= 1 + 1e-3):  # false for NaN as well; filters may overshoot slightly
            raise PictureError(
                f"{name} holds floating-point values from {low:g} to {high:g}, expected 0 (black) to 1 (white); "
                "divide by the value of white, or convert 8-bit values with astype(numpy.uint8)"
            )
        return np.rint(np.clip(array, 0, 1) * 255).astype(np.uint8)
    if low < 0 or high > 255:
        raise PictureError(f"{name} holds {array.dtype} values from {low} to {high}; expected 0 to 255, or uint16 for 16 bits")
    return array.astype(np.uint8)
