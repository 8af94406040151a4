"""The script of the rates in docs/verify-tables.md: it measures what is missing, and counts what it finds."""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from examples.benchmarks import verify_rates
from examples.benchmarks.verify_rates import Job, exact, measure, missing, read, section, subjects

ASKED = argparse.Namespace(kits=["third"], seeds=2, exact_seeds=1, wrong_seeds=2)


def line(kit: str, seed: int, pair: str, p: float) -> str:
    return json.dumps({"kit": kit, "seed": seed, "pair": json.loads(pair), "p": p, "cpu": 0.1}) + "\n"


@pytest.fixture(scope="module")
def kit():
    """The third kit: its wrong parts, and its right ones."""
    found = subjects("third")
    return [one for one in found if not one.right], [one for one in found if one.right]


def test_only_what_is_missing_is_measured(kit, tmp_path: Path) -> None:
    wrong, right = kit
    file = tmp_path / "rates.jsonl"
    first = {name: 1.0 for name in right[0].pairs}
    rejecting = list(wrong[0].pairs)[3]
    file.write_text(
        "".join(line("third", 0, name, p) for name, p in first.items())
        + line("third", 0, rejecting, 0.0)
        + '{"kit": "th'
    )
    values = read(file)
    jobs = list(missing(values, ASKED, 0))
    names = [subjects("third")[job.index].name for job in jobs]
    assert right[0].name not in names
    assert wrong[0].name not in names
    assert len(jobs) == len(wrong) + len(right) - 2
    later = {subjects("third")[job.index].name: job for job in missing(values, ASKED, 1)}
    assert later[wrong[0].name].first == later[wrong[0].name].pairs[0] == rejecting
    assert not any(exact(right[0].pairs[name]) for name in later[right[0].name].pairs)
    checks = {pair.check.name for pair in right[0].pairs.values()}
    assert read(file, redo=checks - {wrong[0].pairs[rejecting].check.name}).keys() < values.keys()


def test_rates_are_counted_over_today_s_plan(kit) -> None:
    wrong, right = kit
    name = next(name for name, pair in right[0].pairs.items() if not exact(pair))
    values = {("third", 0, name): 1e-6, ("third", 1, name): 0.5, ("third", 0, "gone"): 0.0}
    values |= {("third", 0, next(iter(wrong[0].pairs))): 0.0}
    values |= {("third", 0, pair): 1.0 for pair in wrong[1].pairs}
    values |= {("third", 0, pair): -1.0 for pair in wrong[2].pairs}
    pairs = sum(not exact(pair) for one in right for pair in one.pairs.values())
    text = " ".join(section(values, ["third"]).split())
    assert f"| third, statistical checks | 8 | {pairs} | 2 | 0 | 1 | 0.99 |" in text
    assert f"Rejected: `{right[0].name}` by `{right[0].pairs[name].check.name}` at seed 0." in text
    assert "| third | 45 | 0 (3) | 2 of 3 | 0.0943 |" in text
    assert f"Not rejected: `{wrong[1].name}` at seed 0." in text
    assert text.endswith(f"by no number: `{wrong[2].name}`.")


def test_a_wrong_part_is_measured_until_a_number_rejects_it(monkeypatch: pytest.MonkeyPatch, kit) -> None:
    flips = next(one for one in kit[0] if one.name == "objective kit3-tweedie-flips")
    checks = {pair.check.name: name for name, pair in flips.pairs.items()}
    monkeypatch.setattr(verify_rates, "TRIED", {name: [0.1, 0.1] for name in checks} | {"picture-views": [1.0, 0.1]})
    job = Job("third", subjects("third").index(flips), 0, tuple(flips.pairs), first=checks["detached-anchor"])
    job = replace(job, pairs=tuple(dict.fromkeys((job.first, *job.pairs))))
    lines = measure(job)
    assert [one["pair"] for one in lines] == [json.loads(checks[n]) for n in ("detached-anchor", "picture-views")]
    assert lines[0]["p"] == 1
    assert 0 <= lines[1]["p"] < 1e-5
