"""DICOM files like another one: a derived series of the same study, in whole numbers with a slope of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ambientkit.readers.files import needs
from ambientkit.readers.results import Encoded, Encoding, Series, Unwritable, digest

OF_THE_PIXELS = (
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
    "SmallestPixelValueInSeries",
    "LargestPixelValueInSeries",
    "LossyImageCompression",
    "LossyImageCompressionRatio",
    "LossyImageCompressionMethod",
)
"""Attributes that say something of the old pixels alone."""
TEXT = 64
"""Characters of an attribute of type LO."""


def write_dicom(like: Path, rows: Encoded, target: Path, series: Series) -> None:
    """Write frames (n, samples, H, W) with the attributes of `like`, patient and study among them, as derived images
    (PS3.3 C.7.6.1.1.2) of a new series, whose identifiers follow from those of `like` and `series.key`.

    DICOM images of this kind hold whole numbers: floating point becomes 16 bits, with the rescale slope and intercept
    that span the values of the file, so each is right to half a slope. Raises Unwritable for colours in floating point
    and for fewer frames than `like` has.
    """
    pydicom = needs("pydicom", "science", "DICOM")
    from pydicom.uid import generate_uid

    data = pydicom.dcmread(like)
    frames = int(data.get("NumberOfFrames", 1) or 1)
    if len(rows) != frames:
        raise Unwritable(f"only {len(rows)} of its {frames} frames were restored: restore all of them")
    samples = rows.shape[1]
    values, slope, intercept, bits = rows.all(), rows.encoding.slope, rows.encoding.intercept, None
    if values.dtype.kind == "f":
        if samples != 1:
            raise Unwritable("colours in DICOM are whole numbers: take dtype stored, or another format")
        values, slope, intercept = _spanned(values)
        bits = 16
    pixels = values[:, 0] if samples == 1 else np.moveaxis(values, 1, -1)
    pixels = pixels[0] if frames == 1 else pixels
    for name in OF_THE_PIXELS:
        if name in data:
            delattr(data, name)
    old_series, old_image = str(data.get("SeriesInstanceUID", like)), str(data.get("SOPInstanceUID", like))
    meaning = str(data.get("PhotometricInterpretation", "")) if samples == 1 else "RGB"
    stored = bits or int(data.get("BitsStored", pixels.dtype.itemsize * 8))
    data.set_pixel_data(np.ascontiguousarray(pixels), meaning, stored, generate_instance_uid=False)
    if frames > 1:
        data.NumberOfFrames = frames
    _rescale(data, slope, intercept, samples)
    data.SeriesInstanceUID = generate_uid(entropy_srcs=[digest(old_series, series.name, series.key)])
    data.SOPInstanceUID = generate_uid(entropy_srcs=[digest(old_image, series.name, series.key)])
    data.file_meta.MediaStorageSOPInstanceUID = data.SOPInstanceUID
    kind = list(data.get("ImageType", []) or [])
    data.ImageType = ["DERIVED", "SECONDARY", *kind[2:]]
    data.SeriesDescription = f"{data.get('SeriesDescription', '')} restored: {series.said}".strip()[:TEXT]
    data.DerivationDescription = f"ambientkit: restored by a diffusion model, {series.said}"
    data.save_as(target, enforce_file_format=True)


def _spanned(values: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], float, float]:
    """Values as 16 bits, with slope and intercept as DICOM's decimal strings of 16 characters hold them."""
    from pydicom.valuerep import format_number_as_ds

    low, high = float(values.min()), float(values.max())
    intercept = float(format_number_as_ds(low))
    # a little more than the span, so that rounding the two numbers clips nothing
    slope = float(format_number_as_ds(max((high - low) / 65534, 1e-12)))
    code = Encoding(np.dtype(np.uint16), slope, intercept)
    return code.encode(values)[0], slope, intercept


def _rescale(data: Any, slope: float, intercept: float, samples: int) -> None:
    """Slope and intercept wherever the file has them: of the image, and in the groups of frames."""
    from pydicom.valuerep import format_number_as_ds

    groups = []
    for name in ("PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"):
        for item in data.get(name) or ():
            groups += list(item.get("PixelValueTransformationSequence") or ())
    if samples == 1 and (not groups or "RescaleSlope" in data):
        groups.append(data)
    for group in groups:
        group.RescaleSlope, group.RescaleIntercept = format_number_as_ds(slope), format_number_as_ds(intercept)
        if group is not data or "RescaleType" not in group:
            group.RescaleType = group.get("RescaleType", "US")
