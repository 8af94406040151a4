"""What a run keeps in its folder for itself, where no other result may be written."""

from __future__ import annotations

import os
from pathlib import Path

from ambientkit.checkpoint.names import (
    BEST,
    CARD,
    CHECKPOINTS,
    CONFIG,
    EVALUATE,
    EVALUATIONS,
    EXPORT,
    LOCK,
    LOGS,
    METRICS,
    PREFLIGHT,
    SAMPLES,
    STATUS,
    VERIFIED,
    VERIFY,
    VERSIONS,
    WEIGHTS,
)
from ambientkit.config.request import IDENTITY
from ambientkit.errors import InputError

FILES = {BEST, CARD, CONFIG, EVALUATIONS, IDENTITY, LOCK, METRICS, PREFLIGHT, STATUS, VERSIONS, WEIGHTS}
FILES |= {f"{VERIFY}/{VERIFIED}"}
"""Names in a run folder that no result is given."""
CLOSED = {CHECKPOINTS, LOGS}
"""Folders of a run that hold nothing but its own files."""
SHARED = {".", SAMPLES, VERIFY, EVALUATE, EXPORT}
"""Folders of a run, itself among them, that results lie in, but are not."""


def refuse_own(path: Path, flag: str, folder: bool) -> None:
    """Raise InputError naming the flag where a result would take the place of what a run keeps for itself, or lie among
    it. folder: whether the result is a folder with files in it."""
    place = Path(os.path.realpath(path))
    run = next((above for above in (place, *place.parents) if _is_run(above)), None)
    if run is None:
        return
    inner = place.relative_to(run)
    if inner.parts[:1] and inner.parts[0] in CLOSED:
        which = f"lies in the folder {inner.parts[0]} of the run {run}"
    elif str(inner) in FILES:
        which = f"is a file of the run {run}"
    elif folder and str(inner) in SHARED:
        which = f"is the run {run}" if place == run else f"is a folder of the run {run}"
    else:
        return
    advice = f"a new folder, such as {run / SAMPLES / 'mine'}, or one" if folder else "a path"
    raise InputError(f"{flag} {path}: {which}, which keeps its own files there; give {advice} outside of the run")


def _is_run(folder: Path) -> bool:
    return any(os.path.isfile(folder / name) for name in (VERSIONS, WEIGHTS))  # a name may be too long for Path
