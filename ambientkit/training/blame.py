"""Whose mistake it is: what a part of another package returned or raised is reported by its name, not as an error of
this one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import TracebackType
from typing import Any

import torch
from torch import Tensor

from ambientkit.batch import Batch, Term
from ambientkit.config import RunConfig
from ambientkit.errors import AmbientError, RunError
from ambientkit.interfaces import Corruption, Data, Denoiser, Model, Objective, Part, Sampler, Tools

KINDS = {Objective: "objective", Corruption: "corruption", Sampler: "sampler", Model: "model", Data: "data set"}
DTYPES = (torch.float32, torch.float64)


def checked_loss(objective: Objective, denoiser: Denoiser, batch: Batch, tools: Tools, first: bool) -> dict[str, Term]:
    """The terms of an objective, held to the contract. Raises RunError naming the objective, its package and what is
    wrong.

    Types, shapes and devices are looked at in every call, which costs no look at a value; in the first one also the
    levels, the gradient, and for a part of another package whether values are finite where every answer of the denoiser
    is.
    """
    asked = _Watched(denoiser) if first and _is_foreign(objective) else denoiser
    terms = objective.loss(asked, batch, tools)
    wrong = _shape_of(terms, batch) or (_first(terms, asked) if first else "")
    if wrong:
        raise RunError(f"{named(objective)}: its loss {wrong}")
    return terms


def _shape_of(terms: Any, batch: Batch) -> str:
    if not isinstance(terms, Mapping):
        return f"should be a dict of Terms by name, but is {_what(terms)}"
    for name, term in terms.items():
        if not isinstance(term, Term):
            return f"should hold Terms, but {name!r} is {_what(term)}"
        for field, value in zip(Term._fields, term, strict=True):
            if not isinstance(value, Tensor):
                return f"gives {name!r} whose {field} is {_what(value)}, and no tensor"
            if value.ndim != 1 or len(value) > len(batch.x_n):
                return (
                    f"gives {name!r} whose {field} has shape {tuple(value.shape)}: should be one number per "
                    f"row used, at most {len(batch.x_n)}"
                )
            if value.dtype not in DTYPES:
                return (
                    f"gives {name!r} whose {field} is {value.dtype}: should be float32, also under mixed "
                    "precision, or float64"
                )
            if value.device.type != batch.x_n.device.type:
                return f"gives {name!r} whose {field} lies on {value.device}, but the batch on {batch.x_n.device}"
        if len(term.value) != len(term.sigma):
            return f"gives {name!r} with {len(term.value)} values, but {len(term.sigma)} levels"
    return ""


def _first(terms: Mapping[str, Term], asked: Denoiser) -> str:
    rows = [(name, term) for name, term in terms.items() if len(term.value)]
    if rows and not any(term.value.requires_grad for _, term in rows):
        return (
            f"has no gradient: {', '.join(repr(name) for name, _ in rows)} does not depend on the denoiser, or "
            "was detached from it"
        )
    for name, term in rows:
        if not bool((term.sigma.isfinite() & (term.sigma > 0)).all()):
            return f"gives {name!r} at levels that are not positive and finite"
        if isinstance(asked, _Watched) and asked.finite and not bool(term.value.isfinite().all()):
            return f"gives {name!r} with values that are not finite, although all answers of the denoiser are"
    return ""


class _Watched:
    """A denoiser that knows whether all of its answers were finite."""

    def __init__(self, denoiser: Denoiser) -> None:
        self._denoiser, self.finite = denoiser, True

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
        answer = self._denoiser(x, sigma, **cond)
        self.finite = self.finite and bool(answer.detach().isfinite().all())
        return answer


@contextmanager
def blaming(config: RunConfig, when: str) -> Iterator[None]:
    """An exception of a part of another package comes out as RunError with its name and `when`, the traceback
    kept as its cause.

    Errors that are meant for the user (`AmbientError`), a lack of memory, and those of torch.compile go on as they are.
    """
    try:
        yield
    except (AmbientError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        part = _culprit(config, error.__traceback__)
        if part is None or type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            raise
        reason = " ".join(str(error).split())[:300]
        raise RunError(
            f"{when}: {named(part)} raised {type(error).__name__}: {reason}. AMBIENTKIT_DEBUG=1 shows the traceback"
        ) from error


def _culprit(config: RunConfig, trace: TracebackType | None) -> Part | None:
    """The part of another package in whose code, or in code called by it, an error arose; the innermost of several."""
    parts = [
        config.model,
        *(entry.objective for entry in config.objective),
        config.corruption,
        config.sampler,
        config.data,
    ]
    foreign = [part for part in parts if _is_foreign(part)]
    modules = []
    while trace is not None:
        modules.append(str(trace.tb_frame.f_globals.get("__name__", "")))
        trace = trace.tb_next
    for module in reversed(modules):
        near = [part for part in foreign if _package(type(part).__module__) == _package(module)]
        exact = [part for part in near if type(part).__module__ == module]
        if near:
            return (exact or near)[0]
    return None


def named(part: Part) -> str:
    """A part by kind, name, class and package."""
    kind = next((word for contract, word in KINDS.items() if isinstance(part, contract)), "part")
    return f"{kind} {part.name!r} (class {type(part).__name__} of the package {_package(type(part).__module__)})"


def _package(module: str) -> str:
    return module.partition(".")[0]


def _is_foreign(part: Part) -> bool:
    return _package(type(part).__module__) != _package(__name__)


def _what(value: Any) -> str:
    return f"a tensor of shape {tuple(value.shape)}" if isinstance(value, Tensor) else f"of type {type(value).__name__}"
