"""Data sets whose noise keeps the model, and data sets whose noise breaks it in a known way. Small, seeded, on real
pictures."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate, zoom

Array = NDArray[np.float64]
RNG = np.random.default_rng


@cache
def photos(size: int = 64, n: int = 24) -> Array:
    """(n, 3, size, size): pieces of photographs that ship with scikit-image."""
    from skimage import data

    found = []
    for name in ("astronaut", "coffee", "cat"):
        picture, draw = getattr(data, name)(), RNG(1)
        for _ in range(n // 3):
            y, x = (int(draw.integers(0, length - size)) for length in picture.shape[:2])
            found.append(np.moveaxis(picture[y : y + size, x : x + size, :3], -1, 0) / 127.5 - 1)
    return np.stack(found)


@cache
def textures(name: str, n: int = 24, size: int = 64) -> Array:
    """(n, 1, size, size): tiles of one grey picture."""
    from skimage import data

    picture = getattr(data, name)()
    h, w = picture.shape[0] // size, picture.shape[1] // size
    return (
        picture[: h * size, : w * size].reshape(h, size, w, size).swapaxes(1, 2).reshape(-1, 1, size, size)[:n] / 127.5
        - 1
    )


@cache
def clothes(n: int = 128) -> Array:
    """(n, 1, 28, 28): Fashion-MNIST where it is installed, otherwise smooth discs and bars on black."""
    file = Path("/usr/share/datasets/fashion-mnist/t10k-images-idx3-ubyte.gz")
    if file.is_file():
        with gzip.open(file) as opened:
            opened.read(16)
            return np.frombuffer(opened.read(n * 784), np.uint8).reshape(n, 1, 28, 28) / 127.5 - 1
    y, x = np.mgrid[:28, :28]
    draw = RNG(0)
    made = [
        np.where(
            (y - draw.uniform(8, 20)) ** 2 + (x - draw.uniform(8, 20)) ** 2 < draw.uniform(20, 90),
            draw.uniform(-0.5, 1),
            -1,
        )
        for _ in range(n)
    ]
    return np.stack(made)[:, None].astype(float)


@cache
def digits(n: int = 300) -> Array:
    """(n, 1, 8, 8): scikit-learn's scans."""
    from sklearn.datasets import load_digits

    return load_digits().images[:n, None] / 8 - 1


def normal(like: Array, seed: int = 5) -> Array:
    """White normal noise of std 1."""
    return RNG(seed).standard_normal(like.shape)


def level(x: Array, sigma: float) -> Array:
    """(n, 1, ...): one level for all rows."""
    return np.full((len(x),) + (1,) * (x.ndim - 1), float(sigma))


Case = tuple[Array, Array | None]


def innocent() -> Iterator[tuple[str, Case]]:
    """At least 24 data sets that keep the model."""
    for name, clean in (("photos", photos()), ("clothes", clothes()), ("digits", digits())):
        for sigma in (0.05, 0.2, 1.0):
            yield f"{name} with {sigma}", (clean + sigma * normal(clean), level(clean, sigma))
            if name != "digits":
                yield f"{name} with {sigma}, not declared", (clean + sigma * normal(clean), None)
        yield f"{name}, clean and not declared", (clean, None)
    for name in ("brick", "grass", "gravel", "moon", "camera"):
        clean = textures(name)
        yield f"{name} with 0.1", (clean + 0.1 * normal(clean), level(clean, 0.1))
        yield f"{name}, clean", (clean, None)
    clean = clothes()
    by_row = RNG(3).uniform(0.05, 0.5, (len(clean), 1, 1, 1))
    yield "a level by row", (clean + by_row * normal(clean), by_row)
    yield "a level by row, not declared", (clean + by_row * normal(clean), None)
    ramp = np.broadcast_to(np.linspace(0.05, 0.5, 28), (len(clean), 1, 28, 28))
    yield "a level by pixel", (clean + ramp * normal(clean), ramp)
    half = RNG(3).choice([0.0, 0.3], (len(clean), 1, 1, 1))
    yield "half of the rows clean", (clean + half * normal(clean), half)
    yield "noise alone", (0.3 * normal(photos()), level(photos(), 0.3))
    yield (
        "flips and quarter turns",
        (np.rot90((clean + 0.2 * normal(clean))[..., ::-1], axes=(2, 3)), level(clean, 0.2)),
    )
    fine = np.round((0.4 * photos() + 0.1 * normal(photos())) * 127.5) / 127.5
    yield "fine steps, nothing cut", (fine, level(fine, 0.1))


