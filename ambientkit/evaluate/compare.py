"""`ambientkit evaluate`: how far the samples of a run are from data, with or without clean ones."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ambientkit.batch import Batch
from ambientkit.checkpoint.folder import whole_checkpoints, write_file
from ambientkit.cli.output import progress_wanted
from ambientkit.config.inline import split_fields
from ambientkit.errors import InputError
from ambientkit.evaluate import LevelError, Score, denoiser_error, proximal, psnr, ssim
from ambientkit.evaluate.document import document, print_report
from ambientkit.evaluate.judge import Judge, Line, Read, lines
from ambientkit.evaluate.rows import Rows, drawn_rows, reference_rows, trained_rows
from ambientkit.interfaces import Denoiser, Extractor, Sampler
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.registry import Registry, load
from ambientkit.sample import Trained, draw_all, load_run, step_grid
from ambientkit.sample.load import WEIGHTS, checkpoint_step, is_begun

DRAWN, MOST = 1000, 10_000
"""Samples drawn from a run where --n is not given; samples read from a folder at most."""
FEWEST = 8
"""Rows without which no distance is worth printing."""
LEVELS, DENOISED = 9, 512
"""Levels and rows at which a denoiser is measured."""


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """The flags of `ambientkit evaluate` as given."""

    subject: str
    reference: str | None = None
    sigma_n: str | None = None
    n: int | None = None
    extractors: tuple[str, ...] = ()
    repeats: int = 3
    seed: int = 0
    steps: int = 32
    sampler: str = "heun"
    batch_size: int = 64
    device: str = "auto"
    json: Path | None = None
    all_checkpoints: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """One comparison: with clean rows, or of re-noised samples with noisy rows."""

    name: str
    """"clean" or "proximal"."""
    rows: Rows
    read: Read
    """The reference, n rows where there are as many."""
    floor: tuple[Score, ...]
    """Reference rows against other reference rows, and what the reference scores alone."""


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that is known before the first sample is drawn."""

    request: EvaluateRequest
    trained: Trained | None
    drawn: Rows | None
    n: int
    reference: Rows
    own: Rows | None
    """What the run trained on; None for samples already drawn."""
    judge: Judge
    groups: tuple[Group, ...]
    sampler: Sampler
    device: str

    def judged(self, group: Group, samples: Tensor) -> Tensor:
        """The samples as they are compared in a group."""
        if group.name == "clean":
            return samples
        return proximal(samples, group.rows.levels(len(samples)), self.request.seed)


def run(request: EvaluateRequest) -> None:
    """Print the scores, and write them to --json. Raises InputError before anything is drawn where something does not fit."""
    if request.json is not None and (request.json.is_dir() or not request.json.absolute().parent.is_dir()):
        raise InputError(f"--json {request.json}: should be a file in a folder that exists")
    registry = load()
    if (Path(request.subject) / "restored.json").is_file():
        from ambientkit.evaluate.restored import compare

        content = compare(Path(request.subject), request.reference, request.sigma_n, registry)
    elif request.all_checkpoints:
        from ambientkit.evaluate.ranking import rank

        content = rank(prepare(request, registry))
    else:
        setup = prepare(request, registry)
        found = scores(setup)
        errors, restored = _denoising(setup)
        print_report(setup, found, errors, restored)
        content = document(setup, found, errors, restored)
    if request.json is not None:
        write_file(request.json, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())
        print(f"\nwritten: {request.json}")


