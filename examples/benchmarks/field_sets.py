"""Sets of rows from instruments that are simulated, innocent and violating, for the rates of `ambientkit inspect`.

None of the pictures and none of the instruments here is one by which the thresholds of `ambientkit.inspection` were
first set (`inspect_sets.py`, `tests/support/noisy_sets.py`). Noise by the camera model of EMVA 1288: photons are
Poisson, plus Gaussian read noise, times a gain, plus an offset, rounded and cut at the ends of the type. A set is kept
apart (half "kept") or may set thresholds (half "set") by the hash of its name, which was fixed before anything was run:
`half_of`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, median_filter, zoom

N, SIZE = 24, 64
Rng = np.random.Generator
Y, X = np.mgrid[:SIZE, :SIZE].astype(float)


@dataclass(frozen=True)
class FieldSet:
    """Rows (n, C, H, W) in file values, and what is declared of them."""

    rows: np.ndarray
    fields: dict[str, Any]
    """Of the data set: value_range, counts, sigma_n, sigma_units."""


def half_of(name: str) -> str:
    """ "kept" or "set", by the hash of the name."""
    return "kept" if hashlib.sha256(name.encode()).digest()[0] % 2 else "set"


# Pictures without noise, in 0..1 (n, 1, SIZE, SIZE)


def _each(draw: Callable[[Rng], np.ndarray], rng: Rng) -> np.ndarray:
    pictures = np.stack([draw(rng) for _ in range(N)])[:, None]
    return (pictures - pictures.min()) / np.ptp(pictures)


def cells(rng: Rng) -> np.ndarray:
    """Ellipses with soft rims on a ground that is dark over most of the area."""

    def one(rng: Rng) -> np.ndarray:
        p = np.full((SIZE, SIZE), 0.03)
        for _ in range(rng.integers(1, 4)):
            cy, cx, a, b, t = *rng.uniform(10, 54, 2), rng.uniform(5, 9), rng.uniform(4, 7), rng.uniform(0, 3.14)
            u, v = (Y - cy) * np.cos(t) + (X - cx) * np.sin(t), (X - cx) * np.cos(t) - (Y - cy) * np.sin(t)
            p += rng.uniform(0.3, 0.9) / (1 + np.exp(np.clip(4 * (np.hypot(u / a, v / b) - 1) * 3, -50, 50)))
        return p

    return _each(one, rng)


def filaments(rng: Rng) -> np.ndarray:
    """Thin curved lines, as of a cytoskeleton."""

    def one(rng: Rng) -> np.ndarray:
        p = np.full((SIZE, SIZE), 0.05)
        for _ in range(6):
            t, (cy, cx), k = rng.uniform(0, np.pi), rng.uniform(8, 56, 2), rng.uniform(-0.012, 0.012)
            u, v = (X - cx) * np.cos(t) + (Y - cy) * np.sin(t), (Y - cy) * np.cos(t) - (X - cx) * np.sin(t)
            p += rng.uniform(0.2, 0.7) * np.exp(-(((v - k * u**2) / 2.0) ** 2) / 2)
        return p

    return _each(one, rng)


def stars(rng: Rng) -> np.ndarray:
    """Point sources of 1.8 pixels, bright ones rare, on an even sky."""

    def one(rng: Rng) -> np.ndarray:
        p = np.full((SIZE, SIZE), 0.1)
        for _ in range(8):
            cy, cx = rng.uniform(0, SIZE, 2)
            p += min(rng.exponential(0.25), 1.5) * np.exp(-((Y - cy) ** 2 + (X - cx) ** 2) / 1.8**2 / 2)
        return p

    return _each(one, rng)


def galaxies(rng: Rng) -> np.ndarray:
    """Discs with exponential profiles."""

    def one(rng: Rng) -> np.ndarray:
        p = np.full((SIZE, SIZE), 0.05)
        for _ in range(3):
            (cy, cx), q, t, r = rng.uniform(8, 56, 2), rng.uniform(0.4, 1), rng.uniform(0, np.pi), rng.uniform(4, 9)
            u, v = (X - cx) * np.cos(t) + (Y - cy) * np.sin(t), ((Y - cy) * np.cos(t) - (X - cx) * np.sin(t)) / q
            p += rng.uniform(0.2, 1) * np.exp(-np.sqrt(u**2 + v**2 + 4) / r)
        return p

    return _each(one, rng)


def tissue(rng: Rng) -> np.ndarray:
    """Polygons of even brightness (Voronoi), slightly out of focus."""

    def one(rng: Rng) -> np.ndarray:
        points = rng.uniform(0, SIZE, (14, 2))
        nearest = ((Y[..., None] - points[:, 0]) ** 2 + (X[..., None] - points[:, 1]) ** 2).argmin(-1)
        return gaussian_filter(rng.uniform(0.1, 1, 14)[nearest], 1.0)

    return _each(one, rng)


def head(rng: Rng) -> np.ndarray:
    """A slice of a head: a rim, two tissues and cavities, smooth within, black air around."""

    def one(rng: Rng) -> np.ndarray:
        r = np.hypot((Y - 32) / rng.uniform(24, 28), (X - 32) / rng.uniform(20, 24))
        p = np.where(r < 1, 0.5 + 0.1 * np.sin(X / 9 + rng.uniform(0, 6)), 0.0)
        p = np.where((r > 0.85) & (r < 1), 0.9, p)
        for _ in range(3):
            cy, cx = rng.uniform(22, 42, 2)
            p = np.where(np.hypot((Y - cy) / 4, (X - cx) / rng.uniform(3, 7)) < 1, rng.uniform(0.1, 0.8), p)
        return gaussian_filter(p, 0.8)

    return _each(one, rng)


def particles(rng: Rng) -> np.ndarray:
    """Blurred discs as in cryo-EM micrographs."""

    def one(rng: Rng) -> np.ndarray:
        p = np.full((SIZE, SIZE), 1.0)
        for _ in range(5):
            cy, cx = rng.uniform(6, 58, 2)
            p -= 0.6 * (np.hypot(Y - cy, X - cx) < rng.uniform(4, 7))
        return gaussian_filter(p, 1.5)

    return _each(one, rng)


def clouds(rng: Rng) -> np.ndarray:
    """Gaussian fields with a power spectrum 1 / k^3.4."""

    def one(rng: Rng) -> np.ndarray:
        k = np.hypot(np.fft.fftfreq(SIZE)[:, None], np.fft.rfftfreq(SIZE)[None])
        k[0, 0] = 1
        return np.fft.irfft2(np.fft.rfft2(rng.standard_normal((SIZE, SIZE))) / k**1.7, s=(SIZE, SIZE))

    return _each(one, rng)


def fringes(rng: Rng) -> np.ndarray:
    """Interference of two waves, 12 to 20 pixels a period."""

    def one(rng: Rng) -> np.ndarray:
        t, period = rng.uniform(0, np.pi), rng.uniform(12, 20)
        return 1 + np.cos(
            2 * np.pi * (X * np.cos(t) + Y * np.sin(t)) / period
            + 4 * gaussian_filter(rng.standard_normal((SIZE, SIZE)), 12)
        )

    return _each(one, rng)


def ramp(rng: Rng) -> np.ndarray:
    """A lamp that is brighter on one side, with dust."""

    def one(rng: Rng) -> np.ndarray:
        t = rng.uniform(0, 2 * np.pi)
        p = 0.5 + 0.4 * ((X - 32) * np.cos(t) + (Y - 32) * np.sin(t)) / 45
        for _ in range(3):
            cy, cx = rng.uniform(0, SIZE, 2)
            p -= 0.2 * np.exp(-((Y - cy) ** 2 + (X - cx) ** 2) / 18)
        return p

    return _each(one, rng)


SCENES = {f.__name__: f for f in (cells, filaments, stars, galaxies, tissue, head, particles, clouds, fringes, ramp)}


# Instruments: (pictures, generator) -> set


def camera(
    p: np.ndarray, rng: Rng, full: float, gain: float, offset: float, read: float, top: float = 65535
) -> np.ndarray:
    """EMVA 1288: `full` photons at brightness 1; gain in file units per photon, read noise in file units."""
    return np.round(
        gain * rng.poisson(np.maximum(p, 0) * full + 2) + offset + read * rng.standard_normal(p.shape)
    ).clip(0, top)


def _gaussian(p: np.ndarray, rng: Rng, level: float, declared: bool = True) -> FieldSet:
    x = (2 * p - 1 + level * rng.standard_normal(p.shape)).astype(np.float32)
    return FieldSet(x, {"sigma_n": level, "value_range": (-1.0, 1.0)} if declared else {"value_range": (-1.0, 1.0)})


def _counts(y: np.ndarray, gain: float, offset: float, read: float) -> FieldSet:
    low, high = (float(v) for v in np.quantile(y, [0.001, 0.999]))
    return FieldSet(
        y.astype(np.uint16), {"counts": {"gain": gain, "offset": offset, "read_std": read}, "value_range": (low, high)}
    )


def _as_data(y: np.ndarray, **fields: Any) -> FieldSet:
    kept = y.astype(np.uint16) if (y == np.round(y)).all() and y.min() >= 0 else y.astype(np.float32)
    return FieldSet(kept, {"value_range": "data", **fields})


def _file(p: np.ndarray, noise: np.ndarray, told: float = 0.0) -> FieldSet:
    """Brightness 0..1 as 1000..2000 file units, with noise in these units."""
    fields = {"sigma_n": told, "sigma_units": "file"} if told else {}
    return _as_data(1000 + 1000 * p + noise, **fields)


def _white(p: np.ndarray, rng: Rng) -> np.ndarray:
    return rng.standard_normal(p.shape)


INNOCENT: dict[str, Callable[[np.ndarray, Rng], FieldSet]] = {
    "gaussian-0.1-declared": lambda p, r: _gaussian(p, r, 0.1),
    "gaussian-0.4-declared": lambda p, r: _gaussian(p, r, 0.4),
    "gaussian-0.2-undeclared": lambda p, r: _gaussian(p, r, 0.2, declared=False),
    "ccd-counts-declared": lambda p, r: _counts(camera(p, r, 400, 2.1, 100, 4), 2.1, 100, 4),
    "scmos-counts-declared": lambda p, r: _counts(camera(p + 0.05, r, 200, 2.17, 98, 3.5), 2.17, 98, 3.5),
    "read-noise-16-bit": lambda p, r: _file(p, np.round(60 * _white(p, r)), 60.0),
    "averaged-frames-undeclared": lambda p, r: _file(p, (40 * r.standard_normal((16, *p.shape))).mean(0) * 4),
    "mri-complex": lambda p, r: FieldSet(
        np.concatenate([p * np.cos(2 * p), p * np.sin(2 * p)], 1).astype(np.float32)
        + 0.15 * r.standard_normal((len(p), 2, *p.shape[2:])).astype(np.float32),
        {"sigma_n": 0.15, "value_range": (-1.0, 1.0)},
    ),
    "em-low-contrast": lambda p, r: _file(0.1 * p, 120 * _white(p, r), 120.0),
}
"""Noise that is what it is declared to be, or white and Gaussian where nothing is declared."""


def _smooth(z: np.ndarray, width: float) -> np.ndarray:
    out = gaussian_filter(z, (0, 0, width, width))
    return out / out.std()


def _upsampled(p: np.ndarray, rng: Rng) -> FieldSet:
    small = p[..., ::2, ::2] + 0.15 * rng.standard_normal(p[..., ::2, ::2].shape)
    return _file(zoom(small, (1, 1, 2, 2), order=1), 0 * p)


def _magnitude(p: np.ndarray, rng: Rng, coils: int, level: float) -> FieldSet:
    parts = [
        (p / np.sqrt(coils) + level * rng.standard_normal(p.shape)) ** 2 + (level * rng.standard_normal(p.shape)) ** 2
        for _ in range(coils)
    ]
    return _as_data(1000 * np.sqrt(sum(parts)))


def _hot(p: np.ndarray, rng: Rng, share: float, height: float) -> FieldSet:
    noise = 60 * rng.standard_normal(p.shape)
    return _file(p, noise + (rng.random(p.shape) < share) * height, 60.0)


def _demosaiced(p: np.ndarray, rng: Rng) -> FieldSet:
    z = p + 0.06 * rng.standard_normal(p.shape)
    missing = (X + Y) % 2 == 1
    mean = (np.roll(z, 1, -1) + np.roll(z, -1, -1) + np.roll(z, 1, -2) + np.roll(z, -1, -2)) / 4
    return _file(np.where(missing, mean, z), 0 * p)


def _padded(p: np.ndarray, rng: Rng) -> FieldSet:
    y = 1000 + 1000 * p + 60 * rng.standard_normal(p.shape)
    return _as_data(np.where(np.hypot(Y - 32, X - 32) < 31, y, 0.0), sigma_n=60.0, sigma_units="file")


VIOLATING: dict[str, Callable[[np.ndarray, Rng], FieldSet]] = {
    "shot-noise-undeclared": lambda p, r: _as_data(camera(p, r, 120, 2.1, 100, 4)),
    "shot-noise-taken-for-one-level": lambda p, r: _as_data(
        camera(p, r, 200, 5.8, 412, 21), sigma_n=60.0, sigma_units="file"
    ),
    "counts-of-half-the-gain": lambda p, r: _counts(camera(p, r, 400, 2.1, 100, 4), 1.05, 100, 4),
    "magnitude-of-one-coil": lambda p, r: _magnitude(p, r, 1, 0.15),
    "magnitude-of-four-coils": lambda p, r: _magnitude(p, r, 4, 0.12),
    "hot-pixels": lambda p, r: _hot(p, r, 0.005, 3000),
    "cosmic-rays": lambda p, r: _hot(p, r, 0.01, 900),
    "black-clipped": lambda p, r: _as_data(np.maximum(1000 * p + 60 * _white(p, r) - 100, 0)),
    "saturated": lambda p, r: _as_data(
        np.minimum(2000 * p + 60 * _white(p, r) + 200, 1300), sigma_n=60.0, sigma_units="file"
    ),
    "drizzled": lambda p, r: _file(p, 60 * _smooth(_white(p, r), 0.7), 60.0),
    "upsampled": _upsampled,
    "median-filtered": lambda p, r: _file(median_filter(p + 0.1 * _white(p, r), (1, 1, 3, 3)), 0 * p, 100.0),
    "demosaiced": _demosaiced,
    "gamma": lambda p, r: _as_data(np.round(255 * (np.clip(camera(p, r, 150, 1, 0, 2) / 150, 0, 1)) ** 0.45)),
    "speckle": lambda p, r: _as_data((200 + 1000 * p) * (1 + 0.2 * _white(p, r))),
    "level-in-other-units": lambda p, r: _as_data(1000 + 1000 * p + 60 * _white(p, r), sigma_n=60.0 / 65535),
    "level-half": lambda p, r: _file(p, 60 * _white(p, r), 30.0),
    "level-double": lambda p, r: _file(p, 60 * _white(p, r), 120.0),
    "twelve-bits-in-sixteen": lambda p, r: FieldSet(
        np.round(100 + 400 * p + 20 * _white(p, r)).astype(np.uint16), {"sigma_n": 20 / 32767.5}
    ),
    "padding": _padded,
    "outside-the-range": lambda p, r: FieldSet(
        (3000 + 1000 * p + 60 * _white(p, r)).astype(np.float32), {"value_range": (0.0, 1000.0), "sigma_n": 0.12}
    ),
    "dead-pixels": lambda p, r: _as_data(
        np.where(r.random(p.shape) < 0.002, 65535.0, np.round(1000 + 1000 * p + 60 * _white(p, r))),
        sigma_n=60.0,
        sigma_units="file",
    ),
}
"""Noise that is something else than what the mathematics takes it for, or than what is declared."""


def _pairs(kinds: dict[str, Any], each: int, first: int) -> list[tuple[str, str]]:
    """Every kind on `each` scenes, which wander through the list."""
    names = list(SCENES)
    return [(kind, names[(first + 3 * i + 7 * j) % len(names)]) for i, kind in enumerate(kinds) for j in range(each)]


SETS = {
    **{f"innocent/{kind}/{scene}": (INNOCENT[kind], SCENES[scene]) for kind, scene in _pairs(INNOCENT, 5, 0)},
    **{f"violating/{kind}/{scene}": (VIOLATING[kind], SCENES[scene]) for kind, scene in _pairs(VIOLATING, 2, 1)},
}
"""45 innocent and 44 violating sets."""


def make(name: str, seed: int) -> FieldSet:
    """The set of that name, from a seed."""
    kind, scene = SETS[name]
    rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(name.encode()).digest()[:4])])
    return kind(scene(rng), rng)
