"""Linear operators that rows are measured through: y = A x_0 and noise."""

from ambientkit.operators.adjoint import TOLERANCE, adjointness, flaw
from ambientkit.operators.base import OPERATORS, Operator, operator_of
from ambientkit.operators.explain import gain_of, unexplained
from ambientkit.operators.identify import Identifiability, identifiability
from ambientkit.operators.known import ANSWERS, answers, files_of, refuse_another

__all__ = [
    "ANSWERS",
    "OPERATORS",
    "TOLERANCE",
    "Identifiability",
    "Operator",
    "adjointness",
    "answers",
    "files_of",
    "flaw",
    "gain_of",
    "identifiability",
    "operator_of",
    "refuse_another",
    "unexplained",
]
