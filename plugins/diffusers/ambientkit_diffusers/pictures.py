"""What of a picture is encoded: its square or its bucket, its crop and its flip, drawn once from the content of its
file."""

from __future__ import annotations

import hashlib
import io
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Generator, Tensor

from ambientkit.maths.randomness import keyed_generator
from ambientkit_diffusers.captions import Captioned
from ambientkit_diffusers.conditions import Size, covering, mirrored, time_ids

MODES = ("RGB", "L", "P", "1", "CMYK", "YCbCr")
"""Pillow's modes of pictures of 8 bits without transparent parts."""


class UnusableError(Exception):
    """Why a picture cannot be used."""


class Source(NamedTuple):
    """What of a picture is encoded."""

    picture: Captioned
    key: dict[str, Any]
    """All that decides about it but the size and the VAE."""
    original: Size
    crop: Size
    """Top and left edge after resizing, pixels."""
    resized: Size
    size: Size
    """Height and width that are cut out after resizing, pixels."""
    flip: bool

    def generator(self, seed: int, purpose: str) -> Generator:
        """Keyed by the content of the file, so that a picture keeps its draw when others come or go."""
        return keyed_generator(seed, f"{purpose}.{self.key['file']}")

    def time_ids(self) -> Tensor:
        """The sizes that SDXL gets with it; of a mirrored picture, what was cut off on the left of the mirror image."""
        return mirrored(time_ids(self.original, self.crop, self.size), self.flip, False)

    def read(self) -> Tensor:
        """The picture, (3, height, width) in [-1, 1]."""
        with Image.open(io.BytesIO(self.picture.content())) as opened:
            picture = ImageOps.exif_transpose(opened).convert("RGB")
        (height, width), (top, left) = self.size, self.crop
        picture = picture.resize(self.resized[::-1], Image.Resampling.LANCZOS)
        picture = picture.crop((left, top, left + width, top + height))
        x = torch.from_numpy(np.asarray(picture, dtype=np.float32).copy()).permute(2, 0, 1) / 127.5 - 1
        return x.flip(2) if self.flip else x


def source_of(one: Captioned, sizes: list[Size], crop: Literal["center", "random"], flip: bool, seed: int) -> Source:
    """What of a picture is encoded: it is brought to the size of `sizes` whose aspect is nearest to its own, so that it
    covers it, and what is over is cropped. Raises UnusableError where it cannot be read whole, or is no picture of 8
    bits."""
    try:
        content = one.content()
        with Image.open(io.BytesIO(content)) as opened:
            mode = opened.mode
            picture = ImageOps.exif_transpose(opened)
            picture.load()  # a cut file fails here, before anything is encoded
    except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UnusableError(f"cannot be read as a picture ({error})") from None
    if mode not in MODES:
        transparent = mode in ("RGBA", "LA", "PA", "RGBa", "La")
        why = "has transparent parts" if transparent else f"is no picture of 8 bits ({mode})"
        raise UnusableError(f"{why}: the VAE takes 8-bit RGB; convert it first")
    width, height = picture.size
    size = min(sizes, key=lambda size: abs(np.log(size[0] / size[1]) - np.log(height / width)))
    resized = covering((height, width), size)
    digest = hashlib.sha256(content).hexdigest()
    room = (resized[0] - size[0], resized[1] - size[1])
    top, left = room[0] // 2, room[1] // 2
    u = torch.rand(3, generator=keyed_generator(seed, f"latents.pose.{digest}")).tolist()
    if crop == "random":
        top, left = (int(share * (most + 1)) for share, most in zip(u, room, strict=False))
    flipped = flip and u[2] < 0.5
    key = {"file": digest, "crop": [top, left], "flip": flipped, "seed": seed}
    return Source(one, key, (height, width), (top, left), resized, size, flipped)
