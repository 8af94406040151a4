"""The plan of `ambientkit verify` and its budget, verdicts that can be trusted, and numbers that depend on the seed
alone."""

from __future__ import annotations

import io
import math
import os
import subprocess
import time
from contextlib import redirect_stdout
from pathlib import Path

import pytest
import torch

from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.tweedie import Tweedie
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_parts, run_pair, run_plan
from ambientkit.verification.plan import Pair
from ambientkit.verification.snippet import snippet
from tests.support import forked
from tests.support import toy_parts as toys
from tests.support.verifying import ALPHA, judge


def test_a_part_is_paired_with_the_checks_of_its_kind_and_claims_each_at_a_level_of_its_own():
    plan = make_plan([toys.Toy(), toys.Silent()], [toys.Mean(), toys.Exact(), load().build("check", "stationarity")])
    assert [pair.label for pair in plan.pairs] == ["toy: mean", "toy: exact"]
    assert plan.level == make_plan([toys.Toy()], [toys.Mean()]).level == 1e-5
    assert [pair.label for pair in plan.unclaimed] == [
        "toy: stationarity",
        "silent: mean",
        "silent: exact",
        "silent: stationarity",
    ]
    assert [str(item) for item in plan.unchecked] == ["silent: unchecked, it claims no property that a check tests"]
    assert plan.describe_level() == (
        "p < 1e-05 rejects, for each check alone; at most 2e-05 false alarms are to be expected of 2 checks"
    )


def test_quick_keeps_the_quick_checks_only():
    plan = make_plan([toys.Toy()], [toys.Mean(), toys.Exact()], quick=True)
    assert [pair.check.name for pair in plan.pairs] == ["exact"]
    (unchecked,) = make_plan([toys.Toy()], [toys.Mean()], quick=True).unchecked
    assert unchecked.why == "its checks are not among the quick ones"


def test_all_parts_of_the_kinds_that_checks_know_are_in_the_whole_set_and_one_that_needs_fields_is_unchecked():
    parts, unmade = registered_parts(toys.registry(toys.Toy, toys.Needy, toys.Exact), [toys.Exact()])
    assert parts == [toys.Toy()]
    assert [(item.part, item.why) for item in unmade] == [
        ("needy", "it cannot be made without fields (must: Field required)")
    ]


def test_a_measure_whose_library_is_not_installed_is_left_out_with_the_reason(monkeypatch):
    registry = load()
    checks = [registry.build("check", "sees-copies")]
    parts, unmade = registered_parts(registry, checks)
    assert "mifid" in [part.name for part in parts]
    monkeypatch.setattr("ambientkit.verification.plan.find_spec", lambda name: None)
    parts, unmade = registered_parts(registry, checks)
    assert [(item.part, item.why) for item in unmade] == [("mifid", "torchmetrics is not installed")]
    assert "mifid" not in [part.name for part in parts]


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


@pytest.mark.parametrize(
    ("exit", "line"), [(False, "ZeroDivisionError: first line second line"), (True, "SystemExit: 3")]
)
def test_a_part_that_raises_has_failed_with_the_error_in_one_line(exit, line):
    result = judge(toys.Raises(exit=exit))
    assert (result.verdict, result.error, result.measured) == (Verdict.FAILED, line, None)


@pytest.mark.parametrize("bias", [math.nan, math.inf])
def test_numbers_that_are_not_finite_fail(bias):
    part = toys.Toy.model_construct(bias=bias)
    result = judge(part)
    assert result.verdict is Verdict.FAILED
    assert "not finite" in result.error


@pytest.mark.slow
def test_a_part_that_ends_its_process_has_failed_and_the_others_go_on():
    plan = make_plan([toys.Dies(), toys.Toy()], [toys.Mean()])
    dead, alive = run_plan(plan, processes=2)
    assert (dead.verdict, dead.error) == (Verdict.FAILED, "the process that measured it died")
    assert alive.verdict is Verdict.PASSED


WAITS = """
import os, time
from ambientkit.processes import worker_pool
if __name__ == "__main__":
    with worker_pool(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        time.sleep(60)
"""


def test_the_workers_of_a_run_that_is_killed_do_not_outlive_it(tmp_path):
    (tmp_path / "waits.py").write_text(WAITS)
    owner = forked.start([tmp_path / "waits.py"], stdout=subprocess.PIPE, text=True)
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
        return (
            Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        )  # ended, and not yet waited for
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_a_part_that_leaves_gradients_off_spoils_no_other_measurement():
    class Leaves(toys.Toy):
        name = "leaves"

        def loss(self, denoiser, batch, tools):
            torch.set_grad_enabled(False)
            return super().loss(denoiser, batch, tools)

    judge(Leaves())
    assert torch.is_grad_enabled()


# ---- the same seed, the same numbers


@pytest.mark.slow
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
