"""PNG files of whole numbers."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ambientkit.readers.files import needs
from ambientkit.readers.results import Encoded, Unwritable


def write_png(rows: Encoded, target: Path) -> None:
    """Write one picture (1, C, H, W): grey of 8 or 16 bits, or 8-bit RGB by Pillow, 16-bit RGB by imagecodecs."""
    from PIL import Image

    row = rows[0]
    pixels = np.ascontiguousarray(np.moveaxis(row, 0, -1) if len(row) == 3 else row[0])
    if pixels.dtype not in (np.uint8, np.uint16):
        raise Unwritable(f"PNG holds no values of type {pixels.dtype}: take float32")
    if pixels.dtype == np.uint16 and len(row) == 3:
        target.write_bytes(needs("imagecodecs", "science", "16-bit RGB").png_encode(pixels))
        return
    Image.fromarray(pixels).save(target, format="PNG")
