"""One image file to an array, with everything refused that a plain read would silently spoil."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from ambientkit.readers.lossy import of_tiff

FORMATS = ("PNG", "JPEG", "TIFF", "WEBP", "BMP")
"""Pillow's names of the formats that are read; the content of a file decides, not its suffix."""
SUFFIXES = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".webp", ".bmp")
"""What a file is called that is taken for an image, in any case."""
_TIFF_BITS, _TIFF_PHOTOMETRIC, _WHITE_IS_ZERO, _GDAL_NODATA = 258, 262, 0, 42113
_TIFF_WIDTH, _TIFF_HEIGHT, _COMPRESSION, _STRIPS, _TILES = 256, 257, 259, 273, 324
_ORIENTATION, _TURNED = 0x0112, (5, 6, 7, 8)


class UnusableImage(ValueError):
    """An image that cannot be used; the message is the cause, without the file's name."""


def read_image(path: Path, max_pixels: int) -> NDArray[Any]:
    """The picture in a file: (H, W) or (H, W, 3); uint8, uint16 or float32, in file values.

    Grey of 1, 8 and 16 bits, 8-bit RGB, 16-bit RGB PNG, palette (to RGB), float TIFF. The EXIF orientation is applied,
    which moves pixels and leaves their noise untouched. The size in the header is compared with max_pixels before
    anything is decoded; Pillow's own guard is neither used nor changed. Raises UnusableImage for everything else:
    damaged files, alpha, several pages, more bits than would be read.
    """
    with _opened(path) as file:
        return decode_image(file, max_pixels)


def look_at_image(path: Path, max_pixels: int) -> tuple[tuple[int, ...], np.dtype[Any], set[str]]:
    """The shape, channels first, and the number type that `read_image` would give, by the header; and the compression
    where it loses something. Raises UnusableImage as `read_image` does."""
    with _opened(path) as file, _damage_told(), _recognise(file) as image:
        _refuse(image, max_pixels)
        bits = _bits(image, file)
        width, height = _upright(image)
        channels = 3 if image.mode in ("RGB", "P") else 1
        dtype = np.dtype({16: np.uint16, 32: np.float32}.get(bits, np.uint8))
        return (channels, height, width), dtype, _lossy(image, file)


def lossy_image(file: IO[bytes]) -> set[str]:
    """The compression of an image where it loses something, from an open file or bytes in memory. Raises UnusableImage
    where it is none."""
    with _damage_told(), _recognise(file) as image:
        return _lossy(image, file)


def _lossy(image: Image.Image, file: IO[bytes]) -> set[str]:
    if image.format == "JPEG":
        return {"JPEG"}
    here = file.tell()
    try:
        if image.format == "WEBP":
            file.seek(12)
            return {"WebP"} if b"VP8 " in _chunks(file) else set()
        if image.format == "TIFF":
            tags = image.tag_v2  # type: ignore[attr-defined]
            file.seek(tags.get(_STRIPS, tags.get(_TILES, (0,)))[0])
            return of_tiff(tags.get(_COMPRESSION, 1), file.read(4096))
    finally:
        file.seek(here)
    return set()


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    """The names of the chunks of a RIFF file, from here on."""
    while len(head := file.read(8)) == 8:
        yield head[:4]
        length = int.from_bytes(head[4:], "little")
        file.seek(length + length % 2, 1)


def _upright(image: Image.Image) -> tuple[int, int]:
    """Width and height of an image as it is decoded, by its header. Pillow has turned those of TIFF already, in some
    versions before it has read the pixels."""
    width, height = image.size
    if image.format == "TIFF":
        width, height = (image.tag_v2[tag] for tag in (_TIFF_WIDTH, _TIFF_HEIGHT))  # type: ignore[attr-defined]
    return (height, width) if _orientation(image) in _TURNED else (width, height)


def decode_image(file: IO[bytes], max_pixels: int) -> NDArray[Any]:
    """As `read_image`, from an open file or bytes in memory."""
    with _damage_told(), _recognise(file) as image:
        _refuse(image, max_pixels)
        deep, mode, early, upright = _bits(image, file) == 16, image.mode, _orientation(image), _upright(image)
        image.load()
        if image.format != "TIFF" and int(image.getexif().get(_ORIENTATION, 1)) != early:
            raise UnusableImage(
                "its orientation is stored after its pixels, where not every program looks: save it again"
            )
        if deep and mode == "RGB":
            return _deep_colours(file, early)
        turned = ImageOps.exif_transpose(image)  # Pillow has turned a TIFF by itself, and says so no longer
        if turned.size != upright:
            raise UnusableImage(f"its orientation ({early}) is not applied by this version of Pillow: save it upright")
        if mode == "P":
            turned = turned.convert("RGB")
        pixels = np.asarray(turned)
    if mode == "1":
        return pixels.astype(np.uint8) * np.uint8(255)
    return pixels.astype(np.uint16) if deep else pixels


