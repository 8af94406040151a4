"""One file value that stands for nothing, such as -999: declared, or found by `inspect`, in every format."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.data.inspected import inspect
from ambientkit.errors import InputError
from ambientkit.inspection.gaps import find_gap
from tests.support.formats import FORMATS, array, open_rows, rows


def pictures(folder: Path, x: np.ndarray) -> dict[str, Any]:
    """Pictures in floating point, one per file."""
    tifffile = pytest.importorskip("tifffile")
    folder.mkdir()
    for i, row in enumerate(x):
        tifffile.imwrite(folder / f"{i:03}.tif", row[0], photometric="minisblack")
    return {"name": "image-folder", "path": str(folder)}


def mrc(folder: Path, x: np.ndarray) -> dict[str, Any]:
    """One stack of images."""
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(folder.with_suffix(".mrcs")) as file:
        file.set_data(x[:, 0])
        file.set_image_stack()
    return {"name": "mrc", "path": str(folder.with_suffix(".mrcs"))}


def arrays(folder: Path, x: np.ndarray) -> dict[str, Any]:
    """A folder of arrays."""
    folder.mkdir()
    for i, row in enumerate(x):
        np.save(folder / f"{i:03}.npy", row[0])
    return {"name": "array-folder", "path": str(folder)}


MAKERS: dict[str, Callable[[Path, np.ndarray], dict[str, Any]]] = {
    **FORMATS,
    "image_folder": pictures,
    "mrc": mrc,
    "array_folder": arrays,
}


def gaps(n: int = 5, value: float = -999.0, share: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """(n, 1, 12, 10) float32 with a value at places that say nothing, and where it stands."""
    x = rows(n)
    hole = np.random.default_rng(1).random(x.shape) < share
    return np.where(hole, np.float32(value), x), hole


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
@pytest.mark.parametrize("value", [-999.0, -3.4028235e38])
def test_every_reader_takes_the_value_and_inspect_finds_it(make: Any, value: float, tmp_path: Path) -> None:
    """Case: of TIFF and FITS `inspect` proposed a range from -999, and `missing: -999` was refused."""
    x, hole = gaps(value=value)
    spec = make(tmp_path / "d", x)
    found = open_rows(spec, missing=value, sigma_n=0.1)
    assert all(np.array_equal(found[i].cond["mask"], ~hole[i]) for i in range(5))
    assert all(np.array_equal(found[i].x_n, np.where(hole[i], 0, rows()[i])) for i in range(5))
    seen = ak.inspect(spec)
    assert [finding.name for finding in seen.findings] == ["missing"]
    assert seen.violated
    assert f"name: {spec['name']}, path: {spec['path']}" in seen.findings[0].remedy
    assert f"missing: {float(np.float32(value))}, sigma_n: NOISE" in seen.findings[0].remedy
    assert seen.facts["missing"] == pytest.approx(hole.mean())
    assert seen.facts["range"] == [pytest.approx(x[~hole].min()), pytest.approx(x[~hole].max())]


def test_inspect_writes_a_run_that_trains(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    x, _ = gaps(40)
    spec = FORMATS["fits"](tmp_path / "d", x)
    found = ak.inspect(spec["path"], sigma_n=0.3, write=tmp_path / "run.yaml")
    assert found.written == tmp_path / "run.yaml", found
    config = ak.configure(config=tmp_path / "run.yaml", model={"name": "mlp", "width": 8, "depth": 1}, end_step=1)
    assert (config.data.name, config.data.missing) == ("fits", -999)
    assert config.data.value_range is None or config.data.value_range[0] > -10
    assert config.corruption.name == "mask"
    assert "20" in found.proposal.reasons["data", "missing"]  # per cent
    assert [step.step for step in ak.steps(ak.build(config))] == [1]


def test_rows_without_noise_are_proposed_with_the_objective_for_them(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    ramp = np.sin(np.arange(120).reshape(12, 10) / 9 + np.arange(40)[:, None, None, None]) * 0.5
    x = np.where(np.random.default_rng(1).random(ramp.shape) < 0.2, -999, ramp).astype(np.float32)
    found = ak.inspect(array(tmp_path / "d", x)["path"], sigma_n=0, write=tmp_path / "run.yaml")
    assert found.proposal.config["objective"] == "tweedie"


@pytest.mark.parametrize("always", [False, True])
def test_a_value_far_outside_is_found_wherever_it_stands(always: bool) -> None:
    """Cases: two dead pixels of -999 in every row; -999 where the picture is bright."""
    x = rows(40).astype(float)
    if always:
        x[..., 2, 3] = x[..., 9, 9] = -999
    else:
        x = np.where(x > 3.5, -999, x)
    gap = find_gap(x)
    assert gap is not None
    assert (gap.value, gap.always) == (-999, 2 if always else 0)
    told = gap.finding({"name": "array", "path": "a.npy", "missing": -999})
    assert "far outside of all others" in told.reason


def test_nan_beside_the_value_is_missing_too(tmp_path: Path) -> None:
    x, hole = gaps()
    x[0, 0, 0, 0] = np.nan
    hole[0, 0, 0, 0] = True
    spec = array(tmp_path / "d", x)
    assert "missing: -999.0" in ak.inspect(spec).findings[0].remedy
    assert np.array_equal(open_rows(spec, missing=-999, sigma_n=0.1)[0].cond["mask"], ~hole[0])


def test_the_value_range_is_measured_without_it(tmp_path: Path) -> None:
    x, hole = gaps()
    found = open_rows(array(tmp_path / "d", x), missing=-999, sigma_n=0.1, value_range="data")
    assert found.mapping.low == pytest.approx(x[~hole].min(), abs=0.01)


def test_what_can_never_be_is_refused_by_name(tmp_path: Path, caplog: Any) -> None:
    whole = array(tmp_path / "a", np.random.default_rng(0).integers(0, 255, (6, 12, 10), np.uint8))
    with pytest.raises(InputError, match="missing: -999: uint8 holds no such value"):
        open_rows(whole, missing=-999, sigma_n=0.1)
    with pytest.raises(InputError, match=r"missing: 7\.5: uint8 holds no such value"):
        open_rows(whole, missing=7.5, sigma_n=0.1)
    x, _ = gaps()
    spec = array(tmp_path / "b", x)
    with pytest.raises(InputError, match=r"missing: -999\.0 is for noisy rows, not for clean ones"):
        open_rows(spec, missing=-999, clean=True)
    with pytest.raises(InputError, match=r"missing: -999\.0: the noise level cannot be estimated between gaps"):
        open_rows(spec, missing=-999, sigma_n="estimate")
    with pytest.raises(InputError, match="missing"):
        open_rows(spec, missing=True, sigma_n=0.1)
    assert np.isfinite(open_rows(array(tmp_path / "c", rows()), missing=-999, sigma_n=0.1)[0].x_n).all()
    assert "missing: -999: no row holds this value, and all count as measured" in caplog.text


def test_a_value_that_a_slope_has_rounded_is_the_one_that_is_named(tmp_path: Path) -> None:
    """Case: -329.68 of a NIfTI file with a slope is -329.67999267578125."""
    nibabel = pytest.importorskip("nibabel")
    x, hole = gaps()
    stored = np.where(hole, -32768, np.rint(100 * (x + 2))).astype(np.int16)
    image = nibabel.Nifti1Image(np.moveaxis(stored[:, 0], 0, -1), np.eye(4))
    image.header.set_slope_inter(0.01, -2)
    nibabel.save(image, tmp_path / "a.nii")
    spec = {"name": "nifti", "path": str(tmp_path / "a.nii"), "slices": "z", "missing": -329.68, "sigma_n": 0.1}
    found = open_rows(spec)
    assert all(np.array_equal(found[i].cond["mask"], ~hole[i]) for i in range(5))


def test_nan_by_name_is_a_mask(tmp_path: Path) -> None:
    x, hole = gaps(value=np.nan)
    for missing in ("nan", np.nan):
        found = open_rows(array(tmp_path / "d", x), missing=missing, sigma_n=0.1)
        assert np.array_equal(found[2].cond["mask"], ~hole[2])


@pytest.mark.parametrize("make", MAKERS.values(), ids=list(MAKERS))
def test_nan_is_a_finding_with_the_same_offer_in_every_format(make: Any, tmp_path: Path) -> None:
    """Case: of .npy files it was a finding, and other files were refused."""
    x = rows()
    x[:, 0, 3, 4:6] = np.nan
    spec = make(tmp_path / "d", x)
    found = inspect(spec)
    assert [(one.name, one.verdict) for one in found.findings] == [("missing", "violated")]
    assert "1.67 % of the values are NaN or infinite" in found.findings[0].reason
    assert "in 100 % of the rows" in found.findings[0].reason
    assert "missing: mask, sigma_n: NOISE}; corruption: {name: mask, missing: 0.0167}" in found.findings[0].remedy
    assert found.facts["missing"] == pytest.approx(2 / 120)


def test_few_rows_with_nan_may_be_left_out_and_marks_of_files_are_named(tmp_path: Path) -> None:
    x = (1000 + 100 * rows(20)).astype(np.int32)
    x[3, 0, 2, 2] = 2**31 - 1
    (only,) = inspect({**FORMATS["fits"](tmp_path / "d", x), "value_range": (600, 1400)}).findings
    assert "marked as missing in the files by the largest int32 (2147483647)" in only.reason
    assert only.remedy.endswith("Or leave out these rows: --on-bad-file skip.")
