"""Killed, stopped, out of disk, started twice: nothing is lost, and what happened is told."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import resource
import signal
import subprocess
import threading
import time
from pathlib import Path

import pytest

from ambientkit.checkpoint import folder as files
from ambientkit.checkpoint.folder import write_file, write_folder
from ambientkit.checkpoint.lock import holder, is_held, run_lock
from ambientkit.checkpoint.names import LOCK
from ambientkit.checkpoint.status import RunStatus, read_status
from ambientkit.errors import InputError, RunError
from ambientkit.run.log import Log
from ambientkit.run.stop import SIGNALLED, TIME_UP, Stop, seconds, stop_on_signals
from ambientkit.training import steps
from ambientkit.training.metrics import Window
from tests.support import forked
from tests.support.engine import FLAGS, command, contents, finish, log, make

pytestmark = pytest.mark.slow


def until(condition, timeout=90):
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


# --- killed ---------------------------------------------------------------------------------------------------------


def test_runs_that_are_killed_at_any_moment_end_in_the_bits_of_an_undisturbed_one():
    """The short form of `make faults`, which kills 100 times."""
    script = Path(__file__).with_name("kill_test.py")
    status, out, err = finish(command("--kills", 5, "--steps", 40, "--workers", 1, program=(script,)), timeout=300)
    assert status == 0, (out, err)
    assert "5 kills, all runs ended in the same bits" in out


def test_a_run_that_ended_before_its_first_checkpoint_begins_again(ambientkit, tmp_path):
    run = ["train", *FLAGS, "--end-step", 6]
    assert ambientkit(*run, "--output-dir", tmp_path / "whole")[0] == 0
    assert ambientkit(*run, "--output-dir", tmp_path / "killed")[0] == 0
    for path in (tmp_path / "killed" / "checkpoints").glob("*/*"):
        path.unlink()
    (tmp_path / "killed" / "checkpoints" / "checkpoint_6").rmdir()
    (tmp_path / "killed" / ".model_ema.safetensors.tmp-1").write_bytes(b"half a file")
    status, out, err = ambientkit("train", "--resume", tmp_path / "killed")
    assert status == 0, err
    assert "it begins again at step 0" in out
    assert contents(tmp_path / "whole", 6) == contents(tmp_path / "killed", 6)
    assert not list((tmp_path / "killed").glob(".*tmp*"))


def test_a_run_killed_after_its_last_checkpoint_still_gets_its_weights(ambientkit, tmp_path):
    assert ambientkit("train", *FLAGS, "--end-step", 4, "--output-dir", tmp_path)[0] == 0
    weights = (tmp_path / "model_ema.safetensors").read_bytes()
    (tmp_path / "model_ema.safetensors").unlink()
    assert ambientkit("train", "--resume", tmp_path)[0] == 0
    assert (tmp_path / "model_ema.safetensors").read_bytes() == weights
    assert [line["step"] for line in log(tmp_path)] == [2, 4]


# --- stopped --------------------------------------------------------------------------------------------------------


def test_sigterm_saves_and_a_killed_run_is_told_from_a_stopped_one(ambientkit, tmp_path):
    process = command("train", *FLAGS, "--end-step", 100_000, "--output-dir", tmp_path)
    until((tmp_path / "metrics.jsonl").exists)
    until(lambda: log(tmp_path))
    facts = json.loads(ambientkit("status", tmp_path, "--json")[1])
    assert facts["state"] == "running"
    assert f"process {process.pid}" in facts["message"]
    assert facts["eta_s"] > 0
    status, _, err = ambientkit("train", "--resume", tmp_path)
    assert status == 2
    assert f"process {process.pid}" in err
    process.send_signal(signal.SIGTERM)
    status, out, _ = finish(process)
    assert status == 143
    assert f"SIGTERM was received; go on with: ambientkit train --resume {tmp_path}" in out
    facts = json.loads(ambientkit("status", tmp_path, "--json")[1])
    assert facts["state"] == "stopped"
    assert facts["last_checkpoint"].endswith(f"checkpoint_{facts['step']}")
    assert facts["resume"] == f"ambientkit train --resume {tmp_path}"
    RunStatus("running", 3, 100_000).write(tmp_path)  # as a killed run leaves it
    status, out, _ = ambientkit("status", tmp_path)
    assert status == 0
    assert "failed: process" in out
    assert "ended silently" in out


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_second_signal_ends_the_process_at_once_even_while_it_waits(first):
    """The process sleeps inside one call, as it would in a collective that never returns."""
    code = (
        "import time; from ambientkit.run.stop import stop_on_signals\n"
        "with stop_on_signals() as stop:\n"
        "    print('ready', flush=True)\n"
        "    while not stop.signal: time.sleep(0.01)\n"
        "    print('asked', stop.asked(), flush=True)\n"
        "    import threading; lock = threading.Lock(); lock.acquire(); lock.acquire()\n"
    )
    process = forked.start(["-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(first)
    assert process.stdout.readline() == f"asked {SIGNALLED + first.value}\n"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143


def test_the_signals_torchrun_repeats_are_one_request(monkeypatch):
    """A terminal sends Ctrl-C to every process, and torchrun sends it on."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "run")
    with stop_on_signals() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        until(lambda: stop.signal)
        time.sleep(0.1)
    assert stop.asked() == SIGNALLED + signal.SIGINT


