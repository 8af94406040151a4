"""`ambientkit sample`: files in the user's own units, the same after a kill and for any number of processes; and what it refuses."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import ambientkit.cli.sample
from ambientkit.batch import Clean
from ambientkit.builtin.heun import Heun
from ambientkit.cli.processes import Processes
from ambientkit.cli.sample import SampleRequest, _sampling
from ambientkit.cli.sample_job import carry_out
from ambientkit.counts import CountRange
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.sample import draw, read_samples, step_grid
from ambientkit.sample.load import load_run
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units import ValueRange, to_uint8
from tests.support.engine import command, finish
from tests.support.sampling import SHAPE, registry, write_run

ROOT = Path(__file__).parents[1]
WIDE = OwnUnits(ValueRange(0, 4000), "NHW")


@pytest.fixture
def sample(ambientkit, monkeypatch):
    """Runs `ambientkit sample` with the parts of the tests; returns (status, stdout, stderr)."""
    monkeypatch.setattr("ambientkit.cli.sample.load", registry)
    return lambda *arguments: ambientkit("sample", *arguments, "--device", "cpu")


def ok(answer):
    status, out, err = answer
    assert status == 0, err
    return out + err


def files(folder):
    """Every file below a folder, without the manifests, which name the run."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_samples_are_in_the_units_and_axes_of_the_data_and_never_clipped(sample, tmp_path):
    run = write_run(tmp_path / "run", units=WIDE, values=(0.9,))
    ok(sample(run, "--n", 40, "--out", tmp_path / "own"))
    ok(sample(run, "--n", 40, "--units", "unit", "--out", tmp_path / "unit"))
    own, unit = (np.load(tmp_path / name / "samples.npy") for name in ("own", "unit"))
    assert own.shape == (40, 4, 6)
    assert unit.shape == (40, 1, 4, 6)
    assert own.dtype == np.float32
    np.testing.assert_allclose(own, 2000 + 2000 * unit[:, 0], rtol=1e-6)
    assert own.max() > 4000
    np.testing.assert_allclose(read_samples(tmp_path / "own").numpy(), unit, atol=1e-6)
    np.testing.assert_allclose(read_samples(tmp_path / "unit", [7, 2]).numpy(), unit[[7, 2]])
    ok(sample(run, "--n", 2, "--format", "npz", "--out", tmp_path / "npz"))
    with pytest.raises(InputError, match=r"samples\.npy: is not there; draw with --format npy"):
        read_samples(tmp_path / "npz")
    with pytest.raises(InputError, match=r"samples\.json: cannot be read"):
        read_samples(tmp_path)


def test_a_trained_run_knows_what_its_files_meant(ambientkit, tmp_path):
    noisy = np.random.default_rng(0).normal(500, 100, (64, 6, 6, 3)).astype(np.float32)
    np.save(tmp_path / "rows.npy", noisy)
    setup = ["--set", "data.value_range=[0,1000]", "--set", "data.layout=NHWC", "--set", "model.width=8", "--set", "model.depth=1"]
    flags = [*setup, "--device", "cpu", "--skip-preflight", "--end-step", 2, "--sigma-n", "0.1", "--output-dir", tmp_path / "run"]
    assert ambientkit("train", "--data", tmp_path / "rows.npy", *flags)[0] == 0
    trained = load_run(tmp_path / "run", load())
    assert trained.units == OwnUnits(ValueRange(0, 1000), "NHWC")
    assert trained.sigma_n == (pytest.approx(0.1), pytest.approx(0.1))
    status, out, _ = ambientkit("sample", tmp_path / "run", "--n", 3, "--device", "cpu")
    assert status == 0
    assert "values: those of the data, ValueRange(low=0" in out
    samples = np.load(tmp_path / "run" / "samples" / "step-00000002-seed-0" / "samples.npy")
    assert samples.shape == (3, 6, 6, 3)
    assert 200 < samples.mean() < 800


def test_units_keep_what_float32_would_round_and_invert_counts_without_bias():
    far = OwnUnits(ValueRange(1e6, 1e6 + 2))
    x = torch.tensor([[0.125, -0.3]])
    assert far.values(x).dtype == np.float64
    np.testing.assert_allclose(far.values(x), 1e6 + 1 + x.double().numpy(), rtol=1e-12)
    counts = OwnUnits(CountRange(0, 200, gain=2.0, offset=10.0, read_std=3.0))
    values = counts.values(torch.linspace(-1, 1, 9).reshape(1, 9))
    np.testing.assert_allclose(values[0], counts.mapping.from_unit(np.linspace(-1, 1, 9)), rtol=1e-5)
    assert OwnUnits.from_plain(json.loads(json.dumps(counts.plain()))) == counts


