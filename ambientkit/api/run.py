"""A trained run: the object that training and loading return."""

from __future__ import annotations

import html
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.api.measuring import Measured, measure
from ambientkit.checkpoint.status import read_status
from ambientkit.config import RunConfig
from ambientkit.config.datapath import DataLike
from ambientkit.errors import InputError
from ambientkit.evaluation.compare import evaluate
from ambientkit.evaluation.comparison import Comparison
from ambientkit.evaluation.ranking import Ranking, rank_checkpoints
from ambientkit.export.card import Card, card
from ambientkit.export.write import Exported, export
from ambientkit.interfaces import Data, Part, Signal
from ambientkit.memorisation.attacks import Attack, attack
from ambientkit.memorisation.samples import Memorization, memorization
from ambientkit.processes import device_of
from ambientkit.public import only, public
from ambientkit.registry import Registry
from ambientkit.registry import load as load_registry
from ambientkit.report.write import WrittenReport, write_report
from ambientkit.run.status import Status, status
from ambientkit.run.train import Ended
from ambientkit.sample import Restored, Trained, load_run
from ambientkit.sample.drawn import sample_rows, sampled_stop_level
from ambientkit.sample.files import WrittenSamples, draw_to_files
from ambientkit.sample.load import run_of
from ambientkit.sample.restored import restore_rows, restored_stop_level
from ambientkit.sample.restored_files import WrittenRestorations, restore_to_files, write_restored
from ambientkit.sample.stop_level import StopLevel
from ambientkit.sample.suited import restores_alone, sample_command


