"""Everything of an evaluation that is settled before the first sample is drawn: the two sides, the features, and the
floors."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

from ambientkit.config.datapath import DataLike
from ambientkit.config.inline import is_there, split_fields
from ambientkit.config.noise import NOISE
from ambientkit.errors import InputError
from ambientkit.evaluation.denoising import proximal
from ambientkit.evaluation.judge import Judge, RowFeatures, pictures
from ambientkit.evaluation.rows import (
    HELD_OUT,
    Level,
    RowSet,
    declared_level,
    drawn_rows,
    path_of,
    reference_rows,
    run_rows,
)
from ambientkit.evaluation.score import Score
from ambientkit.interfaces import Denoiser, Extractor, Part, Sampler
from ambientkit.maths.bands import band_energy
from ambientkit.messages import note
from ambientkit.processes import device_of
from ambientkit.registry import Registry, spec_of
from ambientkit.sample import Trained, draw_all, load_run, step_grid, warn_of_far
from ambientkit.sample.load import checkpoint_step, is_begun, trained_of
from ambientkit.sample.suited import restores_alone, sample_command

DRAWN, MOST = 1000, 10_000
"""Samples drawn from a run where n is not given; samples read from a folder at most."""
FEWEST = 8
"""Rows without which no distance is worth printing."""

P = TypeVar("P", bound=Part)
Subject = Any
"""A `Trained`, the path of a run, of its weights file or of a checkpoint, or samples: a path, an array, a tensor, or
other data."""
Named = str | Mapping[str, Any] | Part
"""A part by its name, as 'NAME{field: value}', as {"name": ..., **fields}, or itself."""


@dataclass(frozen=True, slots=True)
class Options:
    """How samples are drawn and judged, checked."""

    repeats: int
    seed: int
    steps: int
    sampler: Sampler
    batch_size: int
    device: torch.device
    progress: bool


@dataclass(frozen=True, slots=True)
class Group:
    """One comparison: with clean rows, or of re-noised samples with noisy rows."""

    name: str
    """"clean" or "proximal"."""
    rows: RowSet
    reference: RowFeatures
    """The reference, n rows where there are as many."""
    floor: tuple[Score, ...]
    """Reference rows against other reference rows, and what the reference scores alone."""


@dataclass(frozen=True, slots=True)
class Setup:
    """The two sides of a comparison, and how they are compared."""

    subject: str
    """In words, for messages."""
    options: Options
    trained: Trained | None
    drawn: RowSet | None
    """Samples already drawn; None for a run."""
    n: int
    reference: RowSet
    own: RowSet | None
    """The noisy rows that the run trained on; None for samples already drawn."""
    judge: Judge
    groups: tuple[Group, ...]

    def judged(self, group: Group, samples: Tensor) -> RowFeatures:
        """The samples as they are compared in a group, with their features."""
        if group.name == "clean":
            return self.judge.read(samples)
        read = self.judge.read(proximal(samples, group.rows.levels(len(samples)), self.options.seed))
        return replace(read, bare=samples.cpu())

    def draw(self, denoiser: Denoiser, seed: int) -> Tensor:
        """n samples, those of `ambientkit sample --seed SEED`. Raises InputError where they are not finite."""
        assert self.trained is not None
        options = self.options
        samples = draw_all(
            denoiser,
            options.sampler,
            self.trained.signal.shape,
            self.n,
            sigmas=step_grid(options.steps, self.trained.config.levels.as_levels()),
            seed=seed,
            batch_size=options.batch_size,
            device=options.device,
            progress=options.progress,
            what=f"{self.subject}: the samples",
        )
        if not self.trained.latents:
            warn_of_far(samples, f"{self.subject}: the samples")
        return samples

    def facts(self) -> dict[str, Any]:
        """What fixes the numbers, as JSON holds it."""
        options, reference, drawn = self.options, self.reference, self.drawn
        return {
            "subject": self.subject,
            "step": self.trained.step if self.trained else None,
            "n": self.n,
            "repeats": options.repeats,
            "repeats_are": "random halves of the samples" if drawn is not None else "sample seeds",
            "seeds": [options.seed + repeat for repeat in range(options.repeats)] if self.trained else [options.seed],
            "sampler": spec_of(options.sampler) if self.trained else None,
            "steps": options.steps if self.trained else None,
            "samples": drawn.spec if drawn else None,
            "reference": reference.spec,
            "stored_as": {"samples": drawn.stored if drawn else "drawn", "reference": reference.stored or None},
            "reference_rows": reference.of_run or None,
            "reference_is": "clean" if reference.sigma_n is None else "noisy",
            "extractors": [spec_of(extractor) for extractor in self.judge.extractors],
        }

    def head(self) -> tuple[str, ...]:
        """The two sides of the comparison, and warnings on it."""
        options, reference, drawn = self.options, self.reference, self.drawn
        found = []
        if self.trained is not None:
            last = options.seed + options.repeats - 1
            seeds = f"seed {options.seed}" if options.repeats == 1 else f"seeds {options.seed} to {last}"
            found.append(
                f"run: {self.subject}, step {self.trained.step}; {self.n} samples of {seeds} each, "
                f"{options.sampler.name}, {options.steps} steps"
            )
        elif drawn is not None:
            found.append(f"samples: {drawn.what}, {self.n} of {drawn.total}, chosen by seed {options.seed}")
        found.append(f"reference: {min(len(reference.x), self.n)} of {reference.total} rows of {reference.what}")
        own = self.own
        if own is not None and reference.of_run != "held out" and _rows_meant(own.spec) == _rows_meant(reference.spec):
            others = f"the {own.held_out} rows that it held out are `--reference {HELD_OUT}`"
            which = "these rows" if reference is own else "rows of the reference"
            found.append(
                f"note: the run trained on {which}, and samples that repeat them score well; "
                f"{others if own.held_out else 'it held none out'}"
            )
        if len(reference.x) < self.n:
            found.append(
                f"note: the reference has only {len(reference.x)} rows for {self.n} samples; compare only with "
                "values of the same numbers"
            )
        if drawn is not None and (copies := same_rows(drawn.x, reference.x[: self.n])):
            found.append(
                f"warning: {copies} of {self.n} samples are, to the bit, rows of the reference: the two sets are "
                "not independent, and every "
                "distance is too small"
            )
        kinds = [rows.stored for rows in (drawn, reference) if rows is not None and rows.stored]
        if len(kinds) == 2 and kinds[0].startswith("float") != kinds[1].startswith("float"):
            found.append(
                f"warning: one side is stored as {kinds[0]}, the other as {kinds[1]}: rounding and cutting off "
                "alone move these numbers"
            )
        if not pictures(reference.x):
            found.append(
                "rows of this shape are no pictures of 8 x 8 or more: no measures of noise, patches and spectra"
            )
        return tuple(found)


def set_up(
    subject: Subject,
    *,
    reference: DataLike | None,
    sigma_n: Level,
    clean: bool,
    n: int | None,
    extractors: Sequence[Named],
    repeats: int,
    seed: int,
    steps: int,
    sampler: Named,
    batch_size: int,
    device: str | torch.device,
    progress: bool,
    registry: Registry,
) -> Setup:
    """Everything that can be wrong is found here: the run, the rows, their shapes, the extractors. Raises
    InputError."""
    need_counts(n=(n, FEWEST), repeats=(repeats, 1), steps=(steps, 1), batch_size=(batch_size, 1))
    sigma_n = declared_level(sigma_n, clean)
    trained, name, place = _trained(subject, registry, device)
    options = Options(repeats, seed, steps, _named(Sampler, sampler, registry), batch_size, place, progress)
    named = [
        _named(Extractor, one, registry)
        for one in ([extractors] if isinstance(extractors, str | Mapping | Part) else extractors)
    ]
    drawn = own = None
    if trained is not None:
        if trained.signal.conds:
            conds = ", ".join(trained.signal.conds)
            drawn_by = f"draw samples by `{sample_command(name, False)}`, and give their folder instead"
            if restores_alone(trained):
                drawn_by = (
                    f"it draws no samples. Restore rows by `{sample_command(name, True)}`, and give their folder, with "
                    "the clean rows under them as --reference"
                )
            raise InputError(f"{name}: the run is conditional ({conds}): {drawn_by}")
        n = n or DRAWN
        own = _own(trained, 2 * n, seed, needed=reference is None)
    else:
        if reference is None:
            raise InputError(f"{name} is no run: give --reference, the data that samples are to be compared with")
        drawn = drawn_rows(subject, n or MOST, seed, registry)
        n = len(drawn.x)
    held_out = isinstance(reference, str) and reference == HELD_OUT and not is_there(Path(reference))
    if (reference is None or held_out) and sigma_n is not None:
        raise InputError(
            "--sigma-n declares the noise of --reference, and that of the run's own rows is known: give other data as "
            "--reference, or leave it out"
        )
    if held_out:
        if trained is None:
            raise InputError(f"--reference {HELD_OUT}: {name} is no run, and holds no rows out; give other data")
        known = run_rows(trained, 2 * n, seed, held_out=True)
    else:
        given = own if reference is None else reference_rows(reference, sigma_n, 2 * n, seed, registry)
        assert given is not None
        known = given
    shape = trained.signal.shape if trained else drawn.shape if drawn else ()
    if known.shape != shape:
        raise InputError(f"{known.what}: rows of shape {known.shape}, but {name} has {shape}; neither is resized")
    for side, count in (("the subject", n), ("the reference", len(known.x))):
        if count < FEWEST:
            raise InputError(
                f"{side} has {count} rows; at least {FEWEST} are needed on both sides, and hundreds for a number "
                "that means much"
            )
    judge = Judge(tuple(named) or (_default(shape, registry),), seed, place)
    compared = [("clean" if known.sigma_n is None else "proximal", known)]
    if known.sigma_n is None and own is not None and own.sigma_n is not None and len(own.x) >= FEWEST:
        compared.append(("proximal", own))
    groups = tuple(_group(which, rows, n, judge) for which, rows in compared)
    return Setup(name, options, trained, drawn, n, known, own, judge, groups)


def need_counts(**counts: tuple[Any, int]) -> None:
    """Raise InputError naming the first of these counts that is no whole number, or below its least; None is none."""
    for name, (count, least) in counts.items():
        if count is not None and (isinstance(count, bool) or not hasattr(count, "__index__") or count < least):
            raise InputError(f"{name} {count}: should be a whole number, {least} or more")


def all_scores(judge: Judge, group: Group, judged: RowFeatures) -> list[Score]:
    """Every distance of samples to the reference of a group, and what they score alone."""
    found = [*judge.distances(group.reference, judged), *judge.alone(judged)]
    level = group.rows.sigma_n
    if (
        judged.bare is not None
        and level is not None
        and level.ndim == 1
        and pictures(judged.bare)
        and len(judged.bare) >= FEWEST
    ):
        found.append(_band_energy(group.reference.rows, level, judged.bare, judge.seed))
    return found


def _band_energy(noisy: Tensor, sigma_n: Tensor, judged: Tensor, seed: int) -> Score:
    found = band_energy(noisy, sigma_n, judged, seed)
    note = "of samples without noise; 0 where the energy of detail is that of the noisy rows without their noise"
    return Score("band-energy", found.value, found.n, note=note)


def same_rows(samples: Tensor, reference: Tensor) -> int:
    """Samples that equal a row of the reference to the last bit. (n, *S), (m, *S)."""
    known = {row.tobytes() for row in reference.float().cpu().numpy()}
    return sum(row.tobytes() in known for row in samples.float().cpu().numpy())


def _trained(
    subject: Subject, registry: Registry, device: str | torch.device
) -> tuple[Trained | None, str, torch.device]:
    """The run, if the subject is one, its name in words, and the device to work on."""
    if (held := trained_of(subject)) is not None:
        weights = next(iter(held.network.parameters()), None) if held.network is not None else None
        own = device_of(device) if weights is None else weights.device
        if device != "auto" and device_of(device).type != own.type:
            raise InputError(
                f"--device {device}: the weights of this run are on {own}; load them to where they are to be evaluated"
            )
        return held, held.called, own
    place, path = device_of(device), path_of(subject)
    if path is None:
        return None, "the subject", place
    if path.suffix == ".safetensors" or is_begun(path) or checkpoint_step(path) is not None:
        return load_run(path, registry, place), os.fspath(subject), place
    return None, os.fspath(subject), place


def _own(trained: Trained, most: int, seed: int, needed: bool) -> RowSet | None:
    """What the run trained on; None where that is gone and it is not needed."""
    try:
        return run_rows(trained, most, seed)
    except InputError as error:
        if needed:
            raise
        note(f"what the run trained on cannot be read, so that nothing is compared with it: {error}")
        return None


def _rows_meant(spec: Mapping[str, Any]) -> dict[str, Any]:
    """A data set without what it says of its noise, wherever its path is seen from."""
    found = {name: value for name, value in spec.items() if name not in NOISE}
    return {**found, "path": os.path.realpath(found["path"])} if found.get("path") else found


def _group(name: str, rows: RowSet, n: int, judge: Judge) -> Group:
    """The reference of n rows, and its floor: n further rows where there are as many, otherwise its two halves."""
    read = judge.read(rows.x)
    count = len(rows.x)
    one, other = (
        (slice(0, n), slice(n, 2 * n))
        if count >= 2 * n
        else (slice(0, count // 2), slice(count // 2, 2 * (count // 2)))
    )
    index = torch.arange(count)
    reference = read.take(index[:n])
    floor = (*judge.distances(read.take(index[one]), read.take(index[other])), *judge.alone(reference))
    return Group(name, rows.part(0, min(n, count)), reference, floor)


def _named(kind: type[P], text: Named, registry: Registry) -> P:
    """The part that is named. Raises InputError where there is none of that name, or it has no such field."""
    if not isinstance(text, str):
        return registry.build(kind, text)
    name, fields = split_fields(text)
    return registry.build(kind, {"name": name, **fields})


def _default(shape: tuple[int, ...], registry: Registry) -> Extractor:
    picture = len(shape) == 3 and shape[0] in (1, 3)
    return registry.build(Extractor, "efficientnet-lite0" if picture else "pixels")
