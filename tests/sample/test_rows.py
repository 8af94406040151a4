"""Samples and restored rows in memory: the bits of the files, nothing printed, and the same refusals."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
from torch.utils.data import TensorDataset

from ambientkit.batch import Clean
from ambientkit.errors import InputError
from ambientkit.sample import draw_to_files, load_run, restore_rows, restore_to_files, sample_rows
from ambientkit.sample.own_units import OwnUnits
from ambientkit.units.ranges import ValueRange
from tests.support.sampling import noisy_file, registry, write_run

PARTS = registry()


@pytest.fixture
def trained(tmp_path):
    return load_run(write_run(tmp_path / "run", units=OwnUnits(ValueRange(0, 4000), "NHW")), PARTS)


def noisy_values(n=6):
    return np.random.default_rng(1).normal(0.2, 0.6, (n, 1, 4, 6)).astype(np.float32)


@pytest.mark.parametrize("units", ["unit", "data"])
def test_samples_in_memory_are_those_of_the_files_to_the_bit(trained, tmp_path, capsys, units):
    options = {"n": 23, "steps": 3, "seed": 5, "sampler": "ancestral", "batch_size": 4, "registry": PARTS}
    record = draw_to_files(trained, tmp_path / "out", units=units, **options)
    rows = sample_rows(trained, units=units, **options)
    assert np.array_equal(rows.numpy(), np.load(record.path))
    assert rows.shape == ((23, 1, 4, 6) if units == "unit" else (23, 4, 6))
    assert capsys.readouterr() == ("", "")
    assert (record.n, record.shape, record.there_before, record.arrays) == (23, (1, 4, 6), False, ("samples",))
    assert str(record).startswith(
        f"23 samples of shape (1, 4, 6) in {record.seconds:.1f} s: {tmp_path / 'out' / 'samples.npy'}\nvalues: "
    )
    again = draw_to_files(trained, tmp_path / "out", units=units, **options)
    assert again.there_before
    assert str(again) == f"{tmp_path / 'out'}: all 23 samples are there already; nothing to do"
    assert again.to_dict()["n"] == 23


def test_restored_rows_in_memory_are_those_of_the_files_to_the_bit(trained, tmp_path, capsys):
    data, _, _ = noisy_file(tmp_path / "data", 0.3)
    options = {"sigma_n": 0.3, "draws": 3, "steps": 4, "batch_size": 6, "seed": 2, "registry": PARTS}
    record = restore_to_files(trained, data, tmp_path / "out", units="unit", **options)
    found = restore_rows(trained, data, **options)
    for name in ("mean", "draws", "std"):
        assert np.array_equal(getattr(found, name).numpy(), np.load(tmp_path / "out" / f"{name}.npy")), name
    assert found.sigma.tolist() == pytest.approx([0.3] * 6)
    assert record.arrays == ("mean", "draws", "std")
    assert capsys.readouterr() == ("", "")


def test_rows_in_memory_are_restored_whatever_holds_them(trained):
    values = noisy_values()
    options = {"draws": 2, "steps": 3, "registry": PARTS}
    first = restore_rows(trained, values, sigma_n=0.3, **options)
    for data in (torch.from_numpy(values), TensorDatasetOfRows(values)):
        other = restore_rows(trained, data, sigma_n=0.3, **options)
        assert torch.equal(first.draws, other.draws)
    by_row = restore_rows(trained, values, sigma_n=np.full(6, 0.3), **options)
    assert torch.equal(first.mean, by_row.mean)
    assert len(restore_rows(trained, values, sigma_n=0.3, n=2, **options).mean) == 2


class TensorDatasetOfRows(TensorDataset):
    """Rows of a torch data set are tensors."""

    def __init__(self, values):
        super().__init__(torch.from_numpy(values))

    def __getitem__(self, index):
        return super().__getitem__(index)[0]


class CleanRows(TensorDatasetOfRows):
    """Rows that say that they are clean."""

    def __getitem__(self, index):
        return Clean(super().__getitem__(index), {})


def test_noise_of_clean_rows_is_simulated_at_the_level_given_or_that_of_the_run(trained):
    values = noisy_values(40) / 3
    for level, expected in ((None, 0.3), (0.1, 0.1)):
        found = restore_rows(trained, CleanRows(values), sigma_n=level, draws=0, registry=PARTS)
        assert found.sigma.tolist() == pytest.approx([expected] * 40)
        exact = 0.2 + 0.25 / (0.25 + expected**2) * (
            torch.from_numpy(values) - 0.2
        )  # of the clean rows: the noise is what is left over
        left = (found.mean - exact) / (0.25 / (0.25 + expected**2))
        assert float(left.std()) == pytest.approx(expected, rel=0.1)  # 960 values: +- 2.3 %


def test_rows_without_a_level_and_settings_that_do_not_suit_are_refused(trained):
    for call, message in (
        (lambda: restore_rows(trained, noisy_values(), registry=PARTS), "nothing says how noisy the rows are"),
        (
            lambda: restore_rows(trained, noisy_values()[:, :, :3], sigma_n=0.3, registry=PARTS),
            r"rows of shape \(1, 3, 6\), but the run",
        ),
        (lambda: restore_rows(trained, noisy_values(), sigma_n=0.3, n=7, registry=PARTS), "--n 7: ndarray has 6 rows"),
        (lambda: restore_rows(trained, noisy_values(), sigma_n=0.3, sampler="heun", registry=PARTS), "reverse kernel"),
        (lambda: sample_rows(trained, 0, registry=PARTS), "should be 1 or more"),
        (lambda: sample_rows(trained, steps=0, registry=PARTS), "--steps 0"),
        (lambda: sample_rows(trained, units="file", registry=PARTS), "should be one of unit, data"),
        (lambda: sample_rows(trained, classes=1, registry=PARTS), "takes no class"),
    ):
        with pytest.raises(InputError, match=message):
            call()


def test_classes_and_conditions_may_be_numbers_lists_and_tensors(tmp_path):
    run = load_run(write_run(tmp_path / "run", values=(0.0, -0.6, 0.6), conds={"class_cond": ()}), PARTS)
    options = {"n": 4, "steps": 3, "registry": PARTS}
    as_text = sample_rows(run, classes="1,2", **options)
    assert torch.equal(as_text, sample_rows(run, classes=[1, 2], **options))
    assert torch.equal(as_text, sample_rows(run, conds={"class_cond": torch.tensor([1, 2])}, **options))
    assert torch.equal(sample_rows(run, classes=2, **options), sample_rows(run, conds=["class_cond=2"], **options))


def test_levels_that_no_objective_trains_are_named_and_only_those(tmp_path, caplog):
    """A run of `tweedie` alone has learned nothing below sigma_n."""

    def told(**options):
        caplog.clear()
        with caplog.at_level(logging.INFO, "ambientkit"):
            sample_rows(run, n=1, steps=2, registry=PARTS, **options)
        return caplog.text

    run = load_run(write_run(tmp_path / "alone", objective="tweedie"), PARTS)
    assert (
        "no objective of the run (tweedie) trains levels below the noise of its data: from sigma_n = 0.3 down to 0.002"
        in told()
    )
    assert "sigma_min sigma-n stops there" in told(sigma_min=0.1)
    assert "no objective" not in told(sigma_min="sigma-n")
    run = load_run(write_run(tmp_path / "both", objective="tweedie-consistency"), PARTS)
    assert "no objective" not in told()
    weightless = [{"objective": "tweedie"}, {"objective": "consistency", "weight": 0}]
    run = load_run(write_run(tmp_path / "weightless", objective=weightless), PARTS)
    assert "no objective of the run (tweedie) trains" in told()
    run = load_run(write_run(tmp_path / "clean", objective="tweedie", sigma_n=(0, 0.3)), PARTS)
    assert "no objective" not in told()  # clean rows show every level


def test_an_output_folder_that_cannot_be_written_is_found_before_anything_is_drawn(trained, tmp_path, monkeypatch):
    def drawn(*_, **__):
        pytest.fail("samples were drawn")

    monkeypatch.setattr("ambientkit.sample.drawn.draw_all", drawn)
    (tmp_path / "file").write_text("mine")
    (tmp_path / "picture" / "samples.png").mkdir(parents=True)
    for out, message in (
        (tmp_path / "file", "is a file, not a folder"),
        (tmp_path / "file" / "below", "cannot be made"),
        (tmp_path / "picture", r"samples\.png: is a folder"),
        ("/proc/nothing", "cannot be made"),
    ):
        with pytest.raises(InputError, match=message):
            draw_to_files(trained, out, n=2, registry=PARTS)
    assert (tmp_path / "file").read_text() == "mine"


def test_an_interrupted_call_says_that_the_same_one_goes_on(trained, tmp_path, monkeypatch, caplog):
    options = {"n": 12, "steps": 2, "batch_size": 4, "registry": PARTS}
    drawn = []

    def interrupted(*arguments, **keywords):
        if len(drawn) == 2:
            raise KeyboardInterrupt
        drawn.append(1)
        return real(*arguments, **keywords)

    from ambientkit.sample import drawn as module

    real = module.draw_all
    monkeypatch.setattr(module, "draw_all", interrupted)
    with caplog.at_level(logging.INFO, "ambientkit"), pytest.raises(KeyboardInterrupt):
        draw_to_files(trained, tmp_path / "out", **options)
    assert "out: interrupted; 8 of 12 samples are on disk, and the same command goes on from there" in caplog.text
    monkeypatch.undo()
    record = draw_to_files(trained, tmp_path / "out", **options)
    assert np.array_equal(np.load(record.path), sample_rows(trained, units="data", **options).numpy())


def test_rows_that_the_run_was_trained_on_are_read_as_it_read_them_and_it_is_said(tmp_path, monkeypatch, caplog):
    """Without their level, and from another folder."""
    x = noisy_values()
    np.save(tmp_path / "noisy.npy", 2000 + 2000 * x)
    data = {"name": "array", "path": str(tmp_path / "noisy.npy"), "value_range": [0, 4000], "sigma_n": 0.3}
    run = load_run(write_run(tmp_path / "run", data=data), PARTS)
    monkeypatch.chdir(tmp_path)
    options = {"draws": 0, "registry": PARTS}
    with caplog.at_level(logging.INFO, "ambientkit"):
        found = restore_rows(run, "noisy.npy", **options)
    assert (
        "noisy noisy.npy: the run was trained on these rows; they are read, and their noise is taken, as it was there"
        in caplog.text
    )
    assert torch.allclose(found.mean, restore_rows(run, x, sigma_n=0.3, **options).mean, atol=1e-5)
    np.save(tmp_path / "other.npy", 2000 + 2000 * x)
    caplog.clear()
    with caplog.at_level(logging.INFO, "ambientkit"):
        alike = restore_rows(run, "other.npy", **options)
    assert "nothing says how noisy these rows are; they are read as those of the run" in caplog.text
    assert torch.equal(alike.mean, found.mean)


def test_the_path_of_the_run_is_read_as_the_run_read_it_even_as_another_data_set(tmp_path, caplog):
    """A folder of TIFFs alone means one picture per file."""
    (tmp_path / "stacks").mkdir()
    tifffile.imwrite(tmp_path / "stacks" / "a.tif", noisy_values()[:, 0], photometric="minisblack")
    data = {"name": "tiff-stack", "path": str(tmp_path / "stacks"), "sigma_n": 0.3}
    run = load_run(write_run(tmp_path / "run", data=data), PARTS)
    with caplog.at_level(logging.INFO, "ambientkit"):
        found = restore_rows(run, str(tmp_path / "stacks"), draws=0, registry=PARTS)
    assert "the run was trained on these rows" in caplog.text
    assert found.mean.shape == (6, 1, 4, 6)
    with pytest.raises(InputError, match=r"of which one would be read(.|\n)*'tiff-stack\{path: "):
        restore_rows(run, f"image-folder{{path: {tmp_path / 'stacks'}, sigma_n: 0.3}}", draws=0, registry=PARTS)


def test_samples_far_beyond_the_data_are_told(trained, caplog):
    near = replace(trained, denoiser=lambda x, sigma: torch.zeros_like(x))
    sample_rows(near, 4, steps=3, registry=PARTS)
    assert "reach beyond" not in caplog.text
    away = replace(trained, denoiser=lambda x, sigma: torch.full_like(x, 60.0))
    sample_rows(away, 4, steps=3, registry=PARTS)
    assert "the samples: 4 of 4 reach beyond 50, up to 60" in caplog.text
