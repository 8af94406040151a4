"""Weights that FSDP 2 shards over processes: all of them make each call, and a run is that of whole weights, up to
rounding."""

from __future__ import annotations

import json
import os
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from ambientkit.checkpoint.names import AVERAGE
from ambientkit.checkpoint.weights import from_bytes
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.sample.load import load_run
from ambientkit.training.launched import (
    CLASSES,
    FSDP,
    NO_WRAP,
    POLICY,
    RESHARD,
    VERSION,
    Sharding,
    sharding_asked,
    split_asked,
)
from ambientkit.training.sharded import _refuse
from tests.support import ROOT
from tests.support.engine import FLAGS, command, finish, log, make
from tests.support.ranks import TWO

ROUNDING = 1e-5
"""Largest difference of a value by the largest of its tensor, after ten steps in float32. Found: up to 2e-6."""
LAUNCHED = {FSDP: "true", VERSION: "2", RESHARD: "true"}
"""What `accelerate launch --use_fsdp --fsdp_version 2` sets."""


def seen_by(count, folder, *more):
    """What each of some processes has found; see support/sharded_processes.py."""
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    program = tuple(str(count) if part == "2" else part for part in TWO)
    module = ("-m", "tests.support.sharded_processes", folder, *more)
    status, out, err = finish(command(*module, program=program, env={"PYTHONPATH": path}, cwd=ROOT), timeout=580)
    assert status == 0, (out, err)
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    return seen_by(2, tmp_path_factory.mktemp("sharded"), "more")


@pytest.mark.slow
def test_a_sharded_run_is_that_of_whole_weights_and_either_is_resumed_as_the_other(seen):
    """Weights, average and optimiser in the files of checkpoints, and norms of the gradient before clipping; also where
    one process has no usable rows, and each calls another network another number of times."""
    apart = {name: value for name, value in seen[0].items() if name.endswith("apart")}
    assert len(apart) == 7
    assert {name: value for name, value in apart.items() if value > ROUNDING} == {}


@pytest.mark.slow
def test_each_process_holds_its_share_of_weights_average_and_optimiser(seen):
    whole = seen[0]["whole"]
    for place, times in enumerate((1, 1, 2)):
        shares = [found["shares"][place] for found in seen]
        assert sum(shares) == times * whole
        assert abs(shares[0] / sum(shares) - 0.5) < 0.05


@pytest.mark.slow
def test_all_processes_leave_out_a_step_in_which_one_has_a_loss_that_is_not_finite(seen):
    for found in seen:
        assert found["skipped"] == [False, True, False, False]


@pytest.mark.slow
def test_an_objective_that_differentiates_the_denoiser_itself_is_refused(seen):
    for found in seen:
        assert "an objective takes a gradient of the denoiser in its own loss" in found["own"]


@pytest.mark.slow
@pytest.mark.thorough
def test_frozen_bases_and_transformers_are_sharded_too(tmp_path):
    found = seen_by(2, tmp_path, "networks")
    apart = {name: value for name, value in found[0].items() if name.endswith("apart")}
    assert len(apart) == 1 + (find_spec("ambientkit_kdiffusion") is not None)
    assert {name: value for name, value in apart.items() if value > ROUNDING} == {}


@pytest.mark.slow
@pytest.mark.thorough
def test_four_processes_agree_too(tmp_path):
    found = seen_by(4, tmp_path)
    assert [one["world"] for one in found] == [4] * 4
    apart = {name: value for name, value in found[0].items() if name.endswith("apart")}
    assert len(apart) == 4
    assert {name: value for name, value in apart.items() if value > ROUNDING} == {}


