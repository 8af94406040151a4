"""`inspect` and `train` judge the same rows alike: whatever one knows of them, the other knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import ambientkit as ak
from ambientkit.data.inspected import inspect as look_at
from ambientkit.errors import InputError

ROWS, SIDE = 24, 32
SMALL = {
    **{"model": {"name": "mlp", "width": 8, "depth": 1}, "end_step": 1, "batch_size": 4, "sample_n": 1},
    **{"skip_preflight": True, "device": "cpu"},
}


def scenes(rng: np.random.Generator, rows: int = ROWS) -> np.ndarray:
    """Smooth pictures in [0, 1]."""
    soft = np.stack([gaussian_filter(rng.standard_normal((SIDE, SIDE)), 5) * 7 for _ in range(rows)])[:, None]
    return 1 / (1 + np.exp(-3 * soft))


def gaussian(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    return 2 * scenes(rng) - 1 + 0.1 * rng.standard_normal((ROWS, 1, SIDE, SIDE)), {"sigma_n": 0.1}


def wrong_level(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    return gaussian(rng)[0], {"sigma_n": 0.2}


def magnitudes(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """Of complex values with noise of 40, dark areas empty: whole numbers without sign, whose 0 is no signal."""
    clean = 900 * np.clip(scenes(rng) - 0.5, 0, None)
    noise = 40 * rng.standard_normal((2, *clean.shape))
    values = np.rint(np.hypot(clean + noise[0], noise[1])).astype(np.uint16)
    return values, {"value_range": (0, 500), "sigma_n": 40.0, "sigma_units": "file"}


def photons(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """Few of them, under an offset: their transform ends above the file's 0."""
    read = 2.2 * rng.poisson(1 + 40 * scenes(rng)) + 100 + 4 * rng.standard_normal((ROWS, 1, SIDE, SIDE))
    return read.round(), {"counts": {"gain": 2.2, "offset": 100.0, "read_std": 4.0}, "value_range": (95, 200)}


def faint(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """Noise below the lowest level of a run that says nothing of levels."""
    noise = 0.001 * rng.standard_normal((ROWS, 1, SIDE, SIDE))
    return 0.2 * scenes(rng) + noise, {"sigma_n": 0.001, "value_range": (-1, 1)}


def by_pixel(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    levels = np.where(np.arange(SIDE) < SIDE // 2, 0.05, 0.15) * np.ones((1, SIDE, 1))
    noise = levels * rng.standard_normal((ROWS, 1, SIDE, SIDE))
    return 2 * scenes(rng) - 1 + noise, {"sigma_n": levels}


def hidden(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """A few values missing, the others of another level than declared."""
    values = gaussian(rng)[0]
    return np.where(rng.random(values.shape) < 0.01, np.nan, values), {"sigma_n": 0.2, "missing": "mask"}


def rare(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, Any]]:
    """One constant row of many, which a smaller sample passes over."""
    values = 2 * scenes(rng, 150) - 1 + 0.1 * rng.standard_normal((150, 1, SIDE, SIDE))
    values[75:83] += np.where(rng.random(values[75:83].shape) < 0.02, 4.0, 0.0)
    return values, {"sigma_n": 0.1}


SETS = {
    **{"gaussian": (gaussian, {}, set()), "wrong level": (wrong_level, {}, {"level"})},
    **{"magnitudes": (magnitudes, {}, {"signal-dependence"}), "photons": (photons, {}, set())},
    **{"faint": (faint, {"levels": {"sigma_min": 5e-4}}, set()), "by pixel": (by_pixel, {}, set())},
    **{"hidden": (hidden, {"corruption": "mask"}, {"level"}), "rare": (rare, {}, {"tails"})},
}


def written(folder: Path, values: np.ndarray, fields: dict[str, Any]) -> dict[str, Any]:
    """A data set `array` of these values, with a map of levels in a file."""
    kept = values if values.dtype.kind == "u" else values.astype(np.float32)
    np.save(folder / "rows.npy", kept)
    if isinstance(fields.get("sigma_n"), np.ndarray):
        np.save(folder / "levels.npy", fields["sigma_n"])
        fields = {**fields, "sigma_n": str(folder / "levels.npy")}
    return {"name": "array", "path": str(folder / "rows.npy"), **fields}


def refusal(data: dict[str, Any], folder: Path, **more: Any) -> str:
    """What `train` says of the rows where it refuses them for their noise; "" where it trains."""
    try:
        ak.train(data, output_dir=folder / "run", **SMALL, **more)
    except InputError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("name", SETS)
def test_train_refuses_what_inspect_calls_violated_for_the_same_reasons(name: str, tmp_path: Path) -> None:
    make, more, expected = SETS[name]
    data = written(tmp_path, *make(np.random.default_rng(5)))
    lowest = more.get("levels", {}).get("sigma_min")
    findings = [one for one in look_at(data, lowest=lowest).findings if one.verdict == "violated"]
    shown = {f"{one.name}: violated. {one.reason}" for one in findings}
    assert {line.split(":")[0] for line in shown} >= expected
    assert bool(shown) == bool(expected)
    heard = refusal(data, tmp_path, **more)
    for line in shown:
        assert line in heard, heard
    assert bool(heard) == bool(shown), heard


def test_train_knows_the_zero_of_the_files(tmp_path: Path) -> None:
    """Case: `train` did not know that no magnitude is negative, and gave no remedy for them."""
    data = written(tmp_path, *magnitudes(np.random.default_rng(5)))
    assert "Rician" in refusal(data, tmp_path)


def test_noise_below_the_default_levels_is_judged_by_the_levels_of_the_run(tmp_path: Path) -> None:
    """Case: `inspect --write` proposed levels.sigma_min, and `train` refused the noise by the default."""
    data = written(tmp_path, *faint(np.random.default_rng(5)))
    assert [one.name for one in ak.inspect(data).findings if one.verdict == "violated"] == ["units"]
    assert "sigma_min = 0.002" in refusal(data, tmp_path)
    assert refusal(data, tmp_path, levels={"sigma_min": 1e-4}) == ""
