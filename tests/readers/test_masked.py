"""Rows seen in part from files: masks beside them, values that stand for nothing, and k-space in fastMRI's layout."""

from __future__ import annotations

import re

import h5py
import numpy as np
import pytest
import torch
from torch import Generator

import ambientkit as ak
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.corruptions.linear import Linear
from ambientkit.builtin.corruptions.mask import Mask
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.hdf5 import HDF5
from ambientkit.builtin.data.kspace import KSpace
from ambientkit.builtin.data.masked import Masked
from ambientkit.data import observed, survey
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.operators import operator_of
from ambientkit.operators.fourier import as_complex

ROWS = np.random.default_rng(0).uniform(-0.9, 0.9, (12, 6, 8)).astype(np.float32)
SEEN = np.random.default_rng(1).random((12, 6, 8)) < 0.6


def test_a_mask_beside_the_rows_and_nan_in_them_mean_the_same(tmp_path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "masks.npy", SEEN)
    np.save(tmp_path / "gaps.npy", np.where(SEEN, ROWS, np.nan))
    one = Masked(path=tmp_path / "rows.npy", masks=tmp_path / "masks.npy", sigma_n=0.1).rows()
    other = Masked(path=tmp_path / "gaps.npy", missing="nan", sigma_n=0.1).rows()
    for row in range(12):
        assert torch.equal(one[row].x_n, other[row].x_n)
        assert torch.equal(one[row].cond["mask"], torch.from_numpy(SEEN[row])[None])
        assert torch.equal(one[row].x_n[0], torch.from_numpy(np.where(SEEN[row], ROWS[row], 0)))
    seen = survey(observed(one, Mask(), 0), Mask(), Levels(), None)
    assert seen.signal.conds == {"mask": (1, 6, 8)}
    with pytest.raises(InputError, match="give --corruption mask"):
        survey(observed(one, Gaussian(), 0), Gaussian(), Levels(), None)


def test_files_that_do_not_fit_are_refused_with_both_shapes(tmp_path) -> None:
    np.save(tmp_path / "rows.npy", ROWS)
    np.save(tmp_path / "masks.npy", SEEN[:5])
    with pytest.raises(InputError, match=r"\(5, 6, 8\).*\(12, 6, 8\)"):
        Masked(path=tmp_path / "rows.npy", masks=tmp_path / "masks.npy").rows()
    np.save(tmp_path / "gaps.npy", np.where(SEEN, ROWS, np.nan))
    np.save(tmp_path / "whole.npy", np.ones((1, 6, 8), dtype=bool))
    with pytest.raises(InputError, match="row 0 holds measured values that are not finite"):
        Masked(path=tmp_path / "gaps.npy", masks=tmp_path / "whole.npy").rows()


