"""The data set `array-folder`: axes of a file to rows and back, formats, several arrays, and files that are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import ambientkit as ak
from ambientkit.builtin.data.array_folder import _as_in_file, _channels_first
from ambientkit.config.datapath import data_spec
from ambientkit.errors import InputError
from ambientkit.readers.results import Encoded, Encoding, Series
from ambientkit.registry import load
from tests.support.formats import open_rows

MEAN = Series("mean", "posterior mean", "key")


def noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(0, 0.4, shape).astype(np.float32)


def write(path, values, key="entry/frames"):
    """One array in a file of the format that its name says."""
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        np.savez(path, **{key: values}, number=np.arange(3))
    else:
        h5py = pytest.importorskip("h5py")
        with h5py.File(path, "w") as file:
            file[key] = values
            file[key].attrs["units"] = "mT"
            file["entry/number"] = np.arange(3)


def read(path, key="entry/frames"):
    """The array, and what else the file holds."""
    if path.suffix == ".npy":
        return np.load(path), []
    if path.suffix == ".npz":
        with np.load(path) as file:
            return file[key], [name for name in file.files if name != key]
    import h5py

    with h5py.File(path) as file:
        assert file[key].attrs["units"] == "mT"
        return file[key][()], [name for name in file["entry"] if name != "frames"]


@pytest.mark.parametrize("end", [".npy", ".npz", ".h5", ".nxs"])
@pytest.mark.parametrize("layout", ["auto", "HW", "HWC", "CHW", "NHW", "NCHW", "NHWC"])
def test_rows_of_a_folder_and_results_like_its_files(tmp_path, end, layout):
    """Files of one picture or of several, each format: rows are (C, H, W) in the order of names, results have the axes,
    name and attributes of the input."""
    form = "HW" if layout == "auto" else layout
    shapes = {"N": (3, 5), "C": (2, 2), "H": (8, 8), "W": (10, 10)}
    (folder := tmp_path / "in").mkdir()
    wanted, files = [], []
    for number in range(2):
        values = noise(*(shapes[axis][number] for axis in form), seed=number)
        files.append(folder / f"f{number}{end}")
        write(files[-1], values)
        stack = values if form.startswith("N") else values[None]
        one = form.removeprefix("N")
        wanted.append(stack[:, None] if one == "HW" else np.moveaxis(stack, -1, 1) if one == "HWC" else stack)
    rows = open_rows({"name": "array-folder", "path": str(folder), "layout": layout, "sigma_n": 0.1})
    wanted = np.concatenate(wanted)
    np.testing.assert_array_equal(np.stack([rows[i].x_n.numpy() for i in range(len(rows))]), wanted)
    code = Encoding(np.dtype(np.float32))
    for result in rows.source.results():
        target = tmp_path / f"out{end}"
        rows.source.save(result.like, Encoded(wanted[result.start : result.stop], code), target, MEAN)
        found, others = read(target)
        np.testing.assert_array_equal(found, read(result.like)[0])
        assert not others
        target.unlink()


@given(st.sampled_from(["HW", "CHW", "HWC", "NHW", "NCHW", "NHWC", "...", "N..."]))
def test_axes_of_a_file_to_rows_and_back(axes):
    one = axes.removeprefix("N")
    values = noise(3, *((4, 5) if one == "HW" else (2, 4, 5)))
    rows = _channels_first(values, axes)
    np.testing.assert_array_equal(np.stack([_as_in_file(row, axes) for row in rows]), values)


def test_a_folder_of_arrays_is_known_by_its_files_and_levels_go_by_name(tmp_path):
    (folder := tmp_path / "in").mkdir()
    for number in range(3):
        write(folder / f"f{number}.npy", noise(8, 10, seed=number))
    assert data_spec(str(folder), load()) == {"name": "array-folder", "path": str(folder)}
    (table := tmp_path / "levels.csv").write_text("file,sigma_n\nf0.npy,0.1\nf1.npy,0.2\nf2.npy,0.3\n")
    rows = open_rows({"name": "array-folder", "path": str(folder), "sigma_n": str(table)})
    assert [float(rows[i].sigma_n) for i in range(3)] == pytest.approx([0.1, 0.2, 0.3])
    found = ak.inspect(folder)
    assert "3 rows of 1 x 8 x 10" in str(found)


def test_a_header_that_claims_more_than_there_is_allocates_nothing(tmp_path):
    (folder := tmp_path / "in").mkdir()
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 3), }"
    header += b" " * (117 - len(header)) + b"\n"
    (folder / "huge.npy").write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    with pytest.raises(InputError, match="the header claims shape"):
        open_rows({"name": "array-folder", "path": str(folder), "sigma_n": 0.1})


def test_unclear_axes_several_arrays_and_none_are_refused_by_name(tmp_path):
    def refused(*named, **fields):
        (folder := tmp_path / str(len(list(tmp_path.iterdir())))).mkdir()
        for name, arrays in named:
            if name.endswith(".npz"):
                np.savez(folder / name, **arrays)
            else:
                np.save(folder / name, arrays)
        with pytest.raises(InputError) as error:
            open_rows({"name": "array-folder", "path": str(folder), "sigma_n": 0.1}, **fields)
        return str(error.value)

    unclear = refused(("a.npy", noise(3, 8, 8)), ("b.npy", noise(3, 8, 8)))
    assert "a.npy: its shape (3, 8, 8) does not say which axis is which: give layout" in unclear
    assert "CHW or HWC for one picture per file" in unclear
    assert "array-folder{path: " in unclear
    two = {"one": noise(8, 8), "other": noise(8, 8)}
    assert "give key, one of one (8, 8), other (8, 8)" in refused(("a.npz", two))
    assert "no array of that name" in refused(("a.npz", two), key="third")
    assert "kspace{path: FOLDER" in refused(("a.npz", {"kspace": noise(8, 8).astype(np.complex64)}))
    assert "more values than max_values = 10" in refused(("a.npz", {"one": noise(8, 8)}), max_values=10)
    assert "layout HW needs 2 axes" in refused(("a.npy", noise(5, 8, 8)), layout="HW")
    assert "1 x 8 x 8 float32: 1" in refused(("a.npy", noise(8, 8)), ("b.npy", noise(9, 8)))
    assert "Python objects" in refused(("a.npy", np.array([{}, {}], dtype=object)))
