"""HDF5 files of detectors: which array is the rows, and pixels that a mask flags."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import ambientkit as ak
from ambientkit.errors import InputError
from tests.support.formats import open_rows

h5py = pytest.importorskip("h5py")
DATA, MASK = "entry/data/data", "entry/instrument/detector/pixel_mask"


def nexus(path, values, mask=None, **more):
    """A file of one detector, as NeXus has it; more: name -> array."""
    with h5py.File(path, "w") as file:
        group = file.create_group("entry/data")
        group.attrs.update({"NX_class": "NXdata", "signal": "data"})
        file[DATA] = values
        if mask is not None:
            file[MASK] = mask
        for name, array in more.items():
            file[name.replace("__", "/")] = array
    return {"name": "hdf5", "path": str(path), "value_range": [0, 800], "sigma_n": 0.1, "missing": "mask"}


def frames(*shape):
    return np.random.default_rng(0).integers(0, 800, shape).astype(np.uint16)


@pytest.mark.parametrize("layout", ["NHW", "NCHW", "NHWC"])
@pytest.mark.parametrize("by_row", [False, True], ids=["shared", "by row"])
def test_flagged_pixels_are_missing_in_all_channels(tmp_path, layout, by_row):
    """Case: a column that the mask of the detector flags was trained on as counts of 0."""
    mask = np.random.default_rng(1).integers(0, 4, (5, 6, 7) if by_row else (6, 7)).astype(np.uint32)
    shape = {"NHW": (5, 6, 7), "NCHW": (5, 3, 6, 7), "NHWC": (5, 6, 7, 3)}[layout]
    spec = {**nexus(tmp_path / "a.nxs", frames(*shape), mask), "layout": layout}
    for bits, flagged in ((-1, mask != 0), (2, mask & 2 != 0)):
        rows = open_rows({**spec, "flags": f"/{MASK}", "flag_bits": bits})
        expected = np.broadcast_to(flagged, (5, 6, 7))[:, None].repeat(1 if layout == "NHW" else 3, 1)
        np.testing.assert_array_equal(np.stack([np.asarray(row.cond["mask"]) > 0 for row in rows]), ~expected)
        again = pickle.loads(pickle.dumps(rows.source))
        np.testing.assert_array_equal(again.read(1, 4), rows.source.all()[1:4])
        assert rows.source.stored_as(tmp_path / "a.nxs").dtype == np.uint16


@pytest.mark.parametrize(
    ("flags", "why"),
    [
        ("entry/mask", r"flags: there is no array 'entry/mask'; arrays: .*pixel_mask"),
        ("entry/small", r"no flags for rows of \(6, 7\) pixels: an array of whole numbers \(6, 7\), or \(5, 6, 7\)"),
        ("entry/real", "no flags for rows"),
    ],
)
def test_an_array_that_can_be_no_flags_is_refused(tmp_path, flags, why):
    more = {"entry__small": np.zeros((7, 6), int), "entry__real": np.zeros((6, 7))}
    spec = nexus(tmp_path / "a.nxs", frames(5, 6, 7), np.zeros((6, 7), int), **more)
    with pytest.raises(InputError, match=why):
        open_rows({**spec, "flags": flags, "layout": "NHW"})


def test_the_array_that_nexus_has_plotted_is_the_rows(tmp_path):
    """Case: beside a flat field, or under two names, the frames of a detector had to be named."""
    path = tmp_path / "a.nxs"
    spec = nexus(path, frames(5, 6, 7), np.zeros((6, 7), int), entry__instrument__detector__flatfield=np.ones((6, 7)))
    with h5py.File(path, "a") as file:
        file["entry/instrument/detector/data"] = file[DATA]
    spec["layout"] = "NHW"
    assert open_rows(spec).source.key == DATA
    with h5py.File(path, "a") as file:  # as older files say it
        del file["entry/data"].attrs["signal"]
        file[DATA].attrs["signal"] = 1
    assert open_rows(spec).source.key == DATA
    with h5py.File(path, "a") as file:
        del file[DATA].attrs["signal"]
    with pytest.raises(InputError, match="say which by key"):
        open_rows(spec)
    with h5py.File(path, "a") as file:
        del file["entry/instrument/detector/flatfield"]
    assert open_rows(spec).source.key == DATA


def test_a_signal_behind_a_link_is_found_and_one_that_leads_nowhere_does_no_harm(tmp_path):
    path = tmp_path / "a.nxs"
    spec = {**nexus(path, frames(5, 6, 7), entry__instrument__detector__frames=frames(4, 6, 7)), "layout": "NHW"}
    with h5py.File(path, "a") as file:
        del file[DATA]
        file["entry/data/data"] = h5py.SoftLink("/entry/instrument/detector/frames")
        file["entry/other"] = frames(3, 6, 7)
    assert open_rows(spec).source.key == "entry/instrument/detector/frames"
    with h5py.File(path, "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = h5py.SoftLink("/entry/gone")
    with pytest.raises(InputError, match="say which by key"):
        open_rows(spec)
    with h5py.File(path, "a") as file:
        del file["entry/data/data"]
        file["entry/data/data"] = h5py.ExternalLink("/etc/passwd", "x")
    with pytest.raises(InputError, match="say which by key"):
        open_rows(spec)


def test_a_mask_of_the_detector_is_proposed(tmp_path, monkeypatch):
    monkeypatch.setattr("ambientkit.proposing.settings._trial", lambda tree, registry: 0.1)
    rng = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint32)
    mask[10], mask[20, 20] = 1, 16
    values = rng.poisson(np.linspace(20, 200, 32), (60, 32, 32)).astype(np.uint16)
    values[:, mask > 0] = 0
    nexus(tmp_path / "a.nxs", values, mask)
    found = ak.inspect(tmp_path / "a.nxs", write=tmp_path / "run.yaml")
    assert found.proposal.config["data"]["flags"] == MASK
    assert found.proposal.config["data"]["missing"] == "mask"
