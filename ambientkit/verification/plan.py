"""The plan of a run: which check measures which part, at what level."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec

from pydantic import ValidationError

from ambientkit.errors import InputError, explain
from ambientkit.interfaces import CONTRACT, Check, Objective, Part, Recipe
from ambientkit.plugins import KINDS
from ambientkit.registry import Registry

LEVEL = 1e-5
"""The level of every measurement: a part fails, and a control is rejected, where p is below it. It depends on nothing
else in the run, so that a verdict on a part does not depend on the others; a right part with ten checks is
rejected with a chance of at most 1e-4."""


@dataclass(frozen=True, slots=True)
class Pair:
    """One measurement to be made."""

    kind: str
    part: Part
    check: Check
    claimed: bool = True
    """Whether the part claims what the check tests. Where it does not, and fails, nobody asks for the control."""

    @property
    def label(self) -> str:
        """Part and check, as they are named to a reader."""
        return f"{self.part.name}: {self.check.name}"


@dataclass(frozen=True, slots=True)
class Unchecked:
    """A part that no check measures, and why."""

    kind: str
    part: str
    why: str

    def __str__(self) -> str:
        return f"{self.part}: unchecked, {self.why}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Pairs of a part and a check, in the order of the parts. Each is measured at `level`, independent of what else is
    in the
    plan."""

    pairs: tuple[Pair, ...]
    unchecked: tuple[Unchecked, ...] = ()
    unclaimed: tuple[Pair, ...] = ()
    """What the parts do not claim, though a check of their kind tests it."""
    level: float = LEVEL

    @property
    def run_level(self) -> float:
        """The most false alarms of the whole plan: the chance that any right part is rejected, by Bonferroni's
        inequality."""
        return min(1.0, self.level * len(self.pairs))

    def describe_level(self) -> str:
        """The budget of false alarms in one sentence."""
        n = len(self.pairs)
        return (
            f"p < {self.level:g} rejects, for each check alone; at most {self.run_level:.2g} false alarms are "
            "to be expected of "
            f"{n} check{'s' * (n != 1)}"
        )


def claimed(check: Check, part: Part) -> bool:
    """Whether a part of the check's kind claims what the check tests. The contract of its kind is claimed by every
    part."""
    return check.claim == CONTRACT or check.claim in part.claims


def kind_of(part: Part) -> str:
    """The kind of a part, by the contract it implements. Raises InputError for anything else."""
    for kind, (contract, _) in KINDS.items():
        if isinstance(part, contract):
            return kind
    raise InputError(f"{type(part).__name__} implements none of the contracts of ambientkit.interfaces")


def registered_checks(registry: Registry) -> list[Check]:
    """Every registered check with its default fields, by name."""
    checks = [registry.build(Check, name) for name in registry.names("check")]
    return [check for check in checks if isinstance(check, Check)]


PERMITS = "serves-"
"""How claims begin that let `train` pair an objective with a corruption. They say what a part is for, so that nobody is
asked to make them because their checks would pass."""


def make_plan(parts: Iterable[Part], checks: Sequence[Check], *, quick: bool = False) -> Plan:
    """The pairs of these parts and the checks that test what they claim. quick: only checks that are marked so.

    A recipe stands for nothing of its own, so that its objectives have to be given instead: see `expand`.
    """
    pairs: list[Pair] = []
    unclaimed: list[Pair] = []
    unchecked: list[Unchecked] = []
    for part in parts:
        kind = kind_of(part)
        fitting = [check for check in checks if check.kind == kind and claimed(check, part)]
        used = [check for check in fitting if check.quick] if quick else fitting
        pairs += [Pair(kind, part, check) for check in used]
        other = [
            check
            for check in checks
            if check.kind == kind
            and not claimed(check, part)
            and not check.implied_by & part.claims
            and not check.claim.startswith(PERMITS)
        ]
        unclaimed += [Pair(kind, part, check, claimed=False) for check in other if check.quick or not quick]
        if not used:
            unchecked.append(Unchecked(kind, part.name, _why(part, kind, checks, bool(fitting))))
    return Plan(tuple(pairs), tuple(unchecked), tuple(unclaimed))


def _why(part: Part, kind: str, checks: Sequence[Check], slow: bool) -> str:
    if slow:
        return "its checks are not among the quick ones"
    if not any(check.kind == kind for check in checks):
        return f"there is no check of a {kind}"
    return "it claims no property that a check tests"


def registered_parts(registry: Registry, checks: Sequence[Check]) -> tuple[list[Part], list[Unchecked]]:
    """Every registered part of a kind that some check measures, with default fields; and those that cannot be made from
    defaults."""
    kinds = {check.kind for check in checks}
    parts: list[Part] = []
    unmade: list[Unchecked] = []
    for entry in registry.entries():
        if entry.kind not in kinds:
            continue
        missing = [name for name in getattr(entry.part, "modules", ()) if find_spec(name) is None]
        if missing:
            unmade.append(Unchecked(entry.kind, entry.part.name, f"{', '.join(missing)} is not installed"))
            continue
        try:
            parts.append(entry.part())
        except ValidationError as error:
            path, sentence = explain(error, (), entry.part.model_fields)[0]
            unmade.append(
                Unchecked(
                    entry.kind,
                    entry.part.name,
                    f"it cannot be made without fields ({'.'.join(map(str, path))}: {sentence})",
                )
            )
    return parts, unmade


def expand(part: Part, registry: Registry) -> list[Part]:
    """A recipe as the objectives it lists, each once; any other part as itself."""
    if not isinstance(part, Recipe):
        return [part]
    found: list[Part] = []
    for term in part.terms:
        objective = registry.build("objective", term.objective)
        if isinstance(objective, Objective) and objective not in found:
            found.append(objective)
    return found
