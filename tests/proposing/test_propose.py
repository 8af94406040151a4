"""A whole run proposed for files: what it says of cameras that are simulated, that `train` takes it, and what it asks
for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile
from markupsafe import escape
from PIL import Image

import ambientkit as ak
from ambientkit.config import load_file
from ambientkit.errors import InputError
from ambientkit.proposing import settings as proposed_settings
from ambientkit.registry import load
from ambientkit.run.configured import proposed
from tests.inspection.test_photon import camera, few, scenes


@pytest.fixture(autouse=True)
def no_trial(request, monkeypatch) -> None:
    """The speed is measured in one test alone."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(proposed_settings, "_trial", lambda tree, registry: 0.1)


def files(folder: Path, values: np.ndarray) -> Path:
    """16-bit TIFFs, as a camera writes them."""
    folder.mkdir()
    for number, picture in enumerate(np.round(values).clip(0, 65535).astype(np.uint16)):
        tifffile.imwrite(folder / f"cell_{number:03}.tif", picture[0])
    return folder


def cells(rng: np.random.Generator, n: int = 20) -> np.ndarray:
    return camera(rng, scenes(rng, n), 2.1, 100.0, 4.0)


@pytest.mark.slow
def test_a_run_that_train_would_refuse_is_not_written(tmp_path: Path) -> None:
    """Case: rows in which nothing stands out of the noise were "fine", and the run that was written began with an
    error."""
    rng = np.random.default_rng(0)
    np.save(tmp_path / "a.npy", rng.normal(0, 0.1, (40, 1, 32, 32)).astype(np.float32))
    found = ak.inspect(tmp_path / "a.npy", write=tmp_path / "run.yaml")
    assert found.proposal is not None
    assert not found.proposal.complete
    assert found.proposal.missing[0].startswith("under the noise")
    assert not (tmp_path / "run.yaml").exists()


def test_counts_of_a_camera_are_found_written_with_their_reasons_and_read_back(tmp_path: Path, caplog) -> None:
    data, target = files(tmp_path / "cells", cells(np.random.default_rng(1), 30)), tmp_path / "run.yaml"
    found = ak.inspect(data, write=target)
    assert found.proposal is not None
    assert found.proposal.complete
    assert found.written == target
    assert not found.violated
    assert not caplog.records  # nothing warns of what is proposed here
    assert "measured noise: " in str(found)
    assert "declared" not in str(found)
    counts = found.proposal.config["data"]["counts"]
    photon = found.proposal.photon
    assert counts["gain"] == pytest.approx(2.1, abs=4 * photon.gain_error)
    zero = counts["offset"] - counts["read_std"] ** 2 / counts["gain"]
    assert zero == pytest.approx(100 - 4**2 / 2.1, abs=4 * photon.zero_error)
    text = target.read_text()
    assert load_file(target).tree == {key: _plain(value) for key, value in found.proposal.config.items()}
    assert "# File units per count: " in text
    assert "--dark" in text
    config = ak.configure(target)
    assert config.data.counts.gain == counts["gain"]
    assert all(f"# {why[:20]}" in text for why in found.proposal.reasons.values())
    for path in (
        ("data", "value_range"),
        ("batch_size",),
        ("end_step",),
        ("optimizer", "lr"),
        ("hold_out",),
        ("model",),
    ):
        assert path in found.proposal.reasons
    assert found.to_dict()["proposal"]["config"]["data"]["counts"] == counts
    html = found.page()  # case: the page said nothing of the run
    assert f"ambientkit train -c {target}" in html
    assert all(str(escape(text)) in html for line in found.proposal.lines() for text in line)


def _plain(value):
    return {key: _plain(one) for key, one in value.items()} if isinstance(value, dict) else value


