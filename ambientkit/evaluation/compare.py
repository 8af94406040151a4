"""How far the samples of a run are from data, with or without clean ones."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ambientkit.batch import Batch
from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.evaluation.comparison import Comparison, Line, lines
from ambientkit.evaluation.denoising import SSIM_WINDOW, LevelError, denoiser_error, proximal, psnr, ssim
from ambientkit.evaluation.restored import is_restored
from ambientkit.evaluation.rows import Level, path_of
from ambientkit.evaluation.score import Score
from ambientkit.evaluation.setup import Named, Setup, Subject, all_scores, set_up
from ambientkit.maths.levels import geometric_grid
from ambientkit.maths.randomness import derive_seed, keyed_generator
from ambientkit.registry import Registry, load
from ambientkit.sample import restore
from ambientkit.seeds import check_seed

LEVELS, DENOISED = 9, 512
"""Levels and rows at which a denoiser is measured."""


def evaluate(
    subject: Subject,
    *,
    reference: DataLike | None = None,
    sigma_n: Level = None,
    clean: bool = False,
    n: int | None = None,
    extractors: Sequence[Named] = (),
    repeats: int = 3,
    seed: int = 0,
    steps: int = 32,
    sampler: Named = "heun",
    batch_size: int = 64,
    device: str | torch.device = "auto",
    progress: bool = False,
    registry: Registry | None = None,
) -> Comparison:
    """Compare samples with a reference: distances in features and pixels, and the noise left, each with its spread and
    its floor.

    subject: a `Trained`; the path of a run, of its weights file or of a checkpoint; or samples, clean rows in units of
    [-1, 1]: a folder that `ambientkit sample` wrote, other data by name or path, an array, a tensor, a data set. Of a
    run, samples are drawn. reference: data, clean or noisy; None for the rows that the run trained on, and "held-out"
    for those that it held out. Samples are compared with clean rows as they are, and with noisy rows after noise of the
    same levels was added to them (`proximal`), the measure where no clean data exist. sigma_n: the noise std of the
    reference in units of [-1, 1]: a number, an array or a file of levels; None: the level stored with it. clean: its
    rows are clean, which sigma_n 0 says too. On a clean data set by name a level is simulated. n: samples, and rows of
    the reference; by default 1000 of a run, or all samples up to 10,000. extractors: the features to compare in; by
    default efficientnet-lite0, and pixels where rows are no pictures. repeats: sample seeds of a run (seed, seed + 1,
    ...), or random halves of samples already drawn. steps, sampler, batch_size: how a run is sampled. device: "auto" is
    the first GPU, or the CPU, or where a `Trained` is already.

    Raises InputError, before anything is drawn, where something is missing or does not fit; and where samples are not
    finite.
    """
    check_seed(seed)
    path = path_of(subject)
    if path is not None and is_restored(path):
        raise InputError(f"{path}: holds restored rows, which are compared row by row: use compare_restored")
    setup = set_up(
        subject,
        reference=reference,
        sigma_n=sigma_n,
        clean=clean,
        n=n,
        extractors=extractors,
        repeats=repeats,
        seed=seed,
        steps=steps,
        sampler=sampler,
        batch_size=batch_size,
        device=device,
        progress=progress,
        registry=registry or load(),
    )
    head = setup.head()
    found = _scores(setup)
    errors, restored = _denoising(setup)
    groups = {group.name: group.rows.what for group in setup.groups}
    return Comparison(setup.facts(), head, groups, tuple(found), tuple(errors), tuple(restored))


def _scores(setup: Setup) -> list[Line]:
    """Every line of every group, over fresh samples of a run or random halves of those already drawn."""
    judge, seed, repeats = setup.judge, setup.options.seed, setup.options.repeats
    found: list[Line] = []
    if setup.drawn is not None:
        half = setup.n // 2
        for group in setup.groups:
            read = setup.judged(group, setup.drawn.x)
            halves = []
            for repeat in range(repeats):
                g = keyed_generator(seed, "evaluate.halves", step=repeat)
                halves.append(all_scores(judge, group, read.take(torch.randperm(setup.n, generator=g)[:half])))
            found += lines(group.name, halves if half >= 4 else [], group.floor, all_scores(judge, group, read))
        return found
    assert setup.trained is not None
    scores: dict[str, list[list[Score]]] = {group.name: [] for group in setup.groups}
    for repeat in range(repeats):
        samples = setup.draw(setup.trained.denoiser, seed + repeat)
        for group in setup.groups:
            scores[group.name].append(all_scores(judge, group, setup.judged(group, samples)))
    for group in setup.groups:
        found += lines(group.name, scores[group.name], group.floor)
    return found


def _denoising(setup: Setup) -> tuple[list[LevelError], list[tuple[Score, Score]]]:
    """The denoiser's error by level on clean reference rows, and (of x_n, of D(x_n)) PSNR and SSIM where the run knows
    a noise level."""
    if setup.trained is None or setup.reference.sigma_n is not None:
        return [], []
    trained, options = setup.trained, setup.options
    clean = setup.reference.x[:DENOISED].to(options.device)
    ends = trained.config.levels.as_levels()
    ladder = geometric_grid(torch.tensor([ends.sigma_max]).double(), torch.tensor([ends.sigma_min]).double(), LEVELS)
    generator = keyed_generator(options.seed, "evaluate.denoiser", device=options.device)
    errors = denoiser_error(trained.denoiser, clean, ladder.squeeze(1).flip(0).tolist(), generator)
    if setup.own is None or setup.own.sigma_n is None:
        return errors, []
    sigma_n = setup.own.levels(len(clean)).to(clean)
    x_n = proximal(clean, sigma_n, derive_seed(options.seed, "evaluate.restore"))
    batch = Batch(x_n, sigma_n, torch.arange(len(clean), device=clean.device), {})
    mean = restore(
        trained.denoiser, batch, trained.config.corruption, options.sampler, ends, draws=0, seed=options.seed
    ).mean
    pairs = [(psnr(x_n, clean), psnr(mean, clean))]
    if clean.ndim == 4 and min(clean.shape[2:]) >= SSIM_WINDOW:
        pairs.append((ssim(x_n, clean), ssim(mean, clean)))
    return errors, pairs
