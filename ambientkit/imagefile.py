"""One image file to an array, with everything refused that a plain read would silently spoil."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""Pillow's names of the formats that are read; the content of a file decides, not its suffix."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
"""What a file is called that is taken for an image, in any case."""
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO = 258, 262, 0


class UnusableImage(ValueError):
    """An image that cannot be used; the message is the cause, without the file's name."""


def read_image(path: Path, max_pixels: int) -> NDArray[Any]:
    """The picture in a file: (H, W) or (H, W, 3); uint8, uint16 or float32, in file values.

    Grey of 1, 8 and 16 bits, 8-bit RGB, palette (to RGB), float TIFF. The EXIF orientation is applied, which moves pixels and
    leaves their noise untouched. The size in the header is compared with max_pixels before anything is decoded; Pillow's own
    guard is neither used nor changed. Raises UnusableImage for everything else: damaged files, alpha, several pages, more bits
    than would be read.
    """
    try:
        with path.open("rb") as file:
            return decode_image(file, max_pixels)
    except OSError as error:
        raise UnusableImage(error.strerror or str(error) or type(error).__name__) from None


def decode_image(file: IO[bytes], max_pixels: int) -> NDArray[Any]:
    """As `read_image`, from an open file or bytes in memory."""
    try:
        with _recognise(file) as image:
            _refuse(image, max_pixels)
            deep = _bits(image, file) == 16
            mode = image.mode
            image.load()
            turned = ImageOps.exif_transpose(image)
            if mode == "P":
                turned = turned.convert("RGB")
            pixels = np.asarray(turned)
    except UnusableImage:
        raise
    except OSError as error:
        raise UnusableImage(error.strerror or str(error) or type(error).__name__) from None
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        raise UnusableImage((" ".join(str(error).split()) or type(error).__name__)[:160]) from None
    if mode == "1":
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(np.uint16) if deep else pixels


def _recognise(file: IO[bytes]) -> Image.Image:
    """The image in an open file, header read. Unlike `Image.open` it leaves the limit on the size to us."""
    Image.init()
    prefix = file.read(16)
    if not prefix:
        raise UnusableImage("the file is empty (0 bytes)")
    for name in FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(prefix) is True:
            file.seek(0)
            return factory(file, "")
    raise UnusableImage(f"its content is none of {', '.join(FORMATS)}")


def _refuse(image: Image.Image, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels:
        raise UnusableImage(f"{width} x {height} pixels are more than max_pixels = {max_pixels}: raise it if the image is honest")
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise UnusableImage(
            f"it holds {pages} pages or frames, of which one would be read: read them with the data set tiff-stack, or save each as a file of its own"
        )
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        raise UnusableImage("it has transparency, and hidden pixels hold anything: composite it over a colour of your choice first")


def _bits(image: Image.Image, file: IO[bytes]) -> int:
    """Bits a channel. Raises UnusableImage where Pillow would read fewer than there are, or another meaning."""
    bits = {"1": 1, "L": 8, "P": 8, "RGB": 8, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 0)
    stored = bits
    if image.format == "PNG":
        here = file.tell()
        file.seek(24)  # the signature, then IHDR: length, name, width, height, and the bit depth
        stored = file.read(1)[0]
        file.seek(here)
        if stored == 16 and image.mode == "I":
            bits = 16  # Pillow before 11
    elif image.format == "TIFF":
        stored = max(image.tag_v2.get(_TIFF_BITS, (1,)))  # type: ignore[attr-defined]
        if stored > 8 and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
            raise UnusableImage("it is a TIFF in which 0 is white, which would be read as a negative: save it with 0 as black, or as .npy")
    if bits == 0 or stored > bits:
        raise UnusableImage(
            f"its pixels (mode {image.mode}, {stored or 'unknown'} bits a channel) cannot be read without loss: "
            f"save it as 8-bit RGB, as 8- or 16-bit grey, or as .npy; TIFF files of any depth are read by the data set tiff-stack"
        )
    return bits
