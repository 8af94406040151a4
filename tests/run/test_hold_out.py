"""Runs that hold rows out: the best averaged weights are kept and used, a run that memorises its rows is reported
and stopped, and all to the same bits after a resume."""

from __future__ import annotations

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from ambientkit.checkpoint.folder import read_folder
from ambientkit.checkpoint.status import read_status
from ambientkit.checkpoint.weights import load_weights
from ambientkit.config.request import Request
from ambientkit.errors import InputError
from ambientkit.export.card import card
from ambientkit.registry import load
from ambientkit.run import keep
from ambientkit.run.stop import Stop
from ambientkit.run.train import train
from ambientkit.sample import load_run
from ambientkit.sample.load import BEST
from tests.support.engine import contents
from tests.support.shares import some

QUICK = {
    "data": {"name": "mixture", "n": 200},
    "model": {"name": "mlp", "width": 16, "depth": 1},
    "batch_size": 64,
    "end_step": 240,
    "save_every": 100,
    "log_every": 20,
    "device": "cpu",
    "hold_out": 0.1,
}
BY_HEART = {
    "corruption": {"sigma_n": 0.4},
    "model": {"name": "mlp", "width": 128, "depth": 2},
    "objective": "tweedie",
    "batch_size": 64,
    "end_step": 3000,
    "save_every": 1000,
    "hold_out": 0.4,
    "optimizer": {"lr": 2e-3},
    "device": "cpu",
}


def run(folder, tree, stop=None, **changes):
    begun = (folder / "config.yaml").exists()
    flags = {(name,): (name, value) for name, value in changes.items()}
    request = Request(
        flags=flags,
        config=() if begun else (tree,),
        output_dir=folder,
        resume="latest" if begun else None,
        skip_preflight=True,
    )
    return train(request, load(), stop=stop)


