"""A lost connection, a reader that has gone away, and other ways in which a run is left: nothing is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest

from ambientkit.config.request import Request
from ambientkit.data.observations import Observations
from ambientkit.registry import load
from ambientkit.run.stop import stop_on_signals
from ambientkit.run.train import train
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


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("after", [0, 5])
def test_a_signal_while_rows_are_read_does_not_wait_for_them(tmp_path, monkeypatch, number, after):
    """Case: a batch of millions of rows, which SIGTERM did not end for minutes."""
    kept, read = Observations.__getitems__, []

    def slow(self, indices):
        if len(indices) == 7:
            read.append(indices)
        if len(read) > after and len(indices) == 7:
            os.kill(os.getpid(), number)
            time.sleep(30)
        return kept(self, indices)

    settings = ("model={name: mlp, width: 8}", "batch_size=7", "end_step=8", "device=cpu")
    request = Request(data="digits", sigma_n=0.3, settings=settings, output_dir=tmp_path / "run", skip_preflight=True)
    monkeypatch.setattr(Observations, "__getitems__", slow)
    began = time.monotonic()
    with stop_on_signals() as stop:
        ended = train(request, load(), stop=stop)
    assert time.monotonic() - began < 20
    assert (ended.state, ended.step, ended.signal) == ("stopped", after, number)
    monkeypatch.setattr(Observations, "__getitems__", kept)
    resumed = train(Request(resume="latest", output_dir=tmp_path / "run"), load())
    assert (resumed.state, resumed.step) == ("finished", 8)
    unbroken = train(replace(request, output_dir=tmp_path / "unbroken"), load())
    weights = [(folder / "model_ema.safetensors").read_bytes() for folder in (ended.folder, unbroken.folder)]
    assert weights[0] == weights[1]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_signal_before_the_first_step_does_not_wait_for_it(tmp_path, number, status):
    """Case: all rows of a large data set are read first."""
    program = (
        "import os, time; from ambientkit.data.observations import Observations; kept = Observations.__getitems__\n"
        "def slow(self, rows):\n"
        f"    os.kill(os.getpid(), {int(number)}); time.sleep(60); return kept(self, rows)\n"
        "Observations.__getitems__ = slow\n"
        "from ambientkit.cli import main; main()"
    )
    process = command("train", *FLAGS, "--output-dir", tmp_path / "run", program=("-c", program))
    began = time.monotonic()
    ended, out, err = finish(process)
    assert time.monotonic() - began < 40
    assert ended == status
    lines = ["stopping", "note: interrupted; no unfinished file is left, and the same command begins anew"]
    assert [line for line in err.splitlines() if line][-2:] == lines
    assert "Traceback" not in out + err
    assert not (tmp_path / "run").exists()