class Run:
    """A run on disk, and what can be done with it. `ambientkit.train` and `ambientkit.load` return one.

    Its weights are read when they are first needed. Every method raises InputError for what does not fit the run.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        device: str | torch.device = "auto",
        registry: Registry | None = None,
        ended: Ended | None = None,
        data: Data | None = None,
    ) -> None:
        """data: the rows it was trained on, where they are held in memory, which the run folder does not keep."""
        self.path = Path(path)
        """The run folder, or the checkpoint or weights file that was loaded."""
        self.device = device
        """Where the network works: "auto", "cpu", "cuda", "cuda:N" or "mps"."""
        self._ended, self._data = ended, data
        self._registry = registry or load_registry()
        self._trained: Trained | None = None

    @property
    def folder(self) -> Path:
        """The run folder."""
        return run_of(self.path)

    @property
    def ended(self) -> Ended:
        """How its training ended when it last did; for a weights file without a run folder, as finished."""
        if self._ended is None:
            known = read_status(self.folder)
            self._ended = Ended(self.folder, known.state if known else "finished", known.step if known else self.step)
        return self._ended

    @property
    def next_command(self) -> str:
        """The shell command that draws from it: samples, or restored rows where there can be none."""
        known = self.ended.restores
        return sample_command(self.path, restores_alone(self.trained) if known is None else known)

    @property
    def trained(self) -> Trained:
        """The denoiser with its averaged weights, for functions of `ambientkit.sample`."""
        if self._trained is None:
            found = load_run(self.path, self._registry, device_of(self.device))
            if self._data is not None and found.config.data == self._data:  # known by content
                found = replace(found, config=found.config.model_copy(update={"data": self._data}))
            self._trained = found
        return self._trained

    @property
    def config(self) -> RunConfig:
        """The configuration."""
        return self.trained.config

    @property
    def signal(self) -> Signal:
        """Shape of a row, std of the clean data, and conditions."""
        return self.trained.signal

    @property
    def step(self) -> int:
        """Optimiser steps behind the weights."""
        return self.trained.step

    @public("Run.sample", sample_rows, draw_to_files, own=("device",))
    def sample(self, n: int = 64, *, out: str | Path | None = None, **options: Any) -> Tensor | WrittenSamples:
        """n samples of the clean distribution: a tensor (n, *S) in units of [-1, 1], on the CPU.

        out: a folder to write them into instead, from which an interrupted call goes on; the result is then a record.
        options: `seed`, `steps`, `sampler`, `schedule`, `sigma_min` (a level, "sigma-n" for the truncated baseline, or
        "auto": `stop_level`), `classes`, `conds`, `prompt`, `negative_prompt`, `guidance`, `masks`, `batch_size`,
        `units`, `progress`; with `out` also `format`. Sample i depends on (seed, i) only.
        """
        if out is None:
            return sample_rows(
                self.trained, n, registry=self._registry, **only(sample_rows, options, "Run.sample", "out=FOLDER")
            )
        return draw_to_files(self.trained, out, n=n, registry=self._registry, **options)

    @public("Run.restore", restore_rows, restore_to_files, own=("device",))
    def restore(
        self,
        noisy: DataLike,
        *,
        sigma_n: Any = None,
        draws: int | None = None,
        out: str | Path | None = None,
        **options: Any,
    ) -> Restored | WrittenRestorations:
        """Clean rows that may lie under the noise of given rows: posterior `mean`, `draws` draws of each row, and their
        `std`;
        data units.

        noisy: a path, a name, a part, an array, a tensor or a torch `Dataset`; sigma_n: their noise std, units of [-1,
        1]. draws: 8 by default, 0 for rows measured through an operator. out: a folder to write into instead. options:
        `n` (the first rows alone), `particles`, `seed`, `steps`, `sampler`, `schedule`, `sigma_min`, `classes`,
        `conds`, `prompt`, `negative_prompt`, `guidance`, `batch_size`, `progress`, `tile_overlap`; with `out` also
        `format`, `dtype` and `units`. Draw k of row i depends on (seed, i, k) only.
        """
        options |= {"sigma_n": sigma_n, "draws": draws, "registry": self._registry}
        if out is None:
            return restore_rows(self.trained, noisy, **only(restore_rows, options, "Run.restore", "out=FOLDER"))
        return restore_to_files(self.trained, noisy, out, **options)

    @public("Run.write_restored", write_restored)
    def write_restored(
        self, restored: Restored, noisy: DataLike, out: str | Path, *, sigma_n: Any = None, **options: Any
    ) -> WrittenRestorations:
        """Write what `restore(noisy)` returned as files like the noisy ones: names, axes, units and metadata, with a
        table that says which input each row is.

        noisy, sigma_n: as `restore` was given them. options: `format`, `dtype` ("float32", or "stored" for the number
        type of the input files), `units`.
        """
        return write_restored(self.trained, restored, noisy, out, sigma_n=sigma_n, registry=self._registry, **options)

    @public("Run.stop_level", sampled_stop_level, restored_stop_level)
    def stop_level(self, noisy: DataLike = None, *, sigma_n: Any = None, **options: Any) -> StopLevel:
        """The level to stop at that `sigma_min="auto"` chooses, with the energies of detail that speak for it.

        noisy: rows to be restored, as `restore` takes them; without, for samples, by the rows of the run. options:
        `seed`, `steps`, `sampler`, `schedule`, `guidance`, `batch_size`; for restored rows also `classes`, `conds`.
        """
        options |= {"registry": self._registry}
        if noisy is None:
            given = only(sampled_stop_level, options, "Run.stop_level", "rows to restore")
            return sampled_stop_level(self.trained, **given)
        return restored_stop_level(self.trained, noisy, sigma_n=sigma_n, **options)

    @public("Run.evaluate", evaluate, own=("device",))
    def evaluate(
        self,
        reference: DataLike = None,
        *,
        sigma_n: Any = None,
        clean: bool = False,
        all_checkpoints: bool = False,
        **options: Any,
    ) -> Comparison | Ranking:
        """How far samples of the run are from data: distances, each with its spread and its floor.

        reference: rows to compare with, whose noise std is sigma_n, or which are clean (`clean=True`); by default the
        noisy rows that the run trained on, and those that it held out by "held-out". all_checkpoints: rank the
        checkpoints instead. options: `n`, `extractors`, `repeats`, `seed`, `steps`, `sampler`, `batch_size`,
        `progress`.
        """
        options |= {"reference": reference, "sigma_n": 0 if clean else sigma_n, "registry": self._registry}
        if all_checkpoints:
            return rank_checkpoints(self.folder, device=self.device, **options)
        return evaluate(self.trained, device=self.device, **options)

    @public("Run.verify")
    def verify(self, data: DataLike = None, *, sigma_n: Any = None, rows: int = 256, seed: int = 0) -> Measured:
        """Measurements of the denoiser that need no clean data: consistency residual, Tweedie loss by level, and seed
        sensitivity.

        data: rows that the run has not seen; by default those that it held out. A page and a JSON file are written into
        the folder `verify` of the run.
        """
        return measure(self.trained, data=data, sigma_n=sigma_n, rows=rows, seed=seed, registry=self._registry)

    @public("Run.attack", attack, own=("device",))
    def attack(self, heldout: DataLike, *, train: DataLike | None = None, **options: Any) -> Attack:
        """Which training rows the model gives back when they are corrupted extremely, with p-values against held-out
        rows.

        heldout: rows drawn like the training rows that the run has not seen; train: the training rows, by default the
        run's own data. options: `kind` ("noise", "mask", "box"), `level`, `draws`, `n`, `null`, `similarity`, `over`,
        `p_level`, `fdr`, `steps`, `seed` and more.
        """
        return attack(
            self.trained, heldout=heldout, train=train, device=self.device, registry=self._registry, **options
        )

    @public("Run.memorization", memorization, own=("device",))
    def memorization(self, heldout: DataLike, *, train: DataLike | None = None, **options: Any) -> Memorization:
        """How much of the run's samples is copied from the training rows, each figure beside that of held-out rows.

        heldout, train: as for `attack`. options: `n`, `similarity`, `shift`, `flip`, `level`, `fdr`, `steps`,
        `sampler`, `seed` and more.
        """
        return memorization(
            self.trained, heldout=heldout, train=train, device=self.device, registry=self._registry, **options
        )

    @public("Run.report", write_report, own=("device",))
    def report(self, out: str | Path = "report.html", **options: Any) -> WrittenReport:
        """Write one self-contained page on the run. options: `pdf`, `n`, `steps`, `rows`, `seed`, `batch_size`,
        `progress`, `watch`, `every`."""
        return write_report(self.folder, out, device=self.device, registry=self._registry, **options)

    @public("Run.export")
    def export(self, form: str = "ambientkit", out: str | Path | None = None, *, force: bool = False) -> Exported:
        """Write the averaged weights for ambientkit elsewhere, or for another library: "k-diffusion", "diffusers"."""
        return export(self.trained, form, out, force=force, registry=self._registry)

    @public("Run.card")
    def card(self) -> Card:
        """The model card, with the scores of `evaluate --json` files in the run folder."""
        return card(self.folder, registry=self._registry)

    @public("Run.status")
    def status(self) -> Status:
        """What the run is doing, or how it ended."""
        return status(self.folder)

    def __fspath__(self) -> str:
        """Its path, so that public functions take a run where they take the folder of one."""
        return os.fspath(self.path)

    def __repr__(self) -> str:
        return f"Run({str(self.path)!r})"

    def _repr_html_(self) -> str:
        try:
            return self.status()._repr_html_()
        except InputError:  # a weights file without a run folder
            return f"<p>{html.escape(repr(self))}</p>"


def load(path: str | Path, *, device: str | torch.device = "auto", parts: Sequence[type[Part]] = ()) -> Run:
    """A run that was trained before: its folder, one of its checkpoints, or a weights file that `export` wrote.

    device: where its network works. parts: classes of the run's own parts that no installed package registers. Raises
    InputError naming the file at fault, now rather than when the weights are first used.
    """
    run = Run(path, device=device, registry=load_registry().including(parts))
    run.trained  # noqa: B018  (reads and checks the file)
    return run