def test_the_time_limit_saves_and_leaves_with_status_0(ambientkit, tmp_path):
    status, out, _ = ambientkit("train", *FLAGS, "--end-step", 6, "--output-dir", tmp_path, "--time-limit", "0.001s")
    assert status == 0
    assert "stopped after step 1: the time limit is reached" in out
    assert json.loads((tmp_path / "status.json").read_text())["state"] == "unfinished"
    status, out, _ = ambientkit("status", tmp_path)
    assert "unfinished: the time limit is reached" in out
    assert "1 of 6 (17%)" in out
    assert f"ambientkit train --resume {tmp_path}" in out
    assert ambientkit("train", "--resume", tmp_path)[0] == 0
    facts = json.loads(ambientkit("status", tmp_path, "--json")[1])
    assert (facts["state"], facts["step"], facts["resume"]) == ("finished", 6, None)
    assert [line["step"] for line in log(tmp_path)] == [2, 4, 6]


def test_a_signal_counts_more_than_the_time_limit():
    assert Stop().asked() == 0
    assert Stop(deadline=0).asked() == TIME_UP
    assert Stop(signal.SIGTERM, deadline=0).asked() == SIGNALLED + signal.SIGTERM
    assert SIGNALLED + min(signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGHUP) > TIME_UP


@pytest.mark.parametrize(
    ("text", "expected"), [("90", 90), ("90s", 90), ("30m", 1800), ("1.5h", 5400), ("2h30m", 9000), ("1d", 86400)]
)
def test_times_are_read(text, expected):
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "-5m", "soon", "30 m", "m", "1e3"])
def test_times_that_cannot_be_read_are_refused(text):
    with pytest.raises(InputError, match=f"--time-limit {text}: should be"):
        seconds(text)


# --- two writers ----------------------------------------------------------------------------------------------------


def test_a_run_folder_takes_one_writer(ambientkit, tmp_path):
    assert ambientkit("train", *FLAGS, "--end-step", 2, "--output-dir", tmp_path)[0] == 0
    before = contents(tmp_path, 2)
    with run_lock(tmp_path):
        assert is_held(tmp_path)
        status, _, err = ambientkit("train", "--resume", tmp_path, "--end-step", 4)
    assert status == 2
    assert f"process {os.getpid()} on" in err
    assert "is training here" in err
    assert contents(tmp_path, 2) == before
    assert not is_held(tmp_path)
    assert ambientkit("train", "--resume", tmp_path, "--end-step", 4)[0] == 0