@pytest.mark.parametrize(
    ("format_", "data"), [("hdf5", "hdf5"), ("tiff", "tiff-stack"), ("fits", "fits"), ("nifti", "nifti"), ("npz", "array")]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_each_format_is_read_back_by_the_data_set_of_that_format(sample, tmp_path, format_, data, channels):
    units = OwnUnits(ValueRange(0, 4000), "NCHW")
    run = write_run(tmp_path / "run", units=units, shape=(channels, 5, 7))
    answer = sample(run, "--n", 3, "--format", format_, "--out", tmp_path / "out")
    if format_ == "nifti" and channels == 3:
        assert answer[0] == 2
        assert "--format nifti holds volumes or pictures of one channel" in answer[2]
        return
    ok(answer)
    ok(sample(run, "--n", 3, "--out", tmp_path / "npy"))
    expected = np.load(tmp_path / "npy" / "samples.npy")
    path = next(iter((tmp_path / "out").glob("samples.[hn]*[5z]")), tmp_path / "out" / "samples")
    fields = {"name": data, "path": str(path), "clean": True, "value_range": [0, 4000]}
    fields |= {"layout": "NCHW"} if format_ in ("npz", "hdf5") else {"planes": "channels"} if format_ == "fits" else {}
    if format_ == "tiff" and channels == 1:
        assert Image.open(path / "00000000.tif").mode == "F"
    rows = load().build("data", fields).rows()
    assert len(rows) == 3
    for index in range(3):
        item = rows[index]
        assert isinstance(item, Clean)
        x_0 = item.x_0.numpy()
        if format_ == "nifti":
            assert x_0.shape == (1, 5, 7)
        np.testing.assert_allclose(2000 + 2000 * x_0, expected[index], rtol=1e-5)


def test_png_files_are_written_when_asked_and_say_that_they_are_clipped(sample, tmp_path):
    run = write_run(tmp_path / "run", units=WIDE, values=(0.9,))
    told = ok(sample(run, "--n", 3, "--format", "png", "--out", tmp_path / "png"))
    assert "clipped to [-1, 1] and rounded" in told
    ok(sample(run, "--n", 3, "--units", "unit", "--out", tmp_path / "npy"))
    expected = to_uint8(np.load(tmp_path / "npy" / "samples.npy"))
    for index in range(3):
        assert (np.asarray(Image.open(tmp_path / "png" / "samples" / f"{index:08}.png")) == expected[index, 0]).all()


@pytest.mark.parametrize("options", [["--format", "npy"], ["--format", "tiff"], ["--from", "digits", "--draws", 2]], ids=str)
def test_a_command_that_was_interrupted_goes_on_to_the_same_files(sample, tmp_path, monkeypatch, options):
    run = write_run(tmp_path / "run", shape=(1, 8, 8) if "--from" in options else SHAPE)
    arguments = [run, "--n", 23, "--steps", 3, "--sampler", "ancestral", *options]
    ok(sample(*arguments, "--batch-size", 4, "--out", tmp_path / "whole"))
    write, written = ambientkit.cli.sample.Store.write, []

    def until(self, piece, arrays, shown):
        if len(written) == 2:
            raise KeyboardInterrupt
        written.append(piece)
        write(self, piece, arrays, shown)

    monkeypatch.setattr("ambientkit.cli.sample.Store.write", until)
    assert sample(*arguments, "--batch-size", 4, "--out", tmp_path / "cut")[0] != 0
    monkeypatch.setattr("ambientkit.cli.sample.Store.write", write)
    assert not (tmp_path / "cut" / "samples.npy").exists()
    first = len(written[0]) * 2
    told = ok(sample(*arguments, "--batch-size", 4, "--out", tmp_path / "cut"))
    assert f"{first} of 23" in told
    assert files(tmp_path / "cut") == files(tmp_path / "whole")
    before = files(tmp_path / "cut")
    assert "nothing to do" in ok(sample(*arguments, "--batch-size", 7, "--out", tmp_path / "cut"))
    assert files(tmp_path / "cut") == before


SHELL = ["-m", "tests.support.sample_shell"]


def start(*arguments, program=tuple(SHELL)):
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return command(*arguments, program=program, env={"PYTHONPATH": path}, cwd=ROOT)


def test_a_killed_command_goes_on_to_the_same_files(sample, tmp_path):
    """SIGKILL, in a process of its own."""
    run = write_run(tmp_path / "run")
    arguments = ["sample", run, "--n", 600, "--steps", 40, "--batch-size", 25, "--sampler", "ancestral", "--device", "cpu"]
    ok(sample(*arguments[1:], "--out", tmp_path / "whole"))
    cut = tmp_path / "cut"
    process = start(*arguments, "--out", cut)
    deadline = time.monotonic() + 60
    while len(list(cut.glob("parts/0*[0-9].npz"))) < 5 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    assert process.poll() is None, finish(process)
    process.send_signal(signal.SIGKILL)
    finish(process)
    assert not (cut / "samples.npy").exists()
    assert not json.loads((cut / "samples.json").read_text())["finished"]
    ok(sample(*arguments[1:], "--out", cut))
    assert files(cut) == files(tmp_path / "whole")


def test_two_processes_share_the_work_and_write_the_same_files(sample, tmp_path):
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", *SHELL)
    arguments = [run, "-n", 22, "--steps", 3, "--batch-size", 4, "--sampler", "ancestral"]  # torchrun takes --n for an option of its own
    ok(sample(*arguments, "--out", tmp_path / "one"))
    status, out, err = finish(start("sample", *arguments, "--device", "cpu", "--out", tmp_path / "two", program=torchrun), timeout=300)
    assert status == 0, (out, err)
    assert out.count("22 samples of shape") == 1
    assert files(tmp_path / "two") == files(tmp_path / "one")


def test_another_request_is_refused_field_by_field_and_foreign_files_are_left_alone(sample, tmp_path):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    ok(sample(run, "--n", 4, "--out", out))
    before = files(out)
    status, _, err = sample(run, "--n", 5, "--steps", 3, "--seed", 1, "--sampler", "ancestral", "--out", out)
    assert status == 2
    for line in ("n: 4 there, 5 now", "steps: 32 there, 3 now", "seed: 0 there, 1 now", "sampler.name: 'heun' there, 'ancestral' now"):
        assert line in err
    write_run(tmp_path / "run", values=(0.3,))
    status, _, err = sample(run, "--n", 4, "--out", out)
    assert status == 2
    assert "weights_sha256" in err
    assert files(out) == before
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "samples.npy").write_bytes(b"mine")
    status, _, err = sample(run, "--n", 4, "--out", tmp_path / "foreign")
    assert status == 2
    assert "holds samples.npy of unknown origin" in err
    assert files(tmp_path / "foreign") == {"samples.npy": b"mine"}


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

    monkeypatch.setattr("ambientkit.cli.sample.load_run", spied)
    return ok(sample(*arguments)), seen


