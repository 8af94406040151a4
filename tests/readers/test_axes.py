"""Axes that a TIFF file names: channels stay channels, times and planes are rows, and nothing of it is silent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ambientkit.errors import InputError
from tests.support.formats import open_rows

tifffile = pytest.importorskip("tifffile")
SIZES = {"T": 3, "C": 2, "Z": 4}


def hyperstack(axes: str) -> np.ndarray:
    """uint16 (*axes, 16, 18), in which every pixel is another: 1000 t + 100 c + 10 z in the first ones."""
    values = np.random.default_rng(0).integers(0, 65535, (*(SIZES[a] for a in axes), 16, 18)).astype(np.uint16)
    places = np.meshgrid(*(np.arange(SIZES[a]) for a in axes), indexing="ij")
    values[..., 0, 0] = sum({"T": 1000, "C": 100, "Z": 10}[a] * place for a, place in zip(axes, places))
    return values


def first_pixels(spec: dict[str, Any]) -> np.ndarray:
    """(rows, channels): the first pixel of each picture."""
    data = open_rows(spec, clean=True)
    return np.stack([np.round(data.mapping.from_unit(data[i].x_0.numpy()))[:, 0, 0] for i in range(len(data))]).astype(
        int
    )


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        ("TC", {"ome": True}),
        ("CZ", {"ome": True}),
        ("TZC", {"ome": True}),
        ("TC", {"imagej": True}),
        ("TZC", {"imagej": True}),
    ],
    ids=str,
)
def test_channels_are_channels_and_the_other_axes_rows_in_their_order(
    axes: str, options: dict[str, bool], tmp_path: Path, caplog
) -> None:
    values = hyperstack(axes)
    tifffile.imwrite(tmp_path / "a.tif", values, metadata={"axes": f"{axes}YX"}, **options)
    channels_last = np.moveaxis(values[..., 0, 0], axes.index("C"), -1).reshape(-1, 2)
    assert np.array_equal(first_pixels({"name": "tiff-stack", "path": str(tmp_path)}), channels_last)
    assert f"C as channels and {', '.join(axes.replace('C', ''))} as rows" in caplog.text


def test_times_alone_are_rows(tmp_path: Path, caplog) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", hyperstack("T"), metadata={"axes": "TYX"})
    assert first_pixels({"name": "tiff-stack", "path": str(tmp_path)})[:, 0].tolist() == [0, 1000, 2000]
    assert "taken are T as rows" in caplog.text


@pytest.mark.parametrize(("pages", "shape"), [("rows", (6, 1)), ("channels", (1, 6))])
def test_the_file_is_contradicted_by_name_only_and_that_is_told(
    pages: str, shape: tuple[int, int], tmp_path: Path, caplog
) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", hyperstack("TC"), metadata={"axes": "TCYX"})
    assert first_pixels({"name": "tiff-stack", "path": str(tmp_path), "pages": pages}).shape == shape
    assert f"pages: {pages} takes all pages as {pages} instead" in caplog.text


def test_axes_that_do_not_fit_the_pages_are_refused(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.ome.tif", hyperstack("TC"), metadata={"axes": "TCYX"})
    whole = (tmp_path / "a.ome.tif").read_bytes()
    (tmp_path / "a.ome.tif").write_bytes(whole.replace(b'SizeT="3"', b'SizeT="9"'))
    with pytest.raises(InputError, match=r"do not fit|cut short"):
        open_rows({"name": "tiff-stack", "path": str(tmp_path)}, clean=True)


def test_samples_of_one_grey_page_are_its_channels(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "a.tif", hyperstack("C"), planarconfig="separate", photometric="minisblack")
    assert first_pixels({"name": "tiff-stack", "path": str(tmp_path)}).tolist() == [[0, 100]]