def test_a_lock_ends_with_its_process_even_if_a_child_lives_on(tmp_path):
    """A worker that reads data lives for some seconds after its run was killed."""
    code = (
        "import os, sys, time; from pathlib import Path; from ambientkit.checkpoint.lock import run_lock\n"
        "with run_lock(Path(sys.argv[1])):\n"
        "    child = os.fork()\n"
        "    if child == 0: time.sleep(30); os._exit(0)\n"
        "    print(child, flush=True); time.sleep(30)\n"
    )
    process = forked.start(["-c", code, tmp_path], stdout=subprocess.PIPE, text=True)
    child = int(process.stdout.readline())
    assert is_held(tmp_path)
    process.kill()
    process.wait()
    with run_lock(tmp_path):
        os.kill(child, signal.SIGKILL)


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_told(tmp_path, monkeypatch, caplog, number):
    def refuse(descriptor, operation):
        raise OSError(number, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with run_lock(tmp_path):
        pass
    assert caplog.messages == [
        f"{tmp_path}: this file system has no locks (No locks available); start no second command here"
    ]
    (tmp_path / LOCK).touch()
    assert is_held(tmp_path) is None


def test_a_lock_of_a_process_that_ended_is_free_and_its_name_is_kept(tmp_path):
    with run_lock(tmp_path):
        assert holder(tmp_path).startswith(f"process {os.getpid()} on ")
    assert (tmp_path / LOCK).is_file()  # removing it would let two processes hold two files of one name
    assert is_held(tmp_path) is False
    with (
        run_lock(tmp_path),
        pytest.raises(InputError, match=f"process {os.getpid()} on .* is training here"),
        run_lock(tmp_path),
    ):
        pass


def test_two_looks_at_a_lock_do_not_take_each_other_for_its_holder(tmp_path):
    """Another look holds the lock for an instant, which is shorter than this one waits."""
    (tmp_path / LOCK).touch()
    other = os.open(tmp_path / LOCK, os.O_RDWR)
    fcntl.flock(other, fcntl.LOCK_EX)
    timer = threading.Timer(0.02, os.close, [other])
    timer.start()
    assert is_held(tmp_path) is False
    timer.join()


# --- no space -------------------------------------------------------------------------------------------------------


def test_a_disk_that_takes_no_more_ends_the_run_with_its_last_checkpoint_intact(ambientkit, tmp_path):
    """A limit on the size of files stands in for a full disk: every write beyond it fails, in the middle of a save."""
    run = ["train", *FLAGS, "--end-step", 6, "--save-every", 2]
    assert ambientkit(*run, "--output-dir", tmp_path / "whole")[0] == 0
    assert ambientkit(*run, "--time-limit", "0.001s", "--output-dir", tmp_path / "full")[0] == 0
    before = contents(tmp_path / "full", 1)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (6000, {limit})); "
        "from ambientkit.cli import main; main()"
    )
    process = command("train", "--resume", tmp_path / "full", program=("-c", code))
    status, _, err = finish(process)
    assert status == 1
    assert "cannot be written (File too large)" in err
    assert "checkpoint_1 is untouched: make room on the disk, and go on from there (--resume)" in err
    assert len(err.splitlines()) == 1
    assert contents(tmp_path / "full", 1)["model.safetensors"] == before["model.safetensors"]
    assert [path.name for path in (tmp_path / "full" / "checkpoints").iterdir()] == ["checkpoint_1"]
    assert read_status(tmp_path / "full").state == "failed"
    assert ambientkit("train", "--resume", tmp_path / "full")[0] == 0
    assert contents(tmp_path / "whole", 6) == contents(tmp_path / "full", 6)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_a_log_that_cannot_be_written_ends_the_run_with_its_name():
    run = make()
    step = next(steps(run))
    with (
        Log(Path("/dev/full"), run) as stream,
        pytest.raises(RunError, match=r"/dev/full: cannot be written \(No space left on device\)"),
    ):
        stream.write(Window(), step)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="mounting a file system takes root")
def test_a_file_system_that_is_full_keeps_what_it_has(tmp_path):
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(tmp_path)], capture_output=True)
    if done.returncode != 0:
        pytest.skip("mounting is not allowed here")
    try:
        write_folder(tmp_path / "checkpoint_1", {"a": b"good"})
        with pytest.raises(RunError, match="No space left on device"):
            write_folder(tmp_path / "checkpoint_2", {"a": b"x" * 100_000})
        with pytest.raises(RunError, match="No space left on device"):
            write_file(tmp_path / "weights", b"x" * 100_000)
        assert files.latest(tmp_path)[1] == {"a": b"good"}
        assert [path.name for path in tmp_path.iterdir()] == ["checkpoint_1"]
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_status_that_is_no_status_is_refused(ambientkit, tmp_path):
    assert "holds no run" in ambientkit("status", tmp_path)[2]
    (tmp_path / "status.json").write_text("{")
    assert "status.json: cannot be read" in ambientkit("status", tmp_path)[2]
    (tmp_path / "status.json").write_text('{"format_version": 999}')
    assert "format 999 is not known" in ambientkit("status", tmp_path)[2]
