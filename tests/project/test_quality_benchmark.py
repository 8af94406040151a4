"""`examples/benchmarks/quality.py`: it trains what was asked, goes on where figures lie already, and computes the gap closed."""

from __future__ import annotations

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support import ROOT

SCRIPTS = ROOT / "examples" / "benchmarks"


@pytest.fixture
def quality(monkeypatch):
    """The script as a module, with arms that train for a few steps."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    names = ("quality_arms", "quality_measures", "quality_pictures", "quality")
    for name in names:
        monkeypatch.delitem(sys.modules, name, raising=False)
        spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
    arms, measures = sys.modules["quality_arms"], sys.modules["quality_measures"]
    monkeypatch.setattr(measures, "QUICK_POINTS", 400)
    small = {"end_step": 12, "batch_size": 16, "model": {"name": "mlp", "width": 16}}
    monkeypatch.setitem(arms.DATA, "mixture", replace(arms.DATA["mixture"], quick=small))
    return sys.modules["quality"]


def rows(quality, folder: Path, *more: str) -> list[dict]:
    """What the script writes for three arms."""
    out = folder / "figures.json"
    asked = ["--quick", "--data", "mixture", "--arms", "clean,naive,truncated,tweedie-consistency", "--jobs", "1"]
    kept = ["--folder", str(folder / "runs"), "--json", str(out), "--markdown", str(folder / "tables.md")]
    quality.main([*asked, *kept, *more])
    return json.loads(out.read_text())


def test_every_arm_has_figures_and_the_gap_is_that_of_its_definition(quality, tmp_path, capsys):
    found = rows(quality, tmp_path)
    assert set(found[0]) == {"data", "sigma_n", "arm", "seed", "measure", "value"}
    assert {row["arm"] for row in found} == {"perfect", "maximum-likelihood", "clean", "naive", "truncated", "tweedie-consistency"}
    by = {(row["arm"], row["measure"]): row["value"] for row in found}
    name = "denoising error below sigma_n"
    levels = [by["naive", f"denoising error at {share:g} sigma_n"] for share in (0.1, 0.25, 0.5, 0.75)]
    assert by["naive", name] == pytest.approx(sum(levels) / 4)
    gap = (by["naive", name] - by["tweedie-consistency", name]) / (by["naive", name] - by["clean", name])
    assert by["tweedie-consistency", f"gap closed: {name}"] == pytest.approx(gap)
    assert by["clean", f"gap closed: {name}"] == 1
    assert by["perfect", name] < 1e-12
    assert ("truncated", name) not in by  # it denoises as `tweedie` does; only its samples differ
    assert "| tweedie-consistency |" in (tmp_path / "tables.md").read_text()


def test_figures_that_are_there_are_not_made_again_and_a_begun_run_goes_on(quality, tmp_path, monkeypatch):
    first = rows(quality, tmp_path)
    monkeypatch.setattr(quality, "train", lambda unit: pytest.fail(f"{unit} was trained again"))
    assert rows(quality, tmp_path) == first


def test_an_unknown_arm_is_refused_with_those_that_are_known(quality, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        rows(quality, tmp_path, "--arms", "clean,tweedy")
    assert stopped.value.code == 2
    assert "tweedy is not known; known are clean, naive" in capsys.readouterr().err


def test_what_fails_is_named_and_the_rest_is_told(quality, tmp_path, monkeypatch, capsys):
    right = quality.train

    def fails(unit):
        if unit.arm == "naive":
            raise RuntimeError("out of luck")
        right(unit)

    monkeypatch.setattr(quality, "train", fails)
    with pytest.raises(SystemExit) as stopped:
        rows(quality, tmp_path)
    assert stopped.value.code == 1
    captured = capsys.readouterr()
    assert "naive" in captured.err
    assert "out of luck" in captured.err
    assert "tweedie-consistency" in captured.out


def test_a_table_tells_the_seeds_of_an_arm_that_has_not_all_of_them(quality):
    one = {"data": "mixture", "sigma_n": 0.2, "measure": "sliced W2"}
    found = [{**one, "arm": "naive", "seed": seed, "value": value} for seed, value in ((0, 1.0), (1, 2.0))]
    found += [{**one, "arm": "sure", "seed": 0, "value": 3.0}]
    text = quality.markdown(found)
    assert "| naive | 1.5 (1 to 2) |" in text
    assert "| sure (seed 0) | 3 |" in text
