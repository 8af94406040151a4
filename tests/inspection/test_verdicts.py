"""Verdicts on rows of instruments: what was missed before, found; and what looks like it, left alone."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.data import Observations
from ambientkit.data.inspected import inspect
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, NoiseVerdict, look
from ambientkit.inspection.details import padding
from ambientkit.inspection.document import verdict
from ambientkit.inspection.estimate import estimate
from ambientkit.inspection.lone import lone
from ambientkit.inspection.noise import by_line
from ambientkit.inspection.transfer import PhotonTransfer
from ambientkit.inspection.values import of_values, saturation
from ambientkit.units.clipping import CLIPPED, KEPT
from ambientkit.units.counts import CountRange
from tests.inspection.test_photon import camera, scenes
from tests.support import ROOT
from tests.support.noisy_sets import clothes


@pytest.fixture(scope="module")
def field_sets():
    spec = importlib.util.spec_from_file_location("field_sets", ROOT / "examples" / "benchmarks" / "field_sets.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["field_sets"] = module
    spec.loader.exec_module(module)
    return module


def verdicts(rows: np.ndarray, **fields) -> dict[str, str]:
    found = inspect(InMemory.of(rows, layout="NCHW", **fields))
    return {finding.name: str(finding.verdict) for finding in found.findings}


def test_the_truth_table_has_forty_sets_of_each_kind_and_each_half_some_of_both(field_sets) -> None:
    names = list(field_sets.SETS)
    assert sum(name.startswith("innocent") for name in names) >= 40
    assert sum(name.startswith("violating") for name in names) >= 40
    for half in ("set", "kept"):
        for kind in ("innocent", "violating"):
            assert sum(field_sets.half_of(n) == half and n.startswith(kind) for n in names) >= 15
    name = names[0]
    assert field_sets.half_of(name) == ("kept" if hashlib.sha256(name.encode()).digest()[0] % 2 else "set")
    assert np.array_equal(field_sets.make(name, 1).rows, field_sets.make(name, 1).rows)


def test_what_the_line_sees_of_texture_is_not_called_noise_that_grows() -> None:
    """Case: 8 of 480 sets with even noise. Textured areas among the smooth ones bend the line, by less, and less where
    it is smoothest."""
    line = PhotonTransfer(0.0, 0.01, 0.0, 1.0, 0.02, -3.0, 3.0, 1.0, 0.0, (), 20_000, None, 0.0, 1.0, 0.8)
    for gain, strict, expected in ((0.09, 0.09, False), (0.15, 0.15, True), (0.15, 0.1, False)):
        assert (by_line(replace(line, gain=gain, strict_gain=strict), False) is not None) == expected
    assert by_line(replace(line, bend=1.35, bend_z=6.0), False) is None
    assert by_line(replace(line, bend=1.5, bend_z=6.0), False) is not None


def test_shot_noise_is_found_where_most_of_the_area_is_dark() -> None:
    rng = np.random.default_rng(1)
    p = scenes(rng, 24)
    assert np.mean(p < 20) > 0.5
    y = camera(rng, p, 2.1, 100.0, 4.0)
    assert verdicts(y.astype(np.float32), value_range="data")["signal-dependence"] == "violated"
    even = p + 6 * rng.standard_normal(p.shape)
    assert verdicts(even.astype(np.float32), value_range="data")["signal-dependence"] != "violated"


@pytest.mark.parametrize("level", [None, 0.2])
def test_copies_are_named_as_copies_and_counted_once_by_every_other_test(level: float | None) -> None:
    """Case: fifty copies of a row were called saturated, because its least value is there fifty times."""
    rng = np.random.default_rng(7)
    rows = (0.2 * rng.standard_normal((40, 1, 32, 32)) + 0.3).astype(np.float32)
    alone = inspect(InMemory.of(rows, layout="NCHW", sigma_n=level))
    doubled = inspect(InMemory.of(np.repeat(rows, 6, 0), layout="NCHW", sigma_n=level))
    first, *others = doubled.findings
    assert (first.name, str(first.verdict), first.statistic) == ("duplicates", "doubt", 200)
    assert first.reason.startswith("200 of 240 rows looked at are copies of others")
    assert tuple(others) == tuple(alone.findings)
    one = inspect(InMemory.of(np.repeat(rows[:1], 50, 0), layout="NCHW", sigma_n=level))
    assert {str(f.verdict) for f in one.findings if f.name != "duplicates"} <= {"fine", "not tested"}
    assert "all 50 rows looked at are one and the same" in str(one)


def test_rows_that_are_no_copies_are_not_called_so() -> None:
    rng = np.random.default_rng(8)
    points = rng.integers(0, 3, (64, 2)).astype(np.float32)  # few values are the same by accident
    assert "duplicates" not in verdicts(points.reshape(64, 1, 1, 2) / 2)
    blank = np.full((64, 1, 16, 16), 0.3, np.float32)
    assert "duplicates" not in verdicts(blank)


def test_rows_without_noise_or_picture_are_never_fine(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    blank = np.full((64, 1, 16, 16), 0.3, np.float32)
    assert verdicts(blank) == {"constant-rows": "violated"}
    declared = verdicts(blank, sigma_n=0.1)
    assert declared == {"constant-rows": "violated", "units": "violated"}
    noisy = (0.1 * rng.standard_normal((24, 1, 32, 32))).astype(np.float32)
    assert "constant-rows" not in verdicts(noisy)
    noisy[5] = 0.2
    assert verdicts(noisy)["constant-rows"] == "doubt"
    assert str(inspect(InMemory.of(blank))).count("100 % of the values") == 1
    assert verdict([Finding("tails", NoiseVerdict.UNTRIED, "")]) is NoiseVerdict.UNTRIED


def test_rows_with_gaps_are_not_estimated_as_if_they_were_whole(tmp_path: Path) -> None:
    rows = 0.1 * np.random.default_rng(5).standard_normal((8, 1, 16, 16)).astype(np.float32)
    rows[:, :, 4:8] = np.nan
    np.save(tmp_path / "gaps.npy", rows)
    gaps = f"array{{path: {tmp_path / 'gaps.npy'}, missing: mask}}"
    with pytest.raises(InputError, match=r"cannot be estimated between gaps\. Give --sigma-n"):
        inspect(gaps)
    found = inspect(gaps, sigma_n=0.1)
    assert (found.facts["missing"], found.violated) == (0.25, False)
    with pytest.raises(InputError, match="missing: mask in the data set, and --corruption mask"):
        Array(path=tmp_path / "gaps.npy", sigma_n=0.1).rows()


def test_padding_does_not_make_rows_look_clean_and_is_no_part_of_an_estimate() -> None:
    rng = np.random.default_rng(2)
    y, x = np.mgrid[:48, :48]
    rows = 1000 + 100 * scenes(rng, 20) / 50 + 30 * rng.standard_normal((20, 1, 48, 48))
    padded = np.where(np.hypot(y - 24, x - 24) < 20, rows, 0.0)
    found = inspect(InMemory.of(padded.astype(np.float32), layout="NCHW", value_range=(0.0, 2000.0)))
    assert found.violated
    assert "look clean" not in str(found)
    assert estimate(padded).sigma == pytest.approx(30, rel=0.15)
    assert padding(rows)[1] == 0
    assert padding(padded)[1] > 0.2


@pytest.mark.parametrize(
    ("fields", "scale", "verdict"),
    [
        ({"value_range": (0.0, 1000.0), "sigma_n": 0.1}, 1.0, "violated"),  # values around 3000
        ({"value_range": (0.0, 1e6), "sigma_n": 60 / 5e5}, 1.0, "violated"),  # a std of 0.001
        ({"value_range": (2900.0, 4100.0), "sigma_n": 0.1}, 1.0, "none"),
    ],
)
def test_values_outside_their_range_or_in_a_small_part_of_it(fields, scale, verdict) -> None:
    rng = np.random.default_rng(3)
    p = scenes(rng, 16)
    rows = (3000 + 1000 * p / p.max() + 60 * rng.standard_normal(p.shape)).astype(np.float32)
    assert verdicts(rows, **fields).get("units", "none") == verdict


def test_rows_are_not_said_to_be_clean_in_units_that_are_in_doubt() -> None:
    rng = np.random.default_rng(4)
    rows = np.round(100 + scenes(rng, 16)).astype(np.uint16)  # 1 of 65535
    found = inspect(InMemory.of(rows, layout="NCHW"))
    assert found.violated
    assert "look clean" not in str(found)


def test_single_hot_pixels_are_found_and_noise_stars_and_noisier_rows_are_not() -> None:
    rng = np.random.default_rng(5)
    z = rng.standard_normal((20, 1, 64, 64))
    assert lone(z) is None
    assert lone(z * rng.uniform(0.5, 6, (20, 1, 1, 1))) is None
    hot = z + 12 * (rng.random(z.shape) < 0.003)
    assert lone(hot) is not None
    y, x = np.mgrid[:64, :64]
    star = 60 * np.exp(-((y - 30) ** 2 + (x - 33) ** 2) / 1.5**2 / 2)
    assert lone(z + star) is None


def test_few_lone_pixels_are_a_doubt_unless_they_are_always_the_same_or_many() -> None:
    """Case: tips of a small phantom, 24 pixels of 92,256, were called hot pixels."""
    rng = np.random.default_rng(5)
    z = rng.standard_normal((20, 1, 64, 64))
    few, same = np.zeros(z.shape), np.zeros(z.shape)
    few.reshape(-1)[rng.choice(z.size, 40, replace=False)] = 14
    same[:, 0, 20, 30] = same[:, 0, 41, 7] = 14
    many = 14 * (rng.random(z.shape) < 0.003)
    assert {name: str(lone(z + hot).verdict) for name, hot in (("few", few), ("same", same), ("many", many))} == {
        **{"few": "doubt", "same": "violated", "many": "violated"},
    }
    assert "the same 2 places in many rows: (line, column) from 0 (20, 30), (41, 7)." in str(lone(z + same))
    assert "the same" not in str(lone(z + many))


@pytest.mark.parametrize(("photons", "expected"), [(1.0, "fine"), (0.1, "violated")])
def test_counts_below_the_end_of_their_transform_are_not_called_clipped(photons: float, expected: str) -> None:
    """Case: a camera with dark areas, of whose values 0.12 % lie so far below the offset, was refused as saturated."""
    rng, read = np.random.default_rng(0), 4.5 if expected == "fine" else 2.2
    file = np.round(100 + 2.2 * rng.poisson(photons, (16, 1, 32, 32)) + read * rng.standard_normal((16, 1, 32, 32)))
    mapping = CountRange(float(file.min()), float(file.max()), 2.2, 100, read)
    x = mapping.to_unit(file).astype(np.float64)
    assert (x == x.min()).mean() > CLIPPED
    judged = saturation(x, np.ones(x.shape, bool), True, mapping)
    assert judged.verdict == expected
    assert (expected == "fine") or "end of the transform of counts" in judged.reason
    assert saturation(x, np.ones(x.shape, bool), True).verdict == ("doubt" if expected == "fine" else "violated")


@pytest.mark.parametrize(("share", "expected"), [(0.0005, "fine"), (0.005, "doubt"), (0.05, "violated")])
@pytest.mark.parametrize("declared", [True, False])
def test_a_few_clipped_values_are_a_doubt_with_a_way_round_and_many_are_not(
    share: float, expected: str, declared: bool
) -> None:
    """Case: photographs of 8 bits, of which 0.12 % were clipped, were refused and no way was left."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-0.5, 0.5, (20, 1, 64, 64)) + 0.1 * rng.standard_normal((20, 1, 64, 64))
    x = np.minimum(x, np.quantile(x, 1 - share))
    judged = saturation(x, np.ones(x.shape, bool), declared)
    assert judged.verdict == expected
    assert ("clipped: keep" in judged.remedy) == (expected == "doubt")
    assert CLIPPED < KEPT


