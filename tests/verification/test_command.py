"""What a user of `ambientkit verify` reads, in a terminal or a file."""

from __future__ import annotations

import io
import json
import math
from contextlib import redirect_stdout

import pytest

from ambientkit.cli import verify
from ambientkit.errors import InputError
from ambientkit.verification import run_pair, verifying
from ambientkit.verification.kills import Fate
from ambientkit.verification.plan import Pair
from tests.support import ROOT
from tests.support import toy_parts as toys
from tests.support.verifying import ALPHA
from tests.support.verifying import ambientkit as in_a_process

pytestmark = pytest.mark.slow


def command(monkeypatch, *parts, **request) -> tuple[int, str]:
    """Exit status and output of `ambientkit verify` where these parts are all there is."""
    monkeypatch.setattr("ambientkit.registry.environment", lambda: toys.registry(*parts))
    output = io.StringIO()
    asked = {
        "parts": (),
        "quick": False,
        "seed": 0,
        "json": None,
        "plan_only": False,
        "mutants": False,
        "strict": False,
        **request,
    }
    with redirect_stdout(output), pytest.raises(SystemExit) as end:
        verify.run(**asked)
    return end.value.code, output.getvalue()


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
    script = "\n".join(
        line[4:] for line in text[text.index("To repeat it:") :].splitlines()[1:] if line.startswith("    ") or not line
    )
    shown = io.StringIO()
    monkeypatch.setattr("ambientkit.registry.environment", lambda: toys.registry(toys.Toy, toys.Mean))
    with redirect_stdout(shown):
        exec(script, {})
    assert (
        f"statistic={run_pair(Pair('objective', toys.Toy(bias=0.5), toys.Mean()), 0, ALPHA).measured.statistic}"
        in shown.getvalue()
    )


def test_an_inconclusive_check_ends_in_status_1_and_says_nothing_of_the_part(monkeypatch):
    status, text = command(monkeypatch, toys.Toy, toys.Blind, quick=True)
    assert status == 1
    assert "0 passed, 0 failed, 1 inconclusive" in text
    assert "says nothing about the part" in text


def test_the_list_shows_null_law_and_smallest_difference_and_runs_nothing(monkeypatch):
    status, text = command(monkeypatch, toys.Raises, toys.Mean, toys.Exact, plan_only=True)
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
    assert content["level"] == {"run": 1e-5, "method": "by check", "pairs": 1, "pair": 1e-5}
    assert (content["strict"], [one["part"]["name"] for one in content["unclaimed"]]) == (False, ["silent"])
    assert content["summary"] == {"passed": 1, "failed": 0, "inconclusive": 0, "unchecked": 1}
    (result,) = content["results"]
    assert result["part"] == {"name": "toy", "bias": 0.0}
    assert result["measured"] == {"statistic": "inf", "p_value": 1.0, "n": 1}
    assert result["control"]["p_value"] == 0.0
    assert content["unchecked"] == [
        {"kind": "objective", "part": "silent", "why": "it claims no property that a check tests"}
    ]
    documented = (ROOT / "docs" / "verify.md").read_text()
    assert {key for key in [*content, *result] if f"`{key}`" not in documented} == set()


def test_a_json_file_that_cannot_be_written_is_refused_before_anything_is_run(monkeypatch, tmp_path):
    monkeypatch.setattr(verifying, "run_plan", lambda *a, **k: pytest.fail("was run"))
    for place in (tmp_path, tmp_path / "missing" / "out.json"):
        with pytest.raises(InputError, match="--json"):
            verify.run(("tweedie",), False, 0, place, False, False, False)


def test_the_kit_of_mutants_says_what_is_wrong_and_which_check_found_it_and_a_survivor_ends_in_status_1(monkeypatch):
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


def test_a_mutant_is_tried_at_the_level_of_every_part(monkeypatch, tmp_path):
    command(
        monkeypatch, toys.Toy, toys.Mean, toys.Exact, toys.Biased, toys.Hidden, mutants=True, json=tmp_path / "kit.json"
    )
    content = json.loads((tmp_path / "kit.json").read_text())
    assert content["level"] == {"pair": 1e-5, "pairs": 4}
    assert {m["mutant"]: (m["fate"], m["by"]) for m in content["mutants"]} == {
        "biased": ("killed", ["exact", "mean"]),
        "hidden": ("survived", []),
    }


def test_in_a_pipe_there_are_no_control_codes(tmp_path):
    done = in_a_process("verify", "gaussian", "--quick", cwd=tmp_path, NO_COLOR="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "\r" not in done.stdout + done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert done.stderr == ""
    assert "0 failed, 0 inconclusive" in done.stdout


def test_an_unknown_name_ends_in_status_2_with_the_nearest_one(ambientkit):
    status, _, err = ambientkit("verify", "tweedy")
    assert (status, "did you mean 'tweedie'?" in err, "Traceback" in err) == (2, True, False)


def test_flags_of_a_run_and_of_parts_are_not_mixed(ambientkit):
    for arguments in (["--rows", "9"], ["--run", "x", "--quick"], ["tweedie", "--mutants"], ["--run", "x", "--strict"]):
        status, _, err = ambientkit("verify", *arguments)
        assert status == 2, arguments
        assert "error: " in err


def test_what_is_not_claimed_is_measured_and_counts_only_if_strict(monkeypatch):
    class Other(toys.Exact):
        name = "other"
        claim = "other"

    kit = (toys.Toy, toys.Mean, toys.Exact, Other)
    status, text = command(monkeypatch, *kit, parts=("toy",))
    assert (status, "toy: not claimed: would pass other" in text) == (0, True)
    status, text = command(monkeypatch, *kit, parts=("toy",), strict=True)
    assert status == 1
    status, text = command(monkeypatch, *kit)
    assert (status, "toy: not claimed: would pass other" in text) == (0, True)
    assert command(monkeypatch, *kit, strict=True)[0] == 1
    assert command(monkeypatch, toys.Toy, toys.Mean, toys.Exact, strict=True)[0] == 0

    class Stricter(Other):
        name = "stricter"

        def measure(self, part, case):
            return super().measure(part, case)._replace(p_value=0.0)

    status, text = command(monkeypatch, *kit, Stricter, strict=True)  # one check of the claim does not make it hold
    assert (status, "toy: not claimed: would fail other" in text) == (0, True)
    assert command(monkeypatch, toys.Toy, toys.Silent, toys.Mean, toys.Exact, strict=True)[0] == 1


def test_a_misspelt_claim_is_an_error_with_the_nearest_name(monkeypatch):
    class Misspelt(toys.Toy):
        name = "misspelt"
        claims = frozenset({"zero-maen"})

    monkeypatch.setattr("ambientkit.registry.environment", lambda: toys.registry(Misspelt, toys.Mean, toys.Exact))
    with pytest.raises(
        InputError, match=r"objective 'misspelt' claims 'zero-maen', which no check tests; did you mean 'zero-mean'\?"
    ):
        verify.run((), False, 0, None, False, False, False)


def test_the_verdict_on_a_part_does_not_depend_on_what_else_is_measured():
    alone = verifying.verify([toys.Toy()], registry=toys.registry(toys.Mean))
    among = verifying.verify([toys.Toy(bias=0.2), toys.Toy()], registry=toys.registry(toys.Mean))
    assert alone.results[0].alpha == among.results[1].alpha
    assert alone.results[0].measured == among.results[1].measured
    assert "passed" in str(alone)
    assert "<table>" in alone._repr_html_()
