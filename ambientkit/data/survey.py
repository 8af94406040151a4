"""What a run must know of its data before the first step, and the mistakes that can be seen by then."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice

import torch

from ambientkit.batch import Batch, Clean, take
from ambientkit.data.held_out import Observed
from ambientkit.data.hidden_share import apart, off_share
from ambientkit.data.measured_units import refuse_moved
from ambientkit.data.observations import Observations
from ambientkit.data.under_noise import refuse_no_data, refuse_one_value, refuse_scale
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Levels, Signal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.messages import warn
from ambientkit.rows import Mapping, decodes, evenly
from ambientkit.units.counts import in_file_units
from ambientkit.units.scale import judge_scale

LOOK_AT, VALUES = 4096, 2**26
"""Most rows looked at, evenly spaced, and about as many values: fewer rows of large pictures."""


@dataclass(frozen=True, slots=True)
class Survey:
    """Facts about the observations, from up to 4,096 evenly spaced rows."""

    rows: int
    signal: Signal
    sigma_n: tuple[float, float]
    """Lowest and highest noise level seen, data units."""
    unseen: str = ""
    """The part of the clean data that no row measures, in words; see `Corruption.unseen`."""

    mapping: Mapping | None = None
    """From file values to data units, where there are files."""

    latents: bool = False
    """Whether rows must be decoded to be seen."""

    def describe_noise(self) -> str:
        """The noise level in units of [-1, 1], and in those of the files, by `in_file_units`."""
        low, high = self.sigma_n
        if high == 0:
            return "no noise (sigma_n 0)"
        told = f"sigma_n {low:.4g} in [-1, 1]" if low == high else f"sigma_n {low:.4g} to {high:.4g} in [-1, 1]"
        return told + in_file_units(self.mapping, self.latents, low, high)


def survey(
    observations: Observed,
    corruption: Corruption,
    levels: Levels,
    sigma_data: float | None,
    noise_estimated: bool = False,
    restored: bool = False,
) -> Survey:
    """Look at the data. sigma_data: std of the clean data if it is known, otherwise it is estimated.

    Raises InputError for an empty set, rows of different shapes, values that are not finite, noise at or above
    sigma_max or all of it below sigma_min, and noise that exceeds the spread of the data. Warns of values whose scale
    is doubtful, and where the noise of some rows is below sigma_min; with `noise_estimated` that is an InputError too:
    an estimate is no reason to take rows for nearly clean ones. restored: the rows are not trained on, so that they may
    be whole, or lack another share than the corruption says.
    """
    total = len(observations)
    if total == 0:
        raise InputError("the data set has no rows")
    most = max(1, min(LOOK_AT, VALUES // max(1, observations[0].x_n.numel())))
    batch = _rows_at(observations, evenly(total, most))
    bad = ~(batch.x_n.isfinite().flatten(1).all(1))
    if bad.any():
        rows = batch.row[bad].tolist()
        raise InputError(
            f"{len(rows)} of the {len(batch.row)} rows looked at hold values that are not finite; the first are "
            f"rows {rows[:5]}"
        )
    if not (batch.sigma_n.isfinite().all() and (batch.sigma_n >= 0).all()):
        raise InputError("a noise level sigma_n is negative or not finite")
    for name, fitting in (("mask", "mask"), ("sampled", "linear")):
        if name in batch.cond.keys() - corruption.carries:
            raise InputError(
                f"the rows bring a mask of what was measured ({name}), which corruption {corruption.name!r} does "
                f"not use: {_remedy(name, fitting, corruption)}"
            )
    if not restored and "mask" in corruption.carries - batch.cond.keys():
        raise InputError(
            f"the rows bring no mask, by which corruption {corruption.name!r} knows what was measured of them: say in "
            "the data set what is missing (missing: mask, for values that are NaN), or leave --corruption out"
        )
    floor = corruption.floor(batch)
    if (floor >= levels.sigma_max).any():
        rows = batch.row[floor >= levels.sigma_max].tolist()
        raise InputError(
            f"{len(rows)} rows have sigma_n at or above sigma_max = {levels.sigma_max:g}; the first are rows {rows[:5]}"
        )
    beyond = list(islice(observations.at_or_above(levels.sigma_max), 9))
    if beyond:
        first = ", ".join(map(str, beyond[:8])) + (" and more" if len(beyond) > 8 else "")
        raise InputError(
            f"rows have sigma_n at or above sigma_max = {levels.sigma_max:g}: rows {first}. Leave them out, or "
            "raise levels.sigma_max"
        )
    if not restored or bool((batch.sigma_n > 0).any()):  # a row without noise that is restored may be flat
        refuse_one_value(batch)
    x, cond = batch.x_n, batch.cond
    if corruption.carries:  # the denoiser sees something else than was measured
        one = take(batch, torch.zeros(1, dtype=torch.long))
        view = corruption.show(
            one, corruption.floor(one).clamp(min=levels.sigma_min), keyed_generator(0, "survey.view")
        )
        x, cond = view.x, view.cond
        _refuse_other_shape(observations, corruption, tuple(x.shape[1:]))
    if observations.rows.mapping is None:  # rows without a mapping: no reader has judged their scale
        found = judge_scale(
            float(x.min()),
            float(x.max()),
            float(floor.max()),
            assumed=True,
            stored=observations.rows.stored,
        )
        if found is not None and "sampled" not in corruption.carries:
            warn(str(found))
        elif found is not None and found.refused:
            warn(
                f"what the network sees, measurements carried back by the adjoint, goes from {float(x.min()):g} to "
                f"{float(x.max()):g}, far beyond [-1, 1]. Scale the operator, or the maps of coils, so that its norm "
                "is about 1, and the rows with it"
            )
    _refuse_below(batch, levels.sigma_min, noise_estimated)
    unseen = corruption.unseen(batch)
    if not unseen:
        refuse_scale(corruption, batch)
    refuse_moved(corruption, take(batch, torch.zeros(1, dtype=torch.long)), observations)
    if sigma_data is None:
        if unseen:  # their std is not known
            raise InputError(unseen)
        sigma_data = corruption.clean_std(batch)
        # In the scale of x_0, and without what was not measured, as sigma_data is.
        spread = corruption.clean_std(batch._replace(sigma_n=torch.zeros_like(batch.sigma_n)))
        refuse_no_data(corruption, batch, sigma_data, spread)
    if not restored and not unseen:
        for told in filter(None, (off_share(corruption, batch), apart(corruption, batch))):
            warn(told)
    conds = {name: tuple(value.shape[1:]) for name, value in cond.items()}
    return Survey(
        total,
        Signal(tuple(x.shape[1:]), sigma_data, conds),
        (float(batch.sigma_n.min()), float(batch.sigma_n.max())),
        unseen,
        observations.rows.mapping,
        decodes(observations.rows),
    )


def _refuse_other_shape(observations: Observed, corruption: Corruption, shape: tuple[int, ...]) -> None:
    """Raises InputError where an adjoint makes rows of another shape than the clean rows that were measured."""
    clean = observations.rows[0] if isinstance(observations, Observations) else None
    if isinstance(clean, Clean) and tuple(clean.x_0.shape) != shape:
        raise InputError(
            f"corruption {corruption.name!r}: the adjoint of its operator makes rows of shape {shape}, and the "
            f"rows that it measures have {tuple(clean.x_0.shape)}: give back that shape"
        )


def _remedy(name: str, fitting: str, corruption: Corruption) -> str:
    """The change under which the mask that rows bring is used."""
    if name == "mask" and "sampled" in corruption.carries:
        return (
            "give the data set measurements: true (masked) where the rows are measurements of the operator, or "
            "--corruption mask where they are pictures themselves"
        )
    return f"give --corruption {fitting}"


def _refuse_below(batch: Batch, sigma_min: float, estimated: bool) -> None:
    """Raises InputError where there is noise, but none at or above the lowest level of the run: it would be learned as
    part of the picture."""
    noisy = batch.sigma_n.flatten(1).amax(1) if batch.sigma_n.ndim > 1 else batch.sigma_n
    below = (noisy > 0) & (noisy < sigma_min)
    if not below.any():
        return
    told = f"the lowest level of the run, sigma_min = {sigma_min:g}"
    if float(noisy.max()) >= sigma_min and not estimated:
        warn(
            f"{int(below.sum())} of {len(noisy)} rows looked at have a noise level below {told}: their noise is "
            "learned as part of the picture"
        )
        return
    raise InputError(
        f"the noise of {int(below.sum())} of {len(noisy)} rows looked at (sigma_n at most "
        f"{float(noisy[below].max()):.3g}) is below {told}: "
        "it would be learned as part of the picture.\n"
        "Do the values fill [-1, 1]? Give value_range, the two file values that stand for -1 and 1, or have it "
        "measured: value_range: data. "
        "Otherwise lower levels.sigma_min, or say that the rows are clean"
    )


def _rows_at(observations: Observed, indices: list[int]) -> Batch:
    try:
        return observations.__getitems__(indices)
    except RuntimeError as error:  # torch's stack of rows that do not fit together
        raise InputError(f"the rows of the data set do not have one shape ({error})") from None
