"""Restored rows beside the clean rows that lie under them, row by row."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.evaluation.denoising import SSIM_WINDOW, psnr, ssim
from ambientkit.evaluation.document import FORMAT, finite
from ambientkit.evaluation.rows import Level, declared_level, first_rows, manifest, to_unit
from ambientkit.evaluation.score import Score
from ambientkit.readers.npy import find_arrays
from ambientkit.registry import Registry, load
from ambientkit.sample import Restored
from ambientkit.tables import Record, Table, number

MANIFEST = "restored.json"


@dataclass(frozen=True, slots=True)
class RestoredComparison(Record):
    """PSNR and SSIM of restored rows, and whether draws spread as far as their means err: iterate it for (score, of
    what)."""

    subject: str
    """The folder, or that the rows were given in memory."""
    restored: Mapping[str, Any]
    """The manifest of the folder."""
    reference: Mapping[str, Any]
    """The clean data set, as the registry builds it."""
    reference_name: str
    """The same in words."""
    n: int
    """Rows compared."""
    scores: tuple[tuple[Score, str], ...]
    """Each with what it is of: "posterior mean" or "one draw". `spread`: std over rows."""
    error_of_mean: float | None = None
    """Root mean square of mean - x_0, data units; None without two draws or more."""
    std_of_draws: float | None = None
    """Root mean square, over rows and values, of the std over the draws of a row; equal to `error_of_mean` for draws of
    the posterior."""

    def __iter__(self) -> Iterator[tuple[Score, str]]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    def blocks(self) -> list[str | Table]:
        """The sides of the comparison, the scores, and the calibration of the draws."""
        rows = [(s.name, of, number(s.value, 4), number(s.spread or 0, 2)) for s, of in self.scores]
        found: list[str | Table] = [
            f"restored: {self.subject}, {self.n} rows; reference: the first {self.n} rows of "
            f"{self.reference_name}, row by row",
            Table("", ("measure", "of", "value", "spread"), rows),
        ]
        if self.std_of_draws is not None and self.error_of_mean is not None:
            error, std = number(self.error_of_mean, 4), number(self.std_of_draws, 4)
            said = (
                f"the means err by {error} (root mean square), the draws spread by {std}: equal for draws of the "
                "true posterior"
                if self.std_of_draws
                else "the draws are all the posterior mean: --sigma-min was at or above the noise of the rows"
            )
            found += ["", said]
        return [*found, "spread: std over rows; psnr and ssim are for values of [-1, 1], nothing is cut off"]

    def to_dict(self) -> dict[str, Any]:
        """The document that `evaluate RESTORED --json` writes."""
        calibration = (
            None
            if self.std_of_draws is None
            else {"error_of_mean": self.error_of_mean, "std_of_draws": self.std_of_draws}
        )
        return {
            "format": FORMAT,
            "subject": self.subject,
            "restored": dict(self.restored),
            "reference": dict(self.reference),
            "scores": [
                {"name": s.name, "of": of, "value": finite(s.value), "spread": s.spread, "n": s.n[1]}
                for s, of in self.scores
            ],
            "calibration": calibration,
        }


def compare_restored(
    restored: str | os.PathLike[str] | Restored | Tensor | NDArray[Any],
    reference: DataLike | None,
    *,
    draws: Tensor | NDArray[Any] | None = None,
    sigma_n: Level = None,
    clean: bool = False,
    registry: Registry | None = None,
) -> RestoredComparison:
    """PSNR and SSIM of posterior means and of one draw, and whether the draws spread as far as the means err.

    restored: a folder that `ambientkit sample --from` wrote, a `Restored`, or the posterior means (n, *S) in units of
    [-1, 1], with `draws` (n, K, *S) beside them. reference: data; its row i must be the clean row under restored row i;
    clean (or sigma_n 0) says of files and arrays that they are clean. Raises InputError where one side is noisy, short,
    not finite, or of another shape.
    """
    written: Mapping[str, Any] = {}
    if reference is None:
        raise InputError(
            f"{_name(restored)}: holds restored rows: give --reference, the clean rows that lie under them, in the "
            "same order"
        )
    restored = torch.as_tensor(restored) if isinstance(restored, np.ndarray) else restored
    draws = torch.as_tensor(draws) if isinstance(draws, np.ndarray) else draws
    if isinstance(restored, Restored | Tensor):
        mean, draws = (restored.mean, restored.draws) if isinstance(restored, Restored) else (restored, draws)
        mean = mean.detach().float().cpu()
        draws = None if draws is None or not draws.shape[1] else draws.detach().float().cpu()
        if not mean.isfinite().all() or not (draws is None or draws.isfinite().all()):
            raise InputError("the restored rows hold values that are not finite")
        if draws is not None and (draws.shape[0], *draws.shape[2:]) != mean.shape:
            raise InputError(
                f"draws of shape {tuple(draws.shape)} do not belong to means of shape {tuple(mean.shape)}: (n, K, "
                "*S) and (n, *S)"
            )
    else:
        mean, draws, written = _stored(Path(restored))
    name = _name(restored)
    rows = first_rows(reference, declared_level(sigma_n, clean), len(mean), registry or load())
    true = rows.x
    if true.shape != mean.shape:
        raise InputError(
            f"--reference {rows.what}: its first rows have shape {tuple(true.shape)}, but {name} holds "
            f"{tuple(mean.shape)}: they are compared "
            "row by row"
        )
    columns = [("posterior mean", mean), *([("one draw", draws[:, 0])] if draws is not None else [])]
    scores = tuple((score, of) for of, one in columns for score in _pair(one, true))
    error = std = None
    if draws is not None and draws.shape[1] > 1:
        error = float((mean - true).double().square().mean().sqrt())
        std = float(draws.double().var(1).mean().sqrt())
    return RestoredComparison(name, written, rows.spec, rows.what, len(mean), scores, error, std)


def _name(restored: str | os.PathLike[str] | Restored | Tensor | NDArray[Any]) -> str:
    return os.fspath(restored) if isinstance(restored, str | os.PathLike) else "rows in memory"


def is_restored(folder: Path) -> bool:
    """Whether `ambientkit sample --from` wrote this folder."""
    return (folder / MANIFEST).is_file()


def _stored(folder: Path) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    """Means, draws and manifest of a folder. Raises InputError where it is unfinished or damaged."""
    written = manifest(folder / MANIFEST)
    if written.get("finished") is False:
        raise InputError(f"{folder}: its rows are not finished: run the same `ambientkit sample` again")
    draws = _read(folder / "draws.npy", written, draws=True) if (folder / "draws.npy").is_file() else None
    return _read(folder / "mean.npy", written, draws=False), draws, written


def _read(path: Path, written: dict[str, Any], draws: bool) -> Tensor:
    """(n, *S), or (n, draws, *S), in units of [-1, 1]. Raises InputError where it is missing or not finite."""
    if not path.is_file():
        raise InputError(f"{path.parent}: there is no {path.name}; restore the rows with --format npy")
    array = find_arrays(path)[None]
    array.check()
    values = np.array(array.read(0, array.shape[0]))
    count = values.shape[:2] if draws else values.shape[:1]
    x = to_unit(values.reshape(-1, *values.shape[len(count) :]), written, path)
    return x.reshape(*count, *x.shape[1:])


def _pair(rows: Tensor, clean: Tensor) -> list[Score]:
    pictures = clean.ndim == 4 and min(clean.shape[2:]) >= SSIM_WINDOW
    return [psnr(rows, clean), *([ssim(rows, clean)] if pictures else [])]
