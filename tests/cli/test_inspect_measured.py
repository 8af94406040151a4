"""`inspect` of rows that an operator measured: the tests that hold for them, and the run that it writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.data import Observations
from ambientkit.data.measured_units import shows_pictures
from ambientkit.errors import InputError
from ambientkit.inspection import look
from ambientkit.registry import load
from tests.run.test_judged_alike import SMALL, refusal, scenes

FOURIER = "linear{operator: {name: fourier, real: true}, kind: columns, missing: 0.2}"
AREAS = {"level", "correlation", "channels", "signal-dependence", "symmetry", "tails"}


@pytest.fixture
def kspace(tmp_path: Path) -> Path:
    """(24, 2, 32, 32): pictures of blocks in k-space, with noise of 0.1."""
    rng = np.random.default_rng(5)
    blocks = np.kron(rng.uniform(-1, 1, (24, 16, 16)), np.ones((2, 2)))
    values = np.fft.fftshift(np.fft.fft2(blocks, norm="ortho"), axes=(-2, -1))
    rows = np.stack([values.real, values.imag], 1)
    np.save(tmp_path / "k.npy", (rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float32))
    return tmp_path / "k.npy"


def verdicts(found: Any) -> dict[str, str]:
    return {one.name: str(one.verdict) for one in found.findings}


def test_measurements_get_the_tests_that_hold_for_them(kspace: Path, ambientkit: Any) -> None:
    """Case: k-space in a .npy file was judged as pictures, and called violated."""
    pictures = ak.inspect(kspace, sigma_n=0.1)
    assert pictures.violated
    bad = [one for one in pictures.findings if one.verdict == "violated"]
    hints = ["--corruption 'linear{operator: ...}'" in one.remedy for one in bad if one.name in AREAS]
    assert (len(hints) > 1, hints[0], sum(hints)) == (True, True, 1), "once, beside the first"
    found = ak.inspect(kspace, sigma_n=0.1, corruption=FOURIER)
    assert not found.violated
    assert {name for name, said in verdicts(found).items() if said == "not tested"} == AREAS
    unknown = ak.inspect(kspace, corruption=FOURIER)
    assert verdicts(unknown).items() >= {name: "not tested" for name in (*AREAS, "quantisation")}.items()
    assert unknown.facts["sigma_n_estimated"] is None
    status, out, err = ambientkit("inspect", kspace, "--sigma-n", 0.1, "--corruption", FOURIER)
    assert (status, "correlation" in out) == (0, True), err
    status, _, err = ambientkit("inspect", kspace, "--corruption", "linear{operator: nothing}")
    assert status == 2
    assert "corruption" in err


def test_train_says_the_same_of_them(kspace: Path, tmp_path: Path) -> None:
    through = {"name": "linear", "operator": {"name": "fourier", "real": True}, "kind": "columns", "missing": 0.2}
    told = set()
    for level in (0.1, 5.0):
        data = {"name": "array", "path": str(kspace), "sigma_n": level}
        bad = [one for one in ak.inspect(data, corruption=through).findings if one.verdict == "violated"]
        told |= {one.name for one in bad}
        part = load().build("data", data).rows(judge=False)
        stored = Observations(part, load().build("corruption", through), 0)
        pictures = shows_pictures(load().build("corruption", through))
        assert [one for one in look(stored, pictures=pictures).findings if one.verdict == "violated"] == bad
        assert bool(refusal(data, tmp_path, corruption=through, objective="tweedie")) == bool(bad)
    assert told == {"units"}


def test_blurred_rows_are_judged_as_pictures(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = 2 * scenes(rng) - 1
    np.save(tmp_path / "a.npy", (rows + 0.1 * rng.standard_normal(rows.shape)).astype(np.float32))
    found = ak.inspect(tmp_path / "a.npy", sigma_n=0.2, corruption="linear{operator: {name: blur, width: 0.6}}")
    assert verdicts(found)["level"] == "violated"


@pytest.mark.slow
def test_the_corruption_is_written_and_the_run_file_trains(kspace: Path, tmp_path: Path) -> None:
    without = ak.inspect(kspace, corruption=FOURIER, write=tmp_path / "a.yaml")
    assert "give --sigma-n" in without.proposal.missing[0]
    assert not (tmp_path / "a.yaml").exists()
    found = ak.inspect(kspace, sigma_n=0.1, corruption=FOURIER, write=tmp_path / "run.yaml")
    assert found.written == tmp_path / "run.yaml", found
    whole = np.round(100 * np.load(kspace)).astype(np.int16)
    np.save(tmp_path / "whole.npy", whole)
    with pytest.raises(InputError, match=r"from -a to a, such as \[-"):
        ak.inspect(tmp_path / "whole.npy", sigma_n=0.1, corruption=FOURIER, write=tmp_path / "b.yaml")
    config = ak.configure(config=tmp_path / "run.yaml", model=SMALL["model"], end_step=1)
    assert [entry.objective.name for entry in config.objective] == ["tweedie"]
    assert config.corruption.name == "linear"
    assert config.corruption.operator.name == "fourier"
    assert (config.corruption.kind, config.corruption.missing) == ("columns", 0.2)
    assert [step.step for step in ak.steps(ak.build(config))] == [1]


def test_missing_measurements_are_offered_with_a_mask_of_their_own(
    kspace: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    rows = np.load(kspace)
    gone = np.random.default_rng(1).random((len(rows), 1, 1, 32)) < 0.2
    np.save(tmp_path / "gaps.npy", np.where(gone, np.nan, rows))
    (only,) = ak.inspect(tmp_path / "gaps.npy", corruption=FOURIER).findings
    assert "name: masked" in only.remedy
    assert "measurements: true" in only.remedy
    assert "name: linear" in only.remedy
    found = ak.inspect(tmp_path / "gaps.npy", sigma_n=0.1, corruption=FOURIER, write=tmp_path / "run.yaml")
    assert found.written == tmp_path / "run.yaml", found
    config = ak.configure(config=tmp_path / "run.yaml", model=SMALL["model"], end_step=1)
    assert (config.data.name, config.data.measurements) == ("masked", True)
    assert [step.step for step in ak.steps(ak.build(config))] == [1]


@pytest.mark.parametrize("dtype", ["int16", "uint16"])
def test_whole_numbers_are_given_a_range_that_train_takes(
    kspace: Path, tmp_path: Path, ambientkit: Any, dtype: str
) -> None:
    """Case: the range that `inspect` offered, or took without a word, was refused by `train`."""
    values = np.rint(100 * np.load(kspace) + (30000 if dtype == "uint16" else 0)).astype(dtype)
    np.save(tmp_path / "whole.npy", values)
    most = float(f"{np.abs(values.astype(float)).max():.3g}")
    for sigma_n in ((), ("--sigma-n", 0.01)):
        status, _, err = ambientkit("inspect", tmp_path / "whole.npy", *sigma_n, "--corruption", FOURIER)
        assert status == 2
        told = f"measurements are {dtype}, so that the value of 0 is not known: give the data set value_range"
        assert f"{told}, from -a to a, such as [{-most:g}, {most:g}]" in err
        assert "value_range: data" not in err
    if dtype == "uint16":
        return
    spec = f"array{{path: {tmp_path / 'whole.npy'}, value_range: [0, {most}]}}"
    found = ak.inspect(spec, sigma_n=0.01, corruption=FOURIER)
    assert found.violated
    with pytest.raises(InputError) as caught:
        ak.train(spec, sigma_n=0.01, corruption=FOURIER, end_step=1, output_dir=tmp_path / "run")
    assert found.findings[0].reason == str(caught.value)
    spec = f"array{{path: {tmp_path / 'whole.npy'}, value_range: [{-most}, {most}]}}"
    assert not ak.inspect(spec, sigma_n=0.01, corruption=FOURIER).violated
    command = [
        "train",
        "--data",
        spec,
        "--sigma-n",
        0.01,
        "--objective",
        "tweedie",
        "--corruption",
        FOURIER,
        "--dry-run",
    ]
    status, _, err = ambientkit(*command, "--output-dir", tmp_path / "run")
    assert status == 0, err
