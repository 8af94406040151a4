"""The command line as its users meet it: what it writes, what it refuses, and how it says so."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ambientkit.cli import main
from tests.support.engine import MIXTURE


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    """A short run on noisy digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits run"
    argv, sys.argv = (
        sys.argv,
        [
            "ambientkit",
            "train",
            "--sigma-n",
            "0.1,0.3",
            "--end-step",
            "12",
            "--set",
            "model.width=16",
            "--save-every",
            "5",
        ],
    )
    sys.argv += [
        "--keep-last",
        "2",
        "--demo-every",
        "6",
        "--skip-preflight",
        "--device",
        "cpu",
        "--set",
        "log_every=4",
        "--output-dir",
        str(folder),
    ]
    with pytest.raises(SystemExit) as stop:
        main()
    sys.argv = argv
    assert not stop.value.code
    return folder


def test_a_run_folder_holds_what_a_user_expects(run_folder):
    assert sorted(path.name for path in run_folder.iterdir()) == [
        ".lock",
        "README.md",
        "best.safetensors",
        "checkpoints",
        "config.yaml",
        "data.json",
        "metrics.jsonl",
        "model_ema.safetensors",
        "preflight.json",
        "samples",
        "status.json",
        "versions.json",
    ]
    assert sorted(path.name for path in (run_folder / "checkpoints").iterdir()) == ["checkpoint_10", "checkpoint_12"]
    assert sorted(path.name for path in (run_folder / "samples").iterdir()) == [
        "before_and_after.png",
        "demo_00000006.png",
    ]
    lines = [json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [4, 8, 12]
    assert set(lines[-1]["terms"]) == {"tweedie", "consistency"}
    counts = [level["n"] for level in lines[0]["by_level"]["tweedie"].values()]
    assert sum(counts) == 4 * 64
    assert json.loads((run_folder / "versions.json").read_text())["torch"]


def test_samples_depend_on_seed_and_index_only(ambientkit, run_folder, tmp_path):
    """Cases D-05 and D-06, for a deterministic and for a stochastic sampler."""
    for sampler in ("heun", "ancestral"):
        arrays = []
        for name, options in {
            "a": ("--n", 6, "--batch-size", 6),
            "b": ("--n", 6, "--batch-size", 4),
            "c": ("--n", 3, "--batch-size", 1),
        }.items():
            status, _, err = ambientkit(
                "sample",
                run_folder,
                *options,
                "--steps",
                4,
                "--seed",
                5,
                "--sampler",
                sampler,
                "--out",
                tmp_path / sampler / name,
            )
            assert status == 0, err
            arrays.append(np.load(tmp_path / sampler / name / "samples.npy"))
        assert arrays[0].shape == (6, 1, 8, 8)
        assert arrays[0].dtype == np.float32
        np.testing.assert_allclose(arrays[0], arrays[1], atol=1e-4)
        np.testing.assert_allclose(arrays[0][:3], arrays[2], atol=1e-4)
        assert np.abs(arrays[0][0] - arrays[0][1]).max() > 0.05  # samples differ from one another
    assert json.loads((tmp_path / "heun" / "a" / "samples.json").read_text())["seed"] == 5
    assert Image.open(tmp_path / "heun" / "a" / "samples.png").size[0] > 100


@pytest.mark.parametrize("steps", [1, 2])
def test_few_steps_give_finite_samples(ambientkit, run_folder, tmp_path, steps):
    """Case D-03."""
    assert ambientkit("sample", run_folder, "--n", 5, "--steps", steps, "--out", tmp_path)[0] == 0
    assert np.isfinite(np.load(tmp_path / "samples.npy")).all()


def test_a_resumed_run_may_go_further_but_not_become_another(ambientkit, run_folder, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(run_folder, folder)
    status, _, err = ambientkit("train", "--resume", folder, "--lr", "1e-5", "--seed", 3)
    assert status == 2
    assert "optimizer.lr: 0.0005 in the run, 1e-05 now" in err
    assert "seed: 0 in the run, 3 now" in err
    status, out, err = ambientkit("train", "--resume", "latest", "--output-dir", folder, "--end-step", 14)
    assert status == 0, err
    assert "resuming" in out
    assert "end_step was 12 and is 14 now; objective.1.start, objective.1.ramp follow the new length" in err
    assert [json.loads(line)["step"] for line in (folder / "metrics.jsonl").read_text().splitlines()] == [4, 8, 12, 14]
    status, out, _ = ambientkit("train", "--resume", folder / "checkpoints" / "checkpoint_12", "--end-step", 13)
    assert status == 0
    assert "checkpoint_12 at step 12 of 13" in out


def test_another_length_is_told_of_where_a_run_goes_on_with_it_alone(ambientkit, run_folder, tmp_path):
    """Case: "end_step was 12 and is 3 now" came before the refusal; a run that begins again has its length from 0."""
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(run_folder, folder)
    status, _, err = ambientkit("train", "--resume", folder, "--end-step", 3)
    assert status == 2
    assert "has taken 12 steps already" in err
    assert "end_step was" not in err
    shutil.rmtree(folder / "checkpoints")
    status, out, err = ambientkit("train", "--resume", folder, "--end-step", 3)
    assert (status, "it begins again at step 0" in out) == (0, True)
    assert "end_step was" not in err


def test_a_damaged_newest_checkpoint_is_named_and_skipped(ambientkit, run_folder, tmp_path):
    import shutil

    folder = tmp_path / "copy"
    shutil.copytree(run_folder, folder)
    (folder / "checkpoints" / "checkpoint_12" / "model.safetensors").write_bytes(b"half")
    status, out, err = ambientkit("train", "--resume", folder)
    assert status == 0
    assert "skipped" in err
    assert "checkpoint_12" in err
    assert "checkpoint_10 at step 10" in out


def test_a_dry_run_prints_a_configuration_that_can_be_used_again(ambientkit, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, _ = ambientkit("train", *MIXTURE, "--dry-run", "--sigma-n", "0.3")
    assert status == 0
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "again.yaml").write_text(out)
    assert ambientkit("train", "--config", "again.yaml", "--dry-run")[1] == out


def test_an_output_folder_with_something_in_it_is_left_alone(ambientkit, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    status, _, err = ambientkit("train", *MIXTURE, "--output-dir", tmp_path)
    assert status == 2
    assert "--resume latest" in err
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--data", "nope"], "--data nope: is neither a data set nor an existing path. Give"),
        (["--data", "digitz"], "--data digitz: is neither a data set nor an existing path; did you mean 'digits'?"),
        (["--sigma-n", "x"], "--sigma-n x: should be a number"),
        (["--sigma-n", "-1"], "corruption.sigma_n: should be greater than or equal to 0, but is -1.0"),
        (["--sigma-n", "60"], "in other units?"),
        (["--end-step", "0"], "end_step: should be greater than or equal to 1, but is 0"),
        (["--lr", "nan"], "optimizer.lr: should be a finite number"),
        (["--objective", "twedie"], "did you mean 'tweedie'?"),
        (["--objective", "denoising"], "needs clean data"),
        (["--device", "cuda"], "0 usable GPUs"),
        (["--device", "foo"], "--device foo: should be auto, cpu"),
        (["--set", "batch_sise=3"], "did you mean 'batch_size'?"),
        (["--config", "gone.yaml"], "gone.yaml: there is no such configuration file"),
        (["--allow", "levle"], "did you mean 'level'?"),
        (["--resume", "latest"], "needs --output-dir"),
        (["--resume", "gone"], "--resume gone: there is no such folder"),
        (["--model", "mlp", "--set", "model.width=0"], "model.width: should be greater than or equal to 1, but is 0"),
    ],
)
def test_wrong_requests_end_with_status_2_one_message_and_no_folder(
    ambientkit, tmp_path, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    import torch

    if torch.cuda.is_available() and "cuda" in arguments:
        arguments = ["--device", "cuda:99"]
    status, _, err = ambientkit("train", *arguments)
    assert status == 2
    assert message in err
    assert "Traceback" not in err
    assert "hf_secret" not in err
    assert len(err.splitlines()) <= 5
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["nowhere"], [".", "--steps", "0"], [".", "--n", "-3"]])
def test_wrong_sample_requests_end_with_status_2(ambientkit, tmp_path, monkeypatch, arguments):
    monkeypatch.chdir(tmp_path)
    status, _, err = ambientkit("sample", *arguments)
    assert status == 2
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("option", "reason"),
    [
        ("--noise-offset=0.1", "it would change the law of x_t given x_n"),
        ("--input_perturbation", "it would change the law of x_t given x_n"),
        ("--consistency_coeff", "here it is the weight of consistency in a recipe, objective.terms.1.weight"),
        ("--timestep_nature", "here it is the key data.noise_timestep, or --sigma-n"),
        ("--learning_rate", "here it is --lr"),
    ],
)
def test_an_option_of_other_trainers_is_refused_with_the_reason_or_its_name_here(ambientkit, option, reason):
    status, _, told = ambientkit("train", option, "1")
    assert status == 2
    assert f"ambientkit: error: {option.partition('=')[0]}: {reason}" in told


