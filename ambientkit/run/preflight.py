"""The checks of its own parts before step 1 of a run, and what the run folder keeps of them: preflight.json."""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import torch

from ambientkit.batch import Batch
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.names import PREFLIGHT
from ambientkit.config import RunConfig
from ambientkit.config.pairs import OF_HIDDEN
from ambientkit.errors import CheckFailed, InputError
from ambientkit.interfaces import Corruption
from ambientkit.messages import note, say, warn
from ambientkit.registry import Registry
from ambientkit.verification import Result, Verdict, preflight
from ambientkit.verification.preflight import SEED
from ambientkit.verification.tables import FORMAT, document, number, passed_line, refusal

SKIPPED = {"format": FORMAT, "skipped": True}
"""The record of a preflight that --skip-preflight left out."""
UNEXPLAINED = 0.05
"""Share of the energy of rows, beyond that of their noise, that may be at odds with an operator before a warning: maps
of coils and kernels are measured ones."""
HEADINGS = ("part", "check", "p", "verdict")


def run_preflight(config: RunConfig, registry: Registry, batch: Batch) -> dict[str, Any]:
    """Run the quick checks on the parts of a run, and report each part that passes; the document of `verify --json`.

    batch: some of the run's own rows. On them an operator and its transpose are tested; the checks of corruptions are
    left out for one that takes no pictures such as they have. Raises CheckFailed where a part is rejected, or cannot be
    judged.
    """
    parts = [*(entry.objective for entry in config.objective), config.corruption, config.sampler]
    if isinstance(config.corruption, Linear):
        say(f"preflight: {_transposed(config.corruption, batch)}")
    if not _takes_any(config.corruption):
        parts.remove(config.corruption)
        say(f"preflight: corruption {config.corruption.name!r}: its checks have no rows for it, and were not made")
    plan, results = preflight(parts, registry, () if config.corruption.carries else OF_HIDDEN)
    found: list[Result] = []
    for _, group in groupby(results, key=lambda result: result.part):
        passed = []
        for result in group:
            if result.verdict is not Verdict.PASSED:
                say(f"preflight: {result}")
                raise CheckFailed(refusal(result))
            passed.append(result)
        say(f"preflight: {passed_line(passed)}")
        found += passed
    for unchecked in plan.unchecked:
        say(f"preflight: {unchecked}")
    return document(plan, found, registry, seed=SEED, quick=True)


def _takes_any(corruption: Corruption) -> bool:
    """Whether a corruption turns pictures and plain rows of any size into measurements of that size, as checks ask."""
    if "linear" not in corruption.claims:
        return True
    try:
        for shape in ((1, 2, 2), (3,)):
            x = torch.zeros(2, *shape)
            if corruption.observe(x, torch.arange(2), torch.Generator().manual_seed(0)).x_n.shape != x.shape:
                return False
    except Exception:  # an operator of anybody, on rows that it was not made for
        return False
    return True


def _transposed(corruption: Linear, batch: Batch) -> str:
    """The report on the operator of a corruption, on these rows. Raises CheckFailed where it is no linear map, or its
    transpose is none."""
    name = corruption.operator.name
    if wrong := corruption.flaw(batch):
        raise CheckFailed(f"operator {name!r}: {wrong}. Mend the operator, or go on knowingly with --skip-preflight")
    if not 0.1 <= (gain := corruption.gain(batch)) <= 10:
        warn(
            f"operator {name}: it makes white noise {gain:.3g} times as large, and errors count in the scale of "
            f"measurements. Divide the operator, the rows and sigma_n by {gain:.3g}"
        )
    view = corruption.show(batch, corruption.floor(batch), torch.Generator().manual_seed(0))
    shape = tuple(view.x.shape[1:])
    if (share := corruption.unexplained(batch)) > UNEXPLAINED:
        warn(
            f"operator {name}: {share:.0%} of the energy of the first rows cannot have come through it from any row of "
            f"shape {shape}. They were measured in another way (other maps of coils, complex "
            "rows taken for real ones), or their noise is larger than sigma_n"
        )
    if unused := corruption.operator.unused():
        note(f"operator {name}: {unused}")
    return f"operator {name}: linear, and its transpose is right on rows of {shape}"


def write_preflight(folder: Path, content: dict[str, Any]) -> None:
    """Keep it in the run folder, whole or not at all. Raises RunError where the disk refuses."""
    write_file(folder / PREFLIGHT, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


@dataclass(frozen=True, slots=True)
class Preflight:
    """What a run folder says of the checks before its first step."""

    said: str
    """In a sentence."""
    rows: tuple[tuple[str, ...], ...] = ()
    """Under HEADINGS; a part that no check measures has its reason for a verdict."""


def read_preflight(folder: Path) -> Preflight:
    """The record in the run folder. Raises InputError for a file that is damaged or of another format."""
    path = folder / PREFLIGHT
    if not path.is_file():
        return Preflight("Not kept: an early version began this run.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise InputError(
                f"{path}: format {content['format']!r} is not known to this version of ambientkit, which reads {FORMAT}"
            )
        if content.get("skipped"):
            return Preflight("Skipped, by --skip-preflight: nothing is known of the parts of this run.")
        checked = [_row(entry) for entry in content["results"]]
        unchecked = [(item["part"], "-", "-", f"unchecked, {item['why']}") for item in content["unchecked"]]
        passed, level = sum(row[-1] == Verdict.PASSED for row in checked), content["level"]
        said = (
            f"{passed} of {len(checked)} quick checks passed on the parts of this run, with at most "
            f"{level['run']:g} false alarms in all "
            f"(p < {level['pair']:.2g} rejects, seed {content['seed']})."
        )
        return Preflight(said, (*checked, *unchecked))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({type(error).__name__})") from None


def _row(entry: dict[str, Any]) -> tuple[str, ...]:
    return entry["part"]["name"], entry["check"]["name"], number(float(entry["measured"]["p_value"])), entry["verdict"]
