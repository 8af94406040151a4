"""From a data set to a whole configuration with the reason of each line."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.checkpoint.target import check_target
from ambientkit.config.datapath import DataLike, data_argument, with_bad_files
from ambientkit.config.files import KeyPath
from ambientkit.data.gapped import declaring, gap_in
from ambientkit.data.measured_units import refuse_whole, shows_pictures
from ambientkit.data.run_proposal import RunProposal
from ambientkit.errors import InputError
from ambientkit.inspection.photon import dark_frames
from ambientkit.inspection.transfer import Dark
from ambientkit.interfaces import Corruption, Data
from ambientkit.proposing.centred import centred
from ambientkit.proposing.clipped import clipped_values
from ambientkit.proposing.noise import NoiseModel, noise_model
from ambientkit.proposing.said_errors import said_noise
from ambientkit.proposing.settings import settings
from ambientkit.proposing.slices import slices_of
from ambientkit.proposing.unmeasured import unmeasured
from ambientkit.readers import Stored
from ambientkit.readers.measured import beyond, measured_range
from ambientkit.readers.over import bare
from ambientkit.readers.own_values import OwnValues, own_values
from ambientkit.readers.usable import enough_counts
from ambientkit.registry import Registry, given_spec
from ambientkit.units.counts import CountRange
from ambientkit.units.ranges import ValueRange
from ambientkit.units.scale import judge_scale, within_unit
from ambientkit.versions import versions

FRAMES = 2**24
"""Most values read of dark, flat and repeated frames."""
FULL = 0.5
"""Share of the range of a number type from which the type's own range is proposed."""
LARGE, WINDOW = 128, 64
"""Pictures with a longer side than `LARGE` are trained on in windows of `WINDOW` pixels."""
MARGIN = 10.0
"""The noise level over the lowest level of a run, at least."""

SERVES = "The only objective for rows that an operator measured."
UNKNOWN = (
    "the noise of what was measured, which measurements do not show: give --sigma-n, its std in the units of the "
    "measurements (0 for none)"
)
GAPS = (
    "rows without gaps: of rows that an operator measured, masks come from the data set `masked` (measurements: true)"
)

Array = NDArray[np.float64]


