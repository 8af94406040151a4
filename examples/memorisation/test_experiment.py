"""The experiment runs whole at a size that shows nothing, and goes on where it was."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"memorisation_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_experiment_measures_every_arm_and_is_resumable(tmp_path, capsys) -> None:
    pytest.importorskip("matplotlib")
    experiment, out = load("experiment"), tmp_path / "out"
    arguments = [str(out), "--quick", "--rows", "60", "--seeds", "0", "--arms", "clean", "noisy-0.2", "split-0.4"]
    experiment.main(arguments)
    files = {file.name: file.read_text() for file in (out / "points").iterdir()}
    assert len(files) == 6  # three arms, at the end and stopped early
    assert {"pareto.png", "gallery.png", "gallery.txt", "table.txt", "verdict.txt"} <= {f.name for f in out.iterdir()}
    assert "split-0.4" in capsys.readouterr().out
    experiment.main(arguments)
    assert {file.name: file.read_text() for file in (out / "points").iterdir()} == files
    assert "CPU s of training" not in capsys.readouterr().out


def test_a_copy_is_made_once_and_stands_beside_its_clean_row() -> None:
    experiment = load("experiment")
    arms = sys.modules["arms"]
    x = experiment.split("digits", 30, 0)[0]
    rows, levels = arms.given_to(arms.ARMS["split-0.4"], x, 0)
    again, _ = arms.given_to(arms.ARMS["split-0.4"], x, 0)
    assert rows.equal(again)
    assert rows[:30].equal(x)
    assert levels.tolist() == [0.0] * 30 + [pytest.approx(0.4)] * 30
    assert 0.36 < float((rows[30:] - x).std()) < 0.44


def test_an_arm_is_better_only_if_it_is_so_on_one_axis_beyond_the_error_and_not_worse_on_the_other() -> None:
    load("experiment")
    better = sys.modules["pictures"].better
    a = {"fid": (1.0, 0.1), "share": (0.1, 0.01), "recognised": (0.6, 0.01)}
    assert better(a, a | {"fid": (2.0, 0.1)}, "fid", "share")
    assert better(a, a | {"share": (0.2, 0.01)}, "fid", "share")
    assert not better(a, a | {"fid": (1.1, 0.1)}, "fid", "share")
    assert not better(a, a | {"fid": (2.0, 0.1), "share": (0.05, 0.01)}, "fid", "share")
    assert better(a, a | {"recognised": (0.5, 0.01)}, "recognised", "share")
    assert not better(a, a | {"recognised": (0.7, 0.01)}, "recognised", "share")
