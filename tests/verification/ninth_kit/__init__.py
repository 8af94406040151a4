"""The ninth kit: wrong and right parts whose author had read the documents and the right parts, and not a check."""

from __future__ import annotations

from ambientkit.interfaces import Part
from tests.verification.ninth_kit import (
    below,
    corruptions,
    flows,
    hiding,
    labels,
    memory,
    networks,
    right_objectives,
    right_others,
    samplers,
    values,
    views,
)

MODULES = (views, values, below, corruptions, hiding, samplers, flows, networks, labels, memory)

NOT_WRONG = {
    "nine-says-below": "`below_sigma_n` is a sentence, and clean rows among the data teach the levels below, as those "
    "of `split-levels` do",
    "nine-multistep-inverted": "the errors of its steps telescope, so that it is of second order on any grid",
    "nine-attack-mean-of-draws": "how many answers an attack gives for a row, and of what, is its own choice",
    "nine-measure-second-nearest": "copies move it as it claims at four of six seeds: poor rather than wrong",
}
"""Of the wrong parts, those that proved not to be wrong, each with its reason."""

LET_PASS = {
    "levels": ("nine-same-stream",),
    "picture-views": ("nine-flips",),
    "scale": ("nine-channel-sum",),
    "objective-contract": ("nine-memory-number",),
    "corruption-contract": ("nine-std-with-zeros",),
    "sampler-contract": ("nine-squeezed-answer",),
    "order-2": ("nine-adams-equal-steps",),
    "model-contract": (
        "nine-net-cached-coefficients",
        "nine-net-guides-inside",
        "nine-net-takes-condition-away",
    ),
    "measure-contract": ("nine-measure-sorts-in-place", "nine-measure-global-subset"),
}
"""Check -> the wrong parts that passed when the kit was written, and that it rejects now."""


def wrong_parts() -> list[Part]:
    """Every wrong part."""
    made = [cls() for module in MODULES for cls in module.PARTS]
    return [part for part in made if part.name not in NOT_WRONG]


def right_parts() -> list[Part]:
    """Every right part, done in unusual ways."""
    return [cls() for cls in (*right_objectives.PARTS, *right_others.PARTS)]
