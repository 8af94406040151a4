"""`ambientkit verify`: the plan, the table, the failures, and the JSON file."""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from ambientkit.checkpoint.folder import write_file
from ambientkit.cli.output import progress_wanted
from ambientkit.cli.tables import print_table
from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError, nearest
from ambientkit.interfaces import Check, Mutant, Part
from ambientkit.registry import KINDS, Registry, load
from ambientkit.verify import Plan, Result, Unchecked, Verdict, make_plan, registered_checks, registered_parts, report, run_plan
from ambientkit.verify.kills import kills, mutant_plan
from ambientkit.verify.plan import expand
from ambientkit.verify.runner import one_line

PROCESSES, MANY = 2, 20
"""Processes for a plan of so many pairs or more; fewer are over before a second interpreter has started."""


@dataclass(frozen=True, slots=True)
class Request:
    """The flags of `ambientkit verify` as given."""

    parts: tuple[str, ...]
    quick: bool = False
    seed: int = 0
    json: Path | None = None
    list: bool = False
    mutants: bool = False


def run(request: Request) -> None:
    """The whole command; ends with exit status 0 or 1, or raises InputError (2)."""
    registry = load()
    for problem in registry.problems:
        print(f"warning: {problem}", file=sys.stderr)
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        raise InputError(f"--json {request.json}: should be a file in a folder that exists")
    if request.mutants:
        if request.parts:
            raise InputError("--mutants runs the whole kit: leave the names of parts out")
        sys.exit(_mutants(request, registry))
    sys.exit(_parts(request, registry))


def select(texts: Sequence[str], registry: Registry) -> list[Part]:
    """The parts that NAME, KIND:NAME, KIND:NAME{field: value} or FILE.py stand for, each once; a recipe stands for its objectives."""
    found: list[Part] = []
    for text in texts:
        if text.endswith(".py"):
            found += [one for part in from_file(Path(text)) for one in expand(part, registry) if one not in found]
            continue
        name, fields = split_fields(text)
        before, _, name = name.rpartition(":")
        kind = before or None
        for part in (registry.build(k, {"name": name, **fields}) for k in _kinds(kind, name, registry)):
            found += [one for one in expand(part, registry) if one not in found]
    return found


def from_file(path: Path) -> list[Part]:
    """The parts that a Python file defines, with default fields, in the order written. The file is run, as `python FILE.py` would run it.

    Raises InputError where it is missing, cannot be run, or defines no part.
    """
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    folder, name = str(path.absolute().parent), path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if name in sys.modules or not name.isidentifier() or spec is None or spec.loader is None:
        raise InputError(f"{path}: a module of this name exists already, or it cannot be the name of one: give the file another")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    if folder not in sys.path:
        sys.path.insert(0, folder)  # what it imports lies beside it
    try:
        spec.loader.exec_module(module)
        classes = [value for value in vars(module).values() if inspect.isclass(value) and value.__module__ == name]
        parts = [cls() for cls in classes if issubclass(cls, Part) and not issubclass(cls, Check | Mutant) and not inspect.isabstract(cls)]
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise InputError(f"{path}: cannot be run ({one_line(error)})") from None
    if not parts:
        raise InputError(f"{path}: defines no part: no class in it implements all of a contract of ambientkit.interfaces")
    return parts


def _kinds(kind: str | None, name: str, registry: Registry) -> list[str]:
    """The kinds in which a name is registered."""
    slots = [slot for slot in KINDS if slot != "recipe"]  # recipes share the names of objectives
    if kind is not None:
        kind = "objective" if kind == "recipe" else kind
        if kind not in slots:
            raise InputError(f"there is no kind of part {kind!r}{nearest(kind, slots) or '.'} Known: {', '.join(slots)}")
        registry.find(kind, name)
        return [kind]
    kinds = [slot for slot in slots if name in registry.names(slot)]
    if not kinds:
        known = sorted({name for slot in slots for name in registry.names(slot)})
        lines = [f"there is no part {name!r}{nearest(name, known) or '.'} `ambientkit plugins` lists all parts"]
        raise InputError("\n".join([*lines, *(str(problem) for problem in registry.problems if problem.fatal)]))
    return kinds


def _parts(request: Request, registry: Registry) -> int:
    checks = registered_checks(registry)
    unmade: list[Unchecked] = []
    if request.parts:
        parts = select(request.parts, registry)
    else:
        parts, unmade = registered_parts(registry, checks)
    plan = make_plan(parts, checks, quick=request.quick)
    plan = replace(plan, unchecked=(*plan.unchecked, *unmade))
    if request.list:
        print_table(report.PLAN_HEADINGS, [report.plan_row(pair) for pair in plan.pairs])
        _print_unchecked(plan)
        print(plan.describe_level())
        return 0

    began = time.monotonic()
    processes = PROCESSES if len(plan.pairs) >= MANY else 1
    results = list(_watched(run_plan(plan, request.seed, processes=processes), len(plan.pairs)))
    unchecked = [(item.kind, item.part, "-", "-", "-", "-", "-", "-", str(Verdict.UNCHECKED)) for item in plan.unchecked]
    print_table(report.RESULT_HEADINGS, [*map(report.result_row, results), *unchecked])
    _print_unchecked(plan)
    for result in results:
        if result.verdict is not Verdict.PASSED:
            print(f"\n{report.explain_failure(result, request.seed, registry)}")
    print(f"\nseed {request.seed}; {plan.describe_level()}")
    print(f"{report.summary(plan, results)} ({time.monotonic() - began:.1f} s)")
    if request.json is not None:
        _write(request.json, report.document(plan, results, registry, seed=request.seed, quick=request.quick))
    return report.exit_status(results)


def _mutants(request: Request, registry: Registry) -> int:
    mutants, plan = mutant_plan(registry, registered_checks(registry), quick=request.quick)
    if request.list:
        print_table(("kind", "mutant", "of", "what is wrong"), [(kind, m.name, m.mutant_of, m.wrong) for kind, m in mutants])
        return 0
    began = time.monotonic()
    results = list(_watched(run_plan(plan, request.seed, processes=PROCESSES, controls=False), len(plan.pairs)))
    found = kills(mutants, results)
    print_table(report.KILL_HEADINGS, [report.kill_row(kill) for kill in found])
    wrong = [kill for kill in found if not kill.as_it_should_be]
    print(f"\nseed {request.seed}; each is tried as if in the place of its right part: p < {plan.level:.2g} rejects")
    print(f"{report.kill_summary(found)} ({time.monotonic() - began:.1f} s)")
    if request.json is not None:
        _write(request.json, report.kill_document(found, plan, seed=request.seed, quick=request.quick))
    return int(bool(wrong))


def _watched(results: Iterator[Result], total: int) -> Iterator[Result]:
    with tqdm(total=total, unit="check", desc="verifying", leave=False, disable=not progress_wanted()) as bar:
        for result in results:
            bar.update()
            yield result


def _print_unchecked(plan: Plan) -> None:
    by_reason: dict[str, list[str]] = {}
    for item in plan.unchecked:
        by_reason.setdefault(item.why, []).append(f"{item.part} ({item.kind})")
    for why, names in by_reason.items():
        print(f"unchecked, {why}: {', '.join(names)}")


def _write(path: Path, content: dict[str, Any]) -> None:
    write_file(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
