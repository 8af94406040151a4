"""The claims that there are, and the error for a misspelt one."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import CONTRACT, Check, Part
from ambientkit.messages import warn
from ambientkit.verification.plan import kind_of

ALSO: dict[str, tuple[str, str]] = {
    "needs-clean-data": ("objective", "Refuses rows that carry noise, and is measured on clean ones."),
    "own-form": (
        "model",
        "Its form is none of the known ones on purpose, and is not held to their skip: see `model-scaling`.",
    ),
}
"""Claims that no check tests by itself, but that change how a part is measured: name -> (kind, meaning)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A property that parts of a kind may claim."""

    kind: str
    name: str
    meaning: str
    """The claim, in a sentence."""
    checks: tuple[str, ...]
    """Names of the checks that test it; empty for one that changes how a part is measured."""


def known_claims(checks: Sequence[Check]) -> list[Claim]:
    """All claims by kind and name: those that checks test, and a few that change how a part is measured."""
    found: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.claim != CONTRACT:
            found.setdefault((check.kind, check.claim), []).append(check)
    claims = [
        Claim(kind, name, _sentence(tests[0]), tuple(test.name for test in tests))
        for (kind, name), tests in found.items()
    ]
    claims += [Claim(kind, name, meaning, ()) for name, (kind, meaning) in ALSO.items()]
    return sorted(claims, key=lambda claim: (claim.kind, claim.name))


def refuse_misspelt(parts: Iterable[Part], checks: Sequence[Check]) -> None:
    """Raise InputError for a part whose claim is nearly one of its kind: it would be dropped, and the part pass without
    it.

    Warns of any other claim that nothing tests: a plug-in's parts may use it among themselves, but nobody has
    tested it.
    """
    known = known_claims(checks)
    for part in parts:
        kind = kind_of(part)
        names = [claim.name for claim in known if claim.kind == kind]
        if not names:
            continue  # no check of this kind is there, so nothing is known of its claims
        for name in sorted(part.claims):
            if name not in names:
                if hint := nearest(name, names):
                    raise InputError(f"{kind} {part.name!r} claims {name!r}, which no check tests{hint}")
                warn(
                    f"{kind} {part.name!r} claims {name!r}, which no check tests; known for this kind: "
                    f"{', '.join(names)}"
                )


def _sentence(check: Check) -> str:
    return " ".join((inspect.getdoc(type(check)) or "").partition("\n\n")[0].split())
