"""`ambientkit train --augment`: rows in other poses, the same run after a resume, and refusals before step 1."""

from __future__ import annotations

from pathlib import Path

import pytest

TINY = [
    "--model",
    "mlp",
    "--set",
    "model.width=16",
    "--batch-size",
    8,
    "--set",
    "optimizer.warmup_steps=2",
    "--skip-preflight",
    "--device",
    "cpu",
]


def weights(run: Path) -> bytes:
    """The averaged weights of a run."""
    return (run / "model_ema.safetensors").read_bytes()


@pytest.mark.slow
def test_a_run_with_poses_resumes_to_the_same_bits_and_sees_the_cropped_shape(ambientkit, tmp_path):
    common = ["train", "--data", "digits", "--objective", "tweedie", *TINY]
    poses = ["--augment", "quarter-turns", "--augment", "crop=6x6"]
    whole, parts, plain = (tmp_path / name for name in ("whole", "parts", "plain"))
    told = []
    for arguments in (
        [*common, *poses, "--end-step", 12, "--output-dir", whole],
        [*common, *poses, "--end-step", 5, "--output-dir", parts],
        ["train", "--resume", parts, "--end-step", 12, "--skip-preflight"],
        [*common, "--augment", "crop=6x6", "--end-step", 12, "--output-dir", plain],
    ):
        status, out, err = ambientkit(*arguments)
        assert status == 0, err
        told.append(out)
    assert "rows of shape (1, 6, 6)" in told[0]
    assert weights(whole) == weights(parts)
    assert weights(whole) != weights(plain)  # the turns were seen


def test_a_pose_that_would_change_the_noise_is_refused_before_step_1(ambientkit, tmp_path):
    status, _, err = ambientkit(
        "train", "--data", "digits", "--augment", "rotate", *TINY, "--output-dir", tmp_path / "run"
    )
    assert status == 2
    assert "'rotate' is refused on noisy data" in err
    assert not (tmp_path / "run").exists()
