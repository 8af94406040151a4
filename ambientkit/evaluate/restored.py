"""`ambientkit evaluate RESTORED --reference CLEAN`: restored rows beside the clean rows that lie under them, row by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from ambientkit.cli.tables import print_table
from ambientkit.errors import InputError
from ambientkit.evaluate import Score, psnr, ssim
from ambientkit.evaluate.denoising import SSIM_WINDOW
from ambientkit.evaluate.document import FORMAT, finite
from ambientkit.evaluate.rows import first_rows, manifest, to_unit
from ambientkit.readers.npy import find_arrays
from ambientkit.registry import Registry, spec_of
from ambientkit.tables import number

MANIFEST = "restored.json"


def compare(folder: Path, reference: str | None, sigma_n: str | None, registry: Registry) -> dict[str, Any]:
    """Print PSNR and SSIM of the posterior means and of a draw, and whether the draws spread as far as the means err; the JSON document.

    Row i of the reference must be the clean row of restored row i. Raises InputError where one side is noisy, short or of another shape.
    """
    if reference is None:
        raise InputError(f"{folder}: holds restored rows: give --reference, the clean rows that lie under them, in the same order")
    facts = manifest(folder / MANIFEST)
    if facts.get("finished") is False:
        raise InputError(f"{folder}: its rows are not finished: run the same `ambientkit sample` again")
    mean = _read(folder / "mean.npy", facts, draws=False)
    draws = _read(folder / "draws.npy", facts, draws=True) if (folder / "draws.npy").is_file() else None
    clean, part = first_rows(reference, sigma_n, len(mean), registry)
    if clean.shape != mean.shape:
        raise InputError(
            f"--reference {reference}: its first rows have shape {tuple(clean.shape)}, but {folder} holds {tuple(mean.shape)}: they are compared row by row"
        )
    columns = [("posterior mean", mean), *([("one draw", draws[:, 0])] if draws is not None else [])]
    found = [(score, name) for name, rows in columns for score in _pair(rows, clean)]
    print(f"restored: {folder}, {len(mean)} rows; reference: the first {len(clean)} rows of {reference}, row by row")
    print_table(("measure", "of", "value", "spread"), [(s.name, name, number(s.value, 4), number(s.spread or 0, 2)) for s, name in found])
    calibration = None
    if draws is not None and draws.shape[1] > 1:
        error = float((mean - clean).double().square().mean().sqrt())
        std = float(draws.double().var(1).mean().sqrt())
        calibration = {"error_of_mean": error, "std_of_draws": std}
        if std == 0:
            print("\nthe draws are all the posterior mean: --sigma-min was at or above the noise of the rows")
        else:
            print(
                f"\nthe means err by {number(error, 4)} (root mean square), the draws spread by {number(std, 4)}: equal for draws of the true posterior"
            )
    print("spread: std over rows; psnr and ssim are for values of [-1, 1], nothing is cut off")
    scores = [{"name": s.name, "of": name, "value": finite(s.value), "spread": s.spread, "n": s.n[1]} for s, name in found]
    return {
        "format": FORMAT,
        "subject": str(folder),
        "restored": facts,
        "reference": spec_of(part),
        "scores": scores,
        "calibration": calibration,
    }


def _read(path: Path, facts: dict[str, Any], draws: bool) -> Tensor:
    """(n, *S), or (n, draws, *S), in units of [-1, 1]. Raises InputError where it is missing or not finite."""
    if not path.is_file():
        raise InputError(f"{path.parent}: there is no {path.name}; restore the rows with --format npy")
    array = find_arrays(path)[None]
    array.check()
    values = np.array(array.read(0, array.shape[0]))
    count = values.shape[:2] if draws else values.shape[:1]
    x = to_unit(values.reshape(-1, *values.shape[len(count) :]), facts, path)
    return x.reshape(*count, *x.shape[1:])


def _pair(rows: Tensor, clean: Tensor) -> list[Score]:
    pictures = clean.ndim == 4 and min(clean.shape[2:]) >= SSIM_WINDOW
    return [psnr(rows, clean), *([ssim(rows, clean)] if pictures else [])]
