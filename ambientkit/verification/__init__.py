"""Proof before GPU hours: every claim of a part is tested on Gaussian mixtures, where the right answer is known."""

from ambientkit.verification.case import ExactReverse, make_case
from ambientkit.verification.plan import Pair, Plan, Unchecked, make_plan, registered_checks, registered_parts
from ambientkit.verification.preflight import preflight
from ambientkit.verification.runner import Result, Verdict, case_for, reproducible, run_check, run_pair, run_plan
from ambientkit.verification.verifying import Verification, planned, verify

__all__ = [
    "ExactReverse",
    "Pair",
    "Plan",
    "Result",
    "Unchecked",
    "Verdict",
    "Verification",
    "case_for",
    "make_case",
    "make_plan",
    "planned",
    "preflight",
    "registered_checks",
    "registered_parts",
    "reproducible",
    "run_check",
    "run_pair",
    "run_plan",
    "verify",
]
