"""The operator `deepinv`: a physics of the library deepinv, used as it is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.operators.base import Operator, imported


class DeepInverse(Operator):
    """A `LinearPhysics` of deepinv (0.5): y = physics.A(x), A^T = physics.A_adjoint. Its noise model is not used.

    The physics is an object of yours, named by where it is imported from. It computes in its own number type, as a rule
    float32. Complex values are pairs of channels, as deepinv's own MRI has them. Needs the extra `ambientkit[deepinv]`.
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
        found, dtype = self._for(x)
        return _tensor(found.A(x.to(dtype)), self.physics).to(x.dtype)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """physics.A_adjoint(y)."""
        found, dtype = self._for(y)
        return _tensor(found.A_adjoint(y.to(dtype)), self.physics).to(y.dtype)

    def _for(self, values: Tensor) -> tuple[Any, torch.dtype]:
        """The physics on the device of some values, and the number type that it computes in: its own, as a transfer
        function that is cast would lose its imaginary part."""
        found = self._physics()
        if not isinstance(found, nn.Module):
            return found, values.dtype
        own = [tensor for tensor in found.state_dict().values() if tensor.is_floating_point() or tensor.is_complex()]
        double = any(tensor.dtype in (torch.float64, torch.complex128) for tensor in own)
        return found.to(values.device), torch.float64 if double else torch.float32

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
