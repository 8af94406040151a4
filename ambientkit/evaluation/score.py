"""A number with what it takes to read it: the features it was measured in, and of how many rows."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Extractor


@dataclass(frozen=True, slots=True)
class Score:
    """One measured value. `float(score)` is the value; as text it carries the extractor, n and what it is biased by."""

    name: str
    """The measure, such as "fid"."""
    value: float
    n: tuple[int, int]
    """Rows of the reference, rows judged; of a measure of one set alone, (0, rows)."""
    extractor: str = ""
    """The features, by the label of their extractor; empty for a measure of pixels."""
    spread: float | None = None
    """Std that the measure itself reports, such as that over the subsets of KID."""
    note: str = ""
    """How a finite number of rows biases the value."""

    @property
    def title(self) -> str:
        """The name with the extractor: `fid[lenet]`."""
        return f"{self.name}[{self.extractor}]" if self.extractor else self.name

    def __float__(self) -> float:
        return self.value

    def __str__(self) -> str:
        value = f"{self.value:.4g}" + ("" if self.spread is None else f" +- {self.spread:.2g}")
        rows = f"n = {self.n[1]}" + (f" against {self.n[0]}" if self.n[0] else "")
        return f"{self.title} {value} ({rows}{'; ' if self.note else ''}{self.note})"

    def named(self, name: str) -> Score:
        """The same under another name."""
        return replace(self, name=name)


def label(extractor: Extractor) -> str:
    """The extractor's name with its settings, as every score carries it: `efficientnet-lite0{size=64}`. Of a file, its
    name alone."""
    fields = {name: getattr(extractor, name) for name in type(extractor).model_fields}
    said = [f"{name}={getattr(value, 'name', value)}" for name, value in fields.items() if value is not None]
    return extractor.name + (f"{{{', '.join(said)}}}" if said else "")


def extract(extractor: Extractor, rows: Tensor) -> Tensor:
    """The features of rows (N, *S), (N P, F) in float64 on the CPU.

    Raises InputError for rows that are not floating point or that the extractor cannot read, and for features that are
    not finite or not of that shape.
    """
    if len(rows) == 0 or not rows.is_floating_point():
        raise InputError(
            f"extractor {extractor.name!r}: reads floating-point rows in units of [-1, 1], not {len(rows)} of "
            f"{rows.dtype}"
        )
    found = extractor.features(rows).detach()
    if found.ndim != 2 or len(found) == 0 or len(found) % len(rows) or not found.is_floating_point():
        raise InputError(
            f"extractor {extractor.name!r}: of {len(rows)} rows it gave {tuple(found.shape)} {found.dtype}, not (N "
            "P, F) floating point"
        )
    found = found.double().cpu()
    if not found.isfinite().all():
        raise InputError(f"extractor {extractor.name!r}: its features of these rows are not finite")
    return found


def check_pair(reference: Tensor, judged: Tensor, least: int, what: str) -> None:
    """Raises InputError unless both are sets (n, F) of one F, finite, and of at least `least` rows each."""
    if reference.ndim != 2 or judged.ndim != 2 or reference.shape[1] != judged.shape[1]:
        raise InputError(
            f"{what}: compares features (n, F) and (m, F), not {tuple(reference.shape)} and {tuple(judged.shape)}"
        )
    if min(len(reference), len(judged)) < least:
        raise InputError(f"{what}: needs at least {least} rows on both sides, not {len(reference)} and {len(judged)}")
    if not (reference.isfinite().all() and judged.isfinite().all()):
        raise InputError(f"{what}: the features are not finite")
