"""The tests of the noise model on rows of which a part is missing: what was measured is tested, and nothing else.

Values that are missing hold 0, which is no measurement: details next to them are not noise. So details count only where
a block of 2 x 2 pixels and its eight neighbours were measured whole, and estimates that need whole rows are not made.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.batch import Batch
from ambientkit.inspection import gaps, noise, values
from ambientkit.inspection.details import Array, details, whole_blocks, without
from ambientkit.inspection.finding import Finding, NoiseVerdict
from ambientkit.units.counts import CountRange

Mask = NDArray[np.bool_]
MEASURED = "the rows are what an operator makes of pictures: noise does not show in smooth areas of them."
UNKNOWN = "measurements do not show how noisy they are: give the level with --sigma-n."
IN_AREAS = ("level", "correlation", "channels", "signal-dependence", "symmetry", "tails")
"""The tests that look at smooth areas of pictures."""
UNTRIED = "a part of these rows is missing, and too few areas were measured whole."


def measured(rows: Any, index: list[int]) -> tuple[Mask, bool] | None:
    """Which values of these rows were measured, (n, *S), and whether they are values of a picture, not of what an
    operator makes of it; None where the rows bring no mask."""
    first = rows[index[0]]
    name = next((name for name in ("mask", "sampled") if isinstance(first, Batch) and name in first.cond), None)
    if name is None:
        return None
    items = [rows[i] for i in index]
    seen = [np.broadcast_to(item.cond[name].numpy().astype(bool), item.x_n.shape) for item in items]
    return np.stack(seen), name == "mask"


def part_findings(x: Array, sigma_n: Array | None, seen: Mask, pictures: bool, mapping: object = None) -> list[Finding]:
    """The tests on rows x (n, *S) with levels sigma_n (n, ...), of which the values `seen` were measured. sigma_n may
    be None, for a level that is not known, of measurements alone. pictures: x are values of pictures. mapping: by which
    the file's values came to data units; of counts, it says how their noise is bent."""
    if sigma_n is None:
        return _of_unknown_level(x, seen)
    counts = mapping if isinstance(mapping, CountRange) else None
    level = np.where(seen, np.broadcast_to(sigma_n, x.shape), 0.0)
    noisy = level > 0
    if not noisy.any():
        return [Finding("noise", NoiseVerdict.FINE, "the measured values are declared free of noise.")]
    unlike = gaps.unlike_mask(x, seen & noisy, mapping)
    if unlike is not None:
        return [unlike]  # of values that are none no other test says anything
    twins, once = values.copies(x, noisy)
    x, level, seen, noisy = x[once], level[once], seen[once], noisy[once]
    found = [
        *twins,
        *values.of_values(x, noisy, level),
        values.saturation(x, noisy, True, counts),
        values.quantisation(x, noisy, float(np.median(level[noisy]))),
    ]
    if not pictures:
        return [*found, *untried(IN_AREAS)]
    if x.ndim != 4 or min(x.shape[-2:]) < 6:
        return [*found, Finding("correlation", NoiseVerdict.UNTRIED, UNTRIED)]
    kept = without(details(x, level), ~whole_blocks(seen))
    if not kept.usable.any():
        return [*found, Finding("level", NoiseVerdict.UNTRIED, UNTRIED)]
    return [*found, *noise.judge(kept, True, False, None, counts)]


def untried(names: Sequence[str]) -> list[Finding]:
    """The tests that measurements cannot show, by name."""
    return [Finding(name, NoiseVerdict.UNTRIED, MEASURED) for name in names]


def _of_unknown_level(x: Array, seen: Mask) -> list[Finding]:
    """The tests on measurements of which nobody says how noisy they are."""
    twins, once = values.copies(x, None)
    x, seen = x[once], seen[once]
    blank = values.blank(x)
    found = [*twins, *([blank] if blank else [])]
    if not any(one.verdict is NoiseVerdict.VIOLATED for one in found):
        found.append(values.saturation(x, seen, False))
    return [*found, Finding("level", NoiseVerdict.UNTRIED, UNKNOWN), *untried(("quantisation", *IN_AREAS[1:]))]
