"""Linear operators that rows are measured through: y = A x_0 and noise."""

from ambientkit.operators.adjoint import TOLERANCE, adjointness
from ambientkit.operators.base import OPERATORS, Operator, operator_of
from ambientkit.operators.identify import Identifiability, identifiability

__all__ = ["OPERATORS", "TOLERANCE", "Identifiability", "Operator", "adjointness", "identifiability", "operator_of"]
