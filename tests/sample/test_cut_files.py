"""The first rows alone, whose last file would be written in part: refused before anything is restored where its format
has no such files."""

from __future__ import annotations

import nibabel
import numpy as np
import pytest
import zarr
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, XRayAngiographicImageStorage, generate_uid

from tests.support.sampling import ok, write_run


def runs(path) -> None:
    """Two films of an angiography of three frames each."""
    path.mkdir()
    for number in range(2):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = XRayAngiographicImageStorage, generate_uid()
        frames = (4 * np.arange(192, dtype=np.uint16)).reshape(3, 8, 8)
        data.set_pixel_data(frames, "MONOCHROME2", 12, generate_instance_uid=False)
        data.save_as(path / f"run{number}.dcm", enforce_file_format=True)


def diffusion(path) -> None:
    """Three directions of volumes of 8 x 8 x 4."""
    values = np.arange(3 * 256, dtype=np.float32).reshape(8, 8, 4, 3)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), path)


def image(path) -> None:
    """An OME-Zarr image of six planes."""
    root = zarr.open_group(str(path), mode="w", zarr_format=3)
    root.attrs["ome"] = {
        "version": "0.5",
        "multiscales": [{"axes": [{"name": name} for name in "zyx"], "datasets": [{"path": "0"}]}],
    }
    root.create_array("0", shape=(6, 8, 8), chunks=(1, 8, 8), dtype="uint16")[:] = np.arange(384).reshape(6, 8, 8) + 1


@pytest.mark.parametrize(
    ("make", "name", "fields", "whole", "cut", "said"),
    [
        (runs, "dicom", "", 3, 5, ("run1.dcm", "(--n 3 or --n 6)")),
        (diffusion, "nifti", ", series: rows, slices: z", 8, 6, ("x: ", "4 slices", "(--n 12)")),
        (image, "zarr", "", 6, 4, ("axes zyx", "(--n 6)")),
    ],
    ids=["dicom", "nifti", "zarr"],
)
def test_a_file_that_would_be_cut_is_refused_before_the_work(sample, tmp_path, make, name, fields, whole, cut, said):
    """Cases: the refusal came after all rows were restored; slices of two directions became one volume."""
    path = tmp_path / ("x.nii" if name == "nifti" else "x")
    make(path)
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    data = f"{name}{{path: {path}, value_range: [0, 800], sigma_n: 0.3{fields}}}"
    options = ("--from", data, "--draws", 0, "--steps", 2, "--out", tmp_path / "out")
    status, _, err = sample(run, *options, "-n", cut)
    assert status == 2
    assert f"--n {cut}" in err
    for text in said:
        assert text.replace("x: ", f"{path.name}: ") in err
    assert not (tmp_path / "out").exists()
    ok(sample(run, *options, "-n", whole))
