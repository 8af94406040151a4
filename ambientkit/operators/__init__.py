"""Linear operators that rows are measured through: y = A x_0 and noise."""

from ambientkit.operators.adjoint import TOLERANCE, adjointness, flaw
from ambientkit.operators.base import OPERATORS, Operator, operator_of
from ambientkit.operators.explain import gain_of, unexplained
from ambientkit.operators.identify import Identifiability, identifiability

__all__ = [
    "OPERATORS",
    "TOLERANCE",
    "Identifiability",
    "Operator",
    "adjointness",
    "flaw",
    "gain_of",
    "identifiability",
    "operator_of",
    "unexplained",
]
