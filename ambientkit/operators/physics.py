"""The operator `deepinv`: a physics of the library deepinv, used as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from pydantic import model_validator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.operators.base import COMPLEX, Operator, blamed, imported


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
        if isinstance(found, type):
            raise ValueError(f"{self.physics} is a class: name an object of it")
        for method in ("A", "A_adjoint"):
            if not callable(getattr(found, method, None)):
                raise ValueError(f"{self.physics} has no method {method}: a LinearPhysics of deepinv is needed")
        return self

    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """physics.A(x)."""
        found, dtype = self._for(x)
        return self._asked(found.A, "A", x.to(dtype)).to(x.dtype)

    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """physics.A_adjoint(y)."""
        found, dtype = self._for(y)
        return self._asked(found.A_adjoint, "A_adjoint", y.to(dtype)).to(y.dtype)

    def unused(self) -> str:
        """Its noise model, if it has one."""
        model = getattr(self._physics(), "noise_model", None)
        kind = type(model).__name__
        if model is None or kind == "ZeroNoise":
            return ""
        return f"the noise model of the physics, {kind}, is not used: rows have Gaussian noise of std sigma_n"

    def _asked(self, method: Callable[[Tensor], Any], word: str, values: Tensor) -> Tensor:
        """The answer of a method. Raises InputError where it raises, or answers with something else than real numbers
        for each row."""
        name = f"{self.physics}.{word}"
        with blamed(name, f"rows {tuple(values.shape)} of {str(values.dtype).removeprefix('torch.')}"):
            answer = method(values)
        if not isinstance(answer, Tensor):
            raise InputError(
                f"{name} answers with {type(answer).__name__}: one real tensor is needed. Wrap a stacked physics in a "
                "LinearPhysics of yours that joins its measurements into one (docs/masks.md)"
            )
        if answer.is_complex():
            raise InputError(f"{name} answers with {answer.dtype}: one real tensor is needed; {COMPLEX}")
        if len(answer) != len(values):
            raise InputError(f"{name} answers with {tuple(answer.shape)} to rows {tuple(values.shape)}: one for each")
        return answer

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
