"""What `ambientkit evaluate` is given: folders of samples on both sides, noisy rows where clean ones are due,
restorations that drew nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.engine import SMALL_MODEL
from tests.support.finished import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


@pytest.mark.slow
def test_samples_of_another_folder_are_a_reference_and_its_picture_is_not_read_for_data(
    ambientkit, tmp_path: Path, run: Path
) -> None:
    for seed in (0, 1):
        assert (
            ambientkit(
                "sample", run, "-n", 12, "--steps", 2, "--seed", seed, "--device", "cpu", "--out", tmp_path / str(seed)
            )[0]
            == 0
        )
    one, two = tmp_path / "0", tmp_path / "1"
    status, out, err = ambientkit("evaluate", one, "--reference", two, "--extractor", "pixels", "--repeats", 1)
    assert status == 0, err
    assert "reference: 12 of 12 rows of" in out
    assert "warning" not in out
    status, out, _ = ambientkit("evaluate", one, "--reference", one, "--extractor", "pixels", "--repeats", 1)
    assert status == 0
    assert "warning: 12 of 12 samples are, to the bit, rows of the reference" in out
    status, _, err = ambientkit("evaluate", one, "--reference", two, "--sigma-n", "0.3")
    assert status == 2
    assert "holds samples, which are clean" in err


def test_noisy_rows_are_not_taken_for_clean_ones_and_the_message_names_no_field_that_nobody_gave(
    ambientkit, tmp_path: Path, run: Path
) -> None:
    assert ambientkit("corrupt", "digits", tmp_path / "noisy", "--sigma", "0.3")[0] == 0
    for arguments in (
        [run, "--reference", tmp_path / "noisy", "--sigma-n", "0"],
        [tmp_path / "noisy", "--reference", "digits"],
    ):
        status, _, err = ambientkit("evaluate", *arguments)
        assert status == 2
        assert "these rows are noisy, as their manifest says, and cannot be taken for clean ones" in err


def test_the_draws_of_truncated_restorations_are_said_to_be_the_mean(ambientkit, tmp_path: Path, run: Path) -> None:
    flags = ["--from", "digits", "--sigma-n", "0.3", "-n", 4, "--draws", 2, "--sigma-min", "sigma-n", "--device", "cpu"]
    assert ambientkit("sample", run, *flags, "--out", tmp_path / "mean")[0] == 0
    status, out, _ = ambientkit("evaluate", tmp_path / "mean", "--reference", "digits")
    assert status == 0
    assert "the draws are all the posterior mean" in out
    assert "equal for draws of the true posterior" not in out


def test_a_damaged_checkpoint_is_named_and_left_out_of_the_order(ambientkit, tmp_path: Path) -> None:
    small = ["--set", "data.n=64", *SMALL_MODEL, "--skip-preflight"]
    run = tmp_path / "trained"
    assert (
        ambientkit("train", "--data", "mixture", *small, "--end-step", 3, "--save-every", 1, "--output-dir", run)[0]
        == 0
    )
    file = run / "checkpoints" / "checkpoint_2" / "average.safetensors"
    file.write_bytes(file.read_bytes()[:-4])
    flags = ["--all-checkpoints", "--n", 20, "--steps", 2, "--repeats", 2, "--extractor", "pixels", "--device", "cpu"]
    status, out, err = ambientkit("evaluate", run, *flags)
    assert status == 0
    assert "2 checkpoints by" in out
    assert f"warning: left out: {file}: damaged" in err
    (run / "checkpoints" / "checkpoint_1" / "manifest.json").unlink()
    status, _, err = ambientkit("evaluate", run, *flags)
    assert status == 2
    assert "has 1 checkpoint that can be read; two or more can be ranked" in err
    assert "checkpoint_1: not a whole checkpoint" in err
    (run / "model_ema.safetensors").unlink()
    for command in (["evaluate", run], ["sample", run], ["export", run]):
        status, _, err = ambientkit(*command)
        assert status == 2
        assert "this run has not saved its averaged weights yet" in err
        assert f"Go on with: ambientkit train --resume {run}" in err
