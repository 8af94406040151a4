"""`ambientkit sample`: what its flags mean, and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from ambientkit.builtin.samplers.heun import Heun
from ambientkit.sample import draw, step_grid
from ambientkit.sample.load import load_run
from tests.support.engine import SMALL_MODEL, finish
from tests.support.sampling import SHAPE, files, noisy_file, ok, registry, start, write_run


def levels_seen(monkeypatch, sample, *arguments):
    """The levels that the denoiser is asked at, in order."""
    seen = []

    def spied(path, parts, device):
        trained = load_run(path, parts, device)
        denoiser = trained.denoiser

        def spy(x, sigma, /, **cond):
            seen.extend(sigma.tolist())
            return denoiser(x, sigma, **cond)

        object.__setattr__(trained, "denoiser", spy)
        return trained

    monkeypatch.setattr("ambientkit.sample.files.load_run", spied)
    return ok(sample(*arguments)), seen


@pytest.mark.parametrize(
    ("flag", "lowest"), [([], 0.002), (["--sigma-min", "0.05"], 0.05), (["--sigma-min", "sigma-n"], 0.3)]
)
def test_sampling_stays_in_the_trained_range_and_stops_where_it_is_told(sample, tmp_path, monkeypatch, flag, lowest):
    """Case D-11, and the truncated baseline: the last call of the denoiser is at sigma_n, and its answer is the
    sample."""
    run = write_run(tmp_path / "run")
    _, seen = levels_seen(monkeypatch, sample, run, "--n", 2, "--steps", 6, *flag, "--out", tmp_path / "out")
    assert max(seen) == pytest.approx(5.0)
    assert seen[-1] == min(seen) == pytest.approx(lowest)
    if lowest == 0.3:
        trained = load_run(run, registry())
        grid = step_grid(6, trained.config.levels.as_levels()._replace(sigma_min=0.3))
        expected = torch.cat(list(draw(trained.denoiser, Heun(), SHAPE, 2, sigmas=grid, seed=0)))
        np.testing.assert_allclose(np.load(tmp_path / "out" / "samples.npy"), expected.numpy(), atol=1e-6)


def test_leaving_the_trained_range_must_be_asked_for_and_is_told(sample, tmp_path, monkeypatch):
    run = write_run(tmp_path / "run")
    told, seen = levels_seen(
        monkeypatch, sample, run, "--n", 2, "--steps", 4, "--sigma-min", "1e-4", "--out", tmp_path / "out"
    )
    assert "is below 0.002, the lowest level that the run was trained at" in told
    assert min(seen) == pytest.approx(1e-4)


@pytest.mark.slow
def test_samples_of_a_class_have_its_mean_and_several_classes_take_turns(sample, tmp_path):
    run = write_run(tmp_path / "run", values=(0.0, -0.6, 0.6), conds={"class_cond": ()})
    for classes, means in (("2", [0.6]), ("1,2", [-0.6, 0.6])):
        out = tmp_path / classes
        ok(sample(run, "--class", classes, "--n", 100, "--batch-size", 7, "--out", out))
        found = np.load(out / "samples.npy").reshape(100, -1).mean(1)
        for place, mean in enumerate(
            means
        ):  # a tenth is lost by starting at sigma 5; of 50 pictures of 24 values with std .5: +- .015
            assert found[place :: len(means)].mean() == pytest.approx(0.9 * mean, abs=0.07)
    together = np.load(tmp_path / "1,2" / "samples.npy")
    ok(sample(run, "--cond", "class_cond=2", "--n", 100, "--out", tmp_path / "cond"))
    np.testing.assert_allclose(np.load(tmp_path / "cond" / "samples.npy")[1::2], together[1::2], atol=1e-5)
    for arguments, message in (
        ([], "takes class_cond (): give --class N"),
        (["--class", "3"], "knows the classes 0 to 1, and 2 for none"),
        (["--class", "1", "--cond", "colour=3"], "takes no such condition; it takes class_cond"),
        (["--class", "one"], "should be a number"),
        (["--class", "1.5"], "--class 1.5: a class is a whole number"),
        (["--class", "-1"], "knows the classes 0 to 1"),
        (["--cond", "class_cond=-1"], "--cond class_cond=-1: the model of this run knows the classes 0 to 1"),
        (["--cond", "class_cond=0.5"], "a class is a whole number"),
        (["--class", "1", "--cond", "class_cond=2"], "class_cond is given twice: 2 and 1"),
        (["--cond", "class_cond=1", "--cond", "class_cond=1"], "class_cond is given twice: 1 and 1"),
    ):
        status, _, err = sample(run, *arguments, "--out", tmp_path / "wrong")
        assert status == 2
        assert message in err
    assert not (tmp_path / "wrong").exists()
    status, _, err = sample(write_run(tmp_path / "plain"), "--class", "1", "--out", tmp_path / "wrong")
    assert status == 2
    assert "takes no class" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--steps", 0], "should be greater than or equal to 1"),
        (["--draws", 3], "--draws belongs to --from"),
        (["--sigma-n", 0.3], "--sigma-n belongs to --from"),
        (["--schedule", "karas"], "should be one of karras, geometric, cosine; did you mean 'karras'?"),
        (["--format", "jpeg"], "--format jpeg: should be one of npy"),
        (["--units", "counts"], "--units counts: should be one of data, unit"),
        (["--sampler", "huen"], "did you mean 'heun'?"),
        (["--sampler", "heun{s_churn: 3}"], "unknown key 's_churn'"),
        (["--sigma-min", "7"], "below the run's sigma_max = 5"),
        (["--sigma-min", "low"], "should be sigma-n, auto, or a level"),
        (["--sigma-min", "nan"], "should be sigma-n, auto, or a level"),
        (["--sigma-min", "inf"], "should be sigma-n, auto, or a level"),
        (["--sigma-min", "1e-300"], "a level from 1e-06, below which float32 holds no noise"),
        (["--from", "nowhere"], "nowhere: is neither a data set nor an existing path"),
        (["--from", "mixture"], "rows of shape (2,), but the run was trained on (1, 4, 6)"),
        (["--from", "DATA", "--sigma-n", 0.3, "--tile-overlap", 2], "these rows have the shape trained on"),
        (["--from", "DATA", "--sigma-n", 0], "carry no noise"),
        (["--from", "DATA", "--sigma-n", 0.3, "--sampler", "heun"], "'heun' does not draw from the reverse kernel"),
        (["--from", "DATA", "--sigma-n", 0.3, "--n", 7], "--n 7: array{"),
        (["--from", "DATA", "--sigma-n", 6.0], "sigma_n = 6 is more than"),
    ],
)
def test_wrong_requests_end_with_status_2_one_message_and_no_folder(sample, tmp_path, arguments, message):
    """Cases D-03 and G-08."""
    run = write_run(tmp_path / "run")
    data, _, _ = noisy_file(tmp_path / "data", 0.3)
    arguments = [data if word == "DATA" else word for word in arguments]
    status, _, err = sample(run, "--out", tmp_path / "out", *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("device", "message"), [("gpu", "should be auto, cpu, cuda"), ("cuda:99", "usable GPUs")])
def test_a_device_that_is_not_there_is_refused(ambientkit, tmp_path, device, message):
    status, _, err = ambientkit("sample", write_run(tmp_path / "run"), "--device", device, "--out", tmp_path / "out")
    assert status == 2
    assert f"--device {device}: " in err
    assert message in err


def test_a_pipe_gets_plain_lines(tmp_path):
    """Case G-06."""
    run = write_run(tmp_path / "run")
    status, out, err = finish(
        start("sample", run, "--n", 60, "--batch-size", 15, "--steps", 2, "--device", "cpu", "--out", tmp_path / "out")
    )
    assert status == 0, err
    assert "\r" not in out + err
    assert len((out + err).splitlines()) < 8


def test_a_condition_that_the_model_cannot_take_is_refused_before_anything_is_written(sample, tmp_path):
    """Nothing says in advance what a condition of a third party's model may be."""
    run = write_run(tmp_path / "run", values=(0.0, -0.6, 0.6), conds={"tone": ()})
    for value in ("7", "0.5"):
        status, _, err = sample(run, "--cond", f"tone={value}", "--out", tmp_path / "wrong")
        assert status == 2
        assert f"--cond tone={value}: the model of this run does not take this (" in err
        assert not (tmp_path / "wrong").exists()
    ok(sample(run, "--cond", "tone=2", "--n", 2, "--out", tmp_path / "right"))