def propose(
    data: DataLike,
    registry: Registry,
    *,
    sigma_n: Any = None,
    dark: DataLike = None,
    flat: Sequence[DataLike] = (),
    repeats: Sequence[DataLike] = (),
    rows: int = 512,
    on_bad_file: str | None = None,
    corruption: Corruption | None = None,
) -> RunProposal:
    """A configuration for rows in files.

    sigma_n: the noise level in units of [-1, 1], where it is known. dark: frames without light; flat: for each
    brightness frames of an even light; repeats: for each scene frames of it. They are read as data sets are, in file
    units. rows: looked at. corruption: how the rows were observed; the configuration holds it. Raises InputError for
    data that are no files, and for what cannot be read.
    """
    found = data_argument(data, registry, "DATA")
    if isinstance(found, Data):
        raise InputError("--write: a run can be proposed for data in files; save the rows as .npy first")
    found = with_bad_files(found, on_bad_file, registry)
    part = registry.build(Data, found)
    if not isinstance(part, Stored):
        raise InputError(
            f"--write: the data set {part.name!r} has no files of its own; its noise is simulated, and `train` "
            "needs no proposal"
        )
    values = own_values(part, rows)
    through = corruption
    if isinstance(through, Linear) and not shows_pictures(through):
        if dark is not None or flat or repeats:
            raise InputError(
                "--dark, --flat, --repeats: frames show the noise of pictures; of rows that an operator measured give "
                "--sigma-n"
            )
        return _of_measurements(part, values, through, sigma_n, rows, registry, found)
    spec: dict[str, Any] = {key: str(value) if isinstance(value, Path) else value for key, value in found.items()}
    cut_up, reasons = slices_of(part, spec, values.rows.shape[1:])
    if cut_up:
        spec |= cut_up
        part = registry.build(Data, spec)
        assert isinstance(part, Stored)
        values = own_values(part, rows)
    missing: list[str] = []
    frames = bool(flat or repeats)
    told = ""
    if (gap := gap_in(part, rows, values)) is not None and gap.value != "nan":
        spec = declaring(gap, part)
        told = f"{100 * gap.share:.3g} % of the values are this one and say nothing of what is around."
        part = registry.build(Data, spec)
        assert isinstance(part, Stored)
        values = own_values(part, rows)
    gone = unmeasured(part, spec, values, rows, registry, known=frames or isinstance(sigma_n, int | float))
    part, values, seen_in_part = gone.part, gone.values, gone.corruption
    if isinstance(through, Linear) and seen_in_part:
        return RunProposal({}, {}, [GAPS])
    spec |= gone.fields
    reasons |= gone.reasons
    if told:
        reasons["data", "missing"] = told
    missing += gone.missing
    if missing:
        return RunProposal({}, {}, missing)
    noise = _noise(part, values, sigma_n, registry, dark, flat, repeats, seen_in_part is not None)
    missing += noise.missing
    if missing:
        return RunProposal({}, {}, missing, photon=noise.photon)
    spec |= noise.fields
    reasons |= {("data", *path): why for path, why in noise.reasons.items()}
    value_range, why = _range(part, values, noise)
    if value_range is not None:
        spec["value_range"] = value_range
    reasons["data", "value_range"] = why
    if (few := _too_few(values, noise, value_range)) is not None:
        return RunProposal({}, {}, [few], photon=noise.photon)
    if (lost := clipped_values(values, spec)) is not None:
        spec["clipped"] = "keep"
        reasons["data", "clipped"] = lost
    levels = _levels(spec, part, values)
    shape = values.rows.shape[1:]
    cut = None if isinstance(through, Linear) else _crop(shape)
    seen = shape if cut is None else (shape[0], cut, cut)
    augment = () if cut is None else (f"crop={cut}x{cut}",)
    observed = seen_in_part if through is None else {**(seen_in_part or {}), **given_spec(through)}
    objective = "tweedie" if isinstance(through, Linear) else None
    chosen = settings(spec, seen, values.total, registry, augment, observed or "gaussian", objective)
    if cut is not None:
        reasons["augment",] = (
            f"Pictures of {shape[1]} x {shape[2]} are learned by windows of {cut} x {cut}, another one at each visit; "
            "whole pictures are restored in tiles."
        )
    if "value_range" not in spec:
        reasons.pop(("data", "value_range"))
    reasons |= chosen.reasons
    if levels:
        reasons["levels", "sigma_min"] = (
            f"A tenth of the noise level, {levels['sigma_min'] * MARGIN:.3g}; the default is above it."
        )
    reasons["data",] = (
        f"{values.total:,} rows of {' x '.join(map(str, shape))}, {values.found.source.dtype} in the files."
    )
    tree: dict[str, Any] = {"data": spec, **({"corruption": observed} if observed else {}), **chosen.tree}
    if through is not None:
        reasons["corruption",] = "Given."
    if isinstance(through, Linear):
        reasons["objective",] = SERVES
    elif observed and spec.get("sigma_n") == 0:
        tree["objective"] = "tweedie"
        reasons["objective",] = "Measured values have no noise, so that there is nothing to learn below it."
    if levels:
        tree["levels"] = {**chosen.tree.get("levels", {}), **levels}
    head = (*_head(values), *chosen.head, *(f"Not known: {note}" for note in noise.notes))
    return RunProposal(tree, _in_order(tree, reasons), (), head, noise.photon, chosen.refused)


