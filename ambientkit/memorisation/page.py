"""An attack, or measures on samples, as one page of HTML that needs nothing else."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ambientkit.memorisation.attacks import Attack
from ambientkit.memorisation.samples import Memorization
from ambientkit.sample.picture import grid
from ambientkit.tables import Table
from ambientkit.versions import versions
from ambientkit.webpage import histogram, picture_uri, render

DRAWS = 6
"""Draws shown of each row."""
NEAREST = 12
"""Samples shown beside their nearest training rows."""
READING = (
    "A p-value is the share of held-out rows, this one counted in, that look at least as memorised: small where "
    "the row stands out from all that the "
    "model has not seen. It holds for held-out rows drawn like the training rows; near-duplicates across the two, "
    "another source or another time break it.",
    "The list is made at a false-discovery rate: of the rows in it, about that share is expected to be there by "
    "chance.",
    "Nothing listed does not mean that nothing is memorised: an attack finds what it looks for. No guarantee of "
    "differential privacy follows.",
)
Decode = Callable[[Tensor], Tensor | None] | None


def attack_page(found: Attack, *, decode: Decode = None) -> str:
    """The page of an attack: figures, histograms of training and held-out rows, and tiles (original, corrupted,
    draws)."""
    charts = [
        *_compared(30, "their draws", [("training rows", found.distance), ("held-out rows", found.null)]),
        histogram(found.p_values.numpy(), "p-values of the training rows", bins=20),
    ]
    pictures = []
    for side, (originals, corrupted, draws) in found.shown.items():
        tiles = torch.cat([originals.unsqueeze(1), corrupted.unsqueeze(1), draws[:, :DRAWS]], dim=1)
        text = f"each line is one row: the original, what the model was given, and {tiles.shape[1] - 2} draws"
        pictures += _picture(f"{side} rows", tiles.flatten(0, 1), tiles.shape[1], text, decode)
    told = (
        "Distance of each row to what the model gave back for it: training rows, held-out rows treated alike, "
        "and the p-values that follow."
    )
    return _render(f"Attack on {found.facts['subject']}", found.blocks(), charts, told, pictures)


def memorization_page(found: Memorization, *, decode: Decode = None) -> str:
    """The page of measures on samples: figures, histograms, and the samples nearest to training rows above these."""
    distance, null = found.neighbours.distance[:, 0], found.heldout_neighbours.distance[:, 0]
    charts = [
        *_compared(40, "the nearest training row", [("samples", distance), ("held-out rows", null)]),
        histogram(found.p_values.numpy(), "p-values of the samples", bins=20),
    ]
    order = distance.argsort()[:NEAREST]
    pairs = torch.cat([found.samples[order], found.nearest_rows[order]])
    text = "above: the samples nearest to a training row; below: these rows, as they lie in the data"
    pictures = _picture("nearest training rows", pairs, len(order), text, decode)
    told = (
        "Distance to the nearest training row: of the samples, of held-out rows (the null), and the p-values "
        "that follow."
    )
    return _render(f"Memorisation in {found.facts['subject']}", found.blocks(), charts, told, pictures)


def _compared(bins: int, to: str, sides: Sequence[tuple[str, Tensor]]) -> list[Any]:
    """Histograms of the distances of several sets of rows, (name, distances), on one and the same axis."""
    together = torch.cat([values for _, values in sides])
    span = float(together.min()), float(together.max())
    return [
        histogram(
            values.numpy(),
            f"distance of {len(values)} {name} to {to}",
            bins=bins,
            x_label=f"distance, {name}",
            span=span,
        )
        for name, values in sides
    ]


def _render(
    title: str,
    blocks: Sequence[str | Table],
    charts: Sequence[Any],
    told: str,
    pictures: Sequence[tuple[str, str, str, tuple[int, int]]],
) -> str:
    shown = [
        {"text": "", "table": block} if isinstance(block, Table) else {"text": block, "table": None}
        for block in blocks
        if block
    ]
    return render(
        Path(__file__).with_name("page.html"),
        title=title,
        blocks=shown,
        charts=charts,
        told=told,
        pictures=pictures,
        reading=READING,
        footer=f"ambientkit {versions().get('ambientkit', '')}".strip(),
    )


def _picture(
    title: str, rows: Tensor, columns: int, text: str, decode: Decode
) -> list[tuple[str, str, str, tuple[int, int]]]:
    """Nothing for rows that have no picture."""
    if rows.ndim != 4 and decode is None:
        return []
    drawn = grid(rows, columns, decode=decode, paper=False)
    if drawn is None:
        return []
    buffer = io.BytesIO()
    drawn.save(buffer, "PNG")
    return [(title, picture_uri(buffer.getvalue()), text, drawn.size)]
