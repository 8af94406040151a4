"""Flags that several commands share: one help text and one check each. Nothing heavy is imported."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ambientkit.seeds import LARGEST

Json = Annotated[Path | None, typer.Option(help="Write everything to this file as well.")]
Html = Annotated[Path | None, typer.Option(help="Write one page with pictures and histograms.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
SEEDS: dict[str, Any] = {"min": 0, "max": LARGEST}
"""Of every option that is a seed."""
Seed = Annotated[int, typer.Option(**SEEDS, help="Seed of everything that is random.")]
Steps = Annotated[int, typer.Option(min=1, help="Steps of the sampler.")]
SamplerName = Annotated[str, typer.Option(help="Sampler by name.")]
BatchSize = Annotated[int, typer.Option(min=1, help="Samples drawn at a time; changes nothing but the speed.")]
OnBadFile = Annotated[
    str | None,
    typer.Option(
        metavar="fail|skip",
        help="Files and rows that cannot be used: list them and stop, or leave them out. [default: fail]",
        show_default=False,
    ),
]

HeldOut = Annotated[
    str, typer.Option(metavar="DATA", help="Rows drawn like the training rows that the model has not seen: the null.")
]
TrainedOn = Annotated[
    str | None,
    typer.Option(
        metavar="DATA", help="The rows that the model was trained on. [default: the run's own data]", show_default=False
    ),
]
LevelOfBoth = Annotated[
    float | None,
    typer.Option(help="Noise std of both, where they are files that do not say; 0: clean rows.", show_default=False),
]
Similarity = Annotated[
    str,
    typer.Option(
        metavar="NAME", help="pixels, correlation, another similarity, or an extractor: NAME or 'NAME{field: value}'."
    ),
]
Fdr = Annotated[float, typer.Option(help="False-discovery rate of the list.")]
