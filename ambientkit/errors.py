"""The errors a user meets. Each says what happened, where, what was read and what to do; the command line prints it
without a traceback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class AmbientError(Exception):
    """Base of every error that is printed as one short message instead of a traceback; `exit_status` is what the
    process returns."""

    exit_status: int = 1
    as_command: str | None = None
    """The message with the flags of commands, where it names arguments instead."""

    def name_arguments(self, spelling: Callable[[str], str]) -> None:
        """Have the message name arguments in place of flags; a second time changes nothing."""
        if self.as_command is None:
            self.as_command = str(self)
            self.args = (spelling(self.as_command),)

    def for_command(self) -> str:
        """The message as a command prints it."""
        return str(self) if self.as_command is None else self.as_command


class InputError(AmbientError):
    """Something the user gave cannot be used: a flag, a config key, a file, a row of data. Exit status 2."""

    exit_status = 2


class PluginError(InputError):
    """A plug-in is broken, or two of them claim one name. Exit status 2."""


class RunError(AmbientError):
    """A run cannot go on (non-finite loss, a damaged checkpoint, a full disk). Exit status 1."""


class CheckFailed(AmbientError):
    """A statistical check rejected a part. Exit status 1."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint "; did you mean 'x'?" for a misspelt word, or nothing where no known word is close."""
    close = get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {close[0]!r}?" if close else ""


def _is_field(word: str) -> bool:
    """Pydantic names the members of a union in the path ("float", "constrained-float", "tuple[...]"); those are no
    fields of ours."""
    return word.isidentifier() and word not in ("float", "int", "str", "bool", "dict", "tuple", "list")


CHANGES_THE_LAW = (
    "noise_offset",
    "offset_noise",
    "multires_noise",
    "pyramid_noise",
    "input_perturbation",
    "ip_noise_gamma",
    "adaptive_noise_scale",
    "immiscible_noise",
)
"""How names of options begin that other trainers have, and that are refused here."""


def refused(key: str) -> str:
    """Why an option of other trainers is not taken, to follow its name; empty for any other name."""
    if not key.replace("-", "_").lower().startswith(CHANGES_THE_LAW):
        return ""
    return (
        ": it would change the law of x_t given x_n. x_t is x_n with the Gaussian noise that is missing up to "
        "sigma_t, white and independent of "
        "x_n; on any other noise E[x_n | x_t] = a E[x_0 | x_t] + b x_t does not hold, and what is learned is not "
        "the clean distribution"
    )


def explain(
    error: ValidationError, prefix: Sequence[str | int], fields: Iterable[str]
) -> list[tuple[tuple[str | int, ...], str]]:
    """Each problem of a pydantic error as (path, sentence). prefix: the path of the validated object; fields: its known
    fields."""
    problems = []
    for item in error.errors(include_url=False, include_context=False):
        path = (*prefix, *(word for word in item["loc"] if isinstance(word, int) or _is_field(word)))
        if item["type"] == "extra_forbidden":
            key = str(item["loc"][-1])
            sentence = f"unknown key {key!r}" + (refused(key) or nearest(key, fields))
        else:
            sentence = item["msg"].removeprefix("Value error, ").replace("Input should", "should", 1)
            if not isinstance(item["input"], dict | list | tuple):
                sentence += f", but is {item['input']!r}"
        problems.append((path, sentence))
    return problems
