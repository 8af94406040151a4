"""A run that ended before its first step leaves nothing that stands in the way of the same command, or of a better
one."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

import ambientkit as ak
from ambientkit.checkpoint import folder as files
from ambientkit.checkpoint.lock import run_lock
from ambientkit.errors import InputError, RunError
from ambientkit.run import folder as run_folder
from ambientkit.run import train as training
from ambientkit.run.folder import left_unbegun, refuse_used
from tests.support.engine import FLAGS

pytestmark = pytest.mark.slow


def full_after(writes: int):
    """A disk that takes so many files of a run, and no more."""
    left = [writes]

    def write_file(path: Path, content: bytes) -> None:
        left[0] -= 1
        if left[0] < 0:
            raise RunError(f"{path}: cannot be written ({os.strerror(errno.ENOSPC)})")
        files.write_file(path, content)

    return write_file


@pytest.mark.parametrize("writes", range(4))
def test_after_a_full_disk_before_step_1_the_same_command_trains(ambientkit, tmp_path, monkeypatch, writes):
    """Case: room for some of the files that are written first."""
    command = ["train", *FLAGS, "--end-step", 2, "--output-dir", tmp_path / "run"]
    with monkeypatch.context() as patched:
        for module, place in ((run_folder, "write_file"), (training, "write_preflight")):
            write = full_after(writes if place == "write_file" else 0)
            patched.setattr(module, place, write)
        status, _, err = ambientkit(*command)
    assert status == 1
    assert "No space left on device" in err
    status, out, err = ambientkit(*command)
    assert status == 0, err
    assert "step 2/2" in out


def fails(*_: object, **__: object) -> None:
    raise RuntimeError("out of memory")


def test_a_run_that_failed_at_its_first_step_may_be_begun_with_other_settings(ambientkit, tmp_path, monkeypatch):
    """A batch that is too large, say; the settings of a run that has begun cannot be changed."""
    with monkeypatch.context() as patched:
        patched.setattr(training, "steps", fails)
        status = ambientkit("train", *FLAGS, "--end-step", 2, "--batch-size", 64, "--output-dir", tmp_path)[0]
    assert status == 1
    assert left_unbegun(tmp_path)
    status, _, err = ambientkit("train", *FLAGS, "--end-step", 2, "--batch-size", 8, "--output-dir", tmp_path)
    assert status == 0, err
    assert "batch_size: 8" in (tmp_path / "config.yaml").read_text()
    assert not left_unbegun(tmp_path)


def test_from_python_too(tmp_path, monkeypatch):
    settings = {"data": {"name": "mixture", "n": 64}, "model": {"name": "mlp", "width": 16}, "device": "cpu"}
    given = {"config": settings, "skip_preflight": True, "end_step": 2, "output_dir": tmp_path}
    with monkeypatch.context() as patched:
        patched.setattr(training, "steps", fails)
        with pytest.raises(RuntimeError):
            ak.train(batch_size=64, **given)
    assert ak.train(batch_size=8, **given).config.batch_size == 8


def test_a_run_with_a_line_in_its_log_or_a_checkpoint_is_not_written_over(ambientkit, tmp_path):
    run = tmp_path / "run"
    assert ambientkit("train", *FLAGS, "--end-step", 2, "--output-dir", run)[0] == 0
    for name in ("model_ema.safetensors", "README.md", "samples/before_and_after.png"):
        (run / name).unlink(missing_ok=True)
    (run / "samples").rmdir()
    lines = (run / "metrics.jsonl").read_bytes()
    with pytest.raises(InputError, match=r"is not empty\. Go on with --resume latest"):
        refuse_used(run)
    (run / "metrics.jsonl").write_bytes(b"")  # the checkpoint alone
    with pytest.raises(InputError, match="is not empty"):
        refuse_used(run)
    (run / "checkpoints").rename(tmp_path / "checkpoints")
    refuse_used(run)
    (run / "metrics.jsonl").write_bytes(lines)  # the log alone
    with pytest.raises(InputError, match="is not empty"):
        refuse_used(run)


def test_files_of_a_user_are_never_taken_for_those_of_a_run(tmp_path):
    (tmp_path / "config.yaml").write_text("end_step: 3\n")
    with pytest.raises(InputError, match="is not empty"):
        refuse_used(tmp_path)
    (tmp_path / "versions.json").write_text("{}")
    refuse_used(tmp_path)
    (tmp_path / "notes.txt").touch()
    with pytest.raises(InputError, match="is not empty"):
        refuse_used(tmp_path)


def test_a_run_that_is_still_before_its_first_step_is_left_alone(ambientkit, tmp_path):
    (tmp_path / "versions.json").write_text("{}")
    with run_lock(tmp_path):
        status, out, err = ambientkit("train", *FLAGS, "--end-step", 2, "--output-dir", tmp_path)
    assert status == 2
    assert "is training here" in err
    assert "data:" not in out, "refused before its rows are read"


def test_what_is_no_folder_is_named_as_such(tmp_path):
    """A pipe, a file, and a link to nowhere: none of them is a run to go on with."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to(tmp_path / "missing")
    for name in ("pipe", "file"):
        with pytest.raises(InputError, match=f"--output-dir .*{name}: is a file, not a folder"):
            refuse_used(tmp_path / name)
    with pytest.raises(InputError, match=r"--output-dir .*link: is a link to .*missing, which is not there"):
        refuse_used(tmp_path / "link")