def prepare(request: EvaluateRequest, registry: Registry) -> Setup:
    """Everything that can be wrong is found here: the run, the rows, their shapes, the extractors."""
    device = request.device if request.device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
    path = Path(request.subject)
    is_run = path.suffix == ".safetensors" or is_begun(path) or checkpoint_step(path) is not None
    if request.all_checkpoints:
        _check_ranking(request, path)
    sampler = registry.build(Sampler, request.sampler)
    named = [_extractor(text, registry) for text in request.extractors]
    trained = drawn = own = None
    if is_run:
        trained = load_run(path, registry, device)
        if trained.signal.conds:
            raise InputError(
                f"{path}: the run is conditional ({', '.join(trained.signal.conds)}); draw samples and give their folder instead"
            )
        n = request.n or DRAWN
        own = _own(request, trained, n)
    else:
        if request.reference is None:
            raise InputError(f"{path} is no run: give --reference, the data that samples are to be compared with")
        drawn = drawn_rows(request.subject, request.n or MOST, request.seed, registry)
        n = len(drawn.x)
    reference = own if request.reference is None else reference_rows(request.reference, request.sigma_n, 2 * n, request.seed, registry)
    assert reference is not None
    if request.reference is None and request.sigma_n is not None:
        raise InputError("--sigma-n declares the noise of --reference: give that too")
    shape = trained.signal.shape if trained else drawn.shape if drawn else ()
    if reference.shape != shape:
        raise InputError(f"{reference.what}: rows of shape {reference.shape}, but {path} has {shape}; neither is resized")
    for side, count in (("the reference", len(reference.x)), ("the subject", n)):
        if count < FEWEST:
            raise InputError(
                f"{side} has {count} rows; at least {FEWEST} are needed on both sides, and hundreds for a number that means much"
            )
    judge = Judge(tuple(named) or (_default(shape, registry),), request.seed, device)
    compared = [("clean" if reference.sigma_n is None else "proximal", reference)]
    if reference.sigma_n is None and own is not None and own.sigma_n is not None and len(own.x) >= FEWEST:
        compared.append(("proximal", own))
    groups = tuple(_group(name, rows, n, judge) for name, rows in compared)
    return Setup(request, trained, drawn, n, reference, own, judge, groups, sampler, device)


def _own(request: EvaluateRequest, trained: Trained, n: int) -> Rows | None:
    """What the run trained on; None where that is gone and another reference is given."""
    try:
        return trained_rows(trained.config, 2 * n, request.seed)
    except InputError as error:
        if request.reference is None:
            raise
        print(f"note: what the run trained on cannot be read, so that nothing is compared with it: {error}", file=sys.stderr)
        return None


def _check_ranking(request: EvaluateRequest, path: Path) -> None:
    if not (path / WEIGHTS).is_file():
        raise InputError(f"--all-checkpoints: {path} should be the folder of a run")
    whole, damaged = whole_checkpoints(path / "checkpoints")
    if len(whole) < 2:
        number = f"{len(whole)} checkpoint" + "s" * (len(whole) != 1)
        lines = [
            f"{path}: has {number}{' that can be read' if damaged else ''}; two or more can be ranked (train keeps --keep-last of them)"
        ]
        raise InputError("\n".join([*lines, *damaged]))
    for line in damaged:
        print(f"warning: left out: {line}", file=sys.stderr)
    if request.repeats < 2:
        raise InputError("--all-checkpoints needs --repeats 2 or more: without, nothing says how sure a rank is")


def scores(setup: Setup) -> list[Line]:
    """Every line of every group, over fresh samples of a run or random halves of those already drawn."""
    request, judge = setup.request, setup.judge
    found: list[Line] = []
    if setup.drawn is not None:
        half = setup.n // 2
        for group in setup.groups:
            read = judge.read(setup.judged(group, setup.drawn.x))
            halves = []
            for repeat in range(request.repeats):
                g = keyed_generator(request.seed, "evaluate.halves", step=repeat)
                halves.append(_all(judge, group, read.take(torch.randperm(setup.n, generator=g)[:half])))
            whole = _all(judge, group, read)
            found += lines(group.name, halves if half >= 4 else [], group.floor, whole)
        return found
    assert setup.trained is not None
    repeats: dict[str, list[list[Score]]] = {group.name: [] for group in setup.groups}
    for repeat in range(request.repeats):
        samples = draw_samples(setup, setup.trained.denoiser, request.seed + repeat)
        for group in setup.groups:
            repeats[group.name].append(_all(judge, group, judge.read(setup.judged(group, samples))))
    for group in setup.groups:
        found += lines(group.name, repeats[group.name], group.floor)
    return found


