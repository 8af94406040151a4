"""Whether restored rows were restored at all: how much of their noise the posterior means take away."""

from __future__ import annotations

from dataclasses import dataclass

from ambientkit.batch import Batch
from ambientkit.maths.noise import per_row
from ambientkit.sample.restore import Restored

LITTLE = 0.5
"""Of the std of the noise: what is taken away below this is reported."""


@dataclass(frozen=True, slots=True)
class TakenAway:
    """E|x_n - D|^2 / sigma_n^2 of restored rows, per value. For the exact posterior mean it is 1 - mmse / sigma_n^2:
    near 1 where the data are smoother than their noise; a network that returns its input has 0.

    Source: E[z . D] = sigma_n E[div D] (Stein), and E|x_0 - D|^2 = sigma_n^2 E[div D] (Tweedie's formula of second
    order), so that E|x_0 - D + sigma_n z|^2 = sigma_n^2 - E|x_0 - D|^2.
    """

    energy: float = 0.0
    """Summed over the rows."""
    rows: int = 0

    @staticmethod
    def of(batch: Batch, found: Restored) -> TakenAway:
        """Of rows with one level of noise each; those with noise per pixel, and those without noise, do not count."""
        counts = ~(found.topped_up | found.as_it_is)
        if not bool(counts.any()):
            return TakenAway()
        off = batch.x_n[counts] - found.mean[counts]
        share = off / per_row(found.sigma[counts], off)
        return TakenAway(float(share.square().flatten(1).mean(1).sum()), len(off))

    def with_(self, other: TakenAway) -> TakenAway:
        """Of the rows of both."""
        return TakenAway(self.energy + other.energy, self.rows + other.rows)

    def told(self) -> str:
        """What a user should know; empty where the rows were restored."""
        if self.rows == 0 or (share := (self.energy / self.rows) ** 0.5) >= LITTLE:
            return ""
        return (
            f"the restored rows differ from the noisy ones by {share:.2f} of the std of the noise: hardly anything was "
            "taken away. The network has not learned their noise level yet (train longer), unless the data have detail "
            "finer and stronger than their noise"
        )