@pytest.mark.parametrize(("flag", "lowest"), [([], 0.002), (["--sigma-min", "0.05"], 0.05), (["--sigma-min", "sigma-n"], 0.3)])
def test_sampling_stays_in_the_trained_range_and_stops_where_it_is_told(sample, tmp_path, monkeypatch, flag, lowest):
    """Case D-11, and the truncated baseline: the last call of the denoiser is at sigma_n, and its answer is the sample."""
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
    told, seen = levels_seen(monkeypatch, sample, run, "--n", 2, "--steps", 4, "--sigma-min", "1e-4", "--out", tmp_path / "out")
    assert "is below 0.002, the lowest level that the run was trained at" in told
    assert min(seen) == pytest.approx(1e-4)


def test_samples_of_a_class_have_its_mean_and_several_classes_take_turns(sample, tmp_path):
    run = write_run(tmp_path / "run", values=(0.0, -0.6, 0.6), conds={"class_cond": ()})
    for classes, means in (("2", [0.6]), ("1,2", [-0.6, 0.6])):
        out = tmp_path / classes
        ok(sample(run, "--class", classes, "--n", 100, "--batch-size", 7, "--out", out))
        found = np.load(out / "samples.npy").reshape(100, -1).mean(1)
        for place, mean in enumerate(means):  # a tenth is lost by starting at sigma 5; of 50 pictures of 24 values with std .5: +- .015
            assert found[place :: len(means)].mean() == pytest.approx(0.9 * mean, abs=0.07)
    together = np.load(tmp_path / "1,2" / "samples.npy")
    ok(sample(run, "--cond", "class_cond=2", "--n", 100, "--out", tmp_path / "cond"))
    np.testing.assert_allclose(np.load(tmp_path / "cond" / "samples.npy")[1::2], together[1::2], atol=1e-5)
    for arguments, message in (
        ([], "takes class_cond (): give --class N"),
        (["--class", "3"], "knows the classes 0 to 1, and 2 for none"),
        (["--class", "1", "--cond", "colour=3"], "takes no such condition; it takes class_cond"),
        (["--class", "one"], "should be a number"),
    ):
        status, _, err = sample(run, *arguments, "--out", tmp_path / "wrong")
        assert status == 2
        assert message in err
    assert not (tmp_path / "wrong").exists()
    status, _, err = sample(write_run(tmp_path / "plain"), "--class", "1", "--out", tmp_path / "wrong")
    assert status == 2
    assert "takes no class" in err


