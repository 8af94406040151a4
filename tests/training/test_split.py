"""A run that accelerate is configured for FSDP with: the optimiser's state is split over the processes, and nothing
else changes, to the bit."""

from __future__ import annotations

import json
import os

import pytest

from ambientkit.training.launched import DEEPSPEED, FSDP, ZERO_STAGE
from tests.support import ROOT
from tests.support.engine import FLAGS, command, contents, finish
from tests.support.ranks import TWO

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each of two processes has found; see support/split_processes.py."""
    folder = tmp_path_factory.mktemp("split")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = command("-m", "tests.support.split_processes", folder, program=TWO, env={"PYTHONPATH": path}, cwd=ROOT)
    status, out, err = finish(run, timeout=400)
    assert status == 0, (out, err)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_split_optimiser_gives_the_bits_of_a_whole_one_and_resumes_from_its_checkpoints_too(seen):
    """Weights, average, norms of the gradient before clipping, and every file of a checkpoint; also where the processes
    call the network unequally often."""
    for found in seen:
        wrong = [name for name, value in found.items() if value is False]
        assert wrong == []
        assert len([name for name, value in found.items() if value is True]) == 3 * 2 * 5 + 2


def test_each_process_holds_its_share_of_the_optimisers_state_only(seen):
    whole = seen[0]["adamw: sizes"][0]
    assert seen[0]["adamw: sizes"][1] + seen[1]["adamw: sizes"][1] == whole
    for found in seen:
        _, share, kept = found["adamw: sizes"]
        assert abs(share / whole - 0.5) < 0.05
        assert kept == 2 * share


def test_no_thread_outlives_the_processes_group(seen):
    """One that is alive when the interpreter ends may abort the process, after all is done: exit status 134 in a run
    that has succeeded."""
    for found in seen:
        assert found["threads that outlive the group"] == []


@pytest.mark.parametrize(
    ("way", "launched"),
    [
        ("FSDP", {FSDP: "true", "FSDP_VERSION": "1", "FSDP_RESHARD_AFTER_FORWARD": "FULL_SHARD"}),
        pytest.param(
            "DeepSpeed ZeRO",
            {DEEPSPEED: "true", ZERO_STAGE: "3", "ACCELERATE_GRADIENT_ACCUMULATION_STEPS": "1"},
            marks=pytest.mark.thorough,
        ),
    ],
)
def test_a_run_under_fsdp_or_zero_says_what_is_split_and_is_otherwise_the_same(tmp_path, way, launched):
    """accelerate's launcher tells the processes of it by these variables."""
    program = (*TWO, "-m", "ambientkit")
    run = ["train", *FLAGS, "--end-step", 6, "--save-every", 3]
    said = {}
    for name, env in (("plain", {}), ("split", launched)):
        status, said[name], err = finish(command(*run, "--output-dir", tmp_path / name, program=program, env=env))
        assert status == 0, (said, err)
    told = (
        f"{way}: the optimiser's state is split over 2 processes; weights, gradients and the average stay whole in each"
    )
    assert told in said["split"]
    assert way not in said["plain"]
    resume = ["train", "--resume", tmp_path / "plain" / "checkpoints" / "checkpoint_3"]
    status, out, err = finish(command(*resume, program=program, env=launched))
    assert status == 0, (out, err)
    assert told in out
    assert contents(tmp_path / "plain", 6) == contents(tmp_path / "split", 6)
