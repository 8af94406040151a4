"""Whether measurements, such as k-space, have the scale of pictures in [-1, 1]. They have no range of their own: the
middle of k-space holds the mean of a picture times its side, and the rest hardly anything."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ambientkit.inspection.finding import Finding, NoiseVerdict

LARGE = (3.0, 30.0)
"""Root mean square of measured values from which their scale is doubted, and refused."""
SMALL = (0.01, 0.03)
"""The same below which it is refused, and doubted."""
REMEDY = (
    "Divide the measurements so that pictures have values of about 1 (of kspace: scale) and give sigma_n after that, "
    "or scale the operator so that its norm is about 1."
)


def scale_of_measurements(
    x: NDArray[np.float64], seen: NDArray[np.bool_], level: float, lowest: float
) -> list[Finding]:
    """A finding "units" where the values x (n, *S) that were `seen` are far from those that an operator of norm 1 makes
    of pictures; none where nothing speaks against them. level: the largest sigma_n. lowest: the lowest level that will
    be trained.

    By Parseval's theorem the root mean square of a unitary transform is that of the picture; of the part of it that was
    measured it is larger, by the root of what was left out at most.
    """
    size = float(np.sqrt(np.square(x[seen]).mean())) if seen.any() else 0.0
    told = f"measured values have a root mean square of {size:.2g}"
    if size > LARGE[0]:
        verdict = NoiseVerdict.VIOLATED if size > LARGE[1] else NoiseVerdict.DOUBT
        return [Finding("units", verdict, f"{told}, and pictures in [-1, 1] have at most about 1.", REMEDY, size)]
    if 0 < size < SMALL[1]:
        verdict = NoiseVerdict.VIOLATED if size < SMALL[0] else NoiseVerdict.DOUBT
        return [Finding("units", verdict, f"{told}: for the network pictures are nearly one grey.", REMEDY, size)]
    if 0 < level <= lowest:
        reason = (
            f"sigma_n, {level:.3g}, is not above {lowest:g}, the lowest level that is trained: it would be learned as "
            "part of the picture."
        )
        return [Finding("units", NoiseVerdict.VIOLATED, reason, f"{REMEDY} Or lower levels.sigma_min.", level)]
    return []