def violations() -> Iterator[tuple[str, str, Case]]:
    """At least 24 data sets that break the model: (name, a test that must say so, rows and level)."""
    for name, clean in (("photos", photos()), ("clothes", clothes())):
        s = 0.3
        n = s * normal(clean)
        black = name == "clothes"
        changed: dict[str, tuple[str, Array]] = {
            "clipped and rounded to 8 bits": (
                "saturation",
                np.round((np.clip(clean + n, -1, 1) + 1) * 127.5) / 127.5 - 1,
            ),
            "clipped": ("saturation", np.clip(clean + n, -1, 1)),
            "smoothed noise": ("level", clean + blurred(n, s)),
            "stripes": ("correlation", clean + 0.7 * n + 0.7 * s * RNG(9).standard_normal((*clean.shape[:3], 1))),
            "Laplace noise": ("tails", clean + s / 2**0.5 * RNG(8).laplace(size=clean.shape)),
            "salt and pepper": ("saturation", salted(clean + 0.7 * n)),
            "exponential noise": ("symmetry", clean + s * (RNG(8).exponential(size=clean.shape) - 1)),
            "noise that grows with brightness": ("signal-dependence", clean + (clean + 1.1) * n),
            "coarse steps": ("quantisation", np.round((clean + n) / 0.6) * 0.6),
            "interpolated after the noise": ("level", turned(clean + n)),
            "enlarged after the noise": ("level", zoom(clean + n, (1, 1, 2, 2), order=1)),
        }
        if not black:
            changed["uniform noise"] = ("tails", clean + s * 3**0.5 * RNG(8).uniform(-1, 1, clean.shape))
            changed["one noise for three channels"] = (
                "channels",
                clean + s * RNG(5).standard_normal((len(clean), 1, 64, 64)),
            )
        for what, (test, x) in changed.items():
            yield f"{name}: {what}", test, (x, level(x, s))
            known = ("Laplace noise", "exponential noise", "stripes", "one noise for three channels")
            if what in known or (what == "noise that grows with brightness" and not black):
                yield f"{name}: {what}, not declared", test, (x, None)
        for factor in (0.5, 0.7, 1.5, 2.0):
            yield f"{name}: {factor} times the level declared", "level", (clean + n, level(clean, s * factor))
        yield f"{name}: level in units of 0..255", "units", (clean + n, level(clean, s * 127.5))
    counts = RNG(0).poisson(0.05, (16, 1, 32, 32)).astype(float) / 127.5 - 1
    yield "counts of rare events", "counts", (counts, None)
    z = 0.3 * (RNG(0).standard_normal((8, 1, 32, 32)) + 1j * RNG(1).standard_normal((8, 1, 32, 32)))
    yield "magnitude without signal", "symmetry", (np.abs(z), level(np.abs(z), 0.197))
    half = 100 + np.clip(RNG(0).normal(0, 25, (8, 1, 32, 32)), 0, 255).astype(np.uint8)
    yield "only the positive half of the noise", "saturation", (half / 127.5 - 1, level(half, 25 / 127.5))
    constant = np.concatenate([clothes() + 0.2 * normal(clothes()), np.zeros((2, 1, 28, 28))])
    yield "constant rows", "constant-rows", (constant, level(constant, 0.2))


def blurred(noise: Array, sigma: float) -> Array:
    """Noise smoothed in space, of std sigma again."""
    soft = gaussian_filter(noise, (0, 0, 0.8, 0.8))
    return soft * (sigma / soft.std())


def turned(x: Array) -> Array:
    """Turned by 20 degrees with interpolation, corners cut off."""
    out = rotate(x, 20, axes=(2, 3), reshape=False, order=1)
    cut = x.shape[-1] // 6
    return out[..., cut:-cut, cut:-cut]


def salted(x: Array) -> Array:
    """2 % of the values at each end."""
    u = RNG(8).uniform(size=x.shape)
    return np.where(u < 0.02, -2.0, np.where(u > 0.98, 2.0, x))
