"""The recipes: the method, as lists of weighted objectives."""

from __future__ import annotations

from ambientkit.interfaces import Recipe, WeightedObjective

HANDOVER = 0.4
"""Share of the run after which posterior draws take over below sigma_n."""


class TweedieConsistency(Recipe):
    """Tweedie above the noise of the data throughout; consistency below it from a tenth of the run on, in every fourth
    step."""

    name = "tweedie-consistency"
    source = "arXiv 2404.10177, section 3; weight, start and share measured: docs/quality.md"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective="tweedie"),
        WeightedObjective(objective="consistency", weight=0.5, start=0.1, ramp=0.05, every=4),
    )


class TweedieConsistencyBuffer(Recipe):
    """The same to begin with; then posterior draws take over below sigma_n. For data of few dimensions, such as points
    and spectra.

    Expectation maximisation from posterior draws uses the rows best, but it forgets a bad beginning slowly, and white
    noise on many pixels slowest of all. The rows that the draws are denoised on are taken from those of Tweedie, so
    that a step costs as much before and after.
    """

    name = "tweedie-consistency-buffer"
    source = (
        "arXiv 2404.10177, section 3; arXiv 2405.13712, algorithm 1; weights, starts and shares measured: "
        "docs/quality.md"
    )

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective="tweedie", stop=HANDOVER),
        WeightedObjective(objective={"name": "tweedie", "fraction": 0.6}, start=HANDOVER),
        WeightedObjective(
            objective={"name": "consistency", "max_hop": 0.3}, weight=0.1, start=0.1, ramp=0.05, stop=HANDOVER, every=4
        ),
        WeightedObjective(objective="posterior-buffer", start=HANDOVER, ramp=0.05),
        WeightedObjective(
            objective={"name": "consistency", "fraction": 0.125, "max_hop": 0.3}, weight=0.1, start=HANDOVER, every=8
        ),
    )


class TweedieDetail(Recipe):
    """The same as `tweedie-consistency`, with the energy of fine detail pinned to the energy that the noisy rows show.

    For pictures with one noise level per row.
    """

    name = "tweedie-detail"
    source = "arXiv 2404.10177, section 3; second moments: docs/method.md; measurements: docs/notebook.md"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective="tweedie"),
        WeightedObjective(objective="detail-moments", weight=0.5, start=0.1, ramp=0.05, every=4),
    )


class FewRows(Recipe):
    """For few small rows: `tweedie-consistency` without pairs of views next to sigma_n, and with less weight there.

    Next to sigma_n a network learns the noise of few rows first, and half of the draws of the default lie there. Here
    log sigma is normal around 0 instead of -1.2, so that more draws lie where the shape of samples is decided, and the
    factor 1/a^2, which is largest next to sigma_n, is at most 2.
    """

    name = "few-rows"
    source = "arXiv 2404.10177, section 3; measurements: docs/notebook.md, few rows; docs/decisions/0055"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective={"name": "tweedie", "near": 0.0, "p_mean": 0.0, "cap": 2.0}),
        WeightedObjective(objective="consistency", weight=0.5, start=0.1, ramp=0.05, every=4),
    )


class SamplesFirst(Recipe):
    """For samples from noise: `tweedie-consistency` with log sigma normal around 0 instead of -1.2, where it is not
    drawn next to sigma_n.

    The network sees more of the levels at which the shapes and the brightness of samples are decided: samples are
    nearer to clean data, and restored rows a little farther from them.
    """

    name = "samples-first"
    source = "arXiv 2404.10177, section 3; measurements: docs/gallery.md, from pure noise; docs/decisions/0070"

    terms: tuple[WeightedObjective, ...] = (
        WeightedObjective(objective={"name": "tweedie", "p_mean": 0.0}),
        WeightedObjective(objective="consistency", weight=0.5, start=0.1, ramp=0.05, every=4),
    )
