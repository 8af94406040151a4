"""The operator `deepinv`: a physics of the library deepinv, used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.operators.base import Operator, imported


class DeepInverse(Operator):
    """A `LinearPhysics` of deepinv (0.5): y = physics.A(x), A^T = physics.A_adjoint. Its noise model is not used.

    The physics is an object of yours, named by where it is imported from; its dtype and device are those of the rows it
    is given. Complex values are pairs of channels, as deepinv's own MRI has them. Needs the extra
    `ambientkit[deepinv]`.
    """

    name = "deepinv"

    physics: str
    """module:attribute, such as mypackage.scanner:physics."""

    @model_validator(mode="after")
    def _linear(self) -> DeepInverse:
        found = self._physics()
        for method in ("A", "A_adjoint"):
            if not callable(getattr(found, method, None)):
                raise ValueError(f"{self.physics} has no method {method}: a LinearPhysics of deepinv is needed")
        return self

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """physics.A(x)."""
        return _tensor(self._for(x).A(x), self.physics)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """physics.A_adjoint(y)."""
        return _tensor(self._for(y).A_adjoint(y), self.physics)

    def _for(self, values: Tensor) -> Any:
        found = self._physics()
        return found.to(device=values.device, dtype=values.dtype) if hasattr(found, "to") else found

    def _physics(self) -> Any:
        try:
            return imported(self.physics)
        except InputError as error:
            hint = "; deepinv is the extra ambientkit[deepinv]" if "deepinv" in str(error) else ""
            raise ValueError(f"{error}{hint}") from None


def _tensor(value: Any, name: str) -> Tensor:
    if not isinstance(value, Tensor) or value.is_complex():
        raise InputError(
            f"{name} answers with {type(value).__name__}: one real tensor is needed, complex values as two channels"
        )
    return value
