"""`status`: the facts about a run as a record, which the command prints."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from ambientkit.checkpoint.folder import write_folder
from ambientkit.checkpoint.lines import append_line
from ambientkit.checkpoint.lock import run_lock
from ambientkit.checkpoint.names import CHECKPOINTS, LOCK, METRICS, STATUS, checkpoint_name
from ambientkit.checkpoint.status import RunStatus
from ambientkit.errors import InputError
from ambientkit.run.status import status


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run that was begun and has logged, whose process is gone."""
    folder = tmp_path / "run"
    folder.mkdir()
    RunStatus("running", 2, 10, warnings=("first", "second")).write(folder)
    append_line(
        folder / METRICS,
        {"step": 4, "loss": 0.25, "examples_per_s": 100.0, "eta_s": 60.0, "skipped_steps": 1, "time": 2e9},
    )
    write_folder(folder / CHECKPOINTS / checkpoint_name(3), {})
    write_folder(folder / CHECKPOINTS / checkpoint_name(4), {})
    (folder / CHECKPOINTS / checkpoint_name(4) / "manifest.json").unlink()  # half removed
    (folder / LOCK).touch()
    return folder


def test_a_run_whose_process_is_gone_has_failed_and_says_how_to_go_on(run: Path) -> None:
    found = status(run)
    assert (found.state, found.step, found.end_step, found.loss, found.eta_s) == ("failed", 4, 10, 0.25, None)
    assert found.message == "its process ended silently (killed, or the machine went down)"
    assert found.last_checkpoint == run / "checkpoints" / "checkpoint_3"
    assert found.resume == f"ambientkit train --resume {run}"
    assert found.time == 2e9


def test_a_run_that_is_held_is_at_work(run: Path) -> None:
    with run_lock(run):
        found = status(run)
    assert (found.state, found.step, found.eta_s, found.resume) == ("running", 4, 60.0, None)
    assert found.message.startswith("process ")


def test_the_command_prints_the_record(run: Path, ambientkit) -> None:
    code, out, err = ambientkit("status", run)
    assert (code, out, err) == (0, f"{status(run)}\n", "")
    assert out.splitlines()[:6] == [
        f"{run}: failed: its process ended silently (killed, or the machine went down)",
        "  step:              4 of 10 (40%)",
        "  going well:        no: first",
        "  last loss:         0.25",
        "  speed:             100 examples/s",
        "  skipped:           1 steps whose loss or gradient was not finite",
    ]
    assert "  warning 2:         second\n" in out
    code, out, err = ambientkit("status", run, "--json")
    assert (code, err) == (0, "")
    assert json.loads(out) == status(run).to_dict()


def test_a_folder_without_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run; give the folder that `ambientkit train` wrote"):
        status(tmp_path)


@pytest.mark.parametrize(
    "wrong", [{"step": "x"}, {"end_step": 0}, {"processes": None}, {"time": math.nan}, {"warnings": 1}]
)
def test_a_status_with_a_value_that_none_can_be_is_refused(wrong: dict, tmp_path: Path) -> None:
    RunStatus("finished", 1, 1).write(tmp_path)
    file = tmp_path / STATUS
    file.write_text(json.dumps({**json.loads(file.read_text()), **wrong}))
    with pytest.raises(InputError, match="its fields are not those of a run's status"):
        status(tmp_path)