def test_a_pickle_in_place_of_weights_is_refused_by_name(ambientkit, tmp_path):
    """Case H-01."""
    import pickle

    canary = tmp_path / "CANARY"

    class Bomb:
        def __reduce__(self):
            return (open, (str(canary), "w"))

    (tmp_path / "model_ema.safetensors").write_bytes(pickle.dumps(Bomb()))
    status, _, err = ambientkit("sample", tmp_path)
    assert status == 2
    assert "model_ema.safetensors: not a valid safetensors file" in err
    assert not canary.exists()


def test_a_bug_is_one_line_without_a_traceback(ambientkit, monkeypatch):
    import ambientkit.api.parts as command

    monkeypatch.setattr(command, "load", lambda: 1 / 0)
    monkeypatch.delenv("AMBIENTKIT_DEBUG", raising=False)
    status, _, err = ambientkit("plugins")
    assert status == 1
    assert "internal error: ZeroDivisionError" in err
    assert "Traceback" not in err


def test_what_the_system_refuses_is_named(ambientkit, monkeypatch, tmp_path):
    def refused(self):
        raise PermissionError(13, "Permission denied", str(self))

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(Path, "is_file", refused)
    status, _, err = ambientkit("inspect", tmp_path / "data")
    assert status == 2
    assert re.fullmatch(
        rf"ambientkit: error: {re.escape(str(tmp_path))}/data/\S+: permission denied; see who may read and write "
        r"it .*\n",
        err,
    )