class After(Stop):
    """Asks to stop after some steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.left = steps

    def asked(self) -> int:
        self.left -= 1
        return 2 if self.left <= 0 else 0


@pytest.fixture(scope="module")
def quick(tmp_path_factory):
    folder = tmp_path_factory.mktemp("hold_out") / "run"
    run(folder, QUICK)
    return folder


@pytest.fixture(scope="module")
def by_heart(tmp_path_factory):
    folder = tmp_path_factory.mktemp("by_heart") / "run"
    np.save(folder.parent / "rows.npy", load_digits().images[:60, None].astype(np.float32) / 8 - 1)
    run(
        folder,
        {
            **BY_HEART,
            "data": {"name": "array", "path": str(folder.parent / "rows.npy"), "clean": True, "layout": "NCHW"},
        },
    )
    return folder


@pytest.mark.slow
def test_the_weights_kept_lie_beside_the_newest_and_are_those_that_are_loaded(quick):
    tensors, about = load_weights(quick / BEST)
    kept = json.loads(read_folder(quick / "checkpoints" / "checkpoint_240")["hold_out.json"])
    assert kept["count"] == 20
    assert about["step"] == kept["state"]["kept"]
    assert about["newest"] == 240
    trained = load_run(quick, load())
    assert trained.step == about["step"]
    assert all(torch.equal(trained.network.state_dict()[name], value) for name, value in tensors.items())
    assert load_run(quick / "model_ema.safetensors", load()).step == 240
    assert load_run(quick / "checkpoints" / "checkpoint_200", load()).step == 200


def test_log_lines_tell_what_was_measured(quick):
    lines = [json.loads(line) for line in (quick / "metrics.jsonl").read_text().splitlines()]
    told = [line["hold_out"] for line in lines if "hold_out" in line]
    assert told
    assert told[-1]["held_out"]["n"] == 20
    assert len(told[-1]["own"]["by_level"]) == 4


@pytest.mark.parametrize("stops", some([[3], [70, 60], [150]], [[70, 60]]))
@pytest.mark.slow
def test_a_resumed_run_keeps_the_same_weights(quick, tmp_path, stops):
    folder = tmp_path / "run"
    for steps in stops:
        assert run(folder, QUICK, After(steps)).state == "unfinished"
    assert run(folder, QUICK).state == "finished"
    assert (folder / BEST).read_bytes() == (quick / BEST).read_bytes()
    assert contents(folder, 240) == contents(quick, 240)


def test_weights_of_a_later_moment_are_taken_back(quick, tmp_path):
    """A run resumed from an older checkpoint keeps no newer weights than that knew of: here none, as the first
    measurement comes later."""
    folder = tmp_path / "run"
    shutil.copytree(quick, folder)
    request = Request(resume=str(folder / "checkpoints" / "checkpoint_100"), skip_preflight=True)
    train(request, load(), stop=After(1))
    assert not (folder / BEST).exists()


@pytest.mark.slow
def test_measuring_changes_nothing_in_training(quick, tmp_path, monkeypatch):
    monkeypatch.setattr(keep.Keeper, "due", lambda self, step: False)
    run(tmp_path / "run", QUICK)
    for name in ("model.safetensors", "average.safetensors", "optimizer.safetensors"):
        assert (tmp_path / "run" / "checkpoints" / "checkpoint_240" / name).read_bytes() == (
            quick / "checkpoints" / "checkpoint_240" / name
        ).read_bytes()
    assert not (tmp_path / "run" / BEST).exists()


@pytest.mark.slow
def test_without_rows_held_out_there_is_nothing_of_it(tmp_path):
    run(tmp_path / "run", {**QUICK, "hold_out": 0.0})
    assert not (tmp_path / "run" / BEST).exists()
    files = read_folder(tmp_path / "run" / "checkpoints" / "checkpoint_240")
    assert not {"hold_out.json", BEST} & files.keys()
    assert json.loads(files["state.json"])["counters"]["rows"] == 200
    assert "hold_out" not in (tmp_path / "run" / "metrics.jsonl").read_text()


@pytest.mark.slow
def test_a_run_that_learns_by_heart_is_told_and_stopped(by_heart):
    status = read_status(by_heart)
    assert status.state == "finished"
    assert status.step < 3000
    assert "has risen for good" in status.message
    assert any("memorises the noise of its rows" in warning for warning in status.warnings)
    trained = load_run(by_heart, load())
    assert trained.step < status.step
    assert f"the weights of step {trained.step} are kept" in status.message


def test_that_older_weights_are_used_is_said(by_heart, caplog):
    with caplog.at_level(logging.INFO, logger="ambientkit"):
        load_run(by_heart, load())
    assert "kept by the Tweedie loss on rows held out" in caplog.text


def test_a_stopped_run_goes_on_where_it_is_told_to(by_heart, tmp_path):
    folder = tmp_path / "run"
    shutil.copytree(by_heart, folder)
    kept = load_run(folder, load()).step
    ended = run(folder, BY_HEART, stop_early=False, end_step=read_status(folder).step + 50)
    assert ended.state == "finished"
    assert read_status(folder).message == ""
    assert load_run(folder, load()).step == kept


@pytest.mark.slow
def test_a_run_of_an_early_version_holds_none_out_when_it_is_resumed(tmp_path, monkeypatch):
    folder = tmp_path / "run"
    run(folder, {**QUICK, "hold_out": 0.0}, After(100))
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(
        "\n".join(line for line in text.splitlines() if not line.startswith(("hold_out", "stop_early")))
    )
    run(folder, QUICK)
    assert not (folder / BEST).exists()


@pytest.mark.parametrize(("share", "says"), [(0.001, "two rows at least"), (0.999, "two rows at least")])
def test_too_few_rows_are_refused_before_anything_is_written(tmp_path, share, says):
    with pytest.raises(InputError, match=says):
        run(tmp_path / "run", {**QUICK, "hold_out": share})
    assert not (tmp_path / "run").exists()


def test_few_rows_hold_none_out_by_default_and_it_is_said(tmp_path, caplog):
    caplog.set_level("INFO", "ambientkit")
    run(tmp_path / "run", {**QUICK, "hold_out": None, "data": {"name": "mixture", "n": 100}, "end_step": 5})
    assert not (tmp_path / "run" / BEST).exists()
    assert "held out: none, as 100 rows are too few; whether their noise is memorised" in caplog.text


def test_a_card_of_kept_weights_says_so_and_not_that_the_run_is_unfinished(by_heart):
    trained = load_run(by_heart, load())
    assert trained.kept_after == read_status(by_heart).step
    text = str(card(by_heart))
    assert "is not finished" not in text
    assert f"its best on rows held out of training, after {trained.kept_after:,} steps taken" in text
