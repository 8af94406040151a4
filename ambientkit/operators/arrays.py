"""Arrays that a configuration names, for operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.operators.base import COMPLEX


def real_array(path: Path) -> NDArray[np.float64]:
    """A .npy file of finite real numbers. Raises ValueError, as a validator must, with what was found in its place."""
    try:
        found: Any = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be read as a .npy file ({error})") from None
    if not isinstance(found, np.ndarray):
        raise ValueError(f"{path}: is an .npz archive of {', '.join(found) or 'nothing'}: store one array by np.save")
    if found.dtype.kind == "c":
        raise ValueError(f"{path}: holds {found.dtype}, and real numbers are needed; {COMPLEX}")
    if found.dtype.kind not in "buif":
        raise ValueError(f"{path}: holds {found.dtype}, and numbers are needed")
    values: NDArray[np.float64] = np.ascontiguousarray(found, dtype=np.float64)
    if bad := int((~np.isfinite(values)).sum()):
        raise ValueError(f"{path}: {bad} of {values.size} numbers are not finite")
    return values
