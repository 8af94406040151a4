"""Averages of what happened since the last log line, by term and by noise level."""

from __future__ import annotations

import math
import sys
from typing import Any

import torch

from ambientkit.training.loop import Step

BINS_PER_DECADE = 4


class Window:
    """Means over the steps since the last line. Its `state` goes into checkpoints, so that a resumed run logs what an
    unbroken one does.

    Levels are binned by a quarter of a decade: a bin is named by its lower edge, 10^(k/4).
    """

    def __init__(self, state: dict[str, Any] | None = None) -> None:
        empty = {"steps": 0, "skipped": 0, "loss": 0.0, "grad_norm": 0.0, "terms": {}, "levels": {}}
        self.state: dict[str, Any] = {**empty, **(state or {})}

    def add(self, step: Step) -> None:
        """Take a step in; of a skipped one, whose values mean nothing, only that it was."""
        s = self.state
        if step.skipped:
            s["skipped"] += 1
            return
        s["steps"] += 1
        s["loss"] += float(step.loss)
        s["grad_norm"] += float(step.grad_norm)
        for name, mean in step.terms.items():
            total, count = s["terms"].get(name, (0.0, 0))
            s["terms"][name] = (total + float(mean), count + 1)
        for name, term in step.values.items():
            bins = s["levels"].setdefault(name, {})
            for value, sigma in zip(term.value.tolist(), term.sigma.tolist(), strict=True):
                edge = f"{10 ** (math.floor(BINS_PER_DECADE * math.log10(sigma)) / BINS_PER_DECADE):.3g}"
                total, count = bins.get(edge, (0.0, 0))
                bins[edge] = (total + value, count + 1)

    def means(self) -> dict[str, float]:
        """The mean of each term so far."""
        return {name: total / count for name, (total, count) in self.state["terms"].items()}

    def line(self, step: Step) -> dict[str, Any]:
        """The log line for this window, which `step` ends. The levels are those of the main process.

        `loss` and `grad_norm` are null where every step of the window was skipped.
        """
        s, n = self.state, self.state["steps"]
        by_level = {
            name: {
                edge: {"mean": total / count, "n": count}
                for edge, (total, count) in sorted(bins.items(), key=lambda item: float(item[0]))
            }
            for name, bins in s["levels"].items()
        }
        return {
            "step": step.step,
            "loss": s["loss"] / n if n else None,
            "terms": self.means(),
            "by_level": by_level,
            "grad_norm": s["grad_norm"] / n if n else None,
            "skipped": s["skipped"],
            "lr": step.lr,
        }


def memory_mb(device: torch.device) -> float | None:
    """The most memory used so far, in MB: torch's on a GPU, this process's on a CPU; None where that is not known."""
    if device.type == "cuda":
        return round(torch.cuda.max_memory_allocated(device) / 2**20, 1)
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1)
