"""How a run is doing, as a small file in its folder."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import FiniteFloat, NonNegativeInt, PositiveInt, TypeAdapter

from ambientkit.checkpoint.folder import FORMAT_VERSION, write_file
from ambientkit.checkpoint.names import STATUS
from ambientkit.errors import InputError

State = Literal["running", "finished", "unfinished", "stopped", "failed"]


@dataclass(frozen=True, slots=True)
class RunStatus:
    """The state of a run when it last began or ended.

    running: at work, if its process lives. finished: end_step is reached, or the run has stopped early, as `message`
    says. unfinished: the time limit was reached. stopped: by a signal. failed: by an error. All but the first may be
    resumed.
    """

    state: State
    step: NonNegativeInt
    end_step: PositiveInt
    processes: PositiveInt = 1
    message: str = ""
    time: FiniteFloat = field(default_factory=time.time)
    """Seconds since 1970."""
    warnings: tuple[str, ...] = ()
    """What the detector of collapse has said, each cause once."""

    def write(self, folder: Path) -> None:
        """Write it to the run folder. Raises RunError where the disk refuses."""
        write_file(folder / STATUS, json.dumps({"format_version": FORMAT_VERSION, **asdict(self)}, indent=1).encode())


def read_status(folder: Path) -> RunStatus | None:
    """The status of a run; None for a folder without one. Raises InputError for a file that cannot be read."""
    path = folder / STATUS
    try:
        facts = json.loads(path.read_text())
        version = facts.pop("format_version")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__})") from None
    if version != FORMAT_VERSION:
        raise InputError(
            f"{path}: format {version!r} is not known to this version of ambientkit, which reads {FORMAT_VERSION}"
        )
    try:
        return TypeAdapter(RunStatus).validate_python(asdict(RunStatus(**facts)))
    except (TypeError, ValueError):
        raise InputError(f"{path}: its fields are not those of a run's status") from None
