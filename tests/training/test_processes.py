"""Two processes, as torchrun starts them on a CPU: one joint batch, noise of their own, one schedule, one writer."""

from __future__ import annotations

import json
import os

import pytest
import torch

from ambientkit.checkpoint.weights import load_weights
from ambientkit.cli import main
from ambientkit.training import steps
from tests.support import ROOT
from tests.support.engine import FLAGS, ByRow, command, contents, finish, log, make, same
from tests.support.ranks import TORCHRUN, TWO
from tests.support.two_processes import gradient

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """(tensors, facts) of each process; see support/two_processes.py."""
    folder = tmp_path_factory.mktemp("two")
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    status, out, err = finish(
        command("-m", "tests.support.two_processes", folder, program=TWO, env={"PYTHONPATH": path}, cwd=ROOT)
    )
    assert status == 0, (out, err)
    return [load_weights(folder / f"{rank}.safetensors") for rank in range(2)]


def part(tensors, name):
    return {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}


def test_the_gradient_is_that_of_the_joint_batch(seen):
    """In float64; each process takes its two rows in two micro-steps."""
    alone = make(ByRow(), batch_size=4)
    alone.network.double()
    loss, expected = gradient(alone, [slice(0, 4)])
    for tensors, _ in seen:
        found = part(tensors, "grad")
        assert found.keys() == expected.keys()
        torch.testing.assert_close(tensors["loss"], loss.detach(), rtol=1e-6, atol=0)
        for name in expected:
            torch.testing.assert_close(found[name], expected[name], rtol=1e-10, atol=1e-12)


def test_the_processes_begin_and_end_with_the_same_weights_and_resume_to_the_same_bits(seen):
    """Cases C-01, C-17 and C-30."""
    (first, facts), (second, _) = seen
    for name in ("begin", "end", "again"):
        assert same(part(first, name), part(second, name))
    assert same(part(first, "end"), part(first, "again"))
    assert not same(part(first, "begin"), part(first, "end"))
    assert facts["processes"] == 2


def test_each_process_keeps_a_memory_of_its_own_and_resumes_with_it_to_the_same_bits(seen):
    (first, _), (second, _) = seen
    for tensors in (first, second):
        assert same(part(tensors, "kept"), part(tensors, "resumed"))
        assert int(tensors["kept.memory.drawn"]) == 2 * 8
    assert not torch.equal(first["kept.memory.x_0"], second["kept.memory.x_0"])
    weights = [
        {name: value for name, value in part(tensors, "kept").items() if "memory" not in name}
        for tensors in (first, second)
    ]
    assert same(*weights)


def test_parameters_that_only_one_process_uses_or_none_are_no_obstacle(seen):
    """Case C-17: the first is trained alike everywhere, the second is left alone."""
    (first, _), (second, _) = seen
    assert torch.equal(first["parted.some"], second["parted.some"])
    assert first["parted.some"] != 1
    assert first["parted.none"] == second["parted.none"] == 1


def test_each_process_draws_noise_levels_of_its_own(seen):
    """Case C-13."""
    levels = [tensors["levels"] for tensors, _ in seen]
    assert levels[0].shape == levels[1].shape == (32,)
    assert not set(levels[0].tolist()) & set(levels[1].tolist())


def test_the_schedule_is_that_of_one_process(seen):
    """Case C-09."""
    run = make(grad_accum_steps=2, end_step=8, optimizer={"schedule": "cosine", "warmup_steps": 2})
    expected = [step.lr for step in steps(run)]
    assert seen[0][1]["rates"] == seen[1][1]["rates"] == expected
    assert expected[0] < expected[1] < expected[2] > expected[3] > expected[-1] > 0
    assert run.bare_optimizer.param_groups[0]["lr"] == 0


def test_a_run_of_two_processes_has_one_writer_stops_and_resumes_to_the_same_bits(tmp_path, monkeypatch, capsys):
    run = ["train", *FLAGS, "--save-every", "100", "--end-step", "40"]
    program = (*TWO, "-m", "ambientkit")
    whole = command(*run, "--output-dir", tmp_path / "whole", program=program)
    status, out, err = finish(
        command(*run, "--output-dir", tmp_path / "broken", "--time-limit", "0.001s", program=program)
    )
    assert status == 0, (out, err)
    assert len([line for line in out.splitlines() if line.startswith("data:")]) == 1
    assert "torchrun --nproc_per_node 2 -m ambientkit train --resume" in out
    assert [path.name for path in (tmp_path / "broken" / "checkpoints").iterdir()] == ["checkpoint_1"]
    monkeypatch.setattr("sys.argv", ["ambientkit", "train", "--resume", str(tmp_path / "broken")])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    assert "the run has 2 processes, but 1 were started now" in capsys.readouterr().err
    for process in (command("train", "--resume", tmp_path / "broken", program=program), whole):
        status, out, err = finish(process)
        assert status == 0, (out, err)
    assert contents(tmp_path / "whole", 40) == contents(tmp_path / "broken", 40)
    assert [line["step"] for line in log(tmp_path / "broken")] == list(range(2, 41, 2))


@pytest.mark.skipif(torch.cuda.is_available(), reason="auto is the GPU here")
def test_the_documented_command_joins_its_processes_on_a_machine_without_a_gpu(tmp_path):
    """Case C-16: with the default --device auto."""
    flags = FLAGS[: FLAGS.index("--device")] + FLAGS[FLAGS.index("--device") + 2 :]
    assert "--device" not in flags
    arguments = (
        "-m",
        "ambientkit",
        "train",
        *flags,
        "--end-step",
        2,
        "--batch-size",
        8,
        "--output-dir",
        tmp_path / "run",
    )
    status, out, err = finish(command(*arguments, program=TORCHRUN), timeout=300)
    assert status == 0, (out, err)
    assert json.loads((tmp_path / "run" / "status.json").read_text())["processes"] == 2
