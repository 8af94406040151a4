"""The data set `image-folder`: which files are images, what their values mean, and what is refused before anything
starts."""

from __future__ import annotations

import logging
import os
import pickle
import struct
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.data.image_folder import ImageFolder
from ambientkit.errors import InputError
from ambientkit.registry import load, spec_of


def picture(seed: int = 0, height: int = 12, width: int = 16, channels: int = 3) -> NDArray[np.uint8]:
    """Noise around middle grey that reaches neither end."""
    x = np.random.default_rng(seed).normal(128, 20, (height, width, channels)).clip(1, 254)
    return x.astype(np.uint8)[..., 0] if channels == 1 else x.astype(np.uint8)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def png(pixels: NDArray[Any], depth: int, colour: int, size: tuple[int, int] | None = None) -> bytes:
    """A PNG file of any bit depth, written by hand. size: what the header claims instead."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    height, width = size or pixels.shape[:2]
    lines = b"".join(b"\0" + line.astype(">u2" if depth == 16 else "u1").tobytes() for line in pixels)
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def refused(path: Path, **fields: Any) -> str:
    with pytest.raises(InputError) as caught:
        ImageFolder(path=path, **{"clean": True, **fields}).rows()
    return str(caught.value)


def names(path: Path, **fields: Any) -> list[str]:
    """The files that are used."""
    return ImageFolder(path=path, clean=True, **fields).rows().source.file_names()


# --- values ---------------------------------------------------------------------------------------------------------


def test_a_clean_row_has_the_values_of_its_file(tmp_path: Path) -> None:
    save(tmp_path / "b.png", picture(1))
    save(tmp_path / "a.png", picture(0))
    rows = ImageFolder(path=tmp_path, clean=True).rows()
    assert len(rows) == 2
    for i in range(2):
        assert isinstance(rows[i], Clean)
        assert rows[i].x_0.dtype == torch.float32
        assert np.allclose(rows[i].x_0.numpy(), np.moveaxis(picture(i), -1, 0) / 127.5 - 1, atol=1e-6)


def test_an_observation_carries_its_level_and_row(tmp_path: Path) -> None:
    for i in range(2):
        save(tmp_path / f"{i}.png", picture(i, channels=1))
    item = ImageFolder(path=tmp_path, sigma_n=0.1).rows()[1]
    assert isinstance(item, Batch)
    assert item.x_n.shape == (1, 12, 16)
    assert (item.sigma_n, int(item.row), item.cond) == (torch.tensor(0.1), 1, {})


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_grey_of_16_bits_keeps_its_values(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(20000, 60000, 32 * 32).reshape(32, 32).astype(np.uint16)
    if suffix == "png":
        (tmp_path / "0.png").write_bytes(png(ramp, 16, 0))
    else:
        save(tmp_path / "0.tif", ramp)
    x = (ImageFolder(path=tmp_path, clean=True).rows()[0].x_0 + 1) / 2
    assert x.shape == (1, 32, 32)
    assert x.mean() == pytest.approx(0.610, abs=1e-3)
    assert x.min() == pytest.approx(0.305, abs=1e-3)
    assert x.max() == pytest.approx(0.916, abs=1e-3)
    assert (x.flatten().diff() > 0).all()


def test_one_bit_pictures_are_black_and_white(tmp_path: Path) -> None:
    board = np.indices((8, 8)).sum(0) % 2 == 0
    save(tmp_path / "0.png", board)
    assert np.array_equal(ImageFolder(path=tmp_path, clean=True).rows()[0].x_0[0].numpy(), np.where(board, 1, -1))


def test_a_palette_becomes_its_colours(tmp_path: Path) -> None:
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255]], np.uint8)
    index = np.arange(48).reshape(6, 8) % 3
    Image.fromarray(colours[index]).quantize(3).save(tmp_path / "0.png")
    with Image.open(tmp_path / "0.png") as image:
        assert image.mode == "P"
    x = ImageFolder(path=tmp_path, clean=True).rows()[0].x_0
    assert np.array_equal(x.numpy(), np.moveaxis(colours[index], -1, 0) / 127.5 - 1)


def test_float_tiffs_are_taken_as_they_are_or_by_a_given_range(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(0, 0.5, (12, 16)).astype(np.float32)
    save(tmp_path / "0.tif", x)
    assert np.array_equal(ImageFolder(path=tmp_path, sigma_n=0.4).rows()[0].x_n[0].numpy(), x)
    assert np.allclose(ImageFolder(path=tmp_path, clean=True, value_range=(-2, 2)).rows()[0].x_0[0].numpy(), x / 2)
    save(tmp_path / "0.tif", 100 * x + 128)
    assert "value_range" in refused(tmp_path)


def test_the_exif_orientation_is_applied(tmp_path: Path) -> None:
    upright = picture(0, 24, 40, channels=1)
    for orientation, stored in [
        (3, np.rot90(upright, 2)),
        (6, np.rot90(upright, 1)),
        (8, np.rot90(upright, -1)),
        (1, upright),
    ]:
        exif = Image.Exif()
        exif[0x0112] = orientation
        save(tmp_path / f"{orientation}.png", np.ascontiguousarray(stored), exif=exif)
    rows = ImageFolder(path=tmp_path, clean=True).rows()
    for i in range(4):
        assert np.allclose(rows[i].x_0[0].numpy(), upright / 127.5 - 1, atol=1e-6)


# --- which files ----------------------------------------------------------------------------------------------------


def test_droppings_are_left_out_and_counted_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for i in range(3):
        save(tmp_path / f"img{i}.png", picture(i))
    for name in (".DS_Store", "._img0.png", "Thumbs.db", "notes.txt", "h_no_suffix"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    (tmp_path / "sub.png").mkdir()
    with caplog.at_level(logging.INFO, "ambientkit"):
        assert names(tmp_path) == ["img0.png", "img1.png", "img2.png"]
    assert len([record for record in caplog.records if "left out" in record.getMessage()]) == 1
    assert "images used: 3; left out: 2 hidden (.DS_Store, ._img0.png); 3 without the suffix of an image" in caplog.text


def test_suffixes_count_in_any_case_and_content_decides(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("IMG_1.JPG", "b.Png", "c.jpeg", "d.TIF", "e.tiff", "f.webp", "g.bmp"):
        save(tmp_path / name, picture())
    (tmp_path / "really_a_png.jpg").write_bytes((tmp_path / "b.Png").read_bytes())
    with caplog.at_level(logging.INFO, "ambientkit"):
        assert len(names(tmp_path)) == 8
    assert "images used: 8" in caplog.text
    (tmp_path / "really_a_text.png").write_text("hello")
    assert "really_a_text.png: its content is none of PNG" in refused(tmp_path)


def test_sub_folders_are_read_in_the_order_of_names(tmp_path: Path) -> None:
    for name in ("b/1.png", "a/2.png", "c.png", "a/10.png", "a-b.png", "a/.git/3.png"):
        save(tmp_path / name, picture())
    assert names(tmp_path) == ["a/10.png", "a/2.png", "a-b.png", "b/1.png", "c.png"]


@pytest.mark.parametrize("name", ["dir with spaces", "Ünïcødé_图像", "quote'and&amp;", "-dash first"])
def test_any_path_works(tmp_path: Path, name: str) -> None:
    save(tmp_path / name / "é ü.png", picture())
    assert names(tmp_path / name) == ["é ü.png"]


def test_a_name_that_is_not_utf8_can_be_written_in_a_message(tmp_path: Path) -> None:
    try:
        (tmp_path / os.fsdecode(b"caf\xe9.png")).write_text("no image")
    except OSError:
        pytest.skip("this file system refuses names that are not UTF-8")
    message = refused(tmp_path)
    assert r"caf\udce9.png: its content" in message.encode("utf-8").decode()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    assert f"{tmp_path}: no image found. Files named .png" in refused(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert "left out: 1 without the suffix of an image (notes.txt)" in refused(tmp_path)
    assert "no such folder" in refused(tmp_path / "nowhere")
    assert "but is a file" in refused(tmp_path / "notes.txt")


def links(folder: Path) -> Path:
    save(folder / "real" / "x.png", picture(1))
    save(folder / "in" / "ok.png", picture(0))
    for name, target in [("dir", "../real"), ("loop", "."), ("file.png", "../real/x.png")]:
        (folder / "in" / name).symlink_to(target)
    return folder / "in"


def test_links_are_left_out_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = links(tmp_path)
    with caplog.at_level(logging.INFO, "ambientkit"):
        assert names(folder) == ["ok.png"]
    assert "3 linked, which follow_links: true would follow (dir, file.png, loop)" in caplog.text


def test_links_are_followed_on_request_and_a_loop_ends(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = links(tmp_path)
    with caplog.at_level(logging.INFO, "ambientkit"):
        assert names(folder, follow_links=True) == ["dir/x.png", "file.png", "ok.png"]
    assert "1 linked to a folder that is read already (loop)" in caplog.text
    (folder / "dangling.png").symlink_to("nowhere.png")
    assert "dangling.png: No such file" in refused(folder, follow_links=True)
    assert names(folder) == ["ok.png"]


# --- bad files ------------------------------------------------------------------------------------------------------


def damaged(folder: Path) -> Path:
    for i in range(3):
        save(folder / f"good{i}.png", picture(i))
    whole = (folder / "good0.png").read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    jpeg = save(folder / "cut.jpg", picture(9)).read_bytes()
    (folder / "cut.jpg").write_bytes(jpeg[:-60])
    (folder / "hollow.png").touch()
    return folder


def test_bad_files_are_all_listed_with_their_cause(tmp_path: Path) -> None:
    message = refused(damaged(tmp_path))
    assert f"{tmp_path}: 3 of 6 images cannot be used:" in message
    for line in (
        "cut.jpg: image file is truncated",
        "cut.png: image file is truncated",
        "hollow.png: the file is empty",
    ):
        assert line in message
    assert "on_bad_file: skip" in message


def test_bad_files_are_counted_when_skipped(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "ambientkit"):
        rows = ImageFolder(path=damaged(tmp_path), sigma_n=0.1, on_bad_file="skip").rows()
    assert "3 of 6 images are left out" in caplog.text
    assert "cut.png" in caplog.text
    assert len(rows) == 3
    for i in range(3):
        assert int(rows[i].row) == i
        assert np.allclose(rows[i].x_n.numpy(), np.moveaxis(picture(i), -1, 0) / 127.5 - 1, atol=1e-6)


def test_a_folder_of_bad_files_only_is_refused_even_when_skipping(tmp_path: Path) -> None:
    (tmp_path / "hollow.png").touch()
    assert "1 of 1 images cannot be used" in refused(tmp_path, on_bad_file="skip")


def test_long_lists_are_cut_and_counted(tmp_path: Path) -> None:
    for i in range(20):
        (tmp_path / f"{i:02}.png").touch()
    message = refused(tmp_path)
    assert "07.png" in message
    assert "08.png" not in message
    assert "and 12 more" in message


def test_transparency_is_refused(tmp_path: Path) -> None:
    hidden = np.zeros((8, 8, 4), np.uint8)
    hidden[..., 0] = 255
    save(tmp_path / "rgba" / "0.png", hidden)
    save(tmp_path / "la" / "0.png", hidden[..., :2])
    (tmp_path / "key").mkdir()
    Image.fromarray(picture()).save(tmp_path / "key" / "0.png", transparency=(0, 0, 0))
    Image.fromarray(picture()).quantize(4).save(tmp_path / "key" / "1.png", transparency=0)
    for folder, number in [("rgba", 1), ("la", 1), ("key", 2)]:
        message = refused(tmp_path / folder)
        assert message.count("it has transparency") == number
        assert "composite it" in message


def test_several_pages_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((16, 16), 10 * k, np.uint8)) for k in range(7)]
    for name in ("stack.tif", "frames.png", "frames.webp"):
        pages[0].save(tmp_path / name, save_all=True, append_images=pages[1:])
    message = refused(tmp_path)
    for name in ("stack.tif", "frames.png", "frames.webp"):
        assert f"{name}: it holds 7 pages" in message


def test_more_bits_than_would_be_read_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((8, 8), 70000, np.int32)).save(tmp_path / "int.tif")
    save(tmp_path / "cmyk.jpg", picture()).unlink()
    Image.fromarray(picture()).convert("CMYK").save(tmp_path / "cmyk.jpg")
    message = refused(tmp_path)
    for name in ("int.tif", "cmyk.jpg"):
        assert f"{name}: its pixels" in message
    assert message.count("without loss") == 2


# --- 16-bit RGB -----------------------------------------------------------------------------------------------------


def test_a_16_bit_rgb_png_keeps_all_its_bits(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    deep = np.random.default_rng(0).integers(0, 65536, (12, 16, 3))
    (tmp_path / "0.png").write_bytes(png(deep, 16, 2))
    rows = ImageFolder(path=tmp_path, clean=True).rows()
    assert rows.source.dtype == np.uint16
    assert np.array_equal(np.rint(rows.mapping.from_unit(rows[0].x_0.numpy())), np.moveaxis(deep, -1, 0))


def test_a_damaged_16_bit_rgb_png_is_listed_and_never_decoded_further(tmp_path: Path) -> None:
    pytest.importorskip("imagecodecs")
    whole = png(np.random.default_rng(0).integers(0, 65536, (32, 32, 3)), 16, 2)
    (tmp_path / "a.png").write_bytes(whole)
    (tmp_path / "b_cut.png").write_bytes(whole[: len(whole) // 2])
    flipped = bytearray(whole)
    flipped[300] ^= 55
    (tmp_path / "c_flipped.png").write_bytes(flipped)
    message = refused(tmp_path)
    assert "2 of 3 images cannot be used" in message
    assert "b_cut.png: " in message
    assert "c_flipped.png: " in message


def test_a_16_bit_rgb_png_is_refused_by_name_where_nothing_can_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "0.png").write_bytes(png(np.zeros((8, 8, 3)), 16, 2))
    monkeypatch.setitem(sys.modules, "imagecodecs", None)
    message = refused(tmp_path)
    assert "0.png: 16-bit RGB is read by the library imagecodecs" in message
    assert "pip install 'ambientkit[science]'" in message


def test_an_orientation_that_is_told_after_the_pixels_is_not_missed(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    save(tmp_path / "0.png", picture(0, 24, 40), exif=exif)
    assert ImageFolder(path=tmp_path, clean=True).rows()[0].x_0.shape == (3, 24, 40)
    whole = (tmp_path / "0.png").read_bytes()
    at = whole.index(b"eXIf") - 4
    end = at + 12 + struct.unpack(">I", whole[at : at + 4])[0]
    last = whole.index(b"IEND") - 4
    (tmp_path / "0.png").write_bytes(whole[:at] + whole[end:last] + whole[at:end] + whole[last:])
    assert "0.png: its orientation is stored after its pixels" in refused(tmp_path)


# --- units and counts -----------------------------------------------------------------------------------------------


def test_a_level_may_be_given_in_the_units_of_the_file(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"{i}.png", picture(i))
    rows = ImageFolder(path=tmp_path, sigma_n=12.75, sigma_units="file").rows()
    assert float(rows[1].sigma_n) == pytest.approx(0.1)
    table = levels(tmp_path, "0.png,10", "1.png,12.75", "2.png,0")
    by_file = ImageFolder(path=tmp_path, sigma_n=table, sigma_units="file").rows()
    assert [float(by_file[i].sigma_n) for i in range(3)] == pytest.approx([10 / 127.5, 0.1, 0])


def test_counts_in_pictures_get_even_noise_of_the_level_that_follows(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    rate = np.broadcast_to(np.linspace(20, 400, 64), (64, 64))
    for i in range(8):
        save(
            tmp_path / f"{i}.png",
            np.rint(100 + 2 * rng.poisson(rate) + 5 * rng.standard_normal(rate.shape)).astype(np.uint16),
        )
    rows = ImageFolder(path=tmp_path, counts={"gain": 2, "offset": 100, "read_std": 5}, value_range=(100, 1100)).rows()
    x = np.stack([rows[i].x_n.numpy() for i in range(8)])
    sigma = float(rows[0].sigma_n)
    assert sigma == pytest.approx(1 / rows.mapping._half)
    by_column = x.std(axis=(0, 1, 2))  # over rows of one rate
    assert by_column.mean() == pytest.approx(sigma, rel=0.03)
    assert by_column[:8].mean() == pytest.approx(by_column[-8:].mean(), rel=0.1)
    with pytest.raises(InputError, match="follows from the transform"):
        load().build("data", {"name": "image-folder", "path": "x", "counts": {}, "value_range": [0, 9], "sigma_n": 0.1})


def test_deep_tiffs_that_pillow_would_spoil_are_refused(tmp_path: Path) -> None:
    def tiff(bits: tuple[int, ...], photometric: int) -> bytes:
        """A little-endian TIFF of 8 x 8 pixels in one strip."""
        samples = len(bits)
        start = 8 + 2 + 10 * 12 + 4
        counts = b"" if samples == 1 else struct.pack(f"<{samples}H", *bits)
        entries = [
            (256, 3, 1, 8),
            (257, 3, 1, 8),
            (258, 3, samples, bits[0] if samples == 1 else start),
            (259, 3, 1, 1),
        ]
        entries += [(262, 3, 1, photometric), (273, 4, 1, start + len(counts)), (277, 3, 1, samples), (278, 3, 1, 8)]
        entries += [(279, 4, 1, 64 * 2 * samples), (284, 3, 1, 1)]
        table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
        pixels = np.arange(64 * samples, dtype="<u2").tobytes()
        return b"II*\0" + struct.pack("<IH", 8, len(entries)) + table + struct.pack("<I", 0) + counts + pixels

    (tmp_path / "black.tif").write_bytes(tiff((16,), 1))
    assert ImageFolder(path=tmp_path, clean=True).rows()[0].x_0[0, 0, 1] == np.float32(1 / 32767.5 - 1)
    (tmp_path / "black.tif").unlink()
    (tmp_path / "rgb.tif").write_bytes(tiff((16, 16, 16), 2))
    (tmp_path / "white.tif").write_bytes(tiff((16,), 0))
    message = refused(tmp_path)
    assert "rgb.tif: its pixels" in message
    assert "white.tif: it is a TIFF in which 0 is white" in message


def test_mixed_sizes_and_kinds_are_refused_with_a_table(tmp_path: Path) -> None:
    for i in range(3):
        save(tmp_path / f"a{i}.png", picture(height=33, width=47))
    save(tmp_path / "b.png", picture(height=17, width=90))
    save(tmp_path / "c.png", picture(height=33, width=47, channels=1))
    (tmp_path / "d.png").write_bytes(png(np.full((33, 47), 9), 16, 0))
    message = refused(tmp_path)
    assert "3 x 33 x 47 uint8: 3 (such as a0.png)" in message
    for line in (
        "3 x 17 x 90 uint8: 1 (such as b.png)",
        "1 x 33 x 47 uint8: 1 (such as c.png)",
        "1 x 33 x 47 uint16: 1 (such as d.png)",
    ):
        assert line in message
    assert message.index("a0.png") < message.index("b.png")


# --- size -----------------------------------------------------------------------------------------------------------


def test_a_bomb_is_refused_by_its_header(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bomb.png").write_bytes(png(np.zeros((0, 0)), 8, 2, size=(60000, 60000)))
    monkeypatch.setattr(ImageFile.ImageFile, "load", None)  # decoding would fail
    message = refused(tmp_path)
    assert "bomb.png: 60000 x 60000 pixels are more than max_pixels = 67108864" in message


def test_the_limit_can_be_raised_above_pillows_own_which_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 50)
    save(tmp_path / "big.png", picture(height=12, width=16, channels=1))
    assert "16 x 12 pixels are more than max_pixels = 191" in refused(tmp_path, max_pixels=191)
    assert ImageFolder(path=tmp_path, clean=True, max_pixels=192).rows()[0].x_0.shape == (1, 12, 16)
    assert Image.MAX_IMAGE_PIXELS == 50
    with pytest.raises(Image.DecompressionBombError):
        Image.open(tmp_path / "big.png")


# --- noise levels ---------------------------------------------------------------------------------------------------


def levels(folder: Path, *lines: str) -> Path:
    folder.joinpath("levels.csv").write_text("\n".join(["file,sigma_n", *lines]) + "\n", encoding="utf-8")
    return folder / "levels.csv"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for i, name in enumerate(("a.png", "sub/é, b.png", "c.png")):
        save(tmp_path / "pictures" / name, picture(i))
    return tmp_path / "pictures"


def test_levels_come_from_a_table_by_file_name(folder: Path, tmp_path: Path) -> None:
    table = levels(tmp_path, '"sub/é, b.png",0.15', "a.png,0.05", "", "c.png,0")
    rows = ImageFolder(path=folder, sigma_n=table).rows()
    assert [float(rows[i].sigma_n) for i in range(3)] == pytest.approx([0.05, 0, 0.15])


def test_a_table_must_match_the_folder(folder: Path, tmp_path: Path) -> None:
    table = levels(tmp_path, "a.png,0.1", "a.png,0.2", "", "c.png,-1", "d.png,x", "f.png,nan", "é, b.png,1", "e.png")
    message = refused(folder, clean=False, sigma_n=table)
    assert "not as many cells as the header:\n  line 8: 'é,b.png,1'\n  line 9: 'e.png'" in message
    numbers = ["1_0", "١", "inf", "True", "1e400", "0x1", ""]
    table = levels(
        tmp_path, "a.png,0.1", "a.png,0.2", "", "c.png,-1", "d.png,x", "f.png,nan", *map("g.png,{}".format, numbers)
    )
    message = refused(folder, clean=False, sigma_n=table)
    for line in (
        "line 3: 'a.png' comes a second time",
        "line 5, c.png: sigma_n -1 is below 0",
        "line 6, d.png: 'x' is no number",
        "line 7, f.png: 'nan' is no number",
        "line 8, g.png: '1_0' is no number",
        "line 9, g.png: '١' is no number",
        "line 10, g.png: 'inf' is no number",
    ):
        assert line in message
    assert "and 3 more" in message
    message = refused(folder, clean=False, sigma_n=levels(tmp_path, "a.png,0.1", "b.png,0.1"))
    assert "no level for 2 of 3 images: c.png, sub/é, b.png" in message
    assert "1 name no image of the folder: b.png" in message


def test_a_table_that_cannot_be_read_is_refused(folder: Path, tmp_path: Path) -> None:
    assert "cannot be read" in refused(folder, clean=False, sigma_n=tmp_path / "nowhere.csv")
    (tmp_path / "x.csv").write_text("name;level\n")
    assert "the columns should be file and sigma_n, one line for each image, but are 'name;level'" in refused(
        folder, clean=False, sigma_n=tmp_path / "x.csv"
    )
    (tmp_path / "x.csv").write_bytes(b"file,sigma_n\ncaf\xe9.png,0.1\n")
    assert "cannot be read" in refused(folder, clean=False, sigma_n=tmp_path / "x.csv")


def test_noise_that_is_unknown_or_contradictory_is_refused(folder: Path) -> None:
    message = refused(folder, clean=False)
    assert "give sigma_n" in message
    assert "set clean to true" in message
    with pytest.raises(InputError, match="clean rows have no sigma_n"):
        load().build("data", {"name": "image-folder", "path": "x", "clean": True, "sigma_n": 0.1})
    with pytest.raises(InputError, match="0 or more"):
        load().build("data", {"name": "image-folder", "path": "x", "sigma_n": -0.1})


def test_rows_that_cannot_hold_the_declared_noise_are_refused_by_file(folder: Path) -> None:
    assert "std of the data" in refused(folder, clean=False, sigma_n=25)
    save(folder / "flat.png", np.full((12, 16, 3), 90, np.uint8))
    assert "1 of 4 rows are constant: flat.png" in refused(folder, clean=False, sigma_n=0.1)


def test_clipped_noise_is_refused(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(-0.9, 0.5, (32, 32))
    save(tmp_path / "0.png", np.rint((x.clip(-1, 1) + 1) * 127.5).astype(np.uint8))
    assert "exactly 0" in refused(tmp_path, clean=False, sigma_n=0.25)


def test_noise_in_a_lossy_file_is_doubted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    save(tmp_path / "0.jpg", picture())
    with caplog.at_level(logging.WARNING, "ambientkit"):
        ImageFolder(path=tmp_path, clean=True).rows()
        assert caplog.text == ""
        ImageFolder(path=tmp_path, sigma_n=0.1).rows()
    assert "JPEG compression changes noise" in caplog.text


def test_levels_and_names_stay_with_their_files_where_a_bad_one_is_skipped(folder: Path, tmp_path: Path) -> None:
    (folder / "0_bad.png").touch()
    table = levels(tmp_path, "0_bad.png,0.05", "a.png,0.06", "c.png,0.07", '"sub/é, b.png",0.08')
    rows = ImageFolder(path=folder, sigma_n=table, on_bad_file="skip").rows()
    assert [float(rows[i].sigma_n) for i in range(3)] == pytest.approx([0.06, 0.07, 0.08])
    save(folder / "c.png", np.full((12, 16, 3), 90, np.uint8))
    assert "1 of 3 rows are constant: c.png" in refused(folder, clean=False, sigma_n=table, on_bad_file="skip")


# --- workers --------------------------------------------------------------------------------------------------------


def test_rows_travel_to_workers_as_names(folder: Path) -> None:
    rows = ImageFolder(path=folder, sigma_n=0.1).rows()
    sent = pickle.dumps(rows)
    assert len(sent) < 1500
    assert torch.equal(pickle.loads(sent)[2].x_n, rows[2].x_n)


def test_a_file_that_vanishes_during_a_run_is_named(folder: Path) -> None:
    rows = ImageFolder(path=folder, sigma_n=0.1).rows()
    (folder / "c.png").unlink()
    with pytest.raises(InputError, match=r"c\.png: was usable when the run started"):
        rows[1]


def test_the_part_comes_back_from_its_plain_mapping(tmp_path: Path) -> None:
    part = ImageFolder(path=tmp_path, sigma_n=tmp_path / "levels.csv", follow_links=True, on_bad_file="skip")
    assert load().build("data", spec_of(part)) == part


@pytest.mark.parametrize("word", ["estimate", "estimate-by-row"])
def test_a_level_that_nobody_knows_is_estimated_and_told_with_its_uncertainty(
    tmp_path: Path, caplog, word: str
) -> None:
    y, x = np.mgrid[:64, :64] / 64.0
    for i in range(6):
        clean = 60 + 100 * x + 40 * (y > 0.5)
        noise = (12 if word == "estimate" else 6 + 3 * i) * np.random.default_rng(i).standard_normal(clean.shape)
        save(tmp_path / f"{i}.png", np.rint(clean + noise).clip(1, 254).astype(np.uint8))
    rows = ImageFolder(path=tmp_path, sigma_n=word).rows()
    found = [float(rows[i].sigma_n) * 127.5 for i in range(6)]
    expected = [12.0] * 6 if word == "estimate" else [6.0 + 3 * i for i in range(6)]
    assert np.allclose(found, expected, rtol=0.1)
    assert "estimated" in caplog.text
    assert "+-" in caplog.text
    assert list(rows.at_or_above(0.1)) == ([] if word == "estimate" else [3, 4, 5])


def test_planar_channels_are_sent_to_the_reader_that_knows_them(tmp_path: Path) -> None:
    tifffile = pytest.importorskip("tifffile")
    planes = np.zeros((2, 16, 16), np.uint16)
    tifffile.imwrite(tmp_path / "a.tif", planes, planarconfig="separate", photometric="minisblack")
    assert "a.tif: Pillow does not read pixels stored like this: read it with the data set tiff-stack" in refused(
        tmp_path, clean=True
    )


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw"])
def test_a_tiff_that_is_stored_turned_is_read_upright(tmp_path: Path, compression: str) -> None:
    """Pillow turns it by itself; it was refused as one whose orientation stands after its pixels."""
    upright = picture(0, 24, 40, channels=1)
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: np.rot90(upright, 2),
        4: upright[::-1],
        5: upright.T,
        6: np.rot90(upright, 1),
        7: np.rot90(upright, 2).T,
        8: np.rot90(upright, -1),
    }
    for orientation, pixels in stored.items():
        save(
            tmp_path / f"{orientation}.tif",
            np.ascontiguousarray(pixels),
            tiffinfo={0x0112: orientation},
            compression=compression,
        )
    rows = ImageFolder(path=tmp_path, clean=True).rows()
    for i in range(8):
        assert np.allclose(rows[i].x_0[0].numpy(), upright / 127.5 - 1, atol=1e-6)
