"""Runs on rows that were measured in part, killed in a step and stopped at another, end in the bits of one that was
not."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest
from numpy.typing import NDArray

import ambientkit as ak
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.maths.randomness import isolated_global_generator
from tests.support.engine import contents
from tests.support.shares import some

pytestmark = pytest.mark.slow

ROWS, SIDE, STEPS = 40, 8, 12
KILLED, SAVED, STOPPED = 9, 4, 10
"""In steps of 16 rows. The files hold 40, so that steps 8 (of the last checkpoint) and 10 lie within an epoch."""


class Differences:
    """A user's operator: the first pixel of each line, and the steps from one to the next."""

    def forward(self, x: NDArray[Any]) -> NDArray[Any]:
        return np.diff(x, axis=-1, prepend=0) / 2

    def adjoint(self, y: NDArray[Any]) -> NDArray[Any]:
        return (y - np.pad(y, ((0, 0), (0, 0), (0, 1)))[..., 1:]) / 2


DIFFERENCES = Differences()


def pictures(seed: int = 0) -> NDArray[np.float32]:
    """Smooth ones, (ROWS, SIDE, SIDE), in [-1, 1]."""
    rng, place = np.random.default_rng(seed), np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    bumps = [np.exp(-((place - rng.uniform(-0.5, 0.5, (2, 1, 1))) ** 2).sum(0) * 4) for _ in range(ROWS)]
    found: NDArray[np.float32] = (2 * np.stack(bumps) - 1).astype(np.float32)
    return found


def digits(folder: Path, **corruption: Any) -> dict[str, Any]:
    return {"data": {"name": "digits"}, "corruption": {"sigma_n": 0.1, **corruption}}


def of_a_file(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    np.save(folder / "rows.npy", pictures() + 0.1 * rng.standard_normal((ROWS, SIDE, SIDE)).astype(np.float32))
    np.save(folder / "masks.npy", rng.random((ROWS, SIDE, SIDE)) < 0.7)
    data = {"name": "masked", "path": str(folder / "rows.npy"), "masks": str(folder / "masks.npy"), "sigma_n": 0.1}
    return {"data": data, "corruption": {"name": "mask", "missing": 0.3}}


def of_counts(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(2)
    frames = rng.poisson(200 + 150 * pictures()).astype(np.float32)
    frames[rng.random(frames.shape) < 0.2] = np.nan
    np.save(folder / "frames.npy", frames)
    data = {"name": "array", "path": str(folder / "frames.npy"), "missing": "mask"}
    units = {"value_range": [0, 400], "counts": {"gain": 1.0, "offset": 0.0, "read_std": 2.0}}
    return {"data": data | units, "corruption": {"name": "mask", "missing": 0.2}}


def of_a_scanner(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    for volume, slices in enumerate(np.split(pictures(), 4)):
        lines = rng.random(SIDE) < 0.6
        lines[3:5] = True
        with h5py.File(folder / f"volume{volume}.h5", "w") as file:
            noise = 0.1 * (rng.standard_normal(slices.shape) + 1j * rng.standard_normal(slices.shape))
            whole = np.fft.fftshift(np.fft.fft2(np.fft.ifftshift(slices, axes=(1, 2)), norm="ortho"), axes=(1, 2))
            file["kspace"] = ((whole + noise) * lines).astype(np.complex64)
            file["mask"] = lines.astype(np.float32)
    word = {"name": "linear", "operator": "fourier", "kind": "columns", "missing": 0.4, "centre": 0.25}
    return {"data": {"name": "kspace", "path": str(folder), "sigma_n": 0.1}, "corruption": word}


def of_deepinv(folder: Path) -> dict[str, Any]:
    physics = pytest.importorskip("deepinv").physics
    module = ModuleType("scanner_of_resumption")
    with isolated_global_generator(0, "tomography"):  # its norm is found from a random picture
        module.__dict__["tomography"] = physics.Tomography(angles=24, img_width=SIDE, circle=False, normalize=True)
    sys.modules[module.__name__] = module
    return digits(folder, name="linear", operator={"name": "deepinv", "physics": f"{module.__name__}:tomography"})


OWN = {"name": "python", "object": f"{__name__}:DIFFERENCES"}
CASES: dict[str, Callable[[Path], dict[str, Any]]] = {
    "pixels": lambda folder: digits(folder, name="mask", missing=0.4),
    "boxes": lambda folder: digits(folder, name="mask", kind="boxes", missing=0.1),
    "file of masks": of_a_file,
    "operator of a user": lambda folder: digits(folder, name="linear", operator=OWN, missing=0.2, drop=0.2),
    "physics of deepinv": of_deepinv,
    "lines of a transform": lambda folder: digits(
        folder, name="linear", operator={"name": "fourier", "real": True}, kind="columns", missing=0.4, centre=0.25
    ),
    "k-space in files": of_a_scanner,
    "counts": of_counts,
}


class Killed(Exception):
    """Stands for whatever ends a process between two checkpoints."""


@pytest.mark.parametrize("case", some(CASES, ["boxes", "operator of a user", "k-space in files"]))
def test_a_run_on_rows_measured_in_part_is_killed_and_stopped_and_ends_in_the_same_bits(
    case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files of the last checkpoint (weights, optimiser, state), the average and the log."""
    (tmp_path / "data").mkdir()
    asked = {
        **CASES[case](tmp_path / "data"),
        "objective": "tweedie-consistency" if case in ("pixels", "file of masks") else "tweedie",
        "model": {"name": "mlp", "width": 16, "depth": 1},
        "batch_size": 16,
        "save_every": SAVED,
        "log_every": 1,
        "device": "cpu",
        "hold_out": 0,
        "skip_preflight": True,
    }
    ak.train(**asked, end_step=STEPS, output_dir=tmp_path / "whole")
    loss, calls = Tweedie.loss, 0

    def killing(self: Tweedie, *given: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == KILLED:
            raise Killed
        return loss(self, *given)

    with monkeypatch.context() as patched:
        patched.setattr(Tweedie, "loss", killing)
        with pytest.raises(Killed):
            ak.train(**asked, end_step=STOPPED, output_dir=tmp_path / "broken")
    assert ak.train(**asked, end_step=STOPPED, output_dir=tmp_path / "broken").ended.step == STOPPED
    ak.train(**asked, end_step=STEPS, output_dir=tmp_path / "broken")
    whole, broken = (contents(tmp_path / name, STEPS) for name in ("whole", "broken"))
    assert [line["step"] for line in whole["log"]] == list(range(1, STEPS + 1))
    assert whole.keys() == broken.keys()
    assert [name for name in whole if whole[name] != broken[name]] == []
