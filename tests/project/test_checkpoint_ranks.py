"""`examples/benchmarks/checkpoint_ranks.py`: its correlation is Spearman's, within groups, and it goes on where scores
lie already."""

from __future__ import annotations

import importlib.util
import json
import math
import sys

import numpy as np
import pytest
from scipy import stats

from tests.support import ROOT

pytestmark = pytest.mark.slow

SCRIPTS = ROOT / "examples" / "benchmarks"


@pytest.fixture
def ranks(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    for name in ("quality_arms", "quality_measures"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    spec = importlib.util.spec_from_file_location("checkpoint_ranks", SCRIPTS / "checkpoint_ranks.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "checkpoint_ranks", module)
    spec.loader.exec_module(module)
    return module


def test_the_correlation_of_one_group_is_spearmans_with_ties_too(ranks):
    guess, truth = [3, 1, 4, 1, 5, 9, 2, 6], [2, 7, 1, 8, 2, 8, 1, 8]
    value, low, high = ranks.correlation(guess, truth, ["one"] * 8)
    assert value == pytest.approx(stats.spearmanr(guess, truth).statistic, abs=1e-12)
    assert low < value < high


def test_order_within_groups_is_told_apart_from_order_between_them(ranks):
    guess = [1, 2, 3, 11, 12, 13]
    truth = [13, 12, 11, 3, 2, 1]
    groups = ["a"] * 3 + ["b"] * 3
    assert ranks.correlation(guess, truth, groups)[0] == pytest.approx(-1)
    assert ranks.correlation(guess, [3, 2, 1, 13, 12, 11], groups)[0] == pytest.approx(-1)
    assert ranks.correlation(guess, [3, 2, 1, 13, 12, 11], [""] * 6)[0] == pytest.approx(
        1 - 6 * 16 / (6 * 35)
    )  # Spearman's own formula
    assert ranks.correlation([1, 2, 3, 5, 5, 5], [1, 2, 3, 1, 2, 3], groups)[0] == pytest.approx(1)  # b has no order
    assert math.isnan(ranks.correlation([5] * 6, truth, groups)[0])


def test_the_interval_covers_the_true_correlation_about_as_often_as_it_says(ranks):
    g = np.random.default_rng(3)
    true = 6 / math.pi * math.asin(0.7 / 2)  # Spearman's correlation of normal variables of correlation .7
    covered = 0
    for _ in range(60):
        a, b = g.normal(size=(2, 40))
        _, low, high = ranks.correlation(a, 0.7 * a + math.sqrt(1 - 0.7**2) * b, [""] * 40)
        covered += low <= true <= high
    assert 50 <= covered <= 60  # 95 % of 60 are 57; the percentile interval is somewhat too narrow


def test_how_far_a_pick_is_behind_is_told_by_run_beside_the_last_checkpoint(ranks):
    def one(seed, step, guess, truth):
        return ranks.Scored("naive", seed, step, {"proximal": {"fid": guess}, "true": {"fid": truth}})

    scored = [one(0, 10, 5, 4.0), one(0, 20, 3, 2.0), one(0, 30, 4, 3.0), one(1, 10, 1, 1.5), one(1, 20, 2, 1.0)]
    found = ranks.behind(scored, "proximal", "fid", "fid")
    assert found == {("naive", 0): (0.0, 0.5), ("naive", 1): (0.5, 0.0)}


@pytest.mark.thorough
def test_every_checkpoint_is_scored_and_a_second_run_finds_the_scores(ranks, tmp_path, monkeypatch, capsys):
    def run():
        out = tmp_path / "ranks.json"
        ranks.main(["--quick", "--model", "mlp", "--folder", str(tmp_path / "runs"), "--json", str(out)])
        return json.loads(out.read_text())

    found = run()
    printed = capsys.readouterr().out
    assert "6 checkpoints of 2 runs" in printed
    assert {(one["arm"], one["step"]) for one in found["checkpoints"]} == {
        (arm, step) for arm in ("naive", "tweedie") for step in (4, 8, 12)
    }
    for one in found["checkpoints"]:
        assert set(one["scores"]) == {"proximal", "held out", "true"}
        assert all(set(values) == set(ranks.MEASURES) for values in one["scores"].values())
    assert {one["group"] for one in found["correlations"]} == {"all", "within runs", "at one step"}
    monkeypatch.setattr(ranks, "measure", lambda *rows: pytest.fail("scored again"))
    assert run() == found


def test_clean_rows_perfect_samples_and_too_few_checkpoints_are_told(ranks, tmp_path, capsys):
    import torch

    clean = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert ranks.measure(clean, clean)["residual-noise"] == 0
    noisy = clean + 0.5 * torch.randn(64, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    assert all(value > 0 for value in ranks.measure(clean, noisy).values())
    for asked, said in (
        (["--arms", "clean"], "clean is no arm that trains on noisy rows"),
        (["--steps", "100"], "at most a third"),
    ):
        with pytest.raises(SystemExit) as stopped:
            ranks.main([*asked, "--folder", str(tmp_path)])
        assert stopped.value.code == 2
        assert said in capsys.readouterr().err