def _of_measurements(
    part: Stored,
    values: OwnValues,
    through: Linear,
    sigma_n: Any,
    rows: int,
    registry: Registry,
    spec: Mapping[str, Any],
) -> RunProposal:
    """Of rows that an operator measured, which show neither their noise nor what their values mean."""
    fields = {key: str(value) if isinstance(value, Path) else value for key, value in spec.items()}
    observed = given_spec(through)
    reasons: dict[KeyPath, str] = {}
    if (gap := gap_in(part, rows, values)) is not None:
        fields = declaring(gap, part, through)
        reasons["data", "measurements"] = "Measurements that are missing come with a mask of their own."
        if "missing" not in through.model_fields_set:
            observed["missing"] = float(f"{gap.share:.3g}")
            reasons["corruption", "missing"] = "The share of the measurements that is missing."
    refuse_whole(part, through)
    if sigma_n is not None:
        fields["sigma_n"] = sigma_n
        reasons["data", "sigma_n"] = "Given, in units of [-1, 1]."
    elif part.sigma_n is None and values.found.levels is None:
        return RunProposal({}, {}, [UNKNOWN])
    chosen = settings(fields, values.rows.shape[1:], values.total, registry, (), observed, "tweedie")
    tree = {"data": fields, "corruption": observed, **chosen.tree}
    reasons |= {("corruption",): "Given.", ("objective",): SERVES, **chosen.reasons}
    return RunProposal(tree, _in_order(tree, reasons), (), (*_head(values), *chosen.head), None, chosen.refused)


def _head(values: OwnValues) -> tuple[str, str]:
    """Of every proposal: where it comes from, and how to use it."""
    return (
        f"Proposed by `ambientkit inspect ... --write`, ambientkit {versions()['ambientkit']}, from "
        f"{len(values.rows)} of {values.total:,} rows.",
        "Train with `ambientkit train -c THIS_FILE`; every line may be changed, and flags of `train` win over it.",
    )


def _crop(shape: tuple[int, ...]) -> int | None:
    """The side of windows to train on; None for rows that are small enough, or no pictures."""
    if len(shape) != 3 or max(shape[1:]) <= LARGE:
        return None
    return min(WINDOW, 2 ** int(math.log2(min(shape[1:]))))


def _noise(
    part: Stored,
    values: OwnValues,
    sigma_n: Any,
    registry: Registry,
    dark: DataLike,
    flat: Sequence[DataLike],
    repeats: Sequence[DataLike],
    masked: bool,
) -> NoiseModel:
    """The noise model: as declared, or from frames or the rows. masked: rows with missing pixels count too."""
    if sigma_n is not None and sigma_n != "estimate":
        return NoiseModel({"sigma_n": sigma_n}, {("sigma_n",): "Given, in units of [-1, 1]."})
    if part.sigma_n is not None or part.counts is not None:
        return NoiseModel(reasons={("counts" if part.counts else "sigma_n",): "Given with the data."})
    if part.clean:
        raise InputError("--write: the rows are said to be clean; there is no noise to be found")
    if values.found.levels is not None:
        return NoiseModel(notes=["(the noise level is stored with the rows, and read from there)"])
    if dark is None and not flat and not repeats:
        said: dict[str, Any] = getattr(bare(values.found.source), "said_noise", dict)()
        if said:
            return said_noise(part, said, values, registry)
    whole = values.rows if masked else values.whole
    if not len(whole):
        return NoiseModel(missing=["rows without missing pixels"])
    seen = None if dark is None else _dark(dark, registry)
    scenes = [
        _frames(one, registry, flag) for flag, given in (("--flat", flat), ("--repeats", repeats)) for one in given
    ]
    called = " and ".join(str(one) for one in (*flat, *repeats))
    return noise_model(whole, seen, scenes, called)


def _frames(data: DataLike, registry: Registry, flag: str) -> Array:
    """Frames (k, C, H, W) in file values. Raises InputError where some are damaged."""
    found = data_argument(data, registry, flag)
    part = found if isinstance(found, Data) else registry.build(Data, found)
    if not isinstance(part, Stored):
        raise InputError(f"{flag}: should be a folder or file of frames, but is the data set {part.name!r}")
    frames = own_values(part, 10_000, FRAMES).rows
    if np.isnan(frames).any():
        raise InputError(f"{flag} {data}: frames hold missing values")
    return frames


