"""A lost connection, a reader that has gone away, and other ways in which a run is left: nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest

from tests.support import forked
from tests.support.engine import FLAGS, command, finish, log

LONG = ["train", *FLAGS, "--end-step", 100_000, "--save-every", 100_000]


def wait_for_steps(folder, process, timeout=90):
    deadline = time.monotonic() + timeout
    while not (folder / "metrics.jsonl").exists() or not (folder / "metrics.jsonl").read_text():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_lost_connection_saves_the_run(tmp_path):
    process = command(*LONG, "--output-dir", tmp_path)
    wait_for_steps(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    status, out, _ = finish(process)
    assert status == 128 + signal.SIGHUP
    assert "SIGHUP was received; go on with: ambientkit train --resume" in out
    assert any((tmp_path / "checkpoints").glob("checkpoint_*"))


@pytest.mark.slow
def test_a_run_under_nohup_does_not_end_with_the_connection(tmp_path):
    program = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN); from ambientkit.cli import main; main()"
    )
    end = ["train", *FLAGS, "--end-step", 300]
    process = command(*end, "--output-dir", tmp_path, program=("-c", program))
    wait_for_steps(tmp_path, process)
    process.send_signal(signal.SIGHUP)
    assert finish(process)[0] == 0


@pytest.mark.slow
def test_a_reader_that_goes_away_does_not_end_a_run(tmp_path):
    arguments = [
        "-m",
        "ambientkit",
        "train",
        *FLAGS,
        "--end-step",
        40,
        "--log-every",
        1,
        "--output-dir",
        tmp_path,
    ]
    writer = forked.start(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    writer.stdout.readline()
    writer.stdout.close()  # as `head -1` does
    assert writer.wait(timeout=120) == 0
    assert writer.stderr is not None
    assert "BrokenPipe" not in writer.stderr.read()
    assert log(tmp_path)[-1]["step"] == 40
    assert (tmp_path / "model_ema.safetensors").is_file()
