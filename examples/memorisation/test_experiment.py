"""The experiment runs whole at a size that shows nothing, and goes on where it was."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def load(name: str):
    spec = importlib.util.spec_from_file_location(f"memorisation_{name}", Path(__file__).with_name(f"{name}.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_experiment_measures_every_arm_and_is_resumable(tmp_path, capsys) -> None:
    experiment = load("experiment")
    arguments = [str(tmp_path / "out"), "--quick", "--rows", "60", "--seeds", "1", "--arms", "clean", "noisy-0.2"]
    experiment.main(arguments)
    first = (tmp_path / "out" / "points.jsonl").read_text()
    assert len(first.splitlines()) == 4  # two arms, at the end and stopped early
    assert "pareto" in {path.stem for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    experiment.main(arguments)
    assert (tmp_path / "out" / "points.jsonl").read_text() == first
    assert "noisy-0.2" in capsys.readouterr().out


def test_an_arm_is_better_only_if_it_is_so_on_both_axes_beyond_the_error() -> None:
    dominates = load("experiment").dominates
    a = {"fid": (1.0, 0.1), "share": (0.1, 0.01)}
    assert dominates(a, {"fid": (2.0, 0.1), "share": (0.2, 0.01)}, "share")
    assert not dominates(a, {"fid": (1.1, 0.1), "share": (0.2, 0.01)}, "share")
    assert not dominates(a, {"fid": (2.0, 0.1), "share": (0.05, 0.01)}, "share")