def _dark(data: DataLike, registry: Registry) -> Dark:
    return dark_frames(_frames(data, registry, "--dark"))


def _range(part: Stored, values: OwnValues, noise: NoiseModel) -> tuple[list[float] | None, str]:
    """The value range, and why; None for one that need not be written."""
    dtype = values.found.source.dtype
    if part.value_range not in (None, "data"):
        return None, "Given with the data."
    seen = values.rows[np.isfinite(values.rows)]
    low, high = float(seen.min()), float(seen.max())
    if not noise.counts:
        level = noise.fields.get("sigma_n")
        level = level if isinstance(level, float) else 0.0
        doubt = judge_scale(low, high, level, assumed=True, stored=str(dtype))
        if dtype.kind == "f" and within_unit(low, high, level) and high - low > 0.5 and doubt is None:
            return None, "Floating point in [-1, 1] already."
        if dtype.kind == "u" and dtype.itemsize == 1 and high - low >= FULL * 255:
            return [0.0, 255.0], "The whole range of the type, of which the values use more than half."
    found = [float(f"{value:.5g}") for value in measured_range(values.found.source)]
    if (moved := centred(found, seen, noise.fields.get("counts"))) is not None:
        return moved
    far = beyond((found[0], found[1]), low, high)
    out = float(((seen < found[0]) | (seen > found[1])).mean())
    return found, (
        "These two file values become -1 and 1: 0.1 % and 99.9 % of the values lie below them. All go from "
        f"{low:.5g} to {high:.5g}; "
        f"{100 * out:.2g} % lie outside and are not clipped; results are turned back."
        + (f" {far[0].upper()}{far[1:]}" if far else "")
    )


def _too_few(values: OwnValues, noise: NoiseModel, value_range: list[float] | None) -> str | None:
    """Why `train` would refuse these counts; None where it would not."""
    if value_range is None or "counts" not in noise.fields:
        return None
    try:
        enough_counts(values.found.source, CountRange(*value_range, **noise.fields["counts"]))
    except InputError as error:
        return str(error)
    return None


def _levels(spec: Mapping[str, Any], part: Stored, values: OwnValues) -> dict[str, float]:
    """The lowest level of the run, where the default is too near the noise."""
    pair = spec.get("value_range") or part.value_range or None
    level = spec.get("sigma_n")
    if "counts" in spec and pair:
        sigma = CountRange(*pair, **spec["counts"]).sigma_n
    elif isinstance(level, float):
        mapping = ValueRange(*pair) if isinstance(pair, list | tuple) else ValueRange.of(values.found.source.dtype)
        sigma = mapping.sigma_to_unit(level) if spec.get("sigma_units") == "file" else level
    else:
        return {}
    return {"sigma_min": float(f"{sigma / MARGIN:.2g}")} if sigma < MARGIN * 0.002 else {}


def _in_order(tree: Mapping[str, Any], reasons: Mapping[KeyPath, str], at: KeyPath = ()) -> dict[KeyPath, str]:
    """The reasons in the order of the keys; those of keys that are not written are left out."""
    ordered: dict[KeyPath, str] = {}
    for key, value in tree.items():
        if (path := (*at, key)) in reasons:
            ordered[path] = reasons[path]
        if isinstance(value, Mapping):
            ordered |= _in_order(value, reasons, path)
    return ordered


def path_of(write: str | Path) -> Path:
    """Where a proposal is written. Raises InputError for a name that `train -c` does not read, and where
    nothing can be written."""
    path = Path(write)
    if path.suffix not in (".yaml", ".yml"):
        raise InputError(f"--write {path}: should be a .yaml file")
    if os.path.exists(path):  # unlike Path.exists, of a name that is too long too
        raise InputError(f"--write {path}: exists already; give another name, or remove it")
    check_target(path, "--write")
    return path
