"""The check of its own parts before a run."""

from __future__ import annotations

from ambientkit.verify import report
from tests.support import toy_parts as toys
from tests.support.make_plugin import make_plugin
from tests.support.verifying import BIASED, ambientkit, judge


def test_train_refuses_a_biased_objective_of_a_third_party_and_says_what_to_do(tmp_path):
    site = make_plugin(tmp_path / "site", "aktest-forgetful", BIASED)
    few = ("--data", "mixture", "--set", "data.n=100", "--end-step", "1", "--device", "cpu", "--output-dir", "run")
    done = ambientkit("train", "--objective", "forgetful", *few, cwd=tmp_path, path=site)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "objective 'forgetful' failed the check 'stationarity' of its claim 'stationary-at-oracle'" in done.stderr
    assert "--skip-preflight" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "run").exists()
    done = ambientkit("train", "--objective", "forgetful", *few, "--skip-preflight", cwd=tmp_path, path=site)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_preflight_takes_in_the_corruption_and_the_sampler_of_the_run(tmp_path):
    few = ("--data", "mixture", "--set", "data.n=100", "--end-step", "1", "--device", "cpu", "--output-dir", "run")
    done = ambientkit("train", "--objective", "tweedie", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("preflight: ")]
    assert {"tweedie", "gaussian", "stochastic-heun"} <= {line.split()[1].rstrip(":") for line in said}


def test_the_refusal_names_the_part_the_check_and_the_way_on():
    text = report.refusal(judge(toys.Toy(), toys.Blind()))
    assert text.startswith("objective 'toy' could not be judged by the check 'blind'")
    assert "--skip-preflight" in text