@pytest.mark.thorough
def test_a_run_folder_is_that_of_a_run_of_whole_weights(tmp_path):
    """With rows held out, an evaluation, pictures and looks by the main process; resumed the other way; read by one
    process."""
    program = (*TWO, "-m", "ambientkit")
    flags = ["--evaluate-every", 3, "--set", "evaluate_n=16", "--demo-every", 3, "--save-every", 3]
    run = ["train", *FLAGS, *flags, "--end-step", 6]
    said = {}
    for name, env in (("plain", {}), ("sharded", LAUNCHED)):
        status, said[name], err = finish(
            command(*run, "--output-dir", tmp_path / name, program=program, env=env), timeout=400
        )
        assert status == 0, (said, err)
    told = "FSDP 2: weights, gradients, the average and the optimiser's state are sharded over 2 processes"
    assert told in said["sharded"]
    assert "FSDP" not in said["plain"]
    folders = [tmp_path / name for name in ("plain", "sharded")]
    names = [sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) for folder in folders]
    assert names[0] == names[1]
    for file in (name for name in names[0] if name.endswith(".safetensors")):
        same_up_to_rounding(*((folder / file).read_bytes() for folder in folders))
    for mine, its in zip(*map(log, folders), strict=True):
        assert mine["loss"] == pytest.approx(its["loss"], rel=1e-4)
    lines = [json.loads((folder / "evaluations.jsonl").read_text().splitlines()[-1]) for folder in folders]
    assert lines[0]["tweedie_mean"] == pytest.approx(lines[1]["tweedie_mean"], rel=1e-4)
    resume = ["train", "--resume", tmp_path / "plain" / "checkpoints" / "checkpoint_3"]
    status, out, err = finish(command(*resume, program=program, env=LAUNCHED), timeout=400)
    assert status == 0, (out, err)
    file = f"checkpoints/checkpoint_6/{AVERAGE}"
    same_up_to_rounding(*((folder / file).read_bytes() for folder in folders))
    trained = load_run(tmp_path / "sharded", load(), "cpu")
    assert trained.denoiser(torch.zeros(3, 2), torch.ones(3)).shape == (3, 2)


def same_up_to_rounding(mine, its):
    (own, _), (other, _) = from_bytes(mine, "mine"), from_bytes(its, "its")
    assert own.keys() == other.keys()
    for name, value in own.items():
        scale = float(value.abs().max()) if value.numel() else 0.0
        torch.testing.assert_close(other[name], value, rtol=ROUNDING, atol=ROUNDING * max(scale, 1e-3))


def test_the_version_of_fsdp_decides_what_is_sharded(monkeypatch):
    monkeypatch.setenv(FSDP, "true")
    assert (sharding_asked(), split_asked()) == (None, "FSDP")
    monkeypatch.setenv(VERSION, "2")
    assert (sharding_asked(), split_asked()) == (Sharding(True, "", ()), "")
    assert make().sharded is None  # one process has nothing to shard
    monkeypatch.setenv(RESHARD, "false")
    monkeypatch.setenv(POLICY, NO_WRAP.lower())
    monkeypatch.setenv(CLASSES, "A, B")
    assert sharding_asked() == Sharding(False, NO_WRAP, ("A", "B"))
    monkeypatch.setenv(FSDP, "false")
    assert sharding_asked() is None


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [
        (VERSION, "3", "fsdp_version is 1 or 2"),
        (RESHARD, "FULL_SHARD", "true or false"),
        (POLICY, "SIZE_BASED_WRAP", "TRANSFORMER_BASED_WRAP or NO_WRAP"),
    ],
)
def test_settings_of_fsdp_2_that_are_not_known_are_refused_by_name(monkeypatch, name, value, what):
    for key, its in {**LAUNCHED, name: value}.items():
        monkeypatch.setenv(key, its)
    with pytest.raises(InputError, match=f"{name}={value}.*{what}".replace("FULL_SHARD", "full_shard")):
        make()


def test_compile_and_fp16_are_refused_with_sharded_weights(monkeypatch):
    for name, value in LAUNCHED.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="--compile is not supported with weights that FSDP 2 shards"):
        make(compile=True)


@pytest.mark.touches_global_generator
def test_weights_that_cannot_be_sharded_are_refused_by_name():
    network = nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)})
    units = [network["a"], network["b"], network]
    _refuse(network, units)
    network["b"].weight = network["a"].weight
    with pytest.raises(InputError, match=r"'b.weight' belongs to two blocks"):
        _refuse(network, units)
    _refuse(network, [network])
    network["b"] = nn.Linear(2, 2).double()
    _refuse(network, units)
    with pytest.raises(InputError, match=r"'b.weight' is torch.float64, and others of its block are not"):
        _refuse(network, [network])
    network["a"].scale = nn.Parameter(torch.tensor(1.0))
    with pytest.raises(InputError, match=r"'a.scale' has no axis"):
        _refuse(network, units)
