"""The check of its own parts before a run."""

from __future__ import annotations

import json

import pytest

import ambientkit as ak
from ambientkit.batch import Term
from ambientkit.builtin.checks.stationarity_masked import StationarityUnderMasks
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.config.pairs import OF_HIDDEN
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import uniform
from ambientkit.registry import load
from ambientkit.verification import preflight, tables
from tests.support import toy_parts as toys
from tests.support.make_plugin import make_plugin
from tests.support.verifying import BIASED, ambientkit, judge

pytestmark = pytest.mark.slow


def test_train_refuses_a_biased_objective_of_a_third_party_and_says_what_to_do(tmp_path):
    site = make_plugin(tmp_path / "site", "aktest-forgetful", BIASED)
    few = ("--data", "mixture", "--set", "data.n=100", "--end-step", "1", "--device", "cpu", "--output-dir", "run")
    done = ambientkit("train", "--objective", "forgetful", *few, cwd=tmp_path, path=site)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "objective 'forgetful' failed the check 'objective-contract' of its claim 'contract'" in done.stderr
    assert "--skip-preflight" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    done = ambientkit("train", "--objective", "forgetful", *few, "--skip-preflight", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "**Checks before step 1:** Skipped, by --skip-preflight" in (tmp_path / "run" / "README.md").read_text()


def test_the_preflight_takes_in_the_corruption_and_the_sampler_of_the_run(tmp_path):
    few = ("--data", "mixture", "--set", "data.n=100", "--end-step", "1", "--device", "cpu", "--output-dir", "run")
    done = ambientkit("train", "--objective", "tweedie", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("preflight: ")]
    assert {"tweedie", "gaussian", "stochastic-heun"} <= {line.split()[1].rstrip(":") for line in said}
    kept = json.loads((tmp_path / "run" / "preflight.json").read_text())
    assert (kept["format"], kept["quick"], kept["exit_status"]) == (1, True, 0)
    assert {result["part"]["name"] for result in kept["results"]} == {"tweedie", "gaussian", "stochastic-heun"}
    assert all(result["verdict"] == "passed" for result in kept["results"])
    n = len(kept["results"])
    card = (tmp_path / "run" / "README.md").read_text()
    assert f"**Checks before step 1:** {n} of {n} quick checks passed" in card
    again = ambientkit("train", "--resume", "run", "--end-step", "2", cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "run" / "preflight.json").read_text()) == kept


def test_the_refusal_names_the_part_the_check_and_the_way_on():
    text = tables.refusal(judge(toys.Toy(), toys.Blind()))
    assert text.startswith("objective 'toy' could not be judged by the check 'blind'")
    assert "--skip-preflight" in text


class CountsWhatIsMissing(Tweedie):
    """Tweedie that compares the network with 0 where nothing was measured, and claims to serve masks."""

    name = "counts-what-is-missing"

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch).clamp(min=tools.levels.sigma_min)
        sigma = log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = tools.corruption.expect(denoiser(view.x, view.sigma, **view.cond), view, batch._replace(cond={}))
        return {"counted": Term((error - batch.x_n).square().flatten(1).mean(1), sigma)}


def test_an_objective_is_measured_on_masked_rows_before_step_1_of_a_masked_run():
    def checks(corruption):
        config = ak.configure({"name": "digits"}, corruption=corruption, objective="tweedie", model="mlp")
        parts = [entry.objective for entry in config.objective]
        without = () if config.corruption.carries else OF_HIDDEN
        return {pair.check.name for pair in preflight(parts, load(), without)[0].pairs}

    assert "stationarity-under-masks" in checks("mask")
    assert "stationarity-under-masks" not in checks("gaussian")
    result = judge(CountsWhatIsMissing(), StationarityUnderMasks())
    assert result.verdict == "failed", result
    assert judge(Tweedie(), StationarityUnderMasks()).verdict == "passed"
