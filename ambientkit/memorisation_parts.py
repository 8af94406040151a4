"""The contracts of memorisation: attacks, measures on samples, and what counts as alike.

A part of a third party gets the calibration for free: it says how a row is attacked, what is computed of samples, or in
what two rows are near. Held-out rows are treated alike, and p-values, lists and intervals follow from them.
"""

from __future__ import annotations

import abc
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor

from ambientkit.interfaces import Denoiser, Levels, Part


class Similarity(Part):
    """In what two rows are near: their distance is the root mean square difference of their views."""

    moves: ClassVar[bool] = False
    """Whether views are pictures (C, H, W) that are compared mirrored and moved by a few pixels as well."""

    @abc.abstractmethod
    def view(self, rows: Tensor) -> Tensor:
        """Rows (N, *S) in units of [-1, 1] as they are compared, (N, *T), floating point and finite; a row's view does
        not depend on the others. Raises InputError for rows that it cannot read."""


class Target(Protocol):
    """The tools that an attack gets: the model, and draws from its reverse process. Randomness is keyed
    per row."""

    @property
    def denoiser(self) -> Denoiser:
        """The model that is asked."""
        ...

    @property
    def levels(self) -> Levels:
        """The range of levels that it is trained at."""
        ...

    @property
    def sigma_data(self) -> float:
        """Std of the clean data."""
        ...

    @property
    def sigma_n(self) -> float:
        """Noise level of the rows attacked; 0 for clean ones."""
        ...

    @property
    def draws(self) -> int:
        """Answers wanted for each row."""
        ...

    def generators(self, purpose: str, keys: Tensor) -> list[torch.Generator]:
        """One generator for each row, keyed by the seed, the purpose and the row."""
        ...

    def denoised(self, x: Tensor, sigma: Tensor) -> Tensor:
        """D(x, sigma) for points (B, *S) at levels (B,), the std of all their noise, in batches, on the CPU."""
        ...

    def restored(self, noisy: Tensor, level: float, keys: Tensor) -> Tensor:
        """(B, draws, *S), draws from p(x_0 | x_level = noisy) by the model's own reverse process."""
        ...

    def inpainted(self, x_0: Tensor, seen: Tensor, keys: Tensor) -> Tensor:
        """(B, draws, *S), draws of what is not seen of rows (B, *S) given what is; `seen` is (B, *S) bool."""
        ...


class Attempt(NamedTuple):
    """What an attack did to rows, and what came of it."""

    corrupted: Tensor
    """(B, *S), what the model was shown."""
    draws: Tensor
    """(B, K, *S), what it gave back: compared with the rows themselves, by the similarity."""
    distance: Tensor | None = None
    """(B,), small where the row looks memorised: counts in place of the distance of the draws, where it is given."""


class Attack(Part):
    """A way to ask a model for rows. It is used on training rows and on held-out rows alike, which are its null."""

    @abc.abstractmethod
    def attempt(self, x: Tensor, keys: Tensor, target: Target) -> Attempt:
        """Attack rows x (B, *S), keyed by `keys` (B,). Which row is a training row is not given, and must not matter.

        Raises InputError, before the work, where the fields do not suit the model or the rows.
        """


@dataclass(frozen=True, slots=True)
class Neighbourhood:
    """Rows beside the training rows, as the similarity sees them: samples, or held-out rows."""

    view: Tensor
    """(m, *T)."""
    distance: Tensor
    """(m, 2), to the two nearest training rows, of different groups of duplicates."""
    row: Tensor
    """(m, 2), their numbers."""

    def take(self, index: Tensor) -> Neighbourhood:
        """These rows alone."""
        return Neighbourhood(self.view[index], self.distance[index], self.row[index])


class TrainingRows(Protocol):
    """The training rows, as a measure sees them."""

    @property
    def view(self) -> Tensor:
        """(N, *T)."""
        ...

    @property
    def own_distance(self) -> Tensor:
        """(N,), of each to the nearest row of another group."""
        ...

    @property
    def firsts(self) -> Tensor:
        """(G,), the number of the first row of each group of duplicates."""
        ...

    def nearest(self, queries: Tensor, rows: Tensor) -> Tensor:
        """(m,), the distance of each view (m, *T) to the nearest of other views (n, *T), by the similarity."""
        ...

    def neighbour(self, queries: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """The same distances (m,), and the number of that view for each, (m,)."""
        ...


class MemoryMeasure(Part):
    """One figure of samples that says how much of them is copied.

    It comes beside the same figure of held-out rows in the place of samples, both with intervals: its value where
    nothing is memorised need not be known.
    """

    title: ClassVar[str]
    """Its name in tables; fields of the part may stand in it, "below {ratio:g}"."""
    means: ClassVar[str]
    """How to read it, in a sentence or two; fields of the part may stand in it."""
    modules: ClassVar[tuple[str, ...]] = ()
    """Modules that an extra installs. Where one is missing the figure is nan, and `verify` leaves the measure out."""
    resampling: ClassVar[str] = "bootstrap"
    """How intervals are made: "bootstrap", or "jackknife" (of tenths of the rows) for statistics that rows given twice
    would bias."""

    @abc.abstractmethod
    def by_row(
        self, judged: Neighbourhood, null: Neighbourhood, train: TrainingRows, seed: int
    ) -> tuple[Tensor, Tensor]:
        """Values computed once for each row: (m, a) of the rows judged, (n, b) of the null; n may be 0."""

    @abc.abstractmethod
    def value(self, judged: Tensor, null: Tensor, train: TrainingRows) -> float:
        """The figure, of rows of `by_row`, which may be drawn again for an interval. nan where it says nothing."""

    def interval(self, judged: Tensor, train: TrainingRows) -> tuple[float, float] | None:
        """The 95 % interval of rows of `by_row`, for a figure that has a formula of its own; None: by `resampling`."""
        return None
