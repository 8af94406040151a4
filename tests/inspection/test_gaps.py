"""Missing values that nobody declared: found where they say nothing of the picture, and never where they do."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.builtin.data.array import Array
from ambientkit.data.inspected import inspect
from ambientkit.inspection.gaps import find_gap
from ambientkit.inspection.partial import part_findings
from tests.support.noisy_sets import clothes, normal

CLEAN = clothes().astype(np.float64)
NOISY = CLEAN + 0.1 * normal(CLEAN)


def hidden(share: float, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    return np.broadcast_to(np.random.default_rng(seed).random(shape) < share, CLEAN.shape)


@pytest.mark.parametrize("value", [0.0, -999.0, np.nan])
@pytest.mark.parametrize(
    "hole",
    [hidden(0.02, CLEAN.shape), hidden(0.6, CLEAN.shape), hidden(0.3, (*CLEAN.shape[:3], 1))],
    ids=["few", "many", "rows"],
)
def test_what_is_missing_whatever_the_picture_is_found(value: float, hole: np.ndarray) -> None:
    gap = find_gap(np.where(hole, value, NOISY))
    assert gap is not None
    assert gap.value == ("nan" if np.isnan(value) else value)
    assert gap.share == pytest.approx(hole.mean(), abs=1e-3)


@pytest.mark.parametrize(
    "rows",
    [
        CLEAN,
        np.round((CLEAN + 1) * 127.5),
        NOISY,
        np.clip(NOISY, -1, 1),
        np.maximum(NOISY, -0.9),
        np.minimum(NOISY, 0.2),
        np.pad(NOISY, ((0, 0), (0, 0), (3, 3), (3, 3))),
        np.random.default_rng(0).poisson(0.1, (40, 1, 28, 28)).astype(float),
        np.random.default_rng(0).poisson(np.exp(2 * CLEAN)).astype(float),
    ],
    ids=["clean", "8 bits", "noisy", "clipped", "thresholded", "saturated", "padded", "rare events", "counts"],
)
def test_a_background_clipping_saturation_padding_and_counts_are_no_gaps(rows: np.ndarray) -> None:
    assert find_gap(rows) is None


def camera() -> tuple[np.ndarray, np.ndarray]:
    """Rows of a camera in whole numbers, and pixels of all rows that are hot."""
    hot = np.broadcast_to(np.random.default_rng(3).random(CLEAN[:1].shape) < 5e-3, CLEAN.shape)
    return np.round(1000 + 50 * NOISY), hot


@pytest.mark.parametrize("value", [65535, 65520, 16383, 4095])
def test_a_converter_at_its_end_is_saturation_and_nothing_missing(value: int) -> None:
    """Case: hot pixels and cosmic rays at full scale were offered as `missing: 65535`."""
    rows, hot = camera()
    assert find_gap(np.where(hot, value, rows)) is None
    assert find_gap(np.where(hidden(1e-3, CLEAN.shape), value, rows)) is None
    assert find_gap(np.where(hot, value, rows) / value) is None


@pytest.mark.parametrize("value", [9999, 60000, 32768, -65535])
def test_other_constants_far_outside_are_offered(value: int) -> None:
    rows, hot = camera()
    gap = find_gap(np.where(hot, value, rows))
    assert gap is not None
    assert (gap.value, gap.far) == (value, True)


def test_sharp_stars_that_are_cut_at_a_full_well_are_nothing_missing() -> None:
    """Case: of few stars, all alike, nothing lies between the background and where they are cut."""
    rows, _ = camera()
    for row, (line, column) in zip(rows, np.random.default_rng(4).integers(2, 26, (40, 2))):
        row[0, line - 1 : line + 2, column - 1 : column + 2] += 8000
        row[0, line, column] = 52000
    assert find_gap(rows) is None


def test_values_missing_in_every_row_are_counted() -> None:
    rows = np.where(hidden(0.3, CLEAN.shape), 0.0, NOISY)
    rows[..., 3:5, 7] = 0.0
    gap = find_gap(rows)
    assert gap is not None
    assert gap.always == 2


@pytest.mark.parametrize("missing", ["mask", 0.0])
def test_inspect_offers_a_mask_and_its_run_file_trains(tmp_path, missing, monkeypatch) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    value = np.nan if missing == "mask" else missing
    path = tmp_path / "gaps.npy"
    np.save(path, np.where(hidden(0.3, CLEAN.shape), value, NOISY).astype(np.float32))
    found = ak.inspect(path)
    assert [finding.name for finding in found.findings] == ["missing"]
    assert found.violated
    assert f"data: {{name: array, path: {path}, missing: {missing}, sigma_n: NOISE}}" in found.findings[0].remedy
    assert found.facts["missing"] == pytest.approx(0.3, abs=0.01)
    assert found.facts["std"] == pytest.approx(NOISY.std(), rel=0.05)  # of what was measured
    without = ak.inspect(path, write=tmp_path / "a.yaml")
    assert without.proposal is not None
    assert "--sigma-n" in without.proposal.missing[0]
    assert not (tmp_path / "a.yaml").exists()
    written = ak.inspect(path, write=tmp_path / "run.yaml", sigma_n=0.1)
    assert written.written == tmp_path / "run.yaml", written
    config = ak.configure(config=tmp_path / "run.yaml", model={"name": "mlp", "width": 8, "depth": 1}, end_step=1)
    assert config.corruption.name == "mask"
    assert config.data.missing == missing
    assert [step.step for step in ak.steps(ak.build(config))] == [1]


def test_the_noise_of_rows_seen_in_part_is_judged_by_what_was_measured() -> None:
    seen = ~hidden(0.3, (*CLEAN.shape[:3], 1))
    rows = np.where(seen, NOISY, 0.0)
    level = np.full((len(rows), 1, 1, 1), 0.1)
    assert not any(one.verdict == "violated" for one in part_findings(rows, level, seen, True))
    wrong = {one.name: one.verdict for one in part_findings(rows, 2 * level, seen, True)}
    assert wrong["level"] == "violated"  # areas of whole blocks are left between missing rows
    clipped = part_findings(np.where(seen, np.clip(NOISY, -1, 1), 0.0), level, seen, True)
    assert {one.name for one in clipped if one.verdict == "violated"} >= {"saturation"}


def moved(seen: np.ndarray, axis: int) -> np.ndarray:
    return np.roll(seen, 1, axis)


@pytest.mark.parametrize("value", [0.0, -1.0])
@pytest.mark.parametrize("wrong", ["whole", "of other rows", "moved", "exchanged"])
def test_masks_that_do_not_fit_the_rows_are_violated(wrong: str, value: float) -> None:
    seen = ~hidden(0.3, (*CLEAN.shape[:2], *CLEAN.shape[2:]))
    rows = np.where(seen, NOISY, value)
    level = np.full((len(rows), 1, 1, 1), 0.1)
    masks = {
        "whole": np.ones(seen.shape, bool),
        "of other rows": moved(seen, 0),
        "moved": moved(seen, 3),
        "exchanged": ~seen,
    }
    assert all(one.name != "missing" for one in part_findings(rows, level, seen, True))
    found = part_findings(rows, level, masks[wrong], True)
    assert [(one.name, one.verdict) for one in found] == [("missing", "violated")]
    share = 1.0 if wrong == "exchanged" else 0.3
    assert found[0].statistic == pytest.approx(share, abs=0.01)
    assert ("1 - masks" in found[0].remedy) == (wrong == "exchanged")


@pytest.mark.parametrize(
    "rows",
    [np.clip(NOISY, -1, 1), np.maximum(NOISY, -0.9), np.pad(NOISY, ((0, 0), (0, 0), (3, 3), (3, 3)))],
    ids=["clipped", "thresholded", "padded"],
)
def test_clipping_and_padding_under_a_right_mask_are_no_wrong_mask(rows: np.ndarray) -> None:
    seen = np.random.default_rng(2).random(rows.shape) < 0.7
    level = np.full((len(rows), 1, 1, 1), 0.1)
    found = part_findings(np.where(seen, rows, 0.0), level, seen, True)
    assert all(one.name != "missing" for one in found)


def test_the_page_shows_no_values_that_nobody_measured(tmp_path: Path) -> None:
    """Case: a missing value was 0 in the histogram, and three equal levels were three numbers."""
    np.save(tmp_path / "gaps.npy", np.where(NOISY > 0.6, np.nan, NOISY).astype(np.float32))
    found = inspect(Array(path=tmp_path / "gaps.npy", sigma_n=0.1, missing="mask"))
    assert np.isnan(found.rows).mean() == pytest.approx(found.facts["missing"])
    assert np.nanmax(found.rows) <= 0.6
    page = found.page()
    assert '<th scope="row">sigma_n declared</th>' in page
    assert "nan" not in page