def test_a_checkpoint_is_sampled_with_its_own_average_into_the_run_folder(sample, ambientkit, tmp_path):
    """`evaluate --all-checkpoints` may name one that is not the last."""
    small = ["--set", "data.n=64", *SMALL_MODEL, "--skip-preflight"]
    run = tmp_path / "run"
    assert (
        ambientkit("train", "--data", "mixture", *small, "--end-step", 4, "--save-every", 2, "--output-dir", run)[0]
        == 0
    )
    checkpoint = run / "checkpoints" / "checkpoint_2"
    before = files(checkpoint)
    ok(sample(checkpoint, "--n", 5, "--steps", 3))
    folder = run / "samples" / "step-00000002-seed-0"
    assert json.loads((folder / "samples.json").read_text())["step"] == 2
    ok(sample(run, "--n", 5, "--steps", 3, "--out", tmp_path / "last"))
    assert not np.array_equal(np.load(folder / "samples.npy"), np.load(tmp_path / "last" / "samples.npy"))
    last = run / "checkpoints" / "checkpoint_4"
    ok(sample(last, "--n", 5, "--steps", 3, "--out", tmp_path / "same"))
    assert np.array_equal(np.load(tmp_path / "same" / "samples.npy"), np.load(tmp_path / "last" / "samples.npy"))
    assert ambientkit("export", checkpoint)[0] == 0
    assert load_run(run / "export" / "ambientkit.safetensors", registry()).step == 2
    assert files(checkpoint) == before
    average = last / "average.safetensors"
    average.write_bytes(average.read_bytes()[:-8])
    status, _, err = sample(last, "--n", 5, "--out", tmp_path / "damaged")
    assert status == 2
    assert "average.safetensors: damaged" in err
    assert not (tmp_path / "damaged").exists()


@pytest.mark.parametrize("flag", ["--from", "--sampler", "--class", "--schedule"])
def test_an_empty_value_is_refused_and_not_taken_for_the_default(sample, tmp_path, flag):
    """A shell variable that is not set."""
    status, _, err = sample(write_run(tmp_path / "run"), flag, "", "--out", tmp_path / "out")
    assert status == 2
    assert f"{flag}" in err
    assert not (tmp_path / "out").exists()