def noisy_file(folder, sigma_n, n=6, value_range=(0, 4000)):
    """(path of noisy rows in file units, path of their levels): grey rows about .2 with spread .5."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(1)
    level = np.broadcast_to(np.asarray(sigma_n, np.float64), (n, 4, 6))
    x = 0.2 + 0.5 * rng.standard_normal((n, 4, 6)) + level * rng.standard_normal((n, 4, 6))
    values = ValueRange(*value_range).from_unit(x)
    np.save(folder / "noisy.npy", values.astype(np.float32))
    np.save(folder / "levels.npy", np.asarray(sigma_n, np.float32))
    return f"array{{path: {folder / 'noisy.npy'}, layout: NHW, value_range: [0, 4000]}}", folder / "levels.npy", x


def test_noisy_rows_are_restored_in_their_own_units_with_draws_mean_and_spread(sample, tmp_path):
    """The posterior of N(.2, .5^2) under noise .3: mean .2 + .7353 (x - .2), std .2572."""
    run = write_run(tmp_path / "run")
    data, _, x = noisy_file(tmp_path / "data", 0.3)
    told = ok(sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 200, "--batch-size", 400, "--out", tmp_path / "out"))
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
    told = ok(sample(run, "--from", data, "--sigma-n", levels, "--draws", 2, "--units", "unit", "--out", tmp_path / "out"))
    assert "1 rows have noise by pixel" in told
    assert "1 rows have no noise above the lowest level" in told
    np.testing.assert_allclose(np.load(tmp_path / "out" / "draws.npy")[0, :, 0], np.stack([x[0], x[0]]), atol=1e-6)
    told = ok(sample(run, "--from", data, "--sigma-n", levels, "--draws", 0, "--sampler", "heun", "--out", tmp_path / "mean"))
    assert sorted(path.name for path in (tmp_path / "mean").iterdir()) == ["mean.npy", "restored.json", "restored.png"]


def test_a_restored_row_does_not_depend_on_how_many_are_restored_with_it(sample, tmp_path):
    run = write_run(tmp_path / "run")
    data, _, _ = noisy_file(tmp_path / "data", 0.3)
    for name, options in {"a": ["--batch-size", 64], "b": ["--n", 4, "--batch-size", 3], "c": ["--draws", 5]}.items():
        ok(sample(run, "--from", data, "--sigma-n", 0.3, "--draws", 3, *options, "--out", tmp_path / name))
    a, b, c = (np.load(tmp_path / name / "draws.npy") for name in "abc")
    np.testing.assert_allclose(a[:4], b, rtol=1e-5, atol=0.1)
    np.testing.assert_allclose(a, c[:, :3], rtol=1e-5, atol=0.1)


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
        (["--sigma-min", "low"], "should be sigma-n, or a level"),
        (["--sigma-min", "nan"], "should be sigma-n, or a level"),
        (["--from", "nowhere"], "nowhere: is neither a data set nor an existing path"),
        (["--from", "digits"], "rows of shape (1, 8, 8), but the run was trained on (1, 4, 6)"),
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


def test_a_damaged_manifest_is_named(sample, tmp_path):
    run = write_run(tmp_path / "run")
    ok(sample(run, "--n", 2, "--out", tmp_path / "out"))
    (tmp_path / "out" / "samples.json").write_text("{")
    status, _, err = sample(run, "--n", 2, "--out", tmp_path / "out")
    assert status == 2
    assert "samples.json: cannot be read" in err
    assert sys.exc_info() == (None, None, None)


def test_each_of_two_processes_draws_every_second_piece(tmp_path):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    request = SampleRequest(run, n=22, steps=2, batch_size=4, out=out, device="cpu")
    place = Processes(0, 2, torch.device("cpu"), lambda: None, lambda values: values, lambda: None)
    trained = load_run(run, registry())
    first = _sampling(request, trained, registry(), place)
    first.store.begin()
    second = _sampling(request, trained, registry(), dataclasses.replace(place, rank=1))
    assert carry_out(second, dataclasses.replace(place, rank=1), "run") is None
    assert sorted(path.name for path in (out / "parts").glob("0*[0-9].npz")) == ["00000004.npz", "00000012.npz", "00000020.npz"]
    assert carry_out(first, dataclasses.replace(place, world=1), "run") == out / "samples.npy"
