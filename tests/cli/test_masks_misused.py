"""Masks, k-space and operators that do not fit: one message with status 2 before step 1, or a warning that says what to
change."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

pytestmark = pytest.mark.slow

N, SIDE = 24, 8
ROWS = np.random.default_rng(0).uniform(-0.9, 0.9, (N, 1, SIDE, SIDE)).astype(np.float32)
MASKS = np.random.default_rng(1).random(ROWS.shape) < 0.6
NOWHERE = np.where(np.arange(SIDE**2).reshape(SIDE, SIDE) == 19, False, MASKS)
"""Masks under which one pixel is in no row."""
SMALL = ("--model", "mlp", "--set", "model.width=8", "--set", "model.depth=1", "--end-step", 1, "--batch-size", 8)
SMALL += ("--device", "cpu", "--hold-out", 0, "--skip-preflight")


class Own:
    """An operator of a user: two methods, by their functions."""

    def __init__(self, forward: Any, adjoint: Any) -> None:
        self.forward, self.adjoint = forward, adjoint


def _same(x: Any) -> Any:
    return x.copy()


def _half(x: Any) -> Any:
    return x * (np.arange(SIDE) < SIDE // 2)


def _coarse(x: Any) -> Any:
    found = np.fft.fft2(x)
    found[..., 3:6, :] = 0
    return np.fft.ifft2(found).real


OWN = {
    "transposed": Own(lambda x: np.roll(x, 1, -1), lambda y: np.roll(y, 1, -1)),
    "complex": Own(np.fft.fft2, _same),
    "no_rows": Own(lambda x: np.zeros(0, x.dtype), lambda y: np.zeros((1, SIDE, SIDE), y.dtype)),
    "zeros": Own(_half, _half),
    "coarse": Own(_coarse, _coarse),
    "number": Own(lambda x: float(x.sum()), lambda y: np.full((1, SIDE, SIDE), y)),
    "flat": Own(np.ravel, _same),
    "of_tensors": Own(lambda x: x.to("cpu"), _same),
    "changing": Own(lambda x: x + np.random.default_rng().standard_normal(x.shape).astype(x.dtype), _same),
    "double": Own(lambda x: 0.7 * x.astype(np.float64), lambda y: 0.7 * y.astype(np.float64)),
    "large": Own(lambda x: 1000 * x, lambda y: 1000 * y),
}


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_operators")
    module.__dict__.update(OWN)
    monkeypatch.setitem(sys.modules, "own_operators", module)
    monkeypatch.chdir(tmp_path)
    np.save("rows.npy", ROWS)
    np.save("gaps.npy", np.where(MASKS, ROWS, np.nan))


def refused(ambientkit: Any, *arguments: Any) -> str:
    """The one message of a command that ends with status 2 before step 1."""
    status, out, err = ambientkit("train", *arguments, *SMALL, "--output-dir", "run")
    assert status == 2, (out, err)
    assert err.count("error:") == 1
    assert "Traceback" not in err
    assert not Path("run", "checkpoints").exists()
    return err


MISFITS = {
    "shape": (MASKS[..., :7], "masks of shape (24, 1, 8, 7) do not fit rows of shape (24, 1, 8, 8)"),
    "count": (MASKS[:20], "give 24 masks, one for each row, or a single one for all"),
    "none": (MASKS[:0], "give 24 masks"),
    "of one axis": (MASKS[0, 0, 0], "do not fit rows"),
    "without axes": (np.array(True), "masks of shape () do not fit"),
    "all missing": (np.zeros_like(MASKS), "no row holds a measured value. A mask is 1 where a value was measured"),
    "a pixel in no row": (NOWHERE, "1 of 64 values are missing in each of the 24 rows looked at"),
    "0 and 255": (255 * MASKS.astype(np.uint8), "mask 0 holds 255 (uint8)"),
    "halves": (MASKS / 2, "mask 0 holds 0.5 (float64)"),
    "nan": (np.where(MASKS, 1, np.nan), "mask 0 holds nan"),
    "complex": (MASKS + 0j, "and is complex128"),
}


@pytest.mark.parametrize("case", MISFITS)
def test_masks_that_do_not_fit_are_refused_with_what_was_read(case: str, ambientkit: Any) -> None:
    masks, said = MISFITS[case]
    np.save("masks.npy", masks)
    data = "masked{path: rows.npy, masks: masks.npy, sigma_n: 0.1}"
    err = refused(ambientkit, "--data", data, "--corruption", "mask")
    assert said in err
    assert "masks.npy" in err or "allow_unseen" in err


def test_an_archive_and_rows_of_nothing_are_refused(ambientkit: Any) -> None:
    np.savez("masks.npz", first=MASKS)
    np.save("empty.npy", np.full_like(ROWS, np.nan))
    err = refused(ambientkit, "--data", "masked{path: rows.npy, masks: masks.npz}", "--corruption", "mask")
    assert "masks.npz: cannot be read as a .npy file (it is an .npz archive of first" in err
    err = refused(ambientkit, "--data", "masked{path: empty.npy, missing: nan}", "--corruption", "mask")
    assert "empty.npy: missing: nan: no row holds another value than this" in err


@pytest.mark.parametrize("missing", [1, -0.1, 1.5, "nan"])
def test_a_share_that_cannot_be_is_refused(missing: Any, ambientkit: Any) -> None:
    err = refused(ambientkit, "--data", "digits", "--corruption", f"mask{{missing: {missing}}}")
    assert "corruption.missing: should be" in err


def test_a_share_far_from_that_of_the_rows_and_masks_that_hide_nothing_are_reported(ambientkit: Any) -> None:
    def warned(data: str, corruption: str, name: str) -> str:
        status, out, err = ambientkit(
            "train", "--data", data, "--corruption", corruption, *SMALL, "--objective", "tweedie", "--output-dir", name
        )
        assert status == 0, (out, err)
        return str(err)

    gaps = "masked{path: gaps.npy, missing: nan, sigma_n: 0.1}"
    err = warned(gaps, "mask{missing: 0.02}", "few")
    assert "the rows lack 40 % of their values, and by corruption.missing = 0.02 it would be 2 %" in err
    assert "hidden values weigh 0.16 times what they should" in err
    assert "Give missing: 0.4\n" in err
    assert "the rows lack" not in warned(gaps, "mask{missing: 0.3}", "near")
    assert "the rows lack" not in warned("digits", "mask{missing: 0.3}", "simulated")
    np.save("masks.npy", np.ones_like(MASKS))
    err = warned("masked{path: rows.npy, masks: masks.npy, sigma_n: 0.1}", "mask{missing: 0}", "whole")
    assert "no mask hides anything" in err
    corners = np.array(np.load("gaps.npy"))
    corners[..., :4, :] = ROWS[..., :4, :]
    corners[..., 4:, :] = np.nan  # no row has them, so that no chance hides them
    np.save("corners.npy", corners)
    told = warned(
        "masked{path: corners.npy, missing: nan, sigma_n: 0.1}", "mask{missing: 0, allow_unseen: true}", "half"
    )
    assert "the rows lack" not in told


def test_a_round_field_is_told_by_the_values_that_some_row_has(ambientkit: Any) -> None:
    """Case: "the rows lack 0.0% of their values. Give missing: 0" came before what was wrong."""
    round_field = np.hypot(*np.mgrid[-3.5:4, -3.5:4]) < 4
    np.save("field.npy", np.where(round_field, ROWS, np.nan))
    data = ("--data", "masked{path: field.npy, missing: nan, sigma_n: 0.1}")
    err = refused(ambientkit, *data, "--corruption", "mask")
    assert "12 of 64 values are missing in each of the" in err
    assert "the rows lack" not in err
    flags = (*data, "--corruption", "mask{allow_unseen: true}", *SMALL, "--objective", "tweedie")
    status, _, err = ambientkit("train", *flags, "--output-dir", "field")
    assert status == 0
    assert "the rows lack none of the values that some row has, and by corruption.missing = 0.4 it would be 40 %" in err
    assert "Give missing: 0\n" in err


OPERATORS = {
    "transposed": "its adjoint is not its transpose on these rows",
    "complex": "own_operators:complex.forward answers with complex128: real numbers are needed",
    "no_rows": "it measures nothing",
    "zeros": "32 directions of x_0 are measured in no row, at frequencies",
    "coarse": "directions of x_0 are measured in no row, at frequencies (vertical, horizontal)",
    "number": "own_operators:number.forward answers with one number, float: an array is needed",
    "flat": "makes rows of shape (64,), and the rows that it measures have (1, 8, 8)",
    "of_tensors": "own_operators:of_tensors.forward raised AttributeError on a row of shape (1, 8, 8), float32",
    "changing": "two calls with the same rows differ",
}


def _measuring(operator: str) -> tuple[str, ...]:
    return "--corruption", f"linear{{operator: {operator}, sigma_n: 0.1}}", "--objective", "tweedie"


def _own(name: str) -> tuple[str, ...]:
    return _measuring(f"{{name: python, object: 'own_operators:{name}'}}")


@pytest.mark.parametrize("case", OPERATORS)
def test_operators_that_are_none_are_refused_with_the_reason(case: str, ambientkit: Any) -> None:
    assert OPERATORS[case] in refused(ambientkit, "--data", "digits", *_own(case))


def test_an_operator_in_double_precision_is_taken_and_one_of_another_scale_reported(ambientkit: Any) -> None:
    for name, said in (("double", ""), ("large", "Scale the operator")):
        status, _, err = ambientkit("train", "--data", "digits", *_own(name), *SMALL, "--output-dir", name)
        assert status == 0, err
        assert said in err
        assert "value_range" not in err


def test_matrices_and_kernels_that_are_not_real_or_not_finite_are_refused(ambientkit: Any) -> None:
    np.save("complex.npy", np.eye(SIDE**2) + 0j)
    np.save("holes.npy", np.where(np.eye(SIDE) > 0, np.nan, 1.0))
    err = refused(ambientkit, "--data", "digits", *_measuring("{name: matrix, path: complex.npy, shape: [1, 8, 8]}"))
    assert "complex.npy: holds complex128, and real numbers are needed" in err
    err = refused(ambientkit, "--data", "digits", *_measuring("{name: blur, kernel: complex.npy}"))
    assert "complex.npy: holds complex128" in err
    err = refused(ambientkit, "--data", "digits", *_measuring("{name: blur, kernel: holes.npy}"))
    assert "holes.npy: 8 of 64 numbers are not finite" in err


def write_kspace(name: str, coils: int = 0, lines: Any = None, height: int = 7, width: int = 9, hole: bool = False):
    """Six slices of odd sizes, with maps of even coils; hole: NaN in one of them."""
    rng, middle = np.random.default_rng(2), (coils,) if coils else ()
    values = rng.standard_normal((6, *middle, height, width, 2)) @ np.array([1, 1j])
    with h5py.File(name, "w") as file:
        file["kspace"] = (values * (1.0 if lines is None else lines)).astype(np.complex64)
        if lines is not None:
            file["mask"] = np.asarray(lines, np.float32)
        if coils:
            maps = np.full((6, coils, height, width), coils**-0.5, np.complex64)
            maps[3, 1, 2, 2] = np.nan if hole else maps[3, 1, 2, 2]
            file["sensitivity_maps"] = maps


def _scan(name: str, operator: str = "fourier", more: str = "") -> tuple[str, ...]:
    word = f"linear{{operator: {operator}, kind: columns, missing: 0.2{more}}}"
    return "--data", f"kspace{{path: {name}, sigma_n: 0.05}}", "--corruption", word, "--objective", "tweedie"


def test_k_space_that_does_not_fit_is_refused_and_odd_sizes_are_taken(ambientkit: Any) -> None:
    write_kspace("holes.h5", coils=3, hole=True)
    assert "sensitivity_maps of slice 3 hold values that are not finite" in refused(ambientkit, *_scan("holes.h5"))
    write_kspace("lines.h5", lines=[1, 1, 0, 1, 1, 1, 1, 1, 1])
    err = refused(ambientkit, *_scan("lines.h5"))
    assert "14 directions of x_0 are measured in no row, at frequencies (vertical, horizontal)" in err
    write_kspace("one.h5")
    err = refused(ambientkit, *_scan("one.h5", "{name: fourier, coils: 4}"))
    assert "measurements of shape (2, 7, 9) are 1 coils of two channels each" in err
    write_kspace("coils.h5", coils=3)
    status, out, err = ambientkit("train", *_scan("coils.h5"), *SMALL, "--output-dir", "scan")
    assert status == 0, (out, err)
    assert "value_range" not in err  # which rows of k-space do not have
    status, _, err = ambientkit("sample", "scan", "-n", 1, "--steps", 2, "--device", "cpu", "--out", "drawn")
    assert status == 2
    assert "this run was trained on rows that brought coils of their own, and samples bring none" in err
    status, _, err = ambientkit("evaluate", "scan", "--device", "cpu", "-n", 8)
    assert status == 2
    assert "Restore rows by `ambientkit sample scan --from ROWS`, and give their folder, with the clean rows" in err


@pytest.mark.thorough
def test_k_space_that_cannot_be_of_such_pictures_is_named_before_step_1(ambientkit: Any) -> None:
    write_kspace("complex.h5")
    for operator, share in (("fourier", ""), ("{name: fourier, real: true}", "% of the energy of the first rows")):
        word = ("--corruption", f"linear{{operator: {operator}, missing: 0}}", "--objective", "tweedie")
        data = "kspace{path: complex.h5, sigma_n: 0.05}"
        status, out, err = ambientkit("train", "--data", data, *word, *SMALL[:-1], "--output-dir", f"run{bool(share)}")
        assert status == 0, (out, err)
        assert (share in err) if share else ("cannot have come through" not in err)


def test_k_space_of_bright_pictures_is_taken_and_of_a_forgotten_scale_refused(ambientkit: Any) -> None:
    """The middle of k-space holds the mean of a picture times its side, 32 here: no range of values for [-1, 1]."""
    rng = np.random.default_rng(3)
    values = 0.2 * rng.standard_normal((20, 64, 64, 2)) @ np.array([1, 1j])
    values[:, 32, 32] += 32
    with h5py.File("bright.h5", "w") as file:
        file["kspace"] = values.astype(np.complex64)

    def scaled(scale: float, sigma_n: float = 0.05) -> tuple[str, ...]:
        word = ("--corruption", "linear{operator: fourier, missing: 0}", "--objective", "tweedie")
        return "--data", f"kspace{{path: bright.h5, sigma_n: {sigma_n}, scale: {scale}}}", *word

    err = refused(ambientkit, *scaled(0.01))
    assert "measured values have a root mean square of 41, and pictures in [-1, 1] have at most about 1" in err
    assert "value_range" not in err
    assert "have a root mean square of 0.0041: for the network" in refused(ambientkit, *scaled(100, 0.003))
    status, out, err = ambientkit("train", *scaled(1), *SMALL, "--output-dir", "run")
    assert status == 0, (out, err)
    assert "units" not in err


def test_a_resumed_run_and_restored_rows_take_no_masks_of_others(ambientkit: Any) -> None:
    np.save("masks.npy", MASKS)
    np.save("others.npy", ~MASKS)
    np.save("few.npy", ROWS[:10])
    data = "masked{path: rows.npy, masks: masks.npy, sigma_n: 0.1}"
    status, out, err = ambientkit("train", "--data", data, "--corruption", "mask", *SMALL, "--output-dir", "run")
    assert status == 0, (out, err)
    again = ("train", "--resume", "run", "--end-step", 2, "--skip-preflight")

    def said(*arguments: Any) -> str:
        status, out, err = ambientkit(*arguments)
        assert status == 2, (out, err)
        assert err.count("error:") == 1
        return str(err)

    assert "a resumed run cannot change" in said(*again, "--set", "data.masks=others.npy")
    restore = ("sample", "run", "--draws", 0, "--device", "cpu", "--out", "out", "--from")
    err = said(*restore, "masked{path: few.npy, masks: masks.npy, sigma_n: 0.1}")
    assert "give 10 masks, one for each row" in err
    status, out, err = ambientkit(*restore, "rows.npy", "--sigma-n", 0.1)
    assert status == 0, (out, err)
    assert "the rows bring no mask, and all their values count as measured" in err
    np.save("masks.npy", ~MASKS)
    assert "were changed since it was trained" in said(*again)


def test_masks_that_contradict_the_rows_are_refused(ambientkit: Any) -> None:
    rng = np.random.default_rng(0)
    seen = rng.random((200, 8, 8)) < 0.7
    smooth = np.cumsum(rng.uniform(-0.2, 0.2, (200, 8, 8)), -1)
    np.save("filled.npy", np.where(seen, smooth + 0.1 * rng.standard_normal(seen.shape), 0.0).astype(np.float32))
    for name, masks in {"right": seen, "whole": seen | True, "other": np.roll(seen, 1, 0), "turned": ~seen}.items():
        np.save(f"{name}.npy", masks)
    data = "masked{{path: filled.npy, masks: {}.npy, sigma_n: 0.1}}".format
    for name in ("whole", "other"):
        told = refused(ambientkit, "--data", data(name), "--corruption", "mask")
        assert "of the values that the masks call measured are exactly 0" in told
        assert "--allow missing" in told
    assert "store 1 - masks" in refused(ambientkit, "--data", data("turned"), "--corruption", "mask")
    status, _, err = ambientkit(
        "train", "--data", data("right"), "--corruption", "mask{missing: 0.3}", *SMALL, "--output-dir", "right"
    )
    assert status == 0, err
