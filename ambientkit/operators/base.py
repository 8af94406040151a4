"""The contract of a linear operator, and how one is named in a configuration."""

from __future__ import annotations

import abc
import importlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from pydantic import ValidationError
from torch import Tensor

from ambientkit.errors import AmbientError, InputError, explain, nearest
from ambientkit.fields import Fields


class Operator(Fields, abc.ABC):
    """A real linear map A from rows (B, *S) to measurements (B, *M), and its transpose. Its fields are its whole
    configuration.

    Complex values are pairs of channels, real parts first of each pair. White noise is added to the measurements.
    """

    name: ClassVar[str]
    """Lower case; what a configuration calls it."""
    per_row: ClassVar[frozenset[str]] = frozenset()
    """Names of what rows bring of their own, in `Batch.cond`, such as "coils"."""
    orthonormal: ClassVar[bool] = False
    """Whether A^T A = I where everything is measured, so that white noise of a level in y is white noise of that level
    in A^T y."""

    pictures: ClassVar[bool] = False
    """Whether what it makes of pictures are pictures, in whose smooth areas noise shows; frequencies are none."""

    @abc.abstractmethod
    def forward(self, x: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A x, (B, *M), differentiable in x. given: what the rows bring of their own, by the names of `per_row`."""

    @abc.abstractmethod
    def adjoint(self, y: Tensor, given: Mapping[str, Tensor]) -> Tensor:
        """A^T y, (B, *S)."""

    def unused(self) -> str:
        """What of a user's object is not used, in a sentence; empty where all of it is."""
        return ""


OPERATORS: dict[str, str] = {
    "blur": "ambientkit.operators.blur:Blur",
    "deepinv": "ambientkit.operators.physics:DeepInverse",
    "downsample": "ambientkit.operators.downsample:Downsample",
    "fourier": "ambientkit.operators.fourier:Fourier",
    "matrix": "ambientkit.operators.matrix:Matrix",
    "python": "ambientkit.operators.foreign:Foreign",
}
"""name -> where it is."""


COMPLEX = "complex values are two channels, the real and the imaginary part"
"""The error for complex answers."""


@contextmanager
def blamed(name: str, what: str) -> Iterator[None]:
    """An exception of a user's method comes out as InputError: its name, what it was given, and the reason."""
    try:
        yield
    except (AmbientError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{name} raised {type(error).__name__} on {what}: {reason}. Mend it, or give rows that it is made for"
        ) from error


def operator_of(spec: Any) -> Operator:
    """The operator that a name, a mapping {name, fields} or an `Operator` stands for.

    Raises ValueError, as a validator must, for a name that is not known or fields that do not suit it.
    """
    if isinstance(spec, Operator):
        return spec
    fields = {"name": spec} if isinstance(spec, str) else dict(spec) if isinstance(spec, Mapping) else {}
    name = fields.pop("name", None)
    if name not in OPERATORS:
        raise ValueError(f"no operator {name!r}{nearest(str(name), OPERATORS)}; known: {', '.join(OPERATORS)}")
    cls = imported(OPERATORS[name])
    try:
        made = cls(**fields)
    except ValidationError as error:
        path, sentence = explain(error, (), cls.model_fields)[0]
        where = "".join(f"{word}: " for word in path)
        raise ValueError(f"operator {name}: {where}{sentence}") from None
    assert isinstance(made, Operator)
    return made


def imported(place: str) -> Any:
    """The object "module:attribute". Raises InputError, naming the cause, where it cannot be imported."""
    module, _, attribute = place.partition(":")
    if not module or not attribute:
        raise InputError(f"{place!r}: should be module:attribute, such as mypackage.physics:operator")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise InputError(f"{place!r} cannot be imported: {error}") from None
