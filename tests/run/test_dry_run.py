"""`train --dry-run` refuses what the run refuses before step 1, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ambientkit as ak

SMALL = ["--model", "mlp", "--set", "model.width=8", "--end-step", "1", "--batch-size", "8", "--skip-preflight"]
CPU = ["--device", "cpu"]


def noisy() -> np.ndarray:
    """(64, 8, 8): waves in noise of std 0.25."""
    rng = np.random.default_rng(0)
    waves = 0.5 * np.sin(np.arange(64).reshape(8, 8) / 9 + 6 * rng.random((64, 1, 1)))
    return (waves + 0.25 * rng.standard_normal(waves.shape)).astype(np.float32)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: Any) -> Path:
    """A folder with good and bad inputs."""
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", noisy())
    np.save("gaps.npy", np.where(noisy() > 0.9, np.nan, noisy()))
    np.save("clipped.npy", noisy().clip(-0.6, 0.6))
    (tmp_path / "link").symlink_to("gone")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a").touch()
    return tmp_path


GOOD = ["--data", "good.npy", "--sigma-n", "0.25"]
REFUSED = {
    "another level than the stored one": ["--data", "copy", "--sigma-n", "0.3"],
    "values that are not finite": ["--data", "gaps.npy", "--sigma-n", "0.25"],
    "more noise than values": ["--data", "good.npy", "--sigma-n", "5"],
    "noise that is no noise": ["--data", "clipped.npy", "--sigma-n", "0.25"],
    "an objective for clean rows": [*GOOD, "--objective", "denoising"],
    "a mask that is not there": [*GOOD, "--corruption", "mask"],
    "a mask that is not used": ["--data", "array{path: gaps.npy, missing: mask}", "--sigma-n", "0.25"],
    "weights that are none": [*GOOD, "--init-from", "good.npy"],
    "an unknown test": [*GOOD, "--allow", "nothing"],
    "no time": [*GOOD, "--time-limit", "soon"],
    "a crop that is too large": [*GOOD, "--augment", "crop=16x16"],
    "rows of an evaluation": [*GOOD, "--evaluate-every", "1", "--evaluate-data", "gaps.npy"],
    "a broken link": [*GOOD, "--output-dir", "link"],
    "a file above": [*GOOD, "--output-dir", "good.npy/run"],
    "a folder that cannot be made": [*GOOD, "--output-dir", "/proc/ambientkit/run"],
    "a tracker without a key": [*GOOD, "--tracker", "wandb"],
    "a folder in use": [*GOOD, "--output-dir", "full"],
    "a folder of rows": ["--data", "copy", "--output-dir", "copy/run"],
    "a run that is none": ["--resume", "full"],
    "levels below the noise": [*GOOD, "--set", "levels.sigma_max=0.1"],
}


@pytest.mark.parametrize("flags", REFUSED.values(), ids=list(REFUSED))
def test_what_the_run_refuses_a_dry_run_refuses(
    ambientkit: Any, place: Path, flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Case: rows whose stored level contradicts the command line passed a dry run with a model."""
    if "wandb" in flags:
        pytest.importorskip("wandb", reason="the tracker is not installed")
        for name in ("WANDB_API_KEY", "WANDB_MODE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("NETRC", str(place / "none"))
    if "copy" in flags:
        ak.corrupt("digits", "copy", sigma=0.2)
    more = [] if "--resume" in flags else [*SMALL, *CPU]
    before = sorted(place.rglob("*"))
    status, out, dry = ambientkit("train", *flags, *more, "--dry-run")
    assert (status, out) == (2, "")
    assert sorted(place.rglob("*")) == before
    status, _, err = ambientkit("train", *flags, *more)
    assert status == 2
    assert dry.splitlines()[0] in err.splitlines() or "--output-dir" in dry or "wandb" in dry  # found otherwise


def test_what_runs_passes_and_leaves_nothing(ambientkit: Any, place: Path) -> None:
    before = sorted(place.rglob("*"))
    status, out, _ = ambientkit("train", *GOOD, *SMALL, *CPU, "--dry-run")
    assert status == 0
    assert out.startswith("data:\n  name: array\n")
    assert sorted(place.rglob("*")) == before
    assert ambientkit("train", *GOOD, *SMALL, *CPU, "--output-dir", "run")[0] == 0
    before = sorted(place.rglob("*"))
    status, out, _ = ambientkit("train", "--resume", "run", "--end-step", "2", "--dry-run")
    assert (status, "end_step: 2" in out) == (0, True)
    assert sorted(place.rglob("*")) == before


def test_a_batch_beyond_the_memory_of_the_machine_is_refused_before_step_1(ambientkit: Any, place: Path) -> None:
    """Case: a slip of zeros in --batch-size filled the memory of the machine, and SIGTERM did not end it."""
    flags = [*GOOD, *CPU, "--model", "mlp", "--end-step", "1", "--batch-size", str(10**12), "--output-dir", "run"]
    status, _, err = ambientkit("train", *flags, "--dry-run")  # never without it: unrefused, it would take all memory
    assert status == 2
    assert "batch_size 1,000,000,000,000: so many rows of shape " in err
    assert "grad_accum_steps" in err
    assert not (place / "run").exists()
