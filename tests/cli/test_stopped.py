"""What ends a command from outside: signals, with workers or without, and a reader that has gone."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support import forked
from tests.support.noisy_sets import clothes, normal
from tests.support.sampling import SHELL, files, start, write_run
from tests.support.shares import some

pytestmark = pytest.mark.slow

AMBIENTKIT = ["-m", "ambientkit"]


def stopped(command: list[str], number: int, begun, everyone: bool, later: float = 0.0) -> tuple[int, str]:
    """(exit status, what was printed) of a command that is sent a signal `later` seconds after `begun(its process id)`.

    everyone: to its workers too, as a terminal does.
    """
    process = forked.start(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 240
    while not begun(process.pid) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    time.sleep(later)
    assert process.poll() is None, process.communicate()
    (os.killpg if everyone else os.kill)(process.pid, number)
    out = process.communicate(timeout=180)[0]
    return process.returncode, out


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_sample_command_that_is_stopped_says_that_the_same_one_goes_on(tmp_path, number, status):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    arguments = [
        "sample",
        run,
        "--n",
        2000,
        "--steps",
        40,
        "--batch-size",
        10,
        "--sampler",
        "ancestral",
        "--device",
        "cpu",
        "--out",
        out,
    ]
    process = start(*arguments)
    deadline = time.monotonic() + 180
    while len(list(out.glob("parts/0*[0-9].npz"))) < 2 and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.005)
    process.send_signal(number)
    told, err = process.communicate(timeout=180)
    assert process.returncode == status
    assert "of 2,000 samples are on disk, and the same command goes on from there" in err
    assert "Traceback" not in told + err


@pytest.mark.parametrize("workers", some([0, 2], [2]))
def test_a_copy_that_is_stopped_says_that_the_same_command_goes_on_and_no_worker_prints(tmp_path, workers):
    """Case: SIGINT to the whole group, as a terminal sends it."""
    np.save(tmp_path / "clean.npy", np.random.default_rng(0).uniform(-1, 1, (20_000, 1, 32, 32)).astype(np.float32))
    out = tmp_path / "out"
    command = [
        *AMBIENTKIT,
        "corrupt",
        str(tmp_path / "clean.npy"),
        str(out),
        "--sigma",
        "0.2",
        "--workers",
        str(workers),
    ]

    def begun(process):
        return (out / "rows.npy").exists() and workers_of(process) == workers

    status, told = stopped(command, signal.SIGINT, begun, everyone=True, later=0.5)
    assert status == 130
    assert f"note: {out}: interrupted; the same command goes on from there" in told
    assert "Traceback" not in told
    assert len(told.splitlines()) == 1, told
    done = forked.run(command)
    assert done.returncode == 0, done.stderr
    assert "20,000 noisy rows" in done.stdout


def workers_of(process: int) -> int:
    """How many interpreters of a pool a process has started."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum("spawn_main" in Path(f"/proc/{child}/cmdline").read_text() for child in children)


@pytest.mark.parametrize("later", some([0.5, 10], [0.5]))
def test_checks_in_workers_that_are_stopped_print_one_line(later):
    """While the workers start, and while they work."""
    command = [*AMBIENTKIT, "verify", "--seed", "3"]
    status, told = stopped(command, signal.SIGINT, lambda process: workers_of(process) == 2, everyone=True, later=later)
    assert status == 130
    assert told == "note: interrupted; no unfinished file is left, and the same command begins anew\n"


@pytest.fixture
def violated(tmp_path: Path) -> Path:
    np.save(tmp_path / "x.npy", (clothes() + 0.3 * normal(clothes())).astype(np.float32))
    return tmp_path / "x.npy"


@pytest.mark.parametrize(("level", "status"), [("0.3", 0), ("0.6", 1)])
def test_the_verdict_of_inspect_is_its_exit_status_though_nobody_reads_it(violated, tmp_path, level, status):
    """`inspect | head -1`: a reader that goes away is not taken for a violation, nor the other way round."""
    command = [
        *AMBIENTKIT,
        "inspect",
        str(violated),
        "--sigma-n",
        level,
        "--rows",
        "128",
        "--json",
        str(tmp_path / "f.json"),
    ]
    reader, writer = os.pipe()
    os.close(reader)
    done = forked.run(command, stdout=writer)
    os.close(writer)
    assert done.returncode == status
    assert done.stderr == ""
    assert (tmp_path / "f.json").is_file()


def test_samples_are_drawn_to_the_end_though_nobody_reads_what_is_printed(tmp_path):
    run, out = write_run(tmp_path / "run"), tmp_path / "out"
    command = [
        *SHELL,
        "sample",
        str(run),
        "--n",
        "8",
        "--steps",
        "2",
        "--device",
        "cpu",
        "--out",
        str(out),
    ]
    reader, writer = os.pipe()
    os.close(reader)
    done = forked.run(command, stdout=writer, stderr=writer)
    os.close(writer)
    assert done.returncode == 0
    assert np.load(out / "samples.npy").shape == (8, 1, 4, 6)
    assert sorted(files(out)) == ["samples.json", "samples.npy", "samples.png"]