@pytest.mark.parametrize(
    ("error", "status"), [(IsADirectoryError(21, "Is a directory", "x"), 2), (OSError(28, "No space left", "x"), 1)]
)
def test_what_the_disk_refuses_is_no_bug(ambientkit, monkeypatch, tmp_path, error, status):
    def refused(self):
        raise error

    monkeypatch.setattr(Path, "is_file", refused)
    found, _, err = ambientkit("inspect", tmp_path)
    assert found == status
    assert err.startswith(f"ambientkit: error: x: {error.strerror.lower()}")


@pytest.mark.parametrize("command", [["sample"], ["evaluate"], ["status"], ["report"], ["export"], ["card"]])
def test_a_link_to_itself_is_an_input_error(ambientkit, tmp_path, command):
    (tmp_path / "loop").symlink_to("loop")
    status, _, err = ambientkit(*command, tmp_path / "loop")
    assert status == 2
    assert f"{tmp_path}/loop" in err


def test_the_version_is_printed(ambientkit):
    from ambientkit import __version__

    assert ambientkit("--version")[1] == f"ambientkit {__version__}\n"


def test_data_whose_noise_is_not_the_declared_one_are_refused_unless_allowed_by_name(ambientkit, tmp_path):
    """Case B-05: pictures with half of the noise they declare, as a mistake of units gives."""
    from skimage import data as pictures

    camera = pictures.camera()[:512, :512].reshape(16, 32, 16, 32).swapaxes(1, 2).reshape(256, 1, 32, 32) / 127.5 - 1
    noise = np.random.default_rng(0).standard_normal(camera.shape)
    options = ["--sigma-n", "0.2", "--end-step", "1", "--skip-preflight", "--device", "cpu", "--set", "model.width=8"]
    for name, sigma in (("right", 0.2), ("half", 0.1)):
        np.save(tmp_path / f"{name}.npy", (camera + sigma * noise).astype(np.float32))
    assert ambientkit("train", "--data", tmp_path / "right.npy", *options, "--output-dir", tmp_path / "a")[0] == 0
    status, _, err = ambientkit("train", "--data", tmp_path / "half.npy", *options, "--output-dir", tmp_path / "b")
    assert status == 2
    assert "--allow level" in err
    assert not (tmp_path / "b").exists()
    assert (
        ambientkit(
            "train", "--data", tmp_path / "half.npy", *options, "--output-dir", tmp_path / "b", "--allow", "level"
        )[0]
        == 0
    )
