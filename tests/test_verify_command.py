"""`ambientkit verify`: the plan and its budget, verdicts that can be trusted, and what a user reads, in a terminal or a file."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from ambientkit.builtin.consistency import Consistency
from ambientkit.builtin.tweedie import Tweedie
from ambientkit.cli import verify
from ambientkit.cli.verify import Request, select
from ambientkit.errors import InputError
from ambientkit.registry import load
from ambientkit.verify import Verdict, make_plan, registered_parts, report, run_pair, run_plan
from ambientkit.verify.kills import Fate
from ambientkit.verify.plan import Pair
from ambientkit.verify.snippet import snippet
from tests.support import toy_parts as toys
from tests.support.make_plugin import make_plugin

ALPHA = 5e-4
BIASED = '''
from ambientkit.batch import Term
from ambientkit.builtin.tweedie import Tweedie
from ambientkit.hookspecs import hookimpl
from ambientkit.interfaces import Objective
from ambientkit.maths.levels import log_uniform
from ambientkit.maths.noise import uniform


class Forgetful(Objective):
    """Tweedie that forgets what expect() is for: it takes the noisy rows for clean ones."""

    name = "forgetful"
    claims = frozenset({"stationary-at-oracle"})

    def loss(self, denoiser, batch, tools):
        floor = tools.corruption.floor(batch)
        sigma = log_uniform(uniform(floor, tools.generator), floor, tools.levels.sigma_max)
        view = tools.corruption.degrade(batch, sigma, tools.generator)
        error = denoiser(view.x, view.sigma, **view.cond) - batch.x_n
        return {"forgetful": Term(error.square().flatten(1).mean(1), sigma)}


@hookimpl
def register_objectives():
    return [Forgetful]
'''


def judge(part, check=None, **more):
    return run_pair(Pair("objective", part, check or toys.Mean()), 0, ALPHA, **more)


def command(monkeypatch, *parts, **request) -> tuple[int, str]:
    """Exit status and output of `ambientkit verify` where these parts are all there is."""
    monkeypatch.setattr(verify, "load", lambda: toys.registry(*parts))
    output = io.StringIO()
    with redirect_stdout(output), pytest.raises(SystemExit) as end:
        verify.run(Request(**{"parts": (), **request}))
    return end.value.code, output.getvalue()


def ambientkit(*arguments: str, cwd: Path, path: Path | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({"PYTHONPATH": str(path)} if path else {}), **variables}
    return subprocess.run(
        [sys.executable, "-m", "ambientkit", *arguments], capture_output=True, timeout=300, cwd=cwd, env=environment, encoding="utf-8"
    )


# ---- the plan and its budget


def test_a_part_is_paired_with_the_checks_of_its_kind_and_claims_and_the_budget_is_shared_equally():
    plan = make_plan([toys.Toy(), toys.Silent()], [toys.Mean(), toys.Exact(), load().build("check", "stationarity")])
    assert [pair.label for pair in plan.pairs] == ["toy: mean", "toy: exact"]
    assert plan.level == 1e-3 / 2
    assert [str(item) for item in plan.unchecked] == ["silent: unchecked, it claims no property that a check tests"]
    assert "0.001 false alarms in a whole run, shared equally by its 2 checks (Bonferroni): p < 0.0005" in plan.describe_level()


def test_quick_keeps_the_quick_checks_only():
    plan = make_plan([toys.Toy()], [toys.Mean(), toys.Exact()], quick=True)
    assert [pair.check.name for pair in plan.pairs] == ["exact"]
    (unchecked,) = make_plan([toys.Toy()], [toys.Mean()], quick=True).unchecked
    assert unchecked.why == "its checks are not among the quick ones"


def test_all_parts_of_the_kinds_that_checks_know_are_in_the_whole_set_and_one_that_needs_fields_is_unchecked():
    parts, unmade = registered_parts(toys.registry(toys.Toy, toys.Needy, toys.Exact), [toys.Exact()])
    assert parts == [toys.Toy()]
    assert [(item.part, item.why) for item in unmade] == [("needy", "it cannot be made without fields (must: Field required)")]


def test_every_check_of_this_environment_says_its_null_law_what_it_finds_and_what_a_failure_means():
    for name in load().names("check"):
        check = load().build("check", name)
        assert len(check.null_law) > 1, name
        assert len(check.detects) > 10, name
        assert len(check.meaning) > 20, name


# ---- verdicts


def test_a_right_part_passes_and_a_biased_one_fails():
    right, wrong = judge(toys.Toy()), judge(toys.Toy(bias=1.0))
    assert right.verdict is Verdict.PASSED
    assert right.control.p_value < ALPHA < right.measured.p_value
    assert wrong.verdict is Verdict.FAILED
    assert wrong.measured.p_value < ALPHA


def test_a_check_whose_control_passes_is_inconclusive():
    result = judge(toys.Toy(), toys.Blind())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "was not rejected" in str(result)


def test_a_check_without_its_control_is_inconclusive_and_says_why():
    result = judge(toys.Toy(), toys.BrokenControl())
    assert result.verdict is Verdict.INCONCLUSIVE
    assert result.error == "the control raised RuntimeError: there is no control"
    assert judge(toys.Toy(), controls=False).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize(("exit", "line"), [(False, "ZeroDivisionError: first line second line"), (True, "SystemExit: 3")])
def test_a_part_that_raises_has_failed_with_the_error_in_one_line(exit, line):
    result = judge(toys.Raises(exit=exit))
    assert (result.verdict, result.error, result.measured) == (Verdict.FAILED, line, None)


@pytest.mark.parametrize("bias", [math.nan, math.inf])
def test_numbers_that_are_not_finite_fail(bias):
    part = toys.Toy.model_construct(bias=bias)
    result = judge(part)
    assert result.verdict is Verdict.FAILED
    assert "not finite" in result.error


def test_a_part_that_ends_its_process_has_failed_and_the_others_go_on():
    plan = make_plan([toys.Dies(), toys.Toy()], [toys.Mean()])
    dead, alive = run_plan(plan, processes=2)
    assert (dead.verdict, dead.error) == (Verdict.FAILED, "the process that measured it died")
    assert alive.verdict is Verdict.PASSED


WAITS = """
import os, time
from ambientkit.verify.runner import process_pool
if __name__ == "__main__":
    pool = process_pool(1)
    print(pool.submit(os.getpid).result(), flush=True)
    time.sleep(60)