def test_k_space_of_several_coils_is_what_its_maps_and_the_transform_say_and_comes_back(tmp_path) -> None:
    g = Generator().manual_seed(0)
    pictures = torch.randn(3, 2, 6, 8, generator=g)
    coils = torch.randn(3, 8, 6, 8, generator=g)
    operator = operator_of("fourier")
    y = operator.forward(pictures, {"coils": coils})
    lines = np.array([1, 0, 1, 1, 1, 0, 1, 1], dtype=np.float32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = 4 * as_complex(y).numpy() * lines
        file["mask"] = lines
        file["sensitivity_maps"] = as_complex(coils).numpy()
    rows = KSpace(path=tmp_path, sigma_n=0.1, scale=4.0).rows()
    assert len(rows) == 3
    one = rows[1]
    assert one.x_n.shape == (8, 6, 8)
    assert torch.equal(one.cond["sampled"], torch.from_numpy(lines > 0).expand(1, 6, 8))
    back = (one.x_n[0::2] + 1j * one.x_n[1::2]) * 4
    assert np.allclose(back.numpy(), 4 * as_complex(y)[1].numpy() * lines, atol=1e-5)
    corruption = Linear(operator="fourier", kind="columns", missing=0.25)
    batch = observed(rows, corruption, 0).__getitems__([0, 1, 2])
    view = corruption.show(batch, torch.full((3,), 0.1), Generator().manual_seed(1))
    assert torch.allclose(corruption.expect(pictures, view, batch), batch.x_n, atol=1e-4)  # at its own level
    assert view.x.shape == (3, 2, 6, 8)
    assert torch.allclose(view.x, operator.adjoint(batch.x_n, {"coils": coils}), atol=1e-4)


def test_k_space_without_maps_or_of_two_shapes_is_refused(tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"] = np.ones((2, 3, 6, 8), dtype=np.complex64)
    with pytest.raises(InputError, match="3 coils, and no sensitivity_maps"):
        KSpace(path=tmp_path, sigma_n=0.0).rows()
    for name, width in (("a", 8), ("b", 10)):
        with h5py.File(tmp_path / f"{name}.h5", "w") as file:
            file["kspace"] = np.ones((2, 6, width), dtype=np.complex64)
    with pytest.raises(InputError, match="several shapes"):
        KSpace(path=tmp_path, sigma_n=0.0).rows()


@pytest.mark.parametrize("estimate", ["estimate", "estimate-by-row"])
def test_a_level_is_never_estimated_between_gaps_and_the_message_says_why(estimate: str, tmp_path) -> None:
    """Before, such rows were said to hold no noise."""
    with pytest.raises(ValueError, match="cannot be estimated between gaps"):
        Array(path=tmp_path / "a.npy", missing="mask", sigma_n=estimate)


COMPLEX = np.ones((2, 6, 8), dtype=np.complex64)


@pytest.mark.parametrize(
    ("arrays", "named"),
    [
        ({"kspace": COMPLEX}, "path: {}, sigma_n: STD"),
        ({"raw/data": COMPLEX, "mask": np.ones(8, np.float32)}, "path: {}, key: raw/data, sigma_n: STD"),
        ({"kspace": COMPLEX, "reconstruction_esc": ROWS, "reconstruction_rss": ROWS}, "path: {}, sigma_n: STD"),
    ],
)
def test_a_file_of_k_space_says_what_reads_it(arrays, named, tmp_path) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        for key, values in arrays.items():
            file[key] = values
    command = re.escape(f"inspect 'kspace{{{named.format(path)}}}'")
    with pytest.raises(InputError, match=command) as refused:
        HDF5(path=path).find()
    assert "--corruption 'linear{operator: fourier}' --objective tweedie" in str(refused.value)
    fields = dict(part.split(": ") for part in named.format(path).split(", "))
    assert len(KSpace(**fields | {"sigma_n": 0.1}).rows()) == 2, "what the message says to type is read"


def test_a_reconstruction_beside_k_space_is_taken_with_a_word_and_complex_rows_are_refused(tmp_path, caplog) -> None:
    path = tmp_path / "scan.h5"
    with h5py.File(path, "w") as file:
        file["kspace"], file["reconstruction_rss"] = np.ones((2, 4, 6, 8), dtype=np.complex64), ROWS[:2]
    with caplog.at_level("INFO", "ambientkit"):
        assert HDF5(path=path, layout="NHW").find().source.key == "reconstruction_rss"
    assert "reconstruction_rss is taken for the rows" in caplog.text
    assert "Its coils need sensitivity_maps" in caplog.text
    with pytest.raises(InputError, match=r"kspace holds complex numbers \(complex64\), which are no rows"):
        HDF5(path=path, key="kspace").find()


@pytest.mark.parametrize(
    ("masks", "said"),
    [
        (np.full((6, 4, 5), 255, np.uint8), r"mask 0 holds 255 \(uint8\).*masks != 0"),
        (np.full((6, 4, 5), 0.5), r"mask 0 holds 0.5"),
        (np.ones((4, 5)), r"store masks\[None\]"),
        (np.ones((6, 1, 4, 5)), r"store masks\[:, 0\]"),
        (np.ones((6, 5, 4)), "do not fit"),
    ],
)
def test_masks_of_other_values_or_axes_are_refused_with_what_to_store(masks, said: str, tmp_path) -> None:
    np.save(tmp_path / "x.npy", np.zeros((6, 4, 5), np.float32))
    np.save(tmp_path / "m.npy", masks)
    with pytest.raises(InputError, match=said):
        Masked(path=tmp_path / "x.npy", masks=tmp_path / "m.npy").rows()


def test_masks_of_floats_that_are_0_and_1_are_taken_and_rows_with_nothing_are_named(tmp_path, caplog) -> None:
    rows, masks = np.linspace(-1, 1, 120, dtype=np.float32).reshape(6, 4, 5), np.ones((6, 4, 5), np.float32)
    masks[2], masks[3, 0] = 0, 0
    np.save(tmp_path / "x.npy", rows)
    np.save(tmp_path / "m.npy", masks)
    found = Masked(path=tmp_path / "x.npy", masks=tmp_path / "m.npy").rows()
    assert torch.equal(found[3].cond["mask"][0], torch.from_numpy(masks[3] > 0))
    assert "1 of 6 rows hold no measured value, and teach nothing: 2" in caplog.text


def test_a_missing_value_that_the_type_cannot_hold_or_no_row_holds_is_said(tmp_path, caplog) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(120, dtype=np.uint8).reshape(6, 4, 5))
    for value in (300.0, 0.5, "nan"):
        with pytest.raises(InputError, match="uint8 holds no such value"):
            Masked(path=path, missing=value).rows()
    Masked(path=path, missing=7).rows()
    assert "all count as measured" not in caplog.text
    Masked(path=path, missing=200).rows()
    assert "no row holds this value, and all count as measured" in caplog.text


def test_values_far_beyond_their_units_are_refused_under_masks_too(tmp_path) -> None:
    rows = np.linspace(0, 255, 120, dtype=np.float32).reshape(6, 4, 5)
    rows[0, 0, 0] = np.nan
    np.save(tmp_path / "x.npy", rows)
    with pytest.raises(InputError, match=r"far beyond \[-1, 1\]"):
        Masked(path=tmp_path / "x.npy", missing="nan").rows()
    assert len(Masked(path=tmp_path / "x.npy", missing="nan", value_range=(0, 255)).rows()) == 6


LINE = np.array([1, 0, 1, 1, 0])
K = (np.random.default_rng(0).standard_normal((3, 2, 4, 5)) + 1j).astype(np.complex64)
EACH = np.random.default_rng(1).random((3, 4, 5)) < 0.5


@pytest.mark.parametrize(
    ("mask", "row"),
    [
        (LINE, LINE),
        (LINE.reshape(1, 1, 5, 1).astype(np.float32), LINE),
        (LINE.reshape(1, 1, 1, 5, 1) > 0, LINE),
        (EACH[0], EACH[0]),
        (EACH, EACH[1]),
        (EACH[:, None], EACH[1]),
        (EACH[:, :1], EACH[1, :1]),
    ],
)
def test_a_mask_of_k_space_is_taken_in_every_layout(mask, row, tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["kspace"], file["mask"], file["sensitivity_maps"] = K, mask, K[0]
    one = KSpace(path=tmp_path, sigma_n=0.1).rows()[1]
    assert torch.equal(one.cond["sampled"][0], torch.from_numpy(np.broadcast_to(row > 0, (4, 5)).copy()))
    assert torch.equal(one.cond["coils"][0::2], torch.from_numpy(K[0].real.copy()))


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"mask": np.ones(4)}, r"mask has shape \(4,\): should be \(5,\), \(4, 5\) or \(3, 4, 5\)"),
        ({"mask": np.ones((2, 4, 5))}, "mask has shape"),
        ({"mask": 255 * LINE}, "holds 255"),
        ({"mask": LINE * np.nan}, "holds nan"),
        ({"sensitivity_maps": K[:, :1]}, r"should be complex \(3, 2, 4, 5\), or \(2, 4, 5\) for all slices"),
        ({"sensitivity_maps": K.real}, "should be complex"),
        ({"sensitivity_maps": K * np.nan}, "not finite"),
        ({"kspace": K[:0]}, "is empty"),
        ({"kspace": K * np.array([0, 1, 1, 1, 1]), "mask": np.ones(5)}, "1 of 5 columns measured that hold exactly 0"),
    ],
)
def test_k_space_that_does_not_fit_its_mask_or_maps_is_refused_with_the_shapes(arrays, said: str, tmp_path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, values in {"kspace": K, "sensitivity_maps": K, **arrays}.items():
            file[name] = values
    with pytest.raises(InputError, match=said):
        KSpace(path=tmp_path, sigma_n=0.1).rows()[0]


def test_files_of_k_space_of_which_some_lack_maps_are_refused(tmp_path) -> None:
    for name, maps in (("a.h5", True), ("b.h5", False)):
        with h5py.File(tmp_path / name, "w") as file:
            file["kspace"] = K[:, 0]
            if maps:
                file["sensitivity_maps"] = K[:, 0]
    with pytest.raises(InputError, match=r"a\.h5 has sensitivity_maps, and b\.h5 has none"):
        KSpace(path=tmp_path, sigma_n=0.1).rows()


COUNTS = {"gain": 2.0, "offset": 100.0, "read_std": 3.0}


def test_counts_with_masks_beside_them_or_a_mark_are_those_with_nan(tmp_path) -> None:
    """Case: counts with a separate file of masks, or with a number that marks gaps, had no data set."""
    rng = np.random.default_rng(2)
    values = np.round(2 * rng.poisson(40, (12, 6, 8)) + 100 + 3 * rng.standard_normal((12, 6, 8))).astype(np.uint16)
    np.save(tmp_path / "counts.npy", values)
    np.save(tmp_path / "masks.npy", SEEN)
    np.save(tmp_path / "marked.npy", np.where(SEEN, values, 65535))
    np.save(tmp_path / "gaps.npy", np.where(SEEN, values, np.nan).astype(np.float32))
    how = {"value_range": (100, 300), "counts": COUNTS}
    array = Array(path=tmp_path / "gaps.npy", layout="NHW", missing="mask", **how).rows()
    for fields in (
        {"path": tmp_path / "counts.npy", "masks": tmp_path / "masks.npy"},
        {"path": tmp_path / "marked.npy", "missing": 65535},
        {"path": tmp_path / "gaps.npy", "missing": "nan"},
    ):
        rows = Masked(**fields, **how).rows()
        assert rows.mapping == array.mapping
        for row in range(12):
            assert torch.equal(rows[row].x_n, array[row].x_n)
            assert torch.equal(rows[row].cond["mask"], array[row].cond["mask"])
            assert rows[row].sigma_n == array[row].sigma_n


def test_counts_under_masks_need_a_range_no_level_and_light(tmp_path) -> None:
    np.save(tmp_path / "faint.npy", np.where(SEEN, np.random.default_rng(3).poisson(0.5, SEEN.shape), -1))
    path = {"path": tmp_path / "faint.npy", "missing": -1}
    for fields, said in (
        ({"counts": {}}, "counts need value_range"),
        ({"counts": {}, "value_range": (0, 9), "sigma_n": 0.1}, "leave sigma_n out"),
    ):
        with pytest.raises(ValueError, match=said):
            Masked(**path, **fields)
    with pytest.raises(InputError, match="hold no count at all"):
        Masked(**path, counts={}, value_range=(0, 9)).rows()


def test_fill_values_are_no_counts_of_zero(tmp_path) -> None:
    """Case: HDF5 counts whose fill value is 0 were refused as too faint."""
    values = np.where(SEEN, np.random.default_rng(4).poisson(40, SEEN.shape), 0).astype(np.int32)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data"] = values
        file["data"].attrs["_FillValue"] = np.int32(0)
    rows = HDF5(path=tmp_path / "a.h5", missing="mask", counts={}, value_range=(5, 90)).rows()
    assert torch.equal(rows[0].cond["mask"][0], torch.from_numpy(SEEN[0]))


def test_a_masked_copy_is_read_by_the_configuration_that_a_run_on_it_writes_and_takes_no_other_fields(tmp_path) -> None:
    """A run on such a folder could not be resumed, and its rows not restored."""
    ak.corrupt("digits", tmp_path / "copy", corruption="mask{missing: 0.3}", sigma=0.1)
    part = Masked(path=tmp_path / "copy")
    again = Masked(**{name: getattr(part, name) for name in Masked.model_fields})
    assert torch.equal(again.rows()[3].x_n, part.rows()[3].x_n)
    for fields in ({"sigma_n": 0.0}, {"sigma_n": 0.2}, {**again.model_dump(), "sigma_n": 0.2}):
        with pytest.raises(InputError, match="the copy says its sigma_n itself"):
            Masked(**{"path": tmp_path / "copy", **fields}).rows()
