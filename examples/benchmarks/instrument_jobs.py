"""Files as instruments write them, each by the library of its field, with the truth that is under their noise.

A job is a function `(folder, generator) -> Job`. It writes files, and says how to read such files back: their values in
the order of the truth. The scenes are drawn here or come with scikit-image; none of them is in
`field_sets.py`, by which thresholds were set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import mrcfile
import nibabel
import numpy as np
import pydicom
import tifffile
import zarr
from astropy.io import fits
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from scipy.ndimage import gaussian_filter
from skimage import data as samples

Array = np.ndarray
Rng = np.random.Generator


class Job(NamedTuple):
    """Files, and the truth under their noise."""

    source: str
    """Name, in the folder, of the file or folder that is given to the commands."""
    truth: Array
    """(n, ..., H, W), file units."""
    noisy: Array
    """As in the files."""
    read: Callable[[Path], Array]
    """Of files like those written, in a folder or file at this path."""
    told: str
    """The noise that was put in, for the eye."""
    missing: Array | None = None
    """Where a value says nothing of the truth."""


def _grid(height: int, width: int) -> tuple[Array, Array]:
    y, x = np.mgrid[:height, :width].astype(float)
    return y, x


def _sky(n: int, size: int, rng: Rng) -> Array:
    """Stars of a Moffat profile and a faint gradient, electrons."""
    y, x = _grid(size, size)
    out = 200 + 40 * (x + y) / size * rng.uniform(-1, 1, (n, 1, 1))
    for one in out:
        for _ in range(rng.integers(8, 20)):
            cy, cx = rng.uniform(0, size, 2)
            one += rng.pareto(1.2) * 150 * (1 + ((y - cy) ** 2 + (x - cx) ** 2) / 2.2**2) ** -2.5
    return out.clip(0, 20_000)


def stars(folder: Path, rng: Rng) -> Job:
    """120 FITS cut-outs with SCI, ERR and DQ; flagged pixels hold cosmic rays and hot pixels."""
    truth = _sky(120, 44, rng)
    error = np.sqrt(truth + 8.0**2)
    noisy = rng.poisson(truth) + 8 * rng.standard_normal(truth.shape)
    flags = np.where(rng.random(truth.shape) < 0.01, 4, 0)
    flags[:, rng.integers(0, 44, 12), rng.integers(0, 44, 12)] = 16
    noisy = np.where(flags > 0, noisy + rng.uniform(500, 20_000, truth.shape), noisy).astype(np.float32)
    (folder / "night").mkdir()
    for number, picture in enumerate(noisy):
        science = fits.ImageHDU(picture, name="SCI")
        science.header.update({"BUNIT": "electron", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRVAL1": 83.6})
        more = [
            fits.ImageHDU(error[number].astype(np.float32), name="ERR"),
            fits.ImageHDU(flags[number].astype(np.int32), name="DQ"),
        ]
        fits.HDUList([fits.PrimaryHDU(), science, *more]).writeto(folder / f"night/cutout_{number:04}.fits")

    def read(where: Path) -> Array:
        return np.stack([fits.getdata(path, "SCI") for path in sorted(where.glob("*.fits"))])

    return Job("night", truth, noisy, read, "ERR = sqrt(electrons + 64)", flags > 0)


def _nuclei(n: int, height: int, width: int, rng: Rng) -> Array:
    """Nuclei with soft rims and spots inside, 0..1."""
    y, x = _grid(height, width)
    out = np.full((n, height, width), 0.04)
    for one in out:
        for _ in range(rng.integers(2, 6)):
            cy, cx, r = rng.uniform(0, height), rng.uniform(0, width), rng.uniform(5, 10)
            d = np.hypot(y - cy, (x - cx) * rng.uniform(0.7, 1.3)) / r
            one += rng.uniform(0.2, 0.6) / (1 + np.exp((d - 1) * 8))
            for _ in range(3):
                sy, sx = cy + rng.normal(0, r / 3), cx + rng.normal(0, r / 3)
                one += 0.25 * np.exp(-((y - sy) ** 2 + (x - sx) ** 2) / 3)
    return out


def hot(folder: Path, rng: Rng) -> Job:
    """Three OME-TIFF time series (TYX) of 12 bits, 60 frames of 48 x 48 each, with 12 hot pixels that stay."""
    light = _nuclei(180, 48, 48, rng) * 400
    truth = 1.7 * light + 90
    noisy = 1.7 * rng.poisson(light) + 90 + 2.5 * rng.standard_normal(light.shape)
    places = rng.choice(48 * 48, 12, replace=False)
    lost = np.zeros((48, 48), bool)
    lost.flat[places] = True
    noisy[:, lost] += rng.uniform(300, 2500, 12)
    noisy = noisy.round().clip(0, 4095).astype(np.uint16)
    (folder / "series").mkdir()
    for part in range(3):
        metadata = {"axes": "TYX", "SignificantBits": 12, "PhysicalSizeX": 0.16, "TimeIncrement": 2.0}
        stack = noisy[60 * part : 60 * part + 60]
        tifffile.imwrite(folder / f"series/pos{part}.ome.tif", stack, metadata=metadata, photometric="minisblack")

    def read(where: Path) -> Array:
        return np.concatenate([tifffile.imread(path) for path in sorted(where.glob("*.tif"))])

    return Job("series", truth, noisy, read, "gain 1.7, offset 90, read 2.5", np.broadcast_to(lost, truth.shape))


def particles(folder: Path, rng: Rng) -> Job:
    """An MRC stack of 240 particles, 40 x 40, contrast below the noise."""
    y, x = _grid(40, 40)
    out = []
    for _ in range(240):
        t, shift = rng.uniform(0, 2 * np.pi), rng.normal(0, 1.5, 2)
        picture = np.zeros((40, 40))
        for radius, angle, width, weight in ((0, 0, 5, 1.0), (8, 0, 3.5, 0.9), (8, 2.2, 3, 0.7), (11, 4.2, 2.5, 0.8)):
            cy, cx = 20 + shift[0] + radius * np.sin(angle + t), 20 + shift[1] + radius * np.cos(angle + t)
            picture -= weight * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * width**2))
        out.append(picture)
    truth = 12.0 + 2.0 * np.stack(out)
    noisy = (truth + 3.0 * rng.standard_normal(truth.shape)).astype(np.float32)
    with mrcfile.new(folder / "particles.mrcs") as file:
        file.set_data(noisy)
        file.set_image_stack()
        file.voxel_size = 2.6

    def read(where: Path) -> Array:
        where = where if where.is_file() else where / "particles.mrcs"
        return np.asarray(mrcfile.read(where))

    return Job("particles.mrcs", truth, noisy, read, "std 3")


def brains(folder: Path, rng: Rng) -> Job:
    """Six NIfTI volumes of 33 x 45 x 30 (odd sizes), real parts of complex images, 16 bits with a slope."""
    y, x = _grid(33, 45)
    volumes = []
    for _ in range(6):
        slices = []
        for z in range(30):
            r = np.hypot((y - 16) / 14, (x - 22) / 19) * (1 + ((z - 15) / 26) ** 2)
            p = 600 / (1 + np.exp((r - 1) * 20)) + 350 / (1 + np.exp((r - 0.8) * 25))
            p -= 300 * np.exp(-(((y - 16) / 4) ** 2 + ((np.abs(x - 22) - 5) / 3) ** 2)) * np.exp(-(((z - 15) / 8) ** 2))
            slices.append(p * (1 + 0.15 * np.sin(x / 7 + rng.uniform(0, 6)) * np.cos(y / 6)))
        volumes.append(np.stack(slices))
    truth = np.stack(volumes)
    noisy = np.round(truth + 70 * rng.standard_normal(truth.shape)).astype(np.int16)
    (folder / "t1").mkdir()
    for number, volume in enumerate(noisy):
        image = nibabel.Nifti1Image(np.moveaxis(volume, 0, -1), np.diag([2.0, 2, 3, 1]))
        nibabel.save(image, folder / f"t1/sub-{number:02}.nii.gz")

    def read(where: Path) -> Array:
        volumes = [np.moveaxis(nibabel.load(path).get_fdata(), -1, 0) for path in sorted(where.glob("*.nii.gz"))]
        return np.concatenate(volumes)

    return Job("t1", truth.reshape(-1, 33, 45), noisy.reshape(-1, 33, 45), read, "std 70")


def phantoms(folder: Path, rng: Rng) -> Job:
    """A DICOM series of 150 slices, 64 x 64, with inserts; corners outside of the field hold the padding value."""
    y, x = _grid(64, 64)
    inside = np.hypot(y - 31.5, x - 31.5) < 34
    out = []
    for _ in range(150):
        p = np.where(np.hypot((y - 32) / 24, (x - 32) / 28) < 1, 40.0, -1000.0)
        for _ in range(5):
            cy, cx, r = *rng.uniform(18, 46, 2), rng.uniform(3, 7)
            p = np.where(np.hypot(y - cy, x - cx) < r, rng.uniform(-120, 400), p)
        out.append(gaussian_filter(p, 0.8))
    truth = np.stack(out)
    noisy = np.where(inside, np.round(truth + 45 * rng.standard_normal(truth.shape)), -2000).astype(np.int16)
    (folder / "study").mkdir()
    study, series = generate_uid(), generate_uid()
    for number, picture in enumerate(noisy):
        data = Dataset()
        data.file_meta = FileMetaDataset()
        data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        data.SOPClassUID, data.SOPInstanceUID = CTImageStorage, generate_uid()
        data.StudyInstanceUID, data.SeriesInstanceUID = study, series
        data.PatientID, data.Modality, data.InstanceNumber = "P1", "CT", number + 1
        data.RescaleSlope, data.RescaleIntercept, data.WindowCenter, data.WindowWidth = 1, 0, 40, 400
        data.set_pixel_data(picture, "MONOCHROME2", 16, generate_instance_uid=False)
        data.add_new(0x00280120, "SS", -2000)  # PixelPaddingValue
        data.save_as(folder / f"study/{number:03}.dcm", enforce_file_format=True)

    def read(where: Path) -> Array:
        out = []
        for path in sorted(where.glob("*.dcm")):
            one = pydicom.dcmread(path)
            out.append(one.pixel_array * float(one.RescaleSlope) + float(one.RescaleIntercept))
        return np.stack(out)

    return Job("study", truth, noisy, read, "std 45", np.broadcast_to(~inside, truth.shape))


def diffraction(folder: Path, rng: Rng) -> Job:
    """An HDF5 scan of 200 frames, 52 x 36, photon counts with smooth rings; 8 dead pixels hold 2^32 - 1."""
    y, x = _grid(52, 36)
    out = []
    for _ in range(200):
        cy, cx = 26 + rng.normal(0, 2), 18 + rng.normal(0, 2)
        r, t = np.hypot(y - cy, x - cx), np.arctan2(y - cy, x - cx)
        p = 6 + 60 * np.exp(-r / 6)
        for radius in (9, 15, 21):
            lobes = 1 + 0.8 * np.cos(rng.integers(1, 5) * t + rng.uniform(0, 6))
            p += rng.uniform(5, 25) * lobes * np.exp(-(((r - radius) / 1.8) ** 2))
        out.append(p)
    truth = np.stack(out)
    noisy = rng.poisson(truth).astype(np.uint32)
    dead = np.zeros((52, 36), bool)
    dead.flat[rng.choice(52 * 36, 8, replace=False)] = True
    noisy[:, dead] = 2**32 - 1
    with h5py.File(folder / "scan_0001.h5", "w") as file:
        made = file.create_dataset("entry/data/data", data=noisy, chunks=(1, 52, 36), compression="gzip")
        made.attrs["units"] = "counts"

    def read(where: Path) -> Array:
        where = where if where.is_file() else where / "scan_0001.h5"
        with h5py.File(where) as file:
            return np.asarray(file["entry/data/data"])

    return Job("scan_0001.h5", truth, noisy, read, "Poisson", np.broadcast_to(dead, truth.shape))


def membranes(folder: Path, rng: Rng) -> Job:
    """300 crops of electron micrographs, 48 x 80, 8-bit TIFF: dark membranes on a grey ground."""
    out = []
    for _ in range(300):
        field = gaussian_filter(rng.standard_normal((48, 80)), 5)
        field /= field.std()
        texture = gaussian_filter(rng.standard_normal((48, 80)), 1.5)
        out.append(165 + 12 * texture / texture.std() - 80 * np.exp(-((field / 0.25) ** 2)))
    truth = np.stack(out)
    noisy = np.round(truth + 18 * rng.standard_normal(truth.shape)).clip(0, 255).astype(np.uint8)
    (folder / "em").mkdir()
    for number, picture in enumerate(noisy):
        tifffile.imwrite(folder / f"em/tile_{number:03}.tif", picture)

    def read(where: Path) -> Array:
        return np.stack([tifffile.imread(path) for path in sorted(where.glob("*.tif"))])

    return Job("em", truth, noisy, read, "std 18")


def photographs(folder: Path, rng: Rng) -> Job:
    """500 colour crops of photographs, 40 x 40, 8-bit RGB PNG."""
    pictures = [samples.astronaut(), samples.coffee(), samples.cat(), samples.rocket()]
    truth = np.empty((500, 40, 40, 3))
    for number in range(500):
        one = pictures[number % len(pictures)][::2, ::2]
        top, left = rng.integers(0, one.shape[0] - 40), rng.integers(0, one.shape[1] - 40)
        truth[number] = 30 + one[top : top + 40, left : left + 40].astype(float) * 0.72
    noisy = np.round(truth + 14 * rng.standard_normal(truth.shape)).clip(0, 255).astype(np.uint8)
    (folder / "photos").mkdir()
    for number, picture in enumerate(noisy):
        Image.fromarray(picture).save(folder / f"photos/{number:04}.png")

    def read(where: Path) -> Array:
        paths = sorted(where.glob("*"))
        return np.stack([tifffile.imread(p) if p.suffix == ".tif" else np.asarray(Image.open(p)) for p in paths])

    return Job("photos", truth, noisy, read, "std 14")


def small(folder: Path, rng: Rng) -> Job:
    """A Zarr array of 600 stamps, 31 x 31, float32: galaxies of several shapes on an even sky."""
    y, x = _grid(31, 31)
    out = []
    for _ in range(600):
        (cy, cx), q, t, r = rng.normal(15, 1, 2), rng.uniform(0.3, 1), rng.uniform(0, np.pi), rng.uniform(2, 5)
        u, v = (x - cx) * np.cos(t) + (y - cy) * np.sin(t), ((y - cy) * np.cos(t) - (x - cx) * np.sin(t)) / q
        p = rng.uniform(0.5, 2) * np.exp(-np.sqrt(u**2 + v**2 + 1) / r)
        p *= 1 + 0.4 * np.cos(2 * np.arctan2(v, u) + np.hypot(u, v) / 2)
        out.append(p)
    truth = 0.3 + np.stack(out)
    noisy = (truth + 0.12 * rng.standard_normal(truth.shape)).astype(np.float32)
    array = zarr.create_array(str(folder / "stamps.zarr"), shape=noisy.shape, chunks=(50, 31, 31), dtype="float32")
    array[:] = noisy

    def read(where: Path) -> Array:
        where = where / "stamps.zarr" if (where / "stamps.zarr").exists() else where
        return np.asarray(zarr.open_array(str(where), mode="r")[:])

    return Job("stamps.zarr", truth, noisy, read, "std 0.12")


def large(folder: Path, rng: Rng) -> Job:
    """Three pictures of 384 x 384, 16-bit TIFF, light microscopy: few and large."""
    light = _nuclei(3, 384, 384, rng)
    y, x = _grid(384, 384)
    for one in light:
        for _ in range(250):
            cy, cx, r = *rng.uniform(0, 384, 2), rng.uniform(5, 14)
            top, left = max(0, int(cy - 3 * r)), max(0, int(cx - 3 * r))
            window = (slice(top, int(cy + 3 * r)), slice(left, int(cx + 3 * r)))
            d = np.hypot(y[window] - cy, (x[window] - cx) * rng.uniform(0.7, 1.3)) / r
            one[window] += rng.uniform(0.1, 0.6) / (1 + np.exp((d - 1) * 8).clip(0, 1e6))
    light = light * 120
    truth = 2.4 * light + 200
    noisy = 2.4 * rng.poisson(light) + 200 + 6 * rng.standard_normal(light.shape)
    noisy = noisy.round().clip(0, 65535).astype(np.uint16)
    (folder / "slides").mkdir()
    for number, picture in enumerate(noisy):
        tifffile.imwrite(folder / f"slides/slide {number + 1}.tif", picture)

    def read(where: Path) -> Array:
        return np.stack([tifffile.imread(path) for path in sorted(where.glob("*.tif"))])

    return Job("slides", truth, noisy, read, "gain 2.4, offset 200, read 6")


JOBS: dict[str, Callable[[Path, Rng], Job]] = {
    f.__name__: f for f in (stars, hot, particles, brains, phantoms, diffraction, membranes, photographs, small, large)
}