"""


def test_the_workers_of_a_run_that_is_killed_do_not_outlive_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    owner = subprocess.Popen([sys.executable, str(tmp_path / "waits.py")], stdout=subprocess.PIPE, text=True)
    assert owner.stdout is not None
    worker = int(owner.stdout.readline())
    assert alive(worker)
    owner.kill()
    owner.wait()
    for _ in range(200):
        if not alive(worker):
            return
        time.sleep(0.1)
    os.kill(worker, 9)
    pytest.fail("the worker is still there")


def alive(process: int) -> bool:
    try:
        os.kill(process, 0)
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"  # ended, and not yet waited for
    except (ProcessLookupError, FileNotFoundError):
        return False


# ---- the same seed, the same numbers


def test_the_numbers_do_not_depend_on_threads_or_processes_and_do_on_the_seed():
    check = load().find("check", "stationarity").part(batches=50, batch_size=64)
    plan = make_plan([Tweedie(), Consistency(fraction=1.0), toys.Global(), toys.Toy()], [check, toys.Mean()])
    assert len(plan.pairs) == 4

    def numbers(seed=0, **more):
        return [(result.measured, result.control) for result in run_plan(plan, seed, **more)]

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = numbers()
        torch.set_num_threads(3)
        assert numbers() == one
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    assert numbers(processes=2) == one
    assert all(other != same for other, same in zip(numbers(seed=1), one, strict=True))


@pytest.mark.parametrize(
    "pair",
    [
        Pair("objective", Tweedie(near=0.25), load().find("check", "stationarity").part(batches=50, batch_size=64)),
        Pair("objective", toys.Toy(bias=0.25), toys.Mean()),
        Pair("objective", toys.Toy(), toys.Mean()),
    ],
    ids=lambda pair: pair.label,
)
def test_the_snippet_is_short_and_repeats_the_number_to_the_last_digit(pair):
    text = snippet(pair, 7, load())
    assert len(text.splitlines()) <= 15
    names: dict[str, object] = {}
    with redirect_stdout(io.StringIO()):
        exec(text, names)
    assert names["measured"] == run_pair(pair, 7, ALPHA).measured


# ---- naming parts


def test_parts_are_named_alone_or_with_their_kind_and_fields_and_a_recipe_stands_for_its_objectives():
    registry = load()
    assert select(["tweedie"], registry) == [Tweedie()]
    assert select(["objective:tweedie{near: 0.25, cap: 9}"], registry) == [Tweedie(near=0.25, cap=9)]
    assert select(["tweedie{near: 0.25}", "tweedie{near: 0.25}"], registry) == [Tweedie(near=0.25)]
    for text in ("tweedie-consistency", "recipe:tweedie-consistency"):
        assert [part.name for part in select([text], registry)] == ["tweedie", "consistency"]


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("tweedy", "there is no part 'tweedy'; did you mean 'tweedie'?"),
        ("sampler:huen", "there is no sampler 'huen'; did you mean 'heun'?"),
        ("objectve:tweedie", "there is no kind of part 'objectve'; did you mean 'objective'?"),
        ("tweedie{near:0.25}", "with a space after each colon"),
        ("tweedie{near: 0.25", "'tweedie{near: 0.25' is not a part"),
        ("tweedie{naer: 0.25}", "did you mean 'near'?"),
        ("tweedie{near: 7}", "objective.near: should be less than or equal to 1, but is 7"),
    ],
)
def test_what_cannot_be_named_is_refused_with_the_nearest_name(text, complaint):
    with pytest.raises(InputError) as caught:
        select([text], load())
    assert complaint in str(caught.value)


def test_a_file_stands_for_the_parts_it_defines_without_being_installed(tmp_path):
    body = BIASED.replace("@hookimpl", "from ambientkit.interfaces import Mutant\nclass Not(Mutant, Forgetful): name = 'not'\n\n@hookimpl")
    (tmp_path / "aktest_mine.py").write_text(body)
    done = ambientkit("verify", "aktest_mine.py", "--quick", "--json", "out.json", cwd=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert {result["part"]["name"] for result in results} == {"forgetful"}
    (failed,) = [result for result in results if result["check"]["name"] == "stationarity"]
    assert failed["verdict"] == "failed"
    again = subprocess.run([sys.executable, "-c", failed["snippet"]], capture_output=True, text=True, timeout=120, cwd=tmp_path)
    assert f"statistic={failed['measured']['statistic']}," in again.stdout, again.stderr


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (None, "there is no such file"),
        ("x = 1", "defines no part"),
        ("1 / 0", r"cannot be run \(ZeroDivisionError: division by zero\)"),
        ("import sys; sys.exit(3)", r"cannot be run \(SystemExit: 3\)"),
    ],
)
def test_a_file_that_is_of_no_use_is_refused(tmp_path, body, complaint, monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delitem(sys.modules, "aktest_useless", raising=False)
    if body is not None:
        (tmp_path / "aktest_useless.py").write_text(body)
    with pytest.raises(InputError, match=complaint):
        select([str(tmp_path / "aktest_useless.py")], load())


def test_a_file_does_not_take_the_place_of_a_module(tmp_path):
    (tmp_path / "json.py").write_text("")
    with pytest.raises(InputError, match="a module of this name exists already"):
        select([str(tmp_path / "json.py")], load())


# ---- what is read


def test_everything_passed_ends_in_status_0_and_unchecked_parts_are_counted(monkeypatch):
    status, text = command(monkeypatch, toys.Toy, toys.Silent, toys.Mean, toys.Exact, quick=True)
    assert status == 0
    assert "1 passed, 0 failed, 0 inconclusive; 1 part unchecked" in text
    assert "unchecked, it claims no property that a check tests: silent (objective)" in text


def test_a_failure_ends_in_status_1_with_its_meaning_and_a_script_that_repeats_it(monkeypatch):
    status, text = command(monkeypatch, toys.Toy, toys.Mean, parts=("toy{bias: 0.5}",))
    assert status == 1
    row = next(line.split() for line in text.splitlines() if "zero-mean" in line)
    assert row[:4] == ["objective", "toy", "zero-mean", "mean"]
    assert row[-1] == "failed"
    assert toys.Mean.meaning in text
    script = "\n".join(line[4:] for line in text[text.index("To repeat it:") :].splitlines()[1:] if line.startswith("    ") or not line)
    shown = io.StringIO()
    monkeypatch.setattr("ambientkit.registry.load", lambda: toys.registry(toys.Toy, toys.Mean))
    with redirect_stdout(shown):
        exec(script, {})
    assert f"statistic={run_pair(Pair('objective', toys.Toy(bias=0.5), toys.Mean()), 0, ALPHA).measured.statistic}" in shown.getvalue()


def test_an_inconclusive_check_ends_in_status_1_and_says_nothing_of_the_part(monkeypatch):
    status, text = command(monkeypatch, toys.Toy, toys.Blind, quick=True)
    assert status == 1
    assert "0 passed, 0 failed, 1 inconclusive" in text
    assert "says nothing about the part" in text


def test_the_list_shows_null_law_and_smallest_difference_and_runs_nothing(monkeypatch):
    status, text = command(monkeypatch, toys.Raises, toys.Mean, toys.Exact, list=True)
    assert status == 0
    (line,) = [line for line in text.splitlines() if "zero-mean" in line]
    assert "N(0, 1)" in line
    assert "a mean of .3" in line
    assert "ZeroDivisionError" not in text


def test_the_json_file_holds_everything_and_is_valid(monkeypatch, tmp_path):
    class Infinite(toys.Exact):
        def measure(self, part, case):
            return super().measure(part, case)._replace(statistic=math.inf)

    status, _ = command(monkeypatch, toys.Toy, toys.Silent, Infinite, quick=True, seed=3, json=tmp_path / "out.json")
    content = json.loads((tmp_path / "out.json").read_text(), parse_constant=lambda word: pytest.fail(word))
    assert status == content["exit_status"] == 0
    assert content["seed"] == 3
    assert content["level"] == {"run": 1e-3, "method": "bonferroni", "pairs": 1, "pair": 1e-3}
    assert content["summary"] == {"passed": 1, "failed": 0, "inconclusive": 0, "unchecked": 1}
    (result,) = content["results"]
    assert result["part"] == {"name": "toy", "bias": 0.0}
    assert result["measured"] == {"statistic": "inf", "p_value": 1.0, "n": 1}
    assert result["control"]["p_value"] == 0.0
    assert content["unchecked"] == [{"kind": "objective", "part": "silent", "why": "it claims no property that a check tests"}]
    documented = (Path(__file__).parents[1] / "docs" / "verify.md").read_text()
    assert {key for key in [*content, *result] if f"`{key}`" not in documented} == set()


def test_a_json_file_that_cannot_be_written_is_refused_before_anything_is_run(monkeypatch, tmp_path):
    monkeypatch.setattr(verify, "run_plan", lambda *a, **k: pytest.fail("was run"))
    for place in (tmp_path, tmp_path / "missing" / "out.json"):
        with pytest.raises(InputError, match="--json"):
            verify.run(Request(parts=("tweedie",), json=place))


def test_the_kit_of_mutants_says_what_is_wrong_and_which_check_found_it_and_a_survivor_ends_in_status_1(monkeypatch):
    monkeypatch.setattr(verify, "PROCESSES", 1)
    kit = (toys.Toy, toys.Mean, toys.Exact, toys.Biased, toys.Alike)
    status, text = command(monkeypatch, *kit, mutants=True)
    assert status == 0
    assert "2 mutants: 1 killed, 0 survived, 1 equivalent by design" in text
    (line,) = [line for line in text.splitlines() if "biased" in line]
    assert [word in line for word in ("is off by 2", "killed", "exact, mean")] == [True] * 3
    assert "declared right: the name does not matter" in text

    status, text = command(monkeypatch, *kit, toys.Hidden, mutants=True)
    assert (status, "1 survived" in text) == (1, True)
    status, text = command(monkeypatch, *kit, toys.Slandered, mutants=True)
    assert (status, str(Fate.CONTRADICTED) in text) == (1, True)


def test_a_mutant_is_tried_at_the_level_of_its_place_in_a_run_of_all_parts(monkeypatch, tmp_path):
    monkeypatch.setattr(verify, "PROCESSES", 1)
    command(monkeypatch, toys.Toy, toys.Mean, toys.Exact, toys.Biased, toys.Hidden, mutants=True, json=tmp_path / "kit.json")
    content = json.loads((tmp_path / "kit.json").read_text())
    assert content["level"] == {"pair": 1e-3 / 2, "pairs": 4}
    assert {m["mutant"]: (m["fate"], m["by"]) for m in content["mutants"]} == {
        "biased": ("killed", ["exact", "mean"]),
        "hidden": ("survived", []),
    }


def test_in_a_pipe_there_are_no_control_codes_and_an_unknown_name_ends_in_status_2(tmp_path):
    done = ambientkit("verify", "tweedie", "--quick", cwd=tmp_path, NO_COLOR="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert "0 failed, 0 inconclusive" in done.stdout
    done = ambientkit("verify", "tweedy", cwd=tmp_path)
    assert (done.returncode, "did you mean 'tweedie'?" in done.stderr, "Traceback" in done.stderr) == (2, True, False)


def test_flags_of_a_run_and_of_parts_are_not_mixed(tmp_path):
    for arguments in (["--rows", "9"], ["--run", "x", "--quick"], ["tweedie", "--mutants"]):
        done = ambientkit("verify", *arguments, cwd=tmp_path)
        assert done.returncode == 2, arguments
        assert "error: " in done.stderr


# ---- the check before a run


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
