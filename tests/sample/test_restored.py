"""`ambientkit sample --from`: noisy rows are restored in their own units, with draws, mean and spread."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from tests.support.sampling import files, noisy_file, ok, write_run


def test_noisy_rows_are_restored_in_their_own_units_with_draws_mean_and_spread(sample, tmp_path):
    """The posterior of N(.2, .5^2) under noise .3: mean .2 + .7353 (x - .2), std .2572."""
    run = write_run(tmp_path / "run")
    data, _, x = noisy_file(tmp_path / "data", 0.3)
    told = ok(
        sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 200, "--batch-size", 400, "--out", tmp_path / "out")
    )
    assert "6 restored rows (mean, draws, std)" in told
    mean, draws, std = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("mean", "draws", "std"))
    assert draws.shape == (6, 200, 4, 6)
    assert mean.shape == std.shape == (6, 4, 6)
    exact = 0.2 + 0.25 / (0.25 + 0.09) * (x - 0.2)
    np.testing.assert_allclose(mean, 2000 + 2000 * exact, atol=0.05)
    np.testing.assert_allclose(std, draws.std(1, ddof=1), rtol=1e-4)
    assert std.mean() / 2000 == pytest.approx(0.2572, rel=0.06)
    assert np.abs(draws.mean(1) - mean).max() / 2000 < 5 * 0.2572 / 200**0.5
    facts = json.loads((tmp_path / "out" / "restored.json").read_text())
    assert (facts["draws"], facts["data"]["sigma_n"], facts["finished"]) == (200, 0.3, True)
    assert Image.open(tmp_path / "out" / "restored.png").width > 300


def test_mixed_rows_are_told_apart_and_the_mean_alone_needs_no_sampler(sample, tmp_path):
    run = write_run(tmp_path / "run")
    level = np.full((6, 4, 6), 0.3)
    level[0] = 0.0
    level[1, :, :3] = 0.1
    data, levels, x = noisy_file(tmp_path / "data", level)
    told = ok(
        sample(run, "--from", data, "--sigma-n", levels, "--draws", 2, "--units", "unit", "--out", tmp_path / "out")
    )
    assert "1 rows have noise per pixel" in told
    assert "1 rows have no noise above the lowest level" in told
    np.testing.assert_allclose(np.load(tmp_path / "out" / "draws.npy")[0, :, 0], np.stack([x[0], x[0]]), atol=1e-6)
    told = ok(
        sample(run, "--from", data, "--sigma-n", levels, "--draws", 0, "--sampler", "heun", "--out", tmp_path / "mean")
    )
    assert sorted(path.name for path in (tmp_path / "mean").iterdir()) == [
        *("mean.npy", "restored.csv", "restored.json", "restored.png")
    ]


def test_a_restored_row_does_not_depend_on_how_many_are_restored_with_it(sample, tmp_path):
    run = write_run(tmp_path / "run")
    data, _, _ = noisy_file(tmp_path / "data", 0.3)
    for name, options in {"a": ["--batch-size", 64], "b": ["--n", 4, "--batch-size", 3], "c": ["--draws", 5]}.items():
        ok(sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 3, *options, "--out", tmp_path / name))
    a, b, c = (np.load(tmp_path / name / "draws.npy") for name in "abc")
    np.testing.assert_allclose(a[:4], b, rtol=1e-5, atol=0.1)
    np.testing.assert_allclose(a, c[:, :3], rtol=1e-5, atol=0.1)


@pytest.mark.parametrize("lowest", ["0.3", "0.5", "sigma-n"])
def test_draws_that_stop_at_the_noise_of_the_rows_are_the_mean_and_it_is_said(sample, tmp_path, lowest):
    run = write_run(tmp_path / "run")
    data, _, _ = noisy_file(tmp_path / "data", 0.3)
    told = ok(
        sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 2, "--sigma-min", lowest, "--out", tmp_path / "out")
    )
    assert (
        f"at or below --sigma-min {lowest} are not drawn for: their draws are the posterior mean, their spread is 0"
        in told
    )
    draws, mean, std = (np.load(tmp_path / "out" / f"{name}.npy") for name in ("draws", "mean", "std"))
    assert (draws == mean[:, None]).all()
    assert (std == 0).all()
    assert "are not drawn for" not in ok(
        sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 2, "--sigma-min", 0.2, "--out", tmp_path / "below")
    )


def test_restored_rows_are_not_written_into_the_folder_of_the_noisy_ones(sample, tmp_path):
    """They would be read as rows of it from then on."""
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    for index in range(3):
        Image.fromarray(np.random.default_rng(index).normal(0, 0.3, (8, 8)).astype(np.float32)).save(
            noisy / f"{index}.tif"
        )
    data = f"image-folder{{path: {noisy}, value_range: [-1, 1]}}"
    before = files(noisy)
    for out in (noisy / "restored", noisy / "a" / "b", noisy):
        status, _, err = sample(run, "--from", data, "--sigma-n", 0.3, "--format", "tiff", "--out", out)
        assert status == 2
        assert f"--out {out}: lies inside the data {noisy}" in err
    assert files(noisy) == before
