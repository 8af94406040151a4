"""A run that accelerate is configured for FSDP with: the optimiser's state is split over the processes, and nothing else changes, to the bit."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from ambientkit.errors import InputError
from ambientkit.train.split import REFUSED, USE
from tests.support.engine import FLAGS, command, contents, finish, make

ROOT = Path(__file__).parents[1]
TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2")


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What each of two processes has found; see support/split_processes.py."""
    folder = tmp_path_factory.mktemp("split")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    run = command("-m", "tests.support.split_processes", folder, program=TORCHRUN, env={"PYTHONPATH": path}, cwd=ROOT)
    status, out, err = finish(run, timeout=400)
    assert status == 0, (out, err)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(2)]


def test_a_split_optimiser_gives_the_bits_of_a_whole_one_and_resumes_from_its_checkpoints_too(seen):
    """Weights, average, norms of the gradient before clipping, and every file of a checkpoint; also where the processes call the network unequally often."""
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
    """One that is alive when the interpreter ends may abort the process, after all is done: exit status 134 in a run that has succeeded."""
    for found in seen:
        assert found["threads that outlive the group"] == []


def test_a_run_under_fsdp_says_what_is_split_and_is_otherwise_the_same(tmp_path):
    """accelerate's launcher tells the processes of FSDP by these variables."""
    fsdp = {USE: "true", "FSDP_VERSION": "2", "FSDP_RESHARD_AFTER_FORWARD": "true"}
    program = (*TORCHRUN, "-m", "ambientkit")
    run = ["train", *FLAGS, "--end-step", 6, "--save-every", 3]
    said = {}
    for name, env in (("plain", {}), ("split", fsdp)):
        status, said[name], err = finish(command(*run, "--output-dir", tmp_path / name, program=program, env=env))
        assert status == 0, (said, err)
    told = "FSDP: the optimiser's state is split over 2 processes; weights, gradients and the average stay whole in each"
    assert told in said["split"]
    assert "FSDP" not in said["plain"]
    resume = ["train", "--resume", tmp_path / "plain" / "checkpoints" / "checkpoint_3"]
    status, out, err = finish(command(*resume, program=program, env=fsdp))
    assert status == 0, (out, err)
    assert told in out
    assert contents(tmp_path / "plain", 6) == contents(tmp_path / "split", 6)


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_is_not_done_of_a_configuration_for_fsdp_is_refused_by_name(monkeypatch, name):
    monkeypatch.setenv(USE, "true")
    monkeypatch.setenv(name, "true")
    with pytest.raises(InputError, match=f"FSDP with {name.lower()}, which is not supported: "):
        make()


@pytest.mark.parametrize(("name", "what"), [("ACCELERATE_USE_DEEPSPEED", "DeepSpeed"), ("ACCELERATE_USE_MEGATRON_LM", "Megatron-LM")])
def test_deepspeed_and_megatron_are_refused_by_name(monkeypatch, name, what):
    monkeypatch.setenv(name, "true")
    with pytest.raises(InputError, match=f"configured for {what}, which takes over the backward pass"):
        make()


def test_fsdp_in_one_process_has_nothing_to_split(monkeypatch):
    monkeypatch.setenv(USE, "true")
    assert make().split is None
    assert os.environ[USE] == "true"