def _deep_colours(file: IO[bytes], orientation: int) -> NDArray[np.uint16]:
    """(H, W, 3): a PNG of 16 bits a colour, of which Pillow gives the upper 8. Pillow has read it all before, so it is
    whole."""
    try:
        import imagecodecs
    except ImportError:
        raise UnusableImage(
            "16-bit RGB is read by the library imagecodecs, which is not installed: pip install 'ambientkit[science]'"
        ) from None
    if orientation != 1:
        raise UnusableImage("it is 16-bit RGB with an EXIF orientation, which is not applied: turn its pixels instead")
    file.seek(0)
    return np.asarray(imagecodecs.png_decode(file.read()))


@contextmanager
def _opened(path: Path) -> Iterator[IO[bytes]]:
    try:
        file = path.open("rb")
    except OSError as error:
        raise UnusableImage(error.strerror or str(error) or type(error).__name__) from None
    with file:
        yield file


@contextmanager
def _damage_told() -> Iterator[None]:
    """Any exception of a decoder, as UnusableImage with one line."""
    try:
        yield
    except UnusableImage:
        raise
    except OSError as error:
        raise UnusableImage(error.strerror or str(error) or type(error).__name__) from None
    except Exception as error:  # Pillow's decoders raise anything on damaged files
        if "unknown raw mode" in str(error):  # planar channels, and other layouts of TIFF
            raise UnusableImage(
                "Pillow does not read pixels stored like this: read it with the data set tiff-stack"
            ) from None
        raise UnusableImage((" ".join(str(error).split()) or type(error).__name__)[:160]) from None


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation in the header, 1 where there is none. For PNG nothing is decoded to find it behind the
    pixels."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


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
        raise UnusableImage(
            f"{width} x {height} pixels are more than max_pixels = {max_pixels}: raise it if the image is honest"
        )
    pages = getattr(image, "n_frames", 1)
    if pages > 1:
        raise UnusableImage(
            f"it holds {pages} pages or frames, of which one would be read: read them with the data set "
            "tiff-stack, or save each as a file of its own"
        )
    nodata = str(image.tag_v2.get(_GDAL_NODATA, "nan")).strip("\0 ") if image.format == "TIFF" else "nan"  # type: ignore[attr-defined]
    if nodata.lower() != "nan":
        raise UnusableImage(
            f"it marks missing pixels (GDAL_NODATA {nodata}), which the data set tiff-stack distinguishes from others"
        )
    if image.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in image.info:
        raise UnusableImage(
            "it has transparency, and hidden pixels hold anything: composite it over a colour of your choice first"
        )


def _bits(image: Image.Image, file: IO[bytes]) -> int:
    """Bits per channel. Raises UnusableImage where Pillow would read fewer than there are, or another meaning."""
    bits = {"1": 1, "L": 8, "P": 8, "RGB": 8, "F": 32}.get(image.mode, 16 if image.mode.startswith("I;16") else 0)
    stored = bits
    if image.format == "PNG":
        here = file.tell()
        file.seek(24)  # the signature, then IHDR: length, name, width, height, and the bit depth
        stored = file.read(1)[0]
        file.seek(here)
        if stored == 16 and image.mode in ("I", "RGB"):
            bits = 16  # "I" is grey in Pillow before 11; of "RGB" it would give the upper 8 bits
    elif image.format == "TIFF":
        stored = max(image.tag_v2.get(_TIFF_BITS, (1,)))  # type: ignore[attr-defined]
        if stored > 8 and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _WHITE_IS_ZERO:  # type: ignore[attr-defined]
            raise UnusableImage(
                "it is a TIFF in which 0 is white, which would be read as a negative: save it with 0 as black, or "
                "as .npy"
            )
    if bits == 0 or stored > bits:
        raise UnusableImage(
            f"its pixels (mode {image.mode}, {stored or 'unknown'} bits a channel) cannot be read without loss: "
            "save it as 8-bit RGB, as 8- or 16-bit grey, as 16-bit RGB PNG, or as .npy; TIFF files of any depth "
            "are read by the data set tiff-stack"
        )
    return bits
