"""Files that nobody claims by their names: known by their content, or refused with the way round."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import h5py
import numpy as np
import pytest
from astropy.io import fits
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from ambientkit.config.datapath import data_spec
from ambientkit.errors import InputError
from ambientkit.readers.foreign import WAYS, way_round
from ambientkit.registry import load
from tests.support.formats import open_rows


def refused(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        open_rows(data_spec(str(path), load()))
    return str(caught.value)


def slice_of(path: Path) -> None:
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
    data.set_pixel_data(np.arange(64, dtype=np.uint16).reshape(8, 8), "MONOCHROME2", 12, generate_instance_uid=False)
    data.save_as(path, enforce_file_format=True)


def test_files_of_any_name_are_known_by_their_content(tmp_path: Path) -> None:
    """Case: NeXus files (.nxs) are HDF5, and were "of a kind that is not read"."""
    with h5py.File(tmp_path / "scan_0042.nxs", "w") as file:
        file["entry/data/data"] = np.zeros((3, 4, 5), np.float32)
    fits.PrimaryHDU(np.zeros((4, 5), np.float32)).writeto(tmp_path / "exposure.fits")
    (tmp_path / "exposure.fits").rename(tmp_path / "exposure.p05")
    slice_of(tmp_path / "IM0001")
    known = {"scan_0042.nxs": "hdf5", "exposure.p05": "fits", "IM0001": "dicom"}
    assert {file: data_spec(str(tmp_path / file), load())["name"] for file in known} == known
    assert len(open_rows(data_spec(str(tmp_path / "scan_0042.nxs"), load()), layout="NHW", clean=True)) == 3


def test_a_study_without_suffixes_is_read(tmp_path: Path) -> None:
    for name in ("IM0002", "IM0001", "1.2.840.7", "DICOMDIR"):
        slice_of(tmp_path / name)
    (tmp_path / "VERSION").write_text("3")
    spec = data_spec(str(tmp_path), load())
    assert spec["name"] == "dicom"
    rows = open_rows(spec, value_range=[0, 63], clean=True)
    assert rows.source.file_names() == ["1.2.840.7", "IM0001", "IM0002"]
    (tmp_path / "view.png").touch()  # a folder of pictures stays one
    assert data_spec(str(tmp_path), load())["name"] == "image-folder"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cells.czi", ".czi is a microscope's own format: export it as OME-TIFF"),
        ("cells.nd2", "bfconvert IN OUT.ome.tif"),
        ("cells.lif", "bfconvert IN OUT.ome.tif"),
        ("lattice.dm4", "rsciio.digitalmicrograph"),
        ("night.cr2", "before demosaicing"),
        ("old.mat", "scipy.io.loadmat(FILE)"),
        ("film.mp4", "changes the noise"),
        ("numbers.raw", "np.fromfile(FILE"),
    ],
)
def test_the_way_round_is_said_of_one_file_and_of_a_folder_of_them(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / name).write_bytes(b"\x00\x01" * 99)
    assert said in refused(tmp_path / name)
    assert said in refused(tmp_path)
    (tmp_path / f"second {name}").write_bytes(b"\x00\x01" * 99)
    assert said.replace("export it", "export them") in refused(tmp_path)


@pytest.mark.parametrize("end", [".csv", ".tsv", ".txt"])
def test_the_line_that_joins_a_pile_of_tables_does(tmp_path: Path, end: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pile = tmp_path / "FOLDER"
    pile.mkdir()
    rows = np.random.default_rng(0).standard_normal((3, 6, 5))
    for number, row in enumerate(rows):
        np.savetxt(pile / f"{number}{end}", row, "%.18e", {".csv": ",", ".tsv": "\t"}.get(end, " "))
    told = re.search(r'python -c "(.*)"', refused(pile))
    assert told is not None
    monkeypatch.chdir(tmp_path)
    with contextlib.redirect_stdout(io.StringIO()):
        exec(told[1], {})
    np.testing.assert_allclose(np.load("rows.npy"), rows)


def test_no_format_is_told_twice_and_none_that_is_read(tmp_path: Path) -> None:
    ends = [end for known, _ in WAYS.values() for end in known]
    assert len(ends) == len(set(ends))
    registry = load()
    folders = {end for name in registry.names("data") for end in registry.find("data", name).part.folders}
    assert not folders & set(ends)
    assert way_round(["notes", "a.xyz"]) == ""