def test_dark_frames_give_offset_and_read_noise_one_by_one(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    data = files(tmp_path / "cells", cells(rng))
    dark = files(tmp_path / "dark", camera(rng, np.zeros((10, 1, 48, 48)), 2.1, 100.0, 4.0))
    found = ak.inspect(data, write=tmp_path / "run.yaml", dark=dark).proposal
    counts = found.config["data"]["counts"]
    assert counts["offset"] == pytest.approx(100, abs=0.3)
    assert counts["read_std"] == pytest.approx(4, rel=0.03)
    assert counts["gain"] == pytest.approx(2.1, rel=0.06)


def test_repeats_measure_noise_that_texture_hides(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    texture = 40 + 30 * rng.random((20, 1, 48, 48))  # as fine as noise
    data = files(tmp_path / "cells", camera(rng, texture, 2.1, 100.0, 4.0))
    one = np.broadcast_to(texture[:1], (12, 1, 48, 48))
    repeats = files(tmp_path / "repeats", camera(rng, one, 2.1, 100.0, 4.0))
    found = ak.inspect(data, write=tmp_path / "run.yaml", repeats=repeats).proposal
    assert found.photon.gain == pytest.approx(2.1, rel=0.1)


def test_flat_fields_of_several_brightnesses_give_the_gain(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    data = files(tmp_path / "cells", cells(rng))
    flats = [
        files(tmp_path / f"flat{p}", camera(rng, np.full((6, 1, 48, 48), float(p)), 2.1, 100.0, 4.0))
        for p in (10, 60, 150)
    ]
    found = ak.inspect(data, write=tmp_path / "run.yaml", flat=flats).proposal
    assert found.config["data"]["counts"]["gain"] == pytest.approx(2.1, rel=0.06)


def test_noise_of_one_level_is_declared_in_the_units_of_the_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    p = scenes(rng, 20)
    data = files(tmp_path / "frames", 1000 + p + 8 * rng.standard_normal(p.shape))
    found = ak.inspect(data, write=tmp_path / "run.yaml").proposal
    spec = found.config["data"]
    assert spec["sigma_units"] == "file"
    assert spec["sigma_n"] == pytest.approx(8, rel=0.05)
    assert ak.configure(tmp_path / "run.yaml").data.sigma_n == spec["sigma_n"]


def test_levels_are_proposed_as_train_chooses_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    p = scenes(rng, 20)
    data = files(tmp_path / "frames", 1000 + p + 8 * rng.standard_normal(p.shape))
    found = ak.inspect(data, write=tmp_path / "run.yaml").proposal
    spec = found.config["data"]
    run = ak.train(spec, end_step=1, skip_preflight=True, device="cpu", output_dir=tmp_path / "run")
    assert run.config.levels.sigma_max < 80
    assert found.config["levels"] == {
        "sigma_min": run.config.levels.sigma_min,
        "sigma_max": run.config.levels.sigma_max,
    }
    assert "freed of their noise" in (tmp_path / "run.yaml").read_text()


@pytest.mark.parametrize(("top", "noise"), [(0.6, 0.02), (20000.0, 45.0)])
def test_what_is_proposed_is_not_doubted(tmp_path: Path, caplog, top: float, noise: float) -> None:
    """Floating point of [0, 1], whose range is found; and noise below the default lowest level, which is lowered where
    a wide range is given."""
    rng = np.random.default_rng(5)
    p = scenes(rng, 20)
    rows = p * (top / p.max()) + noise * rng.standard_normal(p.shape)
    np.save(tmp_path / "rows.npy", (rows + top / 3).astype(np.float32))
    spec = {"name": "array", "path": tmp_path / "rows.npy", "layout": "NCHW"}
    wide = {"value_range": [0, 65535]} if top > 1 else {}
    found = ak.inspect({**spec, **wide}, write=tmp_path / "run.yaml")
    assert found.written is not None, str(found)
    assert {one.name for one in found.findings if one.verdict in ("doubt", "violated")} == set()
    assert [record.getMessage() for record in caplog.records] == []
    assert (found.proposal.config["levels"]["sigma_min"] < 0.002) == (top > 1)
    assert "measured level" in found.page()
    assert found.facts["sigma_n_declared"] is None


def test_unequal_levels_that_are_proposed_are_measured_ones(tmp_path: Path, caplog) -> None:
    rng = np.random.default_rng(6)
    p = scenes(rng, 20)
    rows = p + np.linspace(3, 12, 20)[:, None, None, None] * rng.standard_normal(p.shape)
    np.save(tmp_path / "rows.npy", rows.astype(np.float32))
    found = ak.inspect({"name": "array", "path": tmp_path / "rows.npy", "layout": "NCHW"}, write=tmp_path / "run.yaml")
    assert found.proposal.config["data"]["sigma_n"] == "estimate-by-row"
    assert found.facts["sigma_n_measured"][0] < found.facts["sigma_n_measured"][2]
    assert not caplog.records


@pytest.mark.parametrize("what", ["points", "bent", "clipped", "few photons", "a gap far out"])
def test_where_nothing_can_be_proposed_nothing_is_written_and_it_says_what_to_measure(
    tmp_path: Path, what: str
) -> None:
    rng = np.random.default_rng(6)
    p = scenes(rng, 30)
    if what == "points":
        np.save(tmp_path / "rows.npy", rng.standard_normal((100, 5)).astype(np.float32))
        asked = "--repeats"
    elif what == "bent":
        np.save(tmp_path / "rows.npy", (p * (1 + 0.2 * rng.standard_normal(p.shape))).astype(np.float32))
        asked = "logarithm"
    elif what == "few photons":  # case: exit status 2, and the reason twice
        np.save(tmp_path / "rows.npy", rng.poisson(p * 5 / p.mean()).astype(np.uint16))
        asked = "Sum pixels or frames before"
    elif what == "a gap far out":  # case: it asked for the value_range that is measured here
        np.save(tmp_path / "rows.npy", np.where(p < np.quantile(p, 0.3), 118, 200 + p))
        asked = "nothing is written"
    else:
        np.save(tmp_path / "rows.npy", (p + 6 * rng.standard_normal(p.shape)).clip(8, None).astype(np.float32))
        asked = "clipped"
    layout = "N..." if what == "points" else "NCHW"
    spec = {"name": "array", "path": tmp_path / "rows.npy", "layout": layout}
    found = ak.inspect(spec, write=tmp_path / "run.yaml")
    assert not found.proposal.complete
    assert not (tmp_path / "run.yaml").exists()
    assert asked in str(found)
    html = found.page()
    assert "Nothing is written. Missing:" in html
    assert all(str(escape(text)) in html for text in found.proposal.missing)


@pytest.mark.parametrize("gaps", [False, True])
def test_a_level_in_units_of_the_range_holds_where_the_noise_leaves_it(tmp_path: Path, gaps: bool) -> None:
    """Case: values of [-1, 1] with noise of 0.15 reached 1.59, got a range of their own, and the level that was given
    was called 0.68 times too large in it."""
    rng = np.random.default_rng(12)
    p = scenes(rng, 40)
    rows = (2 * (p - p.min()) / np.ptp(p) - 1 + 0.15 * rng.standard_normal(p.shape)).astype(np.float32)
    assert np.abs(rows).max() > 1.5
    if gaps:
        rows[rng.random(rows.shape) < 0.2] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    spec = ak.inspect(tmp_path / "rows.npy", sigma_n=0.15, write=tmp_path / "run.yaml").proposal.config["data"]
    assert (spec.get("value_range"), spec["sigma_n"]) == (None, 0.15)


def test_a_few_clipped_values_are_kept_with_the_reason_and_train_takes_the_run(tmp_path: Path) -> None:
    """Case: photographs of 8 bits, 0.12 % of whose values were 0 or 255, got no proposal, and no way round."""
    rng = np.random.default_rng(11)
    p = scenes(rng, 40)
    x = 40 + 180 * (p - p.min()) / np.ptp(p) + 12 * rng.standard_normal(p.shape)
    x += 255 - np.quantile(x, 0.997)
    np.save(tmp_path / "rows.npy", x.round().clip(0, 255).astype(np.uint8))
    found = ak.inspect(tmp_path / "rows.npy", write=tmp_path / "run.yaml")
    assert found.proposal.complete
    assert found.proposal.config["data"]["clipped"] == "keep"
    assert "% at 255" in str(found.proposal.reasons["data", "clipped"])
    spec = {key: value for key, value in found.proposal.config["data"].items() if key != "clipped"}
    with pytest.raises(ak.InputError, match="`clipped: keep`"):
        load().build("data", spec).rows()
    assert len(load().build("data", {**spec, "clipped": "keep"}).rows()) == 40


def test_rows_with_missing_pixels_are_left_out_and_counted(tmp_path: Path) -> None:
    rng = np.random.default_rng(7)
    rows = cells(rng).astype(np.float32)
    rows[3, 0, :2, :2] = np.nan
    np.save(tmp_path / "rows.npy", rows)
    spec = ak.inspect(tmp_path / "rows.npy", write=tmp_path / "run.yaml").proposal.config["data"]
    assert spec["on_bad_file"] == "skip"


def test_errors_that_the_files_bring_are_proposed_as_noise_per_pixel(tmp_path: Path) -> None:
    fits = pytest.importorskip("astropy.io.fits")
    rng = np.random.default_rng(12)
    (tmp_path / "night").mkdir()
    for number, image in enumerate(scenes(rng, 20)):
        error = np.where(np.arange(48) < 30, 12, 18) * np.ones((48, 48), np.float32)
        science = (image[0] + error * rng.standard_normal(error.shape)).astype(np.float32)
        units = [fits.PrimaryHDU(), fits.ImageHDU(science, name="SCI"), fits.ImageHDU(error, name="ERR")]
        fits.HDUList(units).writeto(tmp_path / "night" / f"{number:02}.fits")
    found = ak.inspect(tmp_path / "night", write=tmp_path / "run.yaml").proposal
    assert (found.config["data"]["sigma_n"], found.config["data"]["sigma_units"]) == ("ERR", "file")
    assert "every file has" in found.reasons["data", "sigma_n"]
    rows = ak.configure(tmp_path / "run.yaml").data.rows()
    assert rows[0].sigma_n.shape == (1, 48, 48)


def test_what_cannot_be_written_or_has_no_files_is_an_error(tmp_path: Path) -> None:
    np.save(tmp_path / "rows.npy", cells(np.random.default_rng(8), 4))
    (tmp_path / "there.yaml").write_text("")
    for name in ("there.yaml", "run.txt", "no/run.yaml", "x" * 300 + ".yaml"):
        with pytest.raises(InputError, match="write"):
            ak.inspect(tmp_path / "rows.npy", write=tmp_path / name)
    with pytest.raises(InputError, match="in files"):
        ak.inspect(np.zeros((4, 1, 16, 16), np.float32), write=tmp_path / "run.yaml")
    with pytest.raises(InputError, match="too"):
        ak.inspect(tmp_path / "rows.npy", dark=tmp_path / "rows.npy")


@pytest.mark.slow
def test_the_speed_is_measured_and_the_run_trains_and_restores_in_file_units(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    clean = scenes(rng, 24, 32)
    data = files(tmp_path / "cells", camera(rng, clean * 4, 2.1, 100.0, 4.0))
    found = ak.inspect(data, write=tmp_path / "run.yaml")
    assert "s per step in a trial" in found.proposal.reasons["end_step",]
    run = ak.train(config=tmp_path / "run.yaml", end_step=3, output_dir=tmp_path / "run", skip_preflight=True)
    assert run.ended.step == 3
    more = files(tmp_path / "more", camera(rng, clean[:3] * 4, 2.1, 100.0, 4.0))
    run.restore(more, out=tmp_path / "restored", draws=2, steps=2)  # other files of the same camera
    found = sorted((tmp_path / "restored" / "mean").iterdir())
    assert [path.stem for path in found] == [path.stem for path in sorted(more.iterdir())]
    mean = np.stack([np.asarray(Image.open(path)) for path in found])
    assert mean.shape == (3, 32, 32)
    assert 80 < mean.mean() < 1000  # file units, not [-1, 1]


def test_the_model_and_its_training_are_those_that_train_would_choose(monkeypatch) -> None:
    """One choice (decision 38), of which `inspect --write` sets the number of steps alone."""
    monkeypatch.setattr(proposed_settings, "TIME", {"cpu": 300.0, "cuda": 300.0})
    for shape, rows in (((1, 8, 8), 500), ((1, 64, 64), 5000), ((3, 128, 128), 300), ((5,), 2000), ((1, 8, 8), 30)):
        name, model = proposed(load(), shape, {}, rows)
        tree = proposed_settings.settings({"name": "array"}, shape, rows, load()).tree
        assert tree["model"] == {"name": name, **model.fields}
        assert tree["batch_size"] == min(rows, model.training.get("batch_size", 64))
        assert tree["optimizer"] == model.training.get("optimizer", tree["optimizer"])
        assert tree["end_step"] == 3000  # five minutes at 0.1 s


@pytest.mark.slow
def test_large_pictures_are_trained_on_in_windows_and_restored_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(10)
    clean = np.tile(scenes(rng, 20, 32), (1, 1, 5, 5))[:, :, :150, :140]
    data = files(tmp_path / "cells", camera(rng, clean * 4, 2.1, 100.0, 4.0))
    found = ak.inspect(data, write=tmp_path / "run.yaml")
    assert found.proposal.config["augment"] == ["crop=64x64"]
    assert "150 x 140" in found.proposal.reasons["augment",]
    run = ak.train(config=tmp_path / "run.yaml", end_step=2, output_dir=tmp_path / "run", skip_preflight=True)
    assert run.signal.shape == (1, 64, 64)
    record = run.restore(data, n=2, out=tmp_path / "restored", draws=0)
    assert record.shape == (1, 150, 140)
    assert np.asarray(Image.open(next((tmp_path / "restored" / "mean").iterdir()))).shape == (150, 140)


def test_what_is_proposed_for_few_photons_is_not_refused_by_train(tmp_path: Path) -> None:
    """Case: `train` judged counts without their transform, which few photons bend, and called them clipped."""
    rng = np.random.default_rng(2)
    dark = camera(rng, scenes(rng, 24) / 4, 2.2, 100.0, 4.0)
    found = ak.inspect(files(tmp_path / "cells", dark), write=tmp_path / "run.yaml")
    assert "counts" in found.proposal.config["data"]
    small = {"model": {"name": "mlp", "width": 8, "depth": 1}, "end_step": 1, "batch_size": 4, "sample_n": 1}
    run = ak.train(config=[tmp_path / "run.yaml", small], output_dir=tmp_path / "run", skip_preflight=True)
    assert run.ended.state == "finished"


def test_a_counter_is_proposed_as_one_and_its_dark_frames_say_nothing_more(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    data = files(tmp_path / "events", rng.poisson(few(rng, 2.5, 40, 30)).astype(float))
    dark = files(tmp_path / "dark", np.zeros((3, 1, 48, 48)))
    for frames in (None, dark):
        found = ak.inspect(data, write=tmp_path / f"run-{frames is not None}.yaml", dark=frames)
        assert found.proposal is not None
        assert found.proposal.complete
        assert not found.violated
        assert found.proposal.config["data"]["counts"] == {"gain": 1.0, "offset": 0.0, "read_std": 0.0}


def test_counts_too_few_for_the_transform_are_named_so_and_not_as_a_bent_line(tmp_path: Path) -> None:
    """Case: of 0.1 to 1 counts a pixel it was said that values after gamma look so."""
    rng = np.random.default_rng(4)
    data = files(tmp_path / "events", rng.poisson(few(rng, 0.1, 1, 60)).astype(float))
    found = ak.inspect(data, write=tmp_path / "run.yaml")
    assert found.proposal is None or not found.proposal.complete
    assert "hold no count at all" in str(found)
    assert "gamma" not in str(found)
