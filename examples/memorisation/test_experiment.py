"""The experiment runs whole at a size that shows nothing, and goes on where it was."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from ambientkit.errors import InputError, RunError

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


def test_an_arm_that_diverges_is_recorded_and_the_next_one_follows(tmp_path, monkeypatch) -> None:
    """In its restorations, or in training; any other error is raised."""
    experiment = load("experiment")
    size = experiment.QUICK
    steps = sorted({*size.stops, size.end_step})
    good = dict.fromkeys(sys.modules["pictures"].COLUMNS, 0.5)
    whole = {"kept": steps, "bad": steps, "stopped": steps[:1]}
    told = {"bad": "its restorations are not finite", "stopped": "the loss (nan) was not finite"}

    def train(home, *_) -> None:
        if "-split-0.2-" in home.name:
            raise RunError(told["stopped"])

    def measure(path, *_) -> dict:
        if path.name == "bad":
            raise InputError(told["bad"])
        return good

    kinds = {"clean": "kept", "noisy-0.2": "bad", "split-0.2": "stopped", "noisy-0.4": "kept"}
    monkeypatch.setattr(experiment, "train", train)
    monkeypatch.setattr(experiment, "measure", measure)
    monkeypatch.setattr(experiment, "Classifier", lambda *_: None)
    monkeypatch.setattr(experiment, "ARMS", dict.fromkeys(kinds))
    monkeypatch.setattr(
        experiment,
        "looked_at",
        lambda home, _: [(step, Path(kind)) for kind in [kinds[home.name[10:-3]]] for step in whole[kind]],
    )
    lines = list(experiment.perform(tmp_path, size, "digits", [60], [0], list(kinds)))
    found = experiment.points(tmp_path)
    assert len(found) == len(kinds) * len(steps)
    assert {(one["arm"], one["step"]) for one in found if "diverged" in one} == {
        *(("noisy-0.2", step) for step in steps),
        *(("split-0.2", step) for step in steps[1:]),
    }
    shown = experiment.table(found)
    assert all(shown.count(reason) > 0 for reason in told.values())
    assert "clean" in experiment.verdict(found)
    assert sum("diverged" in line for line in lines) == 2 * len(steps) - 1
    assert not list(experiment.perform(tmp_path, size, "digits", [60], [0], list(kinds)))
    (tmp_path / "points" / f"digits-60-clean-s0-{steps[0]}.json").unlink()
    monkeypatch.setattr(experiment, "measure", lambda *_: (_ for _ in ()).throw(InputError("no rows")))
    with pytest.raises(InputError, match="no rows"):
        list(experiment.perform(tmp_path, size, "digits", [60], [0], ["clean"]))


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


def test_a_longer_training_is_looked_at_at_doubled_steps() -> None:
    load("experiment")
    small = sys.modules["arms"].SMALL
    assert small.longer(small.end_step) == small
    assert small.longer(4000).stops == (250, 500, 1000, 2000)
    assert small.longer(4001).stops == (250, 500, 1000, 2000, 4000)


def test_a_measure_that_only_clothes_have_is_left_out_for_other_rows() -> None:
    load("experiment")
    shown = sys.modules["pictures"]
    names = [*shown.COLUMNS, "distance, p <= 0.01"]
    facts = {"rows": 100, "seed": 0, "step": 500}
    points = [
        {"data": data, **facts, "arm": arm, **{n: 0.5 for n in names if data == "fashion-mnist" or n != "fid[lenet]"}}
        for data in ("digits", "fashion-mnist")
        for arm in ("clean", "noisy-0.2")
    ]
    head, *lines = (line.split("\t") for line in shown.table(points).splitlines())
    told = {(line[0], line[2]): line[head.index("fid[lenet]")] for line in lines}
    assert told == {(data, arm): "" if data == "digits" else "0.5" for data, arm in told}
    said = shown.verdict(points)
    assert "fashion-mnist, 100 rows, fid[lenet] against" in said
    assert "digits, 100 rows, fid[lenet] against" not in said
