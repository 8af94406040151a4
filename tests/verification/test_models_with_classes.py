"""A model that takes classes, and so refuses rows without, is measured as one that takes none."""

from __future__ import annotations

import pytest

from ambientkit.builtin.models.mlp import MLP
from ambientkit.registry import load
from ambientkit.verification import Verdict, make_plan, registered_checks, run_pair
from ambientkit.verification.plan import LEVEL

PLAN = make_plan([MLP(width=24, num_classes=3)], registered_checks(load()), quick=True)


@pytest.mark.parametrize("pair", PLAN.pairs, ids=lambda pair: pair.check.name)
def test_a_model_with_classes_passes_and_controls_are_rejected(pair):
    result = run_pair(pair, 0, LEVEL)
    assert result.verdict is Verdict.PASSED, str(result)
