"""What an objective keeps between calls: the same names and shapes in a long run, and rows with what belongs to them. A
probe for `objective-contract`."""

from __future__ import annotations

import torch

from ambientkit.builtin.checks.labelled import SIGNAL, OneStep, labelled, may_lower_contrast, require
from ambientkit.builtin.checks.probe import on_clean_rows
from ambientkit.builtin.checks.taught import SMALL, Answers
from ambientkit.builtin.checks.travel import key
from ambientkit.errors import InputError
from ambientkit.interfaces import Case, Memory, Objective, Signal, Tools

ROWS = 64
"""Of each batch; all batches of a run have one size."""
CALLS = 44
"""`posterior-buffer` keeps a draw for 32 calls: what happens when room is used again shows after that."""


def keeps_what_belongs_together(part: Objective, case: Case) -> None:
    """In a run of `CALLS` batches of other rows, memory keeps its names and shapes, and no row that is kept comes back
    with the conditions of another. An objective that keeps nothing is asked twice. Raises Broken."""
    memory: Memory = {}
    shapes: dict[str, torch.Size] = {}
    for index in range(CALLS):
        noise = 0.1 + 0.3 * torch.rand(ROWS, generator=key(case, "kept.levels", index))
        level = torch.zeros(ROWS) if on_clean_rows(case) else noise
        batch = labelled(level, key(case, "kept.rows", index), SMALL, first=1 + 11 * index % 60)
        answers = Answers(torch.ones_like, may_lower_contrast(part))
        tools = Tools(
            case.tools.corruption,
            OneStep(),
            answers.teacher,
            Signal(SMALL, SIGNAL.sigma_data, SIGNAL.conds),
            key(case, "kept.loss", index),
            case.tools.levels,
            memory,
        )
        try:
            part.loss(answers, batch, tools)
        except InputError:
            return
        found = {name: value.shape for name, value in memory.items()}
        require(found == shapes or not index, "names or shapes in memory change in the course of a run")
        shapes = found
        if index and not memory:
            return
