"""What a run tells while it goes, to people, files, pipes and trackers; and what it keeps to itself."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker
from accelerate.utils import LoggerType
from PIL import Image

from ambientkit.config import load_file, resolve
from ambientkit.config.files import redacted
from ambientkit.errors import InputError
from ambientkit.run import (
    trackers,
    train,  # noqa: F401  (imported here, before `kept` changes what is found)
)
from ambientkit.text import clock
from tests.support.engine import FLAGS, command, finish, log

pytestmark = pytest.mark.slow

PROGRAM = Path(sys.executable).parent / "ambientkit"


def test_a_line_of_the_log_says_how_fast_how_much_and_how_long(ambientkit, tmp_path):
    status, out, _ = ambientkit("train", *FLAGS, "--end-step", 6, "--output-dir", tmp_path)
    assert status == 0
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    for line in lines:
        assert {"loss", "terms", "by_level", "grad_norm", "lr", "skipped", "skipped_steps"} <= line.keys()
        assert line["examples_per_s"] > 0
        assert line["memory_mb"] > 50
        rows_left = 64 * (6 - line["step"])
        assert line["eta_s"] == pytest.approx(rows_left / line["examples_per_s"], rel=0.01, abs=0.001)
    assert [text.split()[1] for text in out.splitlines() if text.startswith("step ")] == ["2/6", "4/6", "6/6"]


def test_pictures_in_the_middle_change_no_bit_of_a_run(ambientkit, tmp_path):
    """Case C-08, on the command."""
    for name, every in (("quiet", 0), ("busy", 2)):
        run = [
            "train",
            *FLAGS,
            "--end-step",
            6,
            "--save-every",
            3,
            "--demo-every",
            every,
            "--output-dir",
            tmp_path / name,
        ]
        assert ambientkit(*run)[0] == 0
    assert (tmp_path / "busy" / "samples" / "demo_00000002.png").exists()
    assert log(tmp_path / "quiet") == log(tmp_path / "busy")
    for step in (3, 6):
        files = [tmp_path / name / "checkpoints" / f"checkpoint_{step}" for name in ("quiet", "busy")]
        assert {path.name: path.read_bytes() for path in files[0].iterdir()} == {
            path.name: path.read_bytes() for path in files[1].iterdir()
        }


def test_a_pipe_gets_plain_lines_no_more_than_one_for_each_window(tmp_path):
    """Case G-06."""
    run = command(
        "train",
        *FLAGS,
        "--end-step",
        40,
        "--log-every",
        20,
        "--output-dir",
        tmp_path,
        env={"NO_COLOR": "1", "TERM": "dumb"},
    )
    status, out, err = finish(run)
    assert status == 0, err
    assert "\r" not in out + err
    assert "\x1b" not in out + err
    assert len([line for line in out.splitlines() if line.startswith("step ")]) == 2
    assert len((out + err).splitlines()) < 12


class Kept(GeneralTracker):
    """A tracker that keeps what it is told, and fails from a step on."""

    name = "tensorboard"
    requires_logging_directory = True
    seen: list
    pictures: list
    fails_at = 99

    def __init__(self, run_name, logging_dir, **kwargs):
        super().__init__()
        type(self).seen, type(self).pictures = [("start", kwargs)], []

    @property
    def tracker(self):
        return self

    def store_init_configuration(self, values):
        self.seen.append(("config", values))

    def log(self, values, step=None, **kwargs):
        if step >= self.fails_at:
            raise OSError("the server has gone")
        self.seen.append((step, values))

    def log_images(self, values, step, **kwargs):
        self.pictures.append((step, values, kwargs))

    def finish(self):
        self.seen.append(("finish", None))


@pytest.fixture
def kept(monkeypatch):
    """`Kept` in the place of tensorboard."""
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "tensorboard", Kept)
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: [LoggerType.TENSORBOARD])
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(Kept, "fails_at", 99)
    return Kept


def test_a_tracker_gets_the_configuration_and_every_line(ambientkit, tmp_path, kept):
    run = ["train", *FLAGS, "--end-step", 4, "--tracker", "tensorboard", "--output-dir", tmp_path]
    status, _, err = ambientkit(*run)
    assert status == 0, err
    names = [name for name, _ in kept.seen]
    assert names == ["start", "config", 2, 4, "finish"]
    assert kept.seen[0][1] == {"purge_step": 1}
    assert kept.seen[1][1]["optimizer/lr"] == 5e-4
    assert {"loss", "terms/tweedie", "grad_norm", "examples_per_s"} <= kept.seen[2][1].keys()
    assert any(name.startswith("by_level/tweedie/") for name in kept.seen[2][1])
    assert all(isinstance(value, int | float) for value in kept.seen[2][1].values())
    ((step, shown, form),) = kept.pictures
    assert (step, form, shown["samples"].dtype) == (4, {"dataformats": "NHWC"}, np.uint8)
    drawn = Image.open(tmp_path / "samples" / "before_and_after.png").convert("RGB")
    assert np.array_equal(shown["samples"][0], np.asarray(drawn))
    assert ambientkit("train", "--resume", tmp_path, "--end-step", 6)[0] == 0
    assert [name for name, _ in kept.seen] == ["start", "config", 6, "finish"]
    assert kept.seen[0][1] == {"purge_step": 5}


def test_a_tracker_that_fails_is_left_out_and_ends_nothing(ambientkit, tmp_path, kept, monkeypatch):
    """Case C-23."""
    monkeypatch.setattr(kept, "fails_at", 4)
    status, _, err = ambientkit("train", *FLAGS, "--end-step", 8, "--tracker", "tensorboard", "--output-dir", tmp_path)
    assert status == 0
    assert err.count("a tracker failed and is left out from step 4 on: OSError: the server has gone") == 1
    assert len(log(tmp_path)) == 4


def test_a_tracker_that_is_not_installed_is_named_with_the_way_to_get_it(ambientkit, tmp_path, monkeypatch):
    monkeypatch.setattr(trackers.importlib.util, "find_spec", lambda name: None)
    status, _, err = ambientkit("train", *FLAGS, "--tracker", "mlflow", "--output-dir", tmp_path / "run")
    assert status == 2
    assert "--tracker mlflow: the package 'mlflow' is not installed: pip install 'ambientkit[mlflow]'" in err
    assert not (tmp_path / "run").exists()
    status, _, err = ambientkit("train", *FLAGS, "--tracker", "tensorbord", "--dry-run")
    assert status == 2
    assert "--tracker: trackers.0: should be 'tensorboard', 'wandb', 'trackio' or 'mlflow', but is 'tensorbord'" in err


def test_a_tracker_that_accelerate_does_not_find_is_not_left_out_in_silence(ambientkit, tmp_path, kept, monkeypatch):
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", list)
    with pytest.warns(UserWarning, match="no supported trackers"):
        status, _, err = ambientkit(
            "train", *FLAGS, "--end-step", 2, "--tracker", "tensorboard", "--output-dir", tmp_path
        )
    assert status == 2
    assert "--tracker tensorboard: cannot be started: accelerate does not find it" in err


EVALUATED = ["--log-every", "1", "--evaluate-every", "3", "--set", "evaluate_n=16"]


def tracked(tmp_path, tracker, monkeypatch):
    """A run of five steps with a real tracker, resumed for two more in a process of its own; what the commands said."""
    for name, value in {
        "TRACKIO_DIR": tmp_path / "trackio",
        "MLFLOW_TRACKING_URI": f"sqlite:///{tmp_path}/mlflow.db",
        "WANDB_MODE": "offline",
        "GIT_PYTHON_REFRESH": "quiet",
    }.items():
        monkeypatch.setenv(name, str(value))
    run = ["train", *FLAGS, *EVALUATED, "--end-step", 5, "--tracker", tracker, "--output-dir", tmp_path / "run"]
    said = []
    for arguments in (run, ["train", "--resume", tmp_path / "run", "--end-step", 7]):
        status, out, err = finish(command(*arguments, cwd=tmp_path), timeout=400)
        assert status == 0, (out, err)
        assert "a tracker failed" not in err
        said.append(out)
    return said


def test_tensorboard_keeps_pictures_at_their_steps(ambientkit, tmp_path):
    """Bytes of the picture files, not values that were scaled once more."""
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run = [
        *("train", *FLAGS, "--end-step", 20, "--demo-every", 8, "--log-every", 4),
        *("--tracker", "tensorboard", "--output-dir", tmp_path),
    ]
    status, _, err = ambientkit(*run)
    assert status == 0, err
    assert "takes no picture" not in err
    kept = EventAccumulator(str(tmp_path / "logs" / "ambientkit"), size_guidance={"images": 0}).Reload()
    assert [point.step for point in kept.Scalars("loss")] == [4, 8, 12, 16, 20]
    shown = kept.Images("samples")
    assert [one.step for one in shown] == [8, 16, 20]
    for one, name in zip(shown, ("demo_00000008", "demo_00000016", "before_and_after"), strict=True):
        pixels = np.asarray(Image.open(io.BytesIO(one.encoded_image_string)).convert("RGB"))
        assert np.array_equal(pixels, np.asarray(Image.open(tmp_path / "samples" / f"{name}.png").convert("RGB")))


def test_mlflow_keeps_a_resumed_run_as_one(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    tracked(tmp_path, "mlflow", monkeypatch)
    client = mlflow.MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([found.experiment_id for found in client.search_experiments()])
    assert run.info.run_name == "run"
    assert run.data.params["optimizer/lr"] == "0.0005"
    assert [point.step for point in client.get_metric_history(run.info.run_id, "terms/tweedie")] == [
        1,
        2,
        3,
        4,
        5,
        6,
        7,
    ]
    assert [point.step for point in client.get_metric_history(run.info.run_id, "evaluation/sliced-w2_pixels")] == [
        3,
        5,
        6,
        7,
    ]


def test_trackio_keeps_a_resumed_run_as_one(tmp_path, monkeypatch):
    pytest.importorskip("trackio")
    tracked(tmp_path, "trackio", monkeypatch)
    import sqlite3

    (file,) = (tmp_path / "trackio").glob("ambientkit.db")
    with sqlite3.connect(file) as base:
        rows = base.execute("select run_name, step, metrics from metrics order by step").fetchall()
    found = [
        (name, step, values if isinstance(values, str) else bytes(values).decode(errors="replace"))
        for name, step, values in rows
    ]
    assert len({name for name, _, _ in found}) == 1
    assert found[0][0].startswith("run-")
    assert [step for _, step, values in found if "terms/tweedie" in values] == [1, 2, 3, 4, 5, 6, 7]
    assert [step for _, step, values in found if "evaluation/sliced-w2_pixels" in values] == [3, 5, 6, 7]


@pytest.mark.thorough
def test_wandb_keeps_a_run_offline(tmp_path, monkeypatch):
    pytest.importorskip("wandb")
    tracked(tmp_path, "wandb", monkeypatch)
    assert len(list((tmp_path / "run" / "wandb").glob("offline-run-*/run-*.wandb"))) == 2


def test_names_of_values_hold_only_what_every_tracker_takes():
    assert trackers.trackable({"evaluation/fid[patches{size=4, stride=4}]": 1.0, "by_level/a/1e+03/mean": 2.0}) == {
        "evaluation/fid_patches_size_4_ stride_4": 1.0,
        "by_level/a/1e_03/mean": 2.0,
    }


# --- secrets --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "hf_token: hf_hidden\n",
        "api_key: hf_hidden\napi_key: hf_hidden\n",
        "sampler:\n  name: heun\n  password: hf_hidden\n",
    ],
)
def test_a_secret_in_a_configuration_is_never_printed(ambientkit, tmp_path, text):
    """Case G-05."""
    (tmp_path / "run.yaml").write_text(text)
    status, out, err = ambientkit("train", "--config", tmp_path / "run.yaml", "--output-dir", tmp_path / "run")
    assert status == 2
    assert "hf_hidden" not in out + err
    assert "run.yaml:" in err


def test_a_secret_of_a_wrong_kind_is_never_printed(tmp_path):
    """A part of a plug-in may have a field for one."""

    class Registry:
        def build(self, kind, spec, complain):
            raise complain(("hub_token",), "should be a valid text, but is 'hf_hidden'")

    (tmp_path / "run.yaml").write_text("data:\n  name: hub\n  hub_token: hf_hidden\n")
    with pytest.raises(InputError, match=r"run\.yaml:3: data\.hub_token: should be a valid text$"):
        resolve(load_file(tmp_path / "run.yaml"), Registry())


@pytest.mark.parametrize("setting", ["hub.token=hf_hidden", "hub..token=hf_hidden", "token=[hf_hidden"])
def test_a_secret_in_a_setting_is_never_printed(ambientkit, setting):
    status, out, err = ambientkit("train", "--set", setting, "--dry-run")
    assert status == 2
    assert "hf_hidden" not in out + err


def test_a_secret_of_the_environment_is_taken_out_of_messages(ambientkit, monkeypatch):
    import ambientkit.api.parts as plugins

    def leak():
        raise RuntimeError(f"request failed: Bearer {os.environ['HF_TOKEN']}")

    monkeypatch.setenv("HF_TOKEN", "hf_hidden")
    monkeypatch.delenv("AMBIENTKIT_DEBUG", raising=False)
    monkeypatch.setattr(plugins, "load", leak)
    status, out, err = ambientkit("plugins")
    assert status == 1
    assert "request failed: Bearer ***" in err
    assert "hf_hidden" not in out + err
    assert redacted("nothing secret") == "nothing secret"


# --- the command line -----------------------------------------------------------------------------------------------


def test_help_loads_nothing_heavy():
    """What makes help slow is what it imports: the time itself is measured by examples/benchmarks/start_time.py."""
    code = (
        "import sys\nsys.argv = ['ambientkit', 'train', '--help']\nfrom ambientkit.cli import main\ntry:\n    main()\n"
        "except SystemExit:\n    print('\\n', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = set(done.stderr.split())
    assert "--sigma-n" in done.stdout
    assert {"typer", "ambientkit"} <= loaded
    assert not loaded & {"torch", "numpy", "scipy", "accelerate", "pandas", "PIL", "matplotlib", "k_diffusion"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [("ambientkit st", "status"), ("ambientkit tr", "train"), ("ambientkit train --time", "--time-limit")],
)
def test_the_shell_completes_commands_and_options(words, expected):
    environment = {
        **os.environ,
        "_AMBIENTKIT_COMPLETE": "complete_bash",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    done = subprocess.run([PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout.split()


def test_durations_are_told_as_on_a_clock():
    assert clock(59.6) == "0:01:00"
    assert clock(90_000) == "1 day, 1:00:00"