def draw_samples(setup: Setup, denoiser: Denoiser, seed: int) -> Tensor:
    """n samples, those of `ambientkit sample --seed SEED`. Raises InputError where they are not finite."""
    assert setup.trained is not None
    request, config = setup.request, setup.trained.config
    return draw_all(
        denoiser,
        setup.sampler,
        setup.trained.signal.shape,
        setup.n,
        sigmas=step_grid(request.steps, config.levels.as_levels()),
        seed=seed,
        batch_size=request.batch_size,
        device=setup.device,
        progress=progress_wanted(),
        what=f"{request.subject}: the samples",
    )


def _all(judge: Judge, group: Group, judged: Read) -> list[Score]:
    return [*judge.distances(group.read, judged), *judge.alone(judged)]


def _group(name: str, rows: Rows, n: int, judge: Judge) -> Group:
    """The reference of n rows, and its floor: n further rows where there are as many, otherwise its two halves."""
    read = judge.read(rows.x)
    count = len(rows.x)
    one, other = (slice(0, n), slice(n, 2 * n)) if count >= 2 * n else (slice(0, count // 2), slice(count // 2, 2 * (count // 2)))
    index = torch.arange(count)
    reference = read.take(index[:n])
    floor = (*judge.distances(read.take(index[one]), read.take(index[other])), *judge.alone(reference))
    return Group(name, rows.part(0, min(n, count)), reference, floor)


def _denoising(setup: Setup) -> tuple[list[LevelError], list[tuple[Score, Score]]]:
    """The denoiser's error by level on clean reference rows, and (of x_n, of D(x_n)) PSNR and SSIM where the run knows a noise level."""
    if setup.trained is None or setup.reference.sigma_n is not None:
        return [], []
    trained, request = setup.trained, setup.request
    clean = setup.reference.x[:DENOISED].to(setup.device)
    ends = trained.config.levels
    ladder = geometric_grid(torch.tensor([ends.sigma_max]).double(), torch.tensor([ends.sigma_min]).double(), LEVELS)
    generator = keyed_generator(request.seed, "evaluate.denoiser", device=setup.device)
    errors = denoiser_error(trained.denoiser, clean, ladder.squeeze(1).flip(0).tolist(), generator)
    if setup.own is None or setup.own.sigma_n is None:
        return errors, []
    sigma_n = setup.own.levels(len(clean)).to(clean)
    x_n = proximal(clean, sigma_n, derive_seed(request.seed, "evaluate.restore"))
    restored = _posterior_mean(trained, Batch(x_n, sigma_n, torch.arange(len(clean), device=clean.device), {}), request.seed)
    pairs = [(psnr(x_n, clean), psnr(restored, clean))]
    if clean.ndim == 4 and min(clean.shape[2:]) >= 11:
        pairs.append((ssim(x_n, clean), ssim(restored, clean)))
    return errors, pairs


@torch.no_grad()
def _posterior_mean(trained: Trained, batch: Batch, seed: int) -> Tensor:
    """D(x_t, sigma) with x_t the observation at the lowest level at which it has one level: x_n itself where its noise is even."""
    corruption, levels = trained.config.corruption, trained.config.levels
    floor = corruption.floor(batch).clamp(min=levels.sigma_min, max=levels.sigma_max)
    view = corruption.degrade(batch, floor, keyed_generator(seed, "evaluate.degrade", device=batch.x_n.device))
    parts = [trained.denoiser(x, sigma) for x, sigma in zip(view.x.split(64), view.sigma.split(64), strict=True)]
    return torch.cat(parts)


def _extractor(text: str, registry: Registry) -> Extractor:
    name, fields = split_fields(text)
    part = registry.build(Extractor, {"name": name, **fields})
    return part


def _default(shape: tuple[int, ...], registry: Registry) -> Extractor:
    picture = len(shape) == 3 and shape[0] in (1, 3)
    return _extractor("efficientnet-lite0" if picture else "pixels", registry)
