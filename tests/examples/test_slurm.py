"""The script for SLURM, with a scheduler that is played: `srun` runs its command, `scontrol` writes down what it is
told."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPT = ROOT / "examples" / "slurm" / "train.sbatch"
CONFIG = """
data: mixture
model: {name: mlp, width: 16, depth: 1}
objective: tweedie
end_step: 100000
batch_size: 8
save_every: 100000
hold_out: 0
"""


@pytest.fixture
def cluster(tmp_path: Path) -> dict[str, str]:
    """The environment of a job."""
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in (("srun", 'exec "$@"'), ("scontrol", f'echo "$@" >> {tmp_path}/scontrol.log')):
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(0o755)
    (tmp_path / "run.yaml").write_text(CONFIG)
    return os.environ | {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "SLURM_JOB_ID": "4711",
        "RUN": str(tmp_path / "run"),
        "CONFIG": str(tmp_path / "run.yaml"),
        "LAUNCH": f"{sys.executable} -m ambientkit train --skip-preflight --device cpu",
    }


def status_of(run: Path) -> dict[str, object]:
    """What the run says of itself."""
    try:
        return json.loads((run / "status.json").read_text())
    except (OSError, ValueError):
        return {}


@pytest.mark.slow
@pytest.mark.thorough
def test_a_job_whose_time_is_up_saves_and_is_queued_again_and_the_next_one_goes_on(
    tmp_path: Path, cluster: dict[str, str]
) -> None:
    run, log = tmp_path / "run", tmp_path / "scontrol.log"
    job = subprocess.Popen(["bash", SCRIPT], env=cluster, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 240
    while not (run / "metrics.jsonl").is_file() and job.poll() is None and time.monotonic() < deadline:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)  # as `--signal=B:USR1@300` does: to the script alone
    out = job.communicate(timeout=240)[0]
    assert job.returncode == 0, out
    assert log.read_text().split() == ["requeue", "4711"]
    assert status_of(run)["state"] == "stopped"
    (saved,) = (run / "checkpoints").iterdir()

    steps = int(saved.name.rpartition("_")[2]) + 3
    next_job = cluster | {"LAUNCH": f"{cluster['LAUNCH']} --end-step {steps}"}
    done = subprocess.run(["bash", SCRIPT], env=next_job, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"at step {steps - 3}" in done.stdout + done.stderr
    assert status_of(run)["state"] == "finished"
    assert len(log.read_text().splitlines()) == 1, "a finished run is not queued again"


def test_a_job_that_fails_is_not_queued_again(tmp_path: Path, cluster: dict[str, str]) -> None:
    failing = cluster | {"LAUNCH": "false"}
    assert subprocess.run(["bash", SCRIPT], env=failing, timeout=60).returncode == 1
    assert not (tmp_path / "scontrol.log").exists()


def test_a_job_without_a_run_folder_says_so(cluster: dict[str, str]) -> None:
    without = {name: value for name, value in cluster.items() if name != "RUN"}
    done = subprocess.run(["bash", SCRIPT], env=without, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "give RUN, the run folder" in done.stderr
