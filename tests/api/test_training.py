"""`ambientkit.training` and its companions, as a notebook calls them."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.utils.data import TensorDataset

import ambientkit as ak
from ambientkit.batch import Clean
from ambientkit.builtin.objectives.recipes import TweedieConsistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.errors import InputError
from ambientkit.interfaces import Objective
from tests.support.engine import ByRow

SMALL = {"model": {"name": "mlp", "width": 8, "depth": 1}, "batch_size": 16, "device": "cpu", "skip_preflight": True}


def noisy(n: int = 40) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((n, 1, 6, 6)).astype("f4")


def train(data, folder, **more):
    return ak.train(data, output_dir=folder, **{**SMALL, "end_step": 3, **more})


def test_the_package_is_light_until_it_is_used() -> None:
    """Its own few modules and nothing of anyone else; the time is measured by examples/benchmarks/start_time.py."""
    code = "import sys; before = set(sys.modules); import ambientkit; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "ambientkit" in loaded
    assert not loaded - sys.stdlib_module_names - {"ambientkit"}


def test_every_public_name_exists_and_has_a_docstring() -> None:
    assert set(dir(ak)) == {*ak.__all__, "__version__"}
    assert all(getattr(ak, name).__doc__ for name in ak.__all__)
    with pytest.raises(AttributeError, match="public are"):
        ak.nothing  # noqa: B018


def test_training_returns_the_run_prints_nothing_and_goes_on_where_it_was_stopped(tmp_path, capfd) -> None:
    run = train(noisy(), tmp_path / "run", sigma_n=0.3)
    assert (run.step, run.ended.state, run.path) == (3, "finished", tmp_path / "run")
    assert capfd.readouterr() == ("", "")
    assert train(noisy(), tmp_path / "run", sigma_n=0.3).ended.step == 3, "nothing is left to do"
    assert train(noisy(), tmp_path / "run", sigma_n=0.3, end_step=5).step == 5
    with pytest.raises(InputError, match=r"cannot change\n.*batch_size: 16 in the run, 8 now"):
        train(noisy(), tmp_path / "run", sigma_n=0.3, batch_size=8)


def test_a_notebook_may_change_the_precision_from_run_to_run(tmp_path) -> None:
    for place, precision in enumerate(("no", "bf16", "no")):
        run = train(noisy(), tmp_path / str(place), sigma_n=0.3, mixed_precision=precision)
        assert run.ended.state == "finished"
    first, last = ((tmp_path / name / "model_ema.safetensors").read_bytes() for name in "02")
    assert first == last


def test_the_same_call_gives_the_same_bits_from_python_and_from_the_command(tmp_path, ambientkit) -> None:
    np.save(tmp_path / "x.npy", noisy())
    train(tmp_path / "x.npy", tmp_path / "python", sigma_n=0.3)
    flags = [
        "--set",
        "model.width=8",
        "--set",
        "model.depth=1",
        "--batch-size",
        16,
        "--device",
        "cpu",
        "--skip-preflight",
    ]
    status, _, err = ambientkit(
        "train",
        "--data",
        tmp_path / "x.npy",
        "--sigma-n",
        0.3,
        "--end-step",
        3,
        *flags,
        "--output-dir",
        tmp_path / "command",
    )
    assert status == 0, err
    of = [(tmp_path / name / "model_ema.safetensors").read_bytes() for name in ("python", "command")]
    assert of[0] == of[1]


def test_data_may_be_a_name_a_path_a_part_an_array_a_tensor_or_a_dataset(tmp_path) -> None:
    np.save(tmp_path / "x.npy", noisy())
    torch_rows = [torch.from_numpy(row) for row in noisy()]
    part = ak.configure(tmp_path / "x.npy", sigma_n=0.3).data
    for data in (tmp_path / "x.npy", str(tmp_path / "x.npy"), noisy(), torch.from_numpy(noisy()), _Rows(torch_rows)):
        rows = ak.configure(data, sigma_n=0.3).data.rows()
        assert torch.equal(rows[7].x_n, torch_rows[7])
        assert float(rows[7].sigma_n) == pytest.approx(0.3)
    assert ak.configure(part).data == part
    assert ak.configure("mixture", sigma_n=0.3).corruption.sigma_n == 0.3
    clean = ak.configure(noisy(), clean=True, sigma_n=0.4)
    assert isinstance(clean.data.rows()[0], Clean)
    assert clean.corruption.sigma_n == 0.4


def test_nobody_takes_rows_of_unknown_noise_for_clean(tmp_path) -> None:
    for data in (noisy(), _Rows(list(torch.from_numpy(noisy())))):
        with pytest.raises(InputError, match="nothing says how noisy the rows are"):
            train(data, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_data_set_of_pictures_and_labels_is_refused_with_what_to_write(tmp_path) -> None:
    with pytest.raises(InputError, match="row 0 is of type tuple; rows should be Clean"):
        train(TensorDataset(torch.zeros(8, 2), torch.zeros(8)), tmp_path / "run", sigma_n=0.3)


def test_rows_in_memory_have_to_be_given_again_to_go_on_and_are_known_by_content(tmp_path) -> None:
    train(noisy(), tmp_path / "run", sigma_n=0.3)
    assert ak.load(tmp_path / "run").step == 3, "to be sampled from, they are not needed"
    with pytest.raises(InputError, match="were given in memory, and this program has not been given them"):
        ak.train(resume=tmp_path / "run", end_step=5)
    with pytest.raises(InputError, match=r"cannot change\n.*data\.sha256"):
        train(noisy() + 1, tmp_path / "run", sigma_n=0.3, end_step=5)


def test_a_run_trained_on_rows_in_memory_is_compared_with_them(tmp_path) -> None:
    run = train(noisy(), tmp_path / "run", sigma_n=0.3)
    scores = run.evaluate(n=16, extractors=["pixels"], repeats=1, steps=2)
    assert {line.group for line in scores} == {"proximal"}


@pytest.mark.slow
def test_parts_may_be_objects_also_ones_that_no_package_registers(tmp_path) -> None:
    of_object = ak.configure("mixture", objective=TweedieConsistency())
    assert of_object == ak.configure("mixture", objective="tweedie-consistency")
    assert ak.configure("mixture", objective=Tweedie(near=0.5)).objective[0].objective.near == 0.5
    weighted = ak.configure("mixture", objective=[{"objective": Tweedie(), "weight": 2.0}])
    assert (weighted.objective[0].weight, weighted.objective[0].objective) == (2.0, Tweedie())
    train("mixture", tmp_path / "run", objective=ByRow())
    assert ak.load(tmp_path / "run").step == 3, "the objective is not needed to sample"
    assert isinstance(ak.load(tmp_path / "run", parts=[ByRow]).config.objective[0].objective, ByRow)
    with pytest.raises(InputError, match=r"cannot go on without its objective 'by-row'"):
        ak.train(resume=tmp_path / "run", end_step=5)
    assert train("mixture", tmp_path / "run", objective=ByRow(), end_step=5).step == 5


def test_an_unknown_setting_is_named_with_the_nearest_one(tmp_path) -> None:
    with pytest.raises(InputError, match="there is no argument 'end_steps'; did you mean 'end_step'"):
        train("mixture", tmp_path / "run", end_steps=3)
    with pytest.raises(InputError, match=r"lr: .*greater than 0"):
        train("mixture", tmp_path / "run", lr=-1.0)


def test_who_owns_the_loop_needs_a_configuration_only() -> None:
    training = ak.build({"data": "mixture"}, model=SMALL["model"], end_step=2)
    assert [step.step for step in ak.steps(training)] == [1, 2]
    config = ak.configure("mixture", model=SMALL["model"], end_step=2, batch_size=8)
    assert [step.step for step in ak.steps(ak.build(config))] == [1, 2]
    assert ak.configure(config) == config
    assert ak.configure(config, end_step=7).end_step == 7


class Interrupting(Objective):
    """Sends SIGINT to its own process in its first call, as Ctrl-C does."""

    name = "interrupting"

    def loss(self, denoiser, batch, tools):
        if "sent" not in tools.memory:
            tools.memory["sent"] = torch.ones(1)
            signal.raise_signal(signal.SIGINT)
        return Tweedie().loss(denoiser, batch, tools)


def test_an_interrupt_saves_and_the_same_call_goes_on(tmp_path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train("mixture", tmp_path / "run", objective=Interrupting(), end_step=4)
    assert (tmp_path / "run" / "checkpoints" / "checkpoint_1").is_dir()
    assert train("mixture", tmp_path / "run", objective=Interrupting(), end_step=4).step == 4
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


class _Rows(torch.utils.data.Dataset):
    def __init__(self, rows):
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        return self.rows[index]
