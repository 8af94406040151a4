"""Proof before GPU hours: every claim of a part is tested on Gaussian mixtures, where the right answer is known."""

from ambientkit.verify.case import ExactReverse, make_case
from ambientkit.verify.preflight import preflight
from ambientkit.verify.runner import Result, Verdict, run_check

__all__ = ["ExactReverse", "Result", "Verdict", "make_case", "preflight", "run_check"]
