"""What an attack says of what it did: what the model was shown, what it gave back, and what is refused. Exact probes
for `null-attack`."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from pydantic import ValidationError
from torch import Tensor

from ambientkit.builtin.checks.remembered import Remembered
from ambientkit.errors import InputError
from ambientkit.memorisation_parts import Attack

HUGE = 1e7
"""A number that suits few fields: noise above any sigma_max."""


@dataclass(frozen=True, slots=True)
class _Asked(Remembered):
    """A model that writes down which values it was shown, and its draws."""

    hidden: list[Tensor] = field(default_factory=list)
    given: list[Tensor] = field(default_factory=list)

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """As `Remembered`."""
        self.given.append(x[:0])
        return Remembered.denoised(self, x, sigma)

    def restored(self, noisy: Tensor, level: float, keys: Tensor) -> Tensor:
        """As `Remembered`."""
        self.given.append(Remembered.restored(self, noisy, level, keys))
        return self.given[-1]

    def inpainted(self, x_0: Tensor, seen: Tensor, keys: Tensor) -> Tensor:
        """As `Remembered`."""
        self.hidden.append(~seen)
        self.given.append(Remembered.inpainted(self, x_0, seen, keys))
        return self.given[-1]


def _asked(target: Remembered) -> _Asked:
    return _Asked(target.rows, target.seed, hidden=[], given=[])


def says_what_was_done(part: Attack, x: Tensor, target: Remembered) -> str:
    """The fault in an attack's own account, in words; empty where nothing is: what the model was shown holds the
    values that were hidden from it, fewer of its draws come back than are wanted, or of draws that differ one is given
    for all."""
    asked = _asked(target)
    found = part.attempt(x, torch.arange(len(x)), asked)
    for hidden in asked.hidden:
        fits = found.corrupted.shape == x.shape == hidden.shape and bool(hidden.any())
        if fits and torch.equal(found.corrupted[hidden], x[hidden]):
            return "what the model is said to have been shown holds what was hidden from it"
    several = [given for given in asked.given if given.ndim == found.draws.ndim and given.shape[1:2] > (1,)]
    if several and found.draws.shape[1] < target.draws:
        return f"of the {target.draws} draws that are wanted, and that the model gave, {found.draws.shape[1]} come back"
    differ = any(bool((given != given[:, :1]).any()) for given in several)
    if differ and found.draws.shape[1] > 1 and torch.equal(found.draws, found.draws[:, :1].expand_as(found.draws)):
        return "of the model's draws, which differ, one is given for all"
    return ""


def refuses_first(part: Attack, x: Tensor, target: Remembered) -> str:
    """The fault of a field that does not suit and is refused only after the model was asked, in words; empty where
    nothing is."""
    for name in type(part).model_fields:
        if isinstance(getattr(part, name), bool | str):
            continue
        try:
            other = type(part)(**{**part.model_dump(), name: HUGE})
        except ValidationError:
            continue
        asked = _asked(target)
        try:
            other.attempt(x[:2], torch.arange(2), asked)
        except InputError:
            if asked.given:
                return f"{name} {HUGE:g} is refused after the model was asked"
    return ""