def test_a_few_bright_stars_are_no_mistake_of_units() -> None:
    """Case: cut-outs of the sky were refused, because their noise was below 1/1000 of the brightest star."""
    rng = np.random.default_rng(0)
    x, level = rng.normal(0, 0.2, (20, 1, 30, 30)), np.full((20, 1, 1, 1), 0.01)
    noisy = np.ones(x.shape, bool)
    x[:, 0, 5, 5] = 30.0
    x[0, 0, :3, 0] = 90.0
    found = {one.name for one in of_values(x, noisy, level)}
    assert found == {"units"}
    x[:, 0, 5, 5] = 0.0
    assert of_values(x, noisy, level) == []


def test_measurements_of_pictures_are_not_judged_as_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Case: frequencies in a .npy file were called hot pixels and correlated noise, and training was refused."""
    scanner = Linear(operator={"name": "fourier", "real": True}, sigma_n=0.05)
    x_0 = torch.from_numpy(clothes()[:64]).float()
    rows = scanner.observe(x_0, torch.arange(64), torch.Generator().manual_seed(0))
    np.save(tmp_path / "y.npy", rows.x_n.numpy())
    data = {"name": "array", "path": str(tmp_path / "y.npy"), "sigma_n": 0.05, "value_range": [-1, 1]}
    asked = {"corruption": scanner, "objective": "tweedie", "model": {"name": "mlp", "width": 8}, "end_step": 1}
    ak.train(data, output_dir=tmp_path / "run", skip_preflight=True, device="cpu", **asked)
    stored = Observations(ak.configure(data, **asked).data.rows(), scanner, 0)
    assert any(one.verdict == "violated" for one in look(stored).findings)
    told = look(stored, pictures=False).findings
    assert not any(one.verdict == "violated" for one in told)
    assert "noise does not show in smooth areas" in next(one.reason for one in told if one.name == "correlation")
