"""Is a run going well: the answer from its log, and the warning at its first step."""

from __future__ import annotations

import pytest

from ambientkit.run.going import UNITS, going, suspicious


def line(step: int, tweedie: float, **more: object) -> dict:
    return {"step": step, "loss": tweedie, "terms": {"tweedie": tweedie}, "skipped_steps": 0, **more}


@pytest.mark.parametrize(
    ("first", "last", "step", "warnings", "answer", "why"),
    [
        ({}, {}, 0, (), "too early", "from step 10 on"),
        (line(5, 2.0), line(5, 2.0), 5, (), "too early", "from step 10 on"),
        (line(10, 2.0), line(10, 2.0), 10, (), "yes", "begins"),
        (line(10, 2.0), line(20, 1.0), 20, (), "yes", "fell from 2 to 1"),
        (line(10, 2.0), line(20, 2.1), 20, (), "not clear", "not fallen yet"),
        (line(10, 2.0), line(900, -0.6), 900, (), "not clear", "memorises the noise of its rows. Hold rows out"),
        (line(10, 0.1), line(20, -0.01), 20, (), "yes", "fell from 0.1 to -0.01"),
        (line(10, 2.0), line(200, 2.1), 200, (), "no", "not fallen since"),
        (line(10, 130_000.0), line(10, 130_000.0), 10, (), "no", "no right run has"),
        (line(10, 2.0), line(20, 1.0), 20, ("a dead network",), "no", "a dead network"),
        (line(10, 2.0), line(20, 1.0, skipped_steps=5), 20, (), "no", "no finite loss"),
        (line(10, 2.0), line(20, float("nan")), 20, (), "no", "not finite"),
        ({"step": 10, "loss": 3.0}, {"step": 20, "loss": 1.0}, 20, (), "yes", "the loss loss fell"),
    ],
)
def test_the_answer_follows_from_the_log(first, last, step, warnings, answer, why) -> None:
    found = going(first, last, step, 1000, warnings)
    assert found.answer == answer
    assert why in str(found)


def test_a_loss_that_no_right_run_has_is_one_of_tweedie_alone() -> None:
    assert suspicious("tweedie", 130_000)
    assert not suspicious("tweedie", 3)
    assert not suspicious("other", 130_000)
    assert "inspect DATA --write" in UNITS
