"""Pictures of batches: grids with one fixed mapping from [-1, 1] to grey values, and panels side by side."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageChops, ImageDraw, ImageFont
from torch import Tensor

PAPER, INK = (255, 255, 255), (40, 40, 40)
LABEL = 13
"""Pixels of the strip for a label."""
RESTORED = 8
"""Rows in the picture of restored ones."""


def grid(
    rows: Tensor,
    columns: int | None = None,
    scale: int | None = None,
    labels: Sequence[str] | None = None,
    decode: Callable[[Tensor], Tensor | None] | None = None,
    paper: bool = True,
) -> Image.Image | None:
    """Images (n, C, H, W) in [-1, 1] as one picture; points (n, 2) as a density map. None for other shapes: they have
    no picture.

    -1, 0, 1 are drawn as 0, 128, 255 in every picture (values beyond are cut for display only). 1 channel is grey and 3
    are colours; of any
    other number each channel is a grey image of its own, side by side. labels: a short text below each image.
    scale: pixels per pixel; by default small images are enlarged to about 48 x 48 pixels, long ones to at most 144.
    decode: how rows become pictures, where they are none themselves (`Rows.decode`). paper: gaps and empty cells are
    white; else they are transparent, for pages that may be dark.
    """
    if decode is not None:
        with torch.no_grad():
            decoded = decode(rows)
        if decoded is None:
            return None
        rows = decoded
    if rows.ndim == 2 and rows.shape[1] == 2:
        return _density(rows)
    if rows.ndim != 4 or 0 in rows.shape:
        return None
    columns = columns or math.ceil(math.sqrt(len(rows)))
    high, wide = rows.shape[2:]
    scale = scale or max(1, round(min(48 / math.sqrt(high * wide), 144 / max(high, wide))))
    shown = ((rows.float().cpu().clamp(-1, 1) + 1) / 2).repeat_interleave(scale, 2).repeat_interleave(scale, 3)
    gap = 2
    if shown.shape[1] not in (1, 3):
        gap = 8  # more than between the channels of one image
        shown = torch.cat(
            [torch.nn.functional.pad(channel, (0, 1), value=1.0) for channel in shown.split(1, dim=1)], dim=3
        )[..., :-1]
    font = ImageFont.load_default(size=LABEL - 2)
    if labels is not None:  # a label that is cut would be another number: rather a wider cell
        wider = max(0, math.ceil(max(map(font.getlength, labels))) + 4 - shown.shape[3])
        shown = torch.nn.functional.pad(shown, (0, wider, 0, LABEL), value=1.0)
    cells = (shown * 255).round().to(torch.uint8).expand(-1, 3, -1, -1).permute(0, 2, 3, 1).numpy()
    (height, width), columns = cells.shape[1:3], min(columns, len(cells))
    lines = math.ceil(len(cells) / columns)
    size = (gap + columns * (width + gap), gap + lines * (height + gap))
    picture = Image.new("RGB", size, PAPER) if paper else Image.new("RGBA", size, (*PAPER, 0))
    pen = ImageDraw.Draw(picture)
    for index, cell in enumerate(cells):
        place = (gap + (index % columns) * (width + gap), gap + (index // columns) * (height + gap))
        picture.paste(Image.fromarray(cell), place)
        if labels is not None:
            pen.text((place[0], place[1] + height - LABEL), labels[index], fill=INK, font=font)
    return picture


def decoded(decode: Callable[[Tensor], Tensor | None] | None, arrays: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Pictures (n, C, H, W) of 1 or 3 channels of rows that are latents (n, *S), draws (n, K, *S) as (n, K, C, H, W);
    nothing where there is no decoder, or it gives no pictures."""
    found: dict[str, Tensor] = {}
    for name, rows in arrays.items() if decode is not None else ():
        assert decode is not None
        flat = rows.flatten(0, 1) if name == "draws" else rows
        with torch.no_grad():
            pictures = decode(flat) if len(flat) else None
        if pictures is not None and pictures.ndim == 4 and pictures.shape[1] in (1, 3):
            found[name] = pictures.nan_to_num(0.0).reshape(*rows.shape[: 1 + (name == "draws")], *pictures.shape[1:])
    return found


def panels(pictures: Sequence[tuple[str, Image.Image]]) -> Image.Image:
    """Pictures side by side, each under its title, and as far apart as the titles need."""
    font = ImageFont.load_default(size=16)
    gap, head = 16, 30
    widths = [max(picture.width, math.ceil(font.getlength(title))) for title, picture in pictures]
    width = sum(widths) + gap * (len(pictures) + 1)
    height = max(picture.height for _, picture in pictures) + head + gap
    page = Image.new("RGB", (width, height), PAPER)
    pen, left = ImageDraw.Draw(page), gap
    for (title, picture), wide in zip(pictures, widths, strict=True):
        pen.text((left, 6), title, fill=INK, font=font)
        page.paste(picture, (left, head))
        left += wide + gap
    return page


def restored_picture(
    shown: Mapping[str, NDArray[Any]], sigma_n: float, decode: Callable[[Tensor], Tensor | None] | None = None
) -> bytes | None:
    """Noisy rows, their posterior means, a few draws (n, K, *S) and the spread side by side, as a PNG file; points of
    the plane all together.

    sigma_n: the noise that a white spread stands for. decode: as `grid` takes it; latents are shown without their
    spread, of which it makes no picture. None for rows without a picture.
    """
    rows = {name: torch.from_numpy(value) for name, value in shown.items()}
    plane = rows["noisy"].ndim == 2 and decode is None
    few, columns = (None, None) if plane else (RESTORED, 1)
    pages = [("noisy", rows["noisy"]), ("mean", rows["mean"])]
    pages += [(f"draw {k + 1}", rows["draws"][:, k]) for k in range(rows["draws"].shape[1])]
    if "std" in rows and not plane and decode is None:  # on a fixed scale: white where one knows no more than before
        pages.append((f"std (white: {sigma_n:.3g})", 2 * rows["std"] / sigma_n - 1))
    pictures = [(title, grid(page[:few], columns, decode=decode)) for title, page in pages]
    drawn = [(title, picture) for title, picture in pictures if picture is not None]
    return png(panels(drawn)) if len(drawn) == len(pages) else None


def png(picture: Image.Image) -> bytes:
    """A picture as a PNG file; one without colour takes one channel, which is half as large."""
    stream = io.BytesIO()
    if picture.mode in ("RGB", "RGBA") and _is_grey(picture.convert("RGB")):
        picture = picture.convert("L" if picture.mode == "RGB" else "LA")
    picture.save(stream, format="PNG", optimize=True)
    return stream.getvalue()


def _is_grey(picture: Image.Image) -> bool:
    return ImageChops.difference(picture, picture.convert("L").convert("RGB")).getbbox() is None


def _density(points: Tensor, size: int = 384, reach: float = 2.5) -> Image.Image:
    """Points of the plane, [-reach, reach] squared, as a map of log counts: the more, the darker."""
    x, y = points.double().cpu().numpy().T
    counts, _, _ = np.histogram2d(-y, x, bins=size // 3, range=[[-reach, reach]] * 2)
    shade = np.log1p(counts) / math.log1p(max(counts.max(), 1))
    return (
        Image.fromarray((255 * (1 - shade)).astype(np.uint8))
        .resize((size, size), Image.Resampling.NEAREST)
        .convert("RGB")
    )
