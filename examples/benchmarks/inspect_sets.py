"""Pictures, innocent sets and violations for inspect_rates.py: none of the pictures was looked at when thresholds were
set."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.ndimage import gaussian_filter, median_filter, shift, zoom

Array = NDArray[np.float64]
Rng = np.random.Generator
SIZE, ROWS = 64, 24


# --- clean pictures (n, C, H, W) in [-1, 1] ---------------------------------------------------------------------------


@cache
def _picture(name: str) -> Array:
    """(H, W, C) in [-1, 1]: a picture that ships with scikit-learn or scikit-image."""
    if name in ("china", "flower"):
        from sklearn.datasets import load_sample_image

        pixels = load_sample_image(f"{name}.jpg")
    else:
        import skimage

        file = next((Path(skimage.__file__).parent / "data").glob(f"{name}.*"))
        pixels = np.asarray(Image.open(file).convert("RGB" if name in COLOUR else "L"))
    return np.atleast_3d(pixels).astype(np.float64) / 127.5 - 1


COLOUR = ("hubble_deep_field", "ihc", "retina", "motorcycle_left", "rocket", "motorcycle_right")
PICTURES = ("china", "flower", *COLOUR, "coins", "page", "cell", "text")


def tiles(name: str, rng: Rng) -> Array:
    """Tiles of a picture, anywhere."""
    picture = _picture(name)
    h, w = picture.shape[:2]
    corners = [(int(rng.integers(h - SIZE)), int(rng.integers(w - SIZE))) for _ in range(ROWS)]
    return np.stack([np.moveaxis(picture[y : y + SIZE, x : x + SIZE], -1, 0) for y, x in corners])


def _grid() -> tuple[Array, Array]:
    y, x = np.mgrid[:SIZE, :SIZE]
    return y.astype(np.float64), x.astype(np.float64)


def phantoms(rng: Rng) -> Array:
    """Shepp-Logan phantoms at random sizes and places, as of a scanner."""
    import skimage

    phantom = np.asarray(
        Image.open(next((Path(skimage.__file__).parent / "data").glob("phantom.png"))).convert("L"), float
    )
    rows = []
    for _ in range(ROWS):
        small = zoom(phantom, rng.uniform(0.1, 0.16), order=1)
        canvas = np.zeros((2 * SIZE, 2 * SIZE))
        y, x = (int(rng.integers(8, 40)) for _ in range(2))
        canvas[y : y + small.shape[0], x : x + small.shape[1]] = small
        rows.append(canvas[24 : 24 + SIZE, 24 : 24 + SIZE])
    return np.stack(rows)[:, None] / 127.5 - 0.95


def stars(rng: Rng) -> Array:
    """Points seen through a blur, on a sloping sky."""
    y, x = _grid()
    rows = []
    for _ in range(ROWS):
        sky = -0.9 + 0.1 * rng.uniform() * x / SIZE
        for _ in range(int(rng.integers(5, 40))):
            flux = min(1.5, 0.05 * rng.pareto(1.0))
            sky = sky + flux * np.exp(
                -((y - rng.uniform(0, SIZE)) ** 2 + (x - rng.uniform(0, SIZE)) ** 2) / (2 * 1.5**2)
            )
        rows.append(sky)
    return np.stack(rows)[:, None]


def blobs(rng: Rng, contrast: float = 1.0) -> Array:
    """Cells as soft discs of different size."""
    y, x = _grid()
    rows = []
    for _ in range(ROWS):
        row = np.full((SIZE, SIZE), -0.7)
        for _ in range(int(rng.integers(4, 14))):
            r = rng.uniform(4, 10)
            row += rng.uniform(0.2, 0.9) * np.exp(
                -((((y - rng.uniform(0, SIZE)) ** 2 + (x - rng.uniform(0, SIZE)) ** 2) / r**2) ** 2)
            )
        rows.append(row)
    return contrast * np.stack(rows)[:, None]


def clouds(rng: Rng, power: float = 1.6) -> Array:
    """Random fields of spectrum 1 / f^(2 power)."""
    f = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.fftfreq(SIZE)[None])
    f[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(rng.standard_normal((ROWS, SIZE, SIZE))) / f**power).real
    return 0.4 * (field / field.std((1, 2), keepdims=True))[:, None]


def cells(rng: Rng) -> Array:
    """Areas of one value each, with straight borders."""
    y, x = _grid()
    rows = []
    for _ in range(ROWS):
        seeds = rng.uniform(0, SIZE, (12, 2))
        nearest = ((y[..., None] - seeds[:, 0]) ** 2 + (x[..., None] - seeds[:, 1]) ** 2).argmin(-1)
        rows.append(rng.uniform(-0.9, 0.9, 12)[nearest])
    return np.stack(rows)[:, None]


def rings(rng: Rng) -> Array:
    """Zone plates around a random centre, ever finer outwards."""
    y, x = _grid()
    return np.stack(
        [
            0.6 * np.cos(((y - rng.uniform(0, SIZE)) ** 2 + (x - rng.uniform(0, SIZE)) ** 2) / rng.uniform(40, 120))
            for _ in range(ROWS)
        ]
    )[:, None]


def vessels(rng: Rng) -> Array:
    """Dark winding lines on a bright ground, of changing width."""
    rows = []
    for _ in range(ROWS):
        lines = np.zeros((SIZE, SIZE))
        for _ in range(5):
            steps = rng.standard_normal((200, 2)).cumsum(0) * 0.6 + rng.uniform(0, SIZE, 2)
            y, x = steps.round().astype(int).T % SIZE
            lines[y, x] = 1
        rows.append(0.6 - 1.1 * np.minimum(1.0, 3 * gaussian_filter(lines, rng.uniform(0.8, 2.0))))
    return np.stack(rows)[:, None]


def faces(rng: Rng) -> Array:
    """Small faces of scikit-image, enlarged."""
    import skimage

    small = np.load(Path(skimage.__file__).parent / "data" / "lfw_subset.npy").astype(float)
    chosen = small[rng.choice(len(small), ROWS, replace=False)]
    return np.stack([zoom(face, SIZE / face.shape[0], order=3) for face in chosen])[:, None].clip(0, 1) * 2 - 1


def waves(rng: Rng) -> Array:
    """Gratings of different period and direction: texture everywhere."""
    y, x = _grid()
    rows = [
        0.7 * np.sin(2 * np.pi * (np.cos(a) * y + np.sin(a) * x) / rng.uniform(5, 20) + rng.uniform(0, 6))
        for a in rng.uniform(0, np.pi, ROWS)
    ]
    return np.stack(rows)[:, None]


SOURCES: dict[str, Callable[[Rng], Array]] = {
    **{name: partial(tiles, name) for name in PICTURES if name not in ("text", "motorcycle_right")},
    "phantoms": phantoms,
    "stars": stars,
    "blobs": blobs,
    "faint blobs": partial(blobs, contrast=0.05),
    "clouds": clouds,
    "cells": cells,
    "waves": waves,
    "rings": rings,
    "vessels": vessels,
    "faces": faces,
    "text": partial(tiles, "text"),
    "motorcycle_right": partial(tiles, "motorcycle_right"),
}
"""The last five were added after the one change that a first round (seed 100) led to."""

# --- sets: (name, rows, declared level or None) -----------------------------------------------------------------------

Case = tuple[str, Array, Array | None]


def _level(x: Array, sigma: float) -> Array:
    return np.full((len(x), 1, 1, 1), sigma)


def innocent(source: str, rng: Rng) -> Iterator[Case]:
    """Sets that keep the model."""
    clean = SOURCES[source](rng)
    z = rng.standard_normal(clean.shape)
    sigma = float(np.exp(rng.uniform(np.log(0.05), np.log(0.8))))
    yield "one level, declared", clean + sigma * z, _level(clean, sigma)
    yield "one level, not declared", clean + sigma * z, None
    by_row = np.exp(rng.uniform(np.log(0.05), np.log(0.5), (len(clean), 1, 1, 1)))
    yield "a level per row", clean + by_row * z, by_row
    ramp = np.broadcast_to(np.linspace(0.08, 0.4, SIZE), clean.shape)
    yield "a level per pixel", clean + ramp * z, ramp
    yield "16-bit steps", np.round((0.3 * clean + 0.1 * z) * 32767.5) / 32767.5, _level(clean, 0.1)
    yield (
        ("a photograph as it is, with its own noise" if source in PICTURES else "clean, nothing declared"),
        clean,
        None,
    )


def jpeg(x: Array, quality: int) -> Array:
    """Rows through a JPEG file, channel by channel."""
    out = np.empty_like(x)
    for i in np.ndindex(x.shape[:2]):
        stream = io.BytesIO()
        Image.fromarray(np.rint((x[i].clip(-1, 1) + 1) * 127.5).astype(np.uint8)).save(stream, "JPEG", quality=quality)
        out[i] = np.asarray(Image.open(stream), float) / 127.5 - 1
    return out


def mosaic(x: Array) -> Array:
    """Every other pixel interpolated from its four neighbours, as the green of a Bayer sensor."""
    y, z = np.mgrid[: x.shape[-2], : x.shape[-1]]
    around = sum(np.roll(x, s, a) for s in (1, -1) for a in (-2, -1)) / 4
    return np.where((y + z) % 2 == 0, x, around)


def violations(source: str, rng: Rng) -> Iterator[Case]:
    """Sets that break the model, each in one way, with a level that somebody would declare."""
    clean = SOURCES[source](rng)
    z, s = rng.standard_normal(clean.shape), 0.25
    n = s * z
    noisy = clean + n
    declared = _level(clean, s)
    soft = gaussian_filter(n, (0, 0, 0.7, 0.7))
    bright = (clean.clip(-1, 1) + 1) / 2
    u = rng.uniform(size=clean.shape)
    changed: dict[str, Array] = {
        "clipped": noisy.clip(-1, 1),
        "clipped and 8 bits": np.rint((noisy.clip(-1, 1) + 1) * 127.5) / 127.5 - 1,
        "clipped at 0 only": np.maximum(noisy, np.quantile(noisy, 0.02)),
        "steps of 0.7 sigma": np.round(noisy / (0.7 * s)) * 0.7 * s,
        "steps of 2 sigma": np.round(noisy / (2 * s)) * 2 * s,
        "noise blurred, level kept": clean + soft * (s / soft.std()),
        "blurred after the noise": gaussian_filter(noisy, (0, 0, 0.6, 0.6)),
        "shifted by half a pixel": shift(noisy, (0, 0, 0.5, 0.5), order=1, mode="nearest"),
        "shrunk to half": noisy.reshape(*clean.shape[:2], SIZE // 2, 2, SIZE // 2, 2).mean((3, 5)),
        "enlarged twice": zoom(noisy, (1, 1, 2, 2), order=1),
        "mosaic filled in": mosaic(noisy),
        "median filter": median_filter(noisy, (1, 1, 3, 3)),
        "JPEG, quality 70": jpeg(0.5 * noisy, 70) * 2,
        "sharpened": noisy + 0.8 * (noisy - gaussian_filter(noisy, (0, 0, 1, 1))),
        "rows of a sensor": clean + 0.6 * n + 0.8 * s * rng.standard_normal((*clean.shape[:3], 1)),
        "Student, 3 degrees": clean + s / 3**0.5 * rng.standard_t(3, clean.shape),
        "Laplace": clean + s / 2**0.5 * rng.laplace(size=clean.shape),
        "uniform": clean + s * 3**0.5 * rng.uniform(-1, 1, clean.shape),
        "salt and pepper, 1 %": np.where(u < 0.005, -1.5, np.where(u > 0.995, 1.5, noisy)),
        "hot pixels, 0.5 %": noisy + 8 * s * (u < 0.005),
        "exponential": clean + s * (rng.exponential(size=clean.shape) - 1),
        "half of the noise": clean + np.abs(n),
        "Poisson, 20 counts": 2 * rng.poisson(20 * bright + 0.5) / 20 - 1,
        "speckle": (clean + 1.2) * (1 + 0.3 * z) - 1.2,
        "magnitude (Rician)": 2 * np.abs(bright + s / 2 * (z + 1j * rng.standard_normal(clean.shape))) - 1,
        "two levels as one": clean + np.where(rng.uniform(size=(len(clean), 1, 1, 1)) < 0.5, 0.4, 1.36) * n,
    }
    for name, x in changed.items():
        yield name, x, declared
    if clean.shape[1] > 1:
        yield "one noise for all channels", clean + s * rng.standard_normal((len(clean), 1, SIZE, SIZE)), declared
    for factor in (0.5, 0.7, 1.5, 2.5):
        yield f"{factor} of the level declared", noisy, factor * declared
    yield "level in units of 0..255", noisy, 127.5 * declared
    yield "rows that are constant", np.concatenate([noisy[:-2], 0 * noisy[-2:]]), declared
