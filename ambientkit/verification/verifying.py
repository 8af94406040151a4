"""`verify`: what parts claim, tested on problems whose answer is known; the result as a record."""

from __future__ import annotations

import abc
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm.auto import tqdm

from ambientkit.config.pairs import refuse_pairs
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Objective, Part
from ambientkit.messages import warn
from ambientkit.registry import Registry, load
from ambientkit.seeds import check_seed
from ambientkit.tables import Record, Table
from ambientkit.verification import tables
from ambientkit.verification.claims import refuse_misspelt
from ambientkit.verification.kills import Kill, kills, mutant_plan
from ambientkit.verification.plan import Plan, make_plan, registered_checks, registered_parts
from ambientkit.verification.runner import Result, Verdict, run_plan
from ambientkit.verification.select import select

MANY = 20
"""Pairs of a plan that is worth more than one process; fewer are over before a second interpreter has started."""

Asked = str | Path | Part | type[Part]


class Verification(Record):
    """What came of a run of checks."""

    __slots__ = ()

    @property
    @abc.abstractmethod
    def exit_status(self) -> int:
        """0 where all is as it should be, otherwise 1."""

    @property
    def passed(self) -> bool:
        """Whether all is as it should be."""
        return self.exit_status == 0


@dataclass(frozen=True, slots=True)
class PartsVerified(Verification):
    """The checks of what parts claim, and of what they do not."""

    plan: Plan
    results: tuple[Result, ...]
    registry: Registry
    seed: int
    quick: bool = False
    strict: bool = False
    unclaimed: tuple[Result, ...] = ()
    """Measurements of what the parts do not claim; without effect on the exit status unless strict."""
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """1 where a check failed or was inconclusive; if strict, also where a part is unchecked or does not claim what
        it would pass."""
        strictly = self.strict and bool(self.plan.unchecked or tables.would_pass(self.unclaimed))
        return int(strictly or any(result.verdict is not Verdict.PASSED for result in self.results))

    def blocks(self) -> Sequence[str | Table]:
        """The table, what is unchecked or not claimed, every result that is not "passed" with a script that repeats it,
        and the count."""
        unchecked = [
            (item.kind, item.part, "-", "-", "-", "-", "-", "-", str(Verdict.UNCHECKED)) for item in self.plan.unchecked
        ]
        rows = [*map(tables.result_row, self.results), *unchecked]
        wrong = [result for result in self.results if result.verdict is not Verdict.PASSED]
        return [
            Table("", tables.RESULT_HEADINGS, rows),
            *tables.unchecked_lines(self.plan),
            *tables.unclaimed_lines(self.unclaimed),
            *(f"\n{tables.explain_failure(result, self.seed, self.registry)}" for result in wrong),
            f"\nseed {self.seed}; {self.plan.describe_level()}",
            f"{tables.summary(self.plan, self.results)} ({self.seconds:.1f} s)",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of docs/verify.md."""
        content = tables.document(self.plan, self.results, self.registry, seed=self.seed, quick=self.quick)
        unclaimed = [tables.entry(result, self.seed, self.registry) for result in self.unclaimed]
        return content | {"exit_status": self.exit_status, "strict": self.strict, "unclaimed": unclaimed}


@dataclass(frozen=True, slots=True)
class KitVerified(Verification):
    """What the checks said of the registered mutants."""

    kills: tuple[Kill, ...]
    plan: Plan
    seed: int
    quick: bool = False
    seconds: float = 0.0

    @property
    def exit_status(self) -> int:
        """1 where a mutant has survived, or one that is declared right was rejected."""
        return int(not all(kill.as_it_should_be for kill in self.kills))

    def blocks(self) -> Sequence[str | Table]:
        """The table of the mutants, and the count."""
        return [
            Table("", tables.KILL_HEADINGS, [tables.kill_row(kill) for kill in self.kills]),
            f"\nseed {self.seed}; each is tried as if in the place of its right part: p < {self.plan.level:.2g} "
            "rejects",
            f"{tables.kill_summary(self.kills)} ({self.seconds:.1f} s)",
        ]

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of docs/verify.md."""
        return tables.kill_document(self.kills, self.plan, seed=self.seed, quick=self.quick)


@dataclass(frozen=True, slots=True)
class Planned(Record):
    """What would be measured, and how."""

    plan: Plan

    def blocks(self) -> Sequence[str | Table]:
        """The pairs of parts and checks with null laws and smallest detectable differences."""
        rows = [tables.plan_row(pair) for pair in self.plan.pairs]
        return [Table("", tables.PLAN_HEADINGS, rows), *tables.unchecked_lines(self.plan), self.plan.describe_level()]

    def to_dict(self) -> dict[str, Any]:
        """The same, by heading."""
        return {
            "pairs": [dict(zip(tables.PLAN_HEADINGS, tables.plan_row(pair), strict=True)) for pair in self.plan.pairs]
        }


@dataclass(frozen=True, slots=True)
class KitPlanned(Record):
    """The registered mutants."""

    rows: tuple[tuple[str, str, str, str], ...]

    def blocks(self) -> Sequence[str | Table]:
        """Which part each is of, and what is wrong with it."""
        return [Table("", ("kind", "mutant", "of", "what is wrong"), self.rows)]

    def to_dict(self) -> dict[str, Any]:
        """The same, by heading."""
        return {"mutants": [dict(zip(("kind", "mutant", "of", "wrong"), row, strict=True)) for row in self.rows]}


def verify(
    parts: Sequence[Asked] | Asked = (),
    *,
    quick: bool = False,
    seed: int = 0,
    mutants: bool = False,
    strict: bool = False,
    processes: int | None = None,
    progress: bool = False,
    registry: Registry | None = None,
) -> Verification:
    """Measure what parts claim on Gaussian mixtures, where the right answer is known; every registered part where none
    is given.

    parts: NAME, KIND:NAME, KIND:NAME{field: value}, FILE.py, parts, or their classes. quick: the quick checks alone.
    mutants: measure the registered mutants instead, which the checks must reject. strict: a claim that is not made or
    not checked is not as it should be. Claims that the parts do not make are measured too, and reported. processes: for
    a long plan; left out, this one alone, as others may only be started below `if __name__ == "__main__"`. The numbers
    do not depend on it. Raises InputError for a part that is not there, and for a claim that nothing tests."""
    check_seed(seed)
    registry = _registry(registry)
    began = time.monotonic()
    if mutants:
        asked, plan = _kit(parts, quick, registry)
        count = (processes or 1) if len(plan.pairs) >= MANY else 1
        results = list(_watched(run_plan(plan, seed, processes=count, controls=False), len(plan.pairs), progress))
        return KitVerified(tuple(kills(asked, results)), plan, seed, quick, time.monotonic() - began)
    plan = _plan(parts, quick, registry)
    whole = replace(plan, pairs=(*plan.pairs, *plan.unclaimed))
    count = (processes or 1) if len(whole.pairs) >= MANY else 1
    if not all(map(_travels, whole.pairs)):
        count = 1
    results = list(_watched(run_plan(whole, seed, processes=count), len(whole.pairs), progress))
    claimed, unclaimed = results[: len(plan.pairs)], results[len(plan.pairs) :]
    return PartsVerified(
        plan, tuple(claimed), registry, seed, quick, strict, tuple(unclaimed), time.monotonic() - began
    )


def planned(
    parts: Sequence[Asked] | Asked = (), *, quick: bool = False, mutants: bool = False, registry: Registry | None = None
) -> Planned | KitPlanned:
    """What `verify` would measure. Raises as `verify` does."""
    registry = _registry(registry)
    if mutants:
        asked, _ = _kit(parts, quick, registry)
        return KitPlanned(tuple((kind, m.name, m.mutant_of, m.wrong) for kind, m in asked))
    return Planned(_plan(parts, quick, registry))


def _registry(registry: Registry | None) -> Registry:
    registry = registry or load()
    registry.names("check")  # so that the problems of the hooks of checks are known
    for problem in registry.problems:
        warn(str(problem))
    return registry


def _kit(parts: Sequence[Asked] | Asked, quick: bool, registry: Registry):
    if parts:
        raise InputError("--mutants runs the whole kit: leave the names of parts out")
    return mutant_plan(registry, registered_checks(registry), quick=quick)


def _plan(parts: Sequence[Asked] | Asked, quick: bool, registry: Registry) -> Plan:
    checks = registered_checks(registry)
    if isinstance(parts, str | Path | Part | type):
        parts = (parts,)
    made, unmade = (select(parts, registry), []) if parts else registered_parts(registry, checks)
    if parts:  # named together, they are meant to be used together
        for corruption in made:
            if isinstance(corruption, Corruption):
                refuse_pairs((part for part in made if isinstance(part, Objective)), corruption)
    refuse_misspelt(made, checks)
    plan = make_plan(made, checks, quick=quick)
    return replace(plan, unchecked=(*plan.unchecked, *unmade))


def _travels(pair) -> bool:
    """Whether a fresh interpreter can import the classes of a pair: those of a notebook, or of a function, it
    cannot."""
    classes = (type(pair.part), type(pair.check))
    return all(cls.__module__ != "__main__" and "<locals>" not in cls.__qualname__ for cls in classes)


def _watched(results: Iterator[Result], total: int, progress: bool) -> Iterator[Result]:
    with tqdm(total=total, unit="check", desc="verifying", leave=False, disable=not progress) as bar:
        for result in results:
            bar.update()
            yield result
