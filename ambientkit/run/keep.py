"""The rows that a run holds out, in the run: when they are measured, which averaged weights are kept by them, and the
files of both."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from torch import Tensor

from ambientkit.checkpoint.base import kept
from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.names import BEST
from ambientkit.checkpoint.weights import fill, from_bytes, to_bytes
from ambientkit.data import Augmented, Observations, of_one_shape
from ambientkit.rows import evenly
from ambientkit.run.folder import average_metadata
from ambientkit.training import Training
from ambientkit.training.holdout import MEASURED, HoldOut, Seen, measuring_steps, tweedie_by_row

HOLD_OUT = "hold_out.json"
"""In a checkpoint: how many rows are held out, and what is known of them."""
LEAST_OWN, MOST_OWN = 32, 64
"""Rows trained on that are measured: as many as of those held out, between these."""


class Keeper:
    """Measures the averaged weights of a run on rows held out, and keeps the best of them. Measuring changes nothing in
    training, to the bit.

    observations: all rows; positions: of those held out, of which at most `MEASURED` are measured, and some of the
    others.
    """

    def __init__(self, training: Training, observations: Observations | Augmented, positions: Sequence[int]) -> None:
        config = training.config
        held_out = observations.__getitems__([positions[place] for place in evenly(len(positions), MEASURED)])
        mine = of_one_shape(training.observations)
        own = mine.__getitems__(evenly(len(mine), min(max(len(held_out.x_n), LEAST_OWN), MOST_OWN)))
        self._training, self._held_out, self._own, self.count = training, held_out, own, len(positions)
        self.watch = HoldOut()
        self.best: dict[str, Tensor] = {}
        """The averaged weights kept, on the CPU; empty before the first measurement."""
        rows = len(held_out.x_n) + len(own.x_n)
        self._due = measuring_steps(
            rows, config.batch_size * config.grad_accum_steps * training.accelerator.num_processes
        )
        self._next = next(self._due)

    def due(self, step: int) -> bool:
        """Whether the run is to be measured after this step: at steps that follow from the numbers of rows alone, and
        at its end."""
        while self._next < step:
            self._next = next(self._due)
        return step == self._next or step == self._training.config.end_step

    def measure(self) -> Seen | None:
        """Let the main process measure now, and keep the weights where they are the ones to keep; None in the others.
        Every process must call it."""
        training = self._training
        seen = training.by_main(self._measured)
        if training.sharded and not training.agreed(int(seen is not None and seen.keep)):
            return seen
        average = training.average_of_all()
        if seen is not None and seen.keep:
            self.best = {name: value.detach().cpu().clone() for name, value in average.items()}
        return seen

    def _measured(self) -> Seen:
        training, config = self._training, self._training.config
        device, levels = training.accelerator.device, config.levels.as_levels()
        held, own = (
            tweedie_by_row(
                training.teacher, rows.to(device), config.corruption, levels, training.signal.sigma_data, config.seed
            )
            for rows in (self._held_out, self._own)
        )
        return self.watch.seen(training.step, held, own)

    @contextmanager
    def shown(self) -> Iterator[None]:
        """Within the block the averaged network has the weights kept. Every process must enter it."""
        training = self._training
        newest = {name: value.clone() for name, value in kept(training.average.module, training.base).items()}
        training.average_becomes(self.best)
        try:
            yield
        finally:
            fill(training.average.module, newest, BEST, training.base)

    def files(self) -> dict[str, bytes]:
        """What a checkpoint keeps: the decisions so far, and the weights kept."""
        told = {HOLD_OUT: json.dumps({"count": self.count, "state": self.watch.state}).encode()}
        return {**told, BEST: to_bytes(self.best)} if self.best else told

    def restore(self, files: Mapping[str, bytes], where: str) -> None:
        """Go back to the moment of a checkpoint."""
        if HOLD_OUT in files:
            self.watch = HoldOut(json.loads(files[HOLD_OUT])["state"])
        if BEST in files:
            self.best = from_bytes(files[BEST], f"{where}/{BEST}")[0]

    def save(self, folder: Path) -> None:
        """Write the weights kept beside the newest ones, or take away those of a later moment. Raises RunError where
        the disk refuses."""
        if not self.best:
            (folder / BEST).unlink(missing_ok=True)
            return
        training = self._training
        about = {
            **average_metadata(training),
            **training.base.entry(),
            "step": self.watch.kept,
            "newest": training.step,
        }
        write_file(folder / BEST, to_bytes(self.best, about))
