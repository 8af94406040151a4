"""The functions of `ambientkit.evaluation`: what may stand for samples and references, records instead of print, and
errors of bad arguments."""

from __future__ import annotations

import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ambientkit.batch import Clean
from ambientkit.builtin.data.array import Array
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.builtin.extractors.pixels import Pixels
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.data import observed
from ambientkit.data.held_out import held_out_rows
from ambientkit.errors import InputError
from ambientkit.evaluation import Comparison, compare_restored, evaluate, rank_checkpoints
from ambientkit.evaluation.rows import run_rows
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.sample import Restored, load_run
from ambientkit.tables import Record, Table
from tests.support.finished import write_run

pytestmark = pytest.mark.slow


def waves(n: int, key: str, side: int = 8) -> Tensor:
    """Smooth pictures in [-0.9, 0.9], float32."""
    u = torch.rand((n, 1, 3), generator=keyed_generator(0, key))
    y, x = torch.meshgrid(*[torch.linspace(0, 1, side)] * 2, indexing="ij")
    return 0.9 * (4 * u[..., 0, None, None] * x + 4 * u[..., 1, None, None] * y + 6.28 * u[..., 2, None, None]).sin()


def noise(x: Tensor, sigma: float, key: str) -> Tensor:
    return x + sigma * standard_normal(x, keyed_generator(0, key))


class Rows(torch.utils.data.Dataset):
    """A data set of a user's own."""

    def __init__(self, x: Tensor) -> None:
        self.x = x

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Clean:
        return Clean(self.x[index], {})


@pytest.fixture(autouse=True)
def _nothing_is_printed(capsys: pytest.CaptureFixture[str]):
    yield
    assert capsys.readouterr() == ("", "")


def values(found: Comparison) -> list[tuple[str, str, tuple[float, ...], float | None]]:
    return [(line.group, line.name, line.values, line.floor) for line in found]


def test_whatever_stands_for_the_same_rows_gives_the_same_numbers(tmp_path: Path) -> None:
    samples, clean = waves(60, "samples"), waves(150, "reference")
    for name, x in (("samples", samples), ("clean", clean)):
        np.save(tmp_path / f"{name}.npy", x.numpy())
    sides = {
        "paths": (tmp_path / "samples.npy", str(tmp_path / "clean.npy")),
        "tensors": (samples, clean),
        "arrays": (samples.numpy(), clean.double().numpy()),
        "data sets": (Rows(samples), Rows(clean)),
        "parts": (InMemory.of(samples, clean=True), Array(path=tmp_path / "clean.npy")),
        "specs": ({"name": "array", "path": str(tmp_path / "samples.npy")}, f"array{{path: {tmp_path / 'clean.npy'}}}"),
    }
    found = {}
    for name, (one, other) in sides.items():
        level = None if name == "data sets" else 0
        found[name] = evaluate(one, reference=other, sigma_n=level, extractors="pixels", device="cpu")
    found["said to be clean"] = evaluate(samples, reference=clean, clean=True, extractors="pixels", device="cpu")
    first = values(found["paths"])
    assert {group for group, *_ in first} == {"clean"}
    assert all(values(other) == first for other in found.values())
    assert "samples: rows in memory, 60 of 60" in str(found["tensors"])
    for other in found.values():
        assert json.loads(json.dumps(other.to_dict(), allow_nan=False))["reference_is"] == "clean"


def test_noise_of_a_reference_in_memory_is_a_number_or_an_array_of_levels() -> None:
    samples, clean = waves(60, "samples"), waves(200, "reference")
    levels = torch.linspace(0.1, 0.5, 200)
    noisy = clean + levels[:, None, None, None] * standard_normal(clean, keyed_generator(0, "n"))
    found = evaluate(samples, reference=noisy, sigma_n=levels, extractors=[Pixels()], device="cpu")
    line = next(line for line in found if line.name == "residual-noise")
    assert line.group == "proximal"
    assert line.floor is not None
    assert line.value == pytest.approx(line.floor, rel=0.2)
    even = evaluate(samples, reference=noise(clean, 0.3, "n"), sigma_n=0.3, extractors=[Pixels()], device="cpu")
    assert next(float(line) for line in even if line.name == "residual-noise") == pytest.approx(0.3, rel=0.15)


def test_the_energy_of_detail_is_told_from_noisy_rows_alone() -> None:
    """Samples of the right law near 0, such as hold noise far from it; not where the reference is clean."""
    clean = waves(400, "reference")
    right, wrong = waves(400, "samples"), noise(waves(400, "samples"), 0.3, "left")
    reference = noise(clean, 0.3, "n")
    found = {}
    for name, samples in (("right", right), ("wrong", wrong)):
        comparison = evaluate(samples, reference=reference, sigma_n=0.3, extractors="pixels", device="cpu")
        line = next(line for line in comparison if line.name == "band-energy")
        assert line.group == "proximal"
        assert line.n == (400, 400)
        found[name] = float(line)
    assert found["right"] < 0.05
    assert found["wrong"] > 0.2
    assert "band-energy" not in str(evaluate(right, reference=clean, sigma_n=0, extractors="pixels", device="cpu"))


def test_a_comparison_is_a_record_that_prints_as_the_command_does(ambientkit, tmp_path: Path) -> None:
    for name in ("samples", "clean"):
        np.save(tmp_path / f"{name}.npy", waves(60, name).numpy())
    arguments = [
        tmp_path / "samples.npy",
        "--reference",
        tmp_path / "clean.npy",
        "--sigma-n",
        "0",
        "--extractor",
        "pixels",
        "--device",
        "cpu",
    ]
    status, out, err = ambientkit("evaluate", *arguments, "--json", tmp_path / "r.json")
    assert (status, err) == (0, "")
    found = evaluate(
        str(tmp_path / "samples.npy"),
        reference=str(tmp_path / "clean.npy"),
        sigma_n="0",
        extractors=["pixels"],
        device="cpu",
    )
    assert isinstance(found, Record)
    printed = [line.rstrip() for line in out.splitlines()]
    assert printed == [*str(found).splitlines(), "", f"written: {tmp_path / 'r.json'}"]
    assert json.loads((tmp_path / "r.json").read_text()) == json.loads(json.dumps(found.to_dict()))
    (table,) = (block for block in found.blocks() if isinstance(block, Table))
    assert len(table.rows) == len(found) == len(list(found))
    page = found._repr_html_()
    assert page.count("<tr>") == len(found) + 1
    assert "fid[pixels]" in page
    line = next(iter(found))
    assert (line.name, line.extractor, line.n, len(line.values)) == ("fid", "pixels", (60, 60), 3)
    assert line.spread == pytest.approx(np.std(line.values, ddof=1))


def test_points_in_memory_are_rows_without_a_picture() -> None:
    a, b = (torch.randn((n, 2), generator=keyed_generator(0, f"points {n}")) / 4 for n in (80, 200))
    found = evaluate(a, reference=b, sigma_n=0, device="cpu")
    assert {line.name for line in found} == {"fid", "kid", "precision", "recall", "sliced-w2", "pixel-statistics"}
    assert "no pictures of 8 x 8" in str(found)


# ---- a run

SHORT = {"n": 24, "steps": 3, "repeats": 2, "extractors": "pixels", "device": "cpu"}


def test_a_trained_denoiser_in_memory_and_its_path_give_the_same_numbers(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", corruption={"name": "gaussian", "sigma_n": 0.3})
    by_path = evaluate(path, reference="digits", **SHORT)
    in_memory = evaluate(load_run(path, load()), reference="digits", **{**SHORT, "device": "auto"})
    assert values(by_path) == values(in_memory)
    assert {group for group, *_ in values(by_path)} == {"clean", "proximal"}
    assert by_path.denoiser_error == in_memory.denoiser_error
    assert [pair[0].name for pair in in_memory.restoration] == ["psnr"]
    assert in_memory.facts["seeds"] == [0, 1]
    assert str(in_memory).startswith(f"run: {path}, step 10000; 24 samples of seeds 0 to 1 each, heun, 3 steps")
    assert values(evaluate(path / "model_ema.safetensors", reference="digits", **SHORT)) == values(by_path)


def test_the_restoration_of_a_run_is_the_posterior_mean(tmp_path: Path) -> None:
    """An exact answer: a denoiser that returns 0 restores rows to 0, whatever they are."""
    trained = load_run(write_run(tmp_path / "run", corruption={"name": "gaussian", "sigma_n": 0.3}), load())
    found = evaluate(replace(trained, denoiser=lambda x, sigma, **_: torch.zeros_like(x)), reference="digits", **SHORT)
    rows = load().build("data", "digits").rows()  # type: ignore[attr-defined]
    chosen = torch.randperm(len(rows), generator=keyed_generator(0, "evaluate.rows"))[:48].tolist()
    squares = torch.stack([rows[index].x_0 for index in chosen]).square().flatten(1).mean(1)
    ((_, score),) = found.restoration
    assert score.value == pytest.approx(float((10 * (4 / squares).log10()).mean()), rel=1e-6)
    assert found.denoiser_error[0].rms == pytest.approx(float(squares.mean().sqrt()), rel=1e-6)


def test_what_may_mislead_of_a_run_is_told_by_messages(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "ambientkit")
    path = write_run(tmp_path / "run", data={"name": "array", "path": str(tmp_path / "gone.npy"), "sigma_n": 0.3})
    found = evaluate(path, reference="digits", **SHORT)
    assert {line.group for line in found} == {"clean"}
    (record,) = caplog.records
    assert record.levelname == "NOTE"
    assert record.getMessage().startswith("what the run trained on cannot be read, so that nothing is compared with it")
    with pytest.raises(InputError, match=r"gone\.npy"):
        evaluate(path, **SHORT)


def test_the_rows_that_a_run_held_out_are_no_rows_that_it_trained_on_and_may_be_the_reference(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", data={"name": "digits", "split": "test"}), load())
    every = observed(run.rows(), run.config.corruption, run.config.seed)
    apart = held_out_rows(range(297), 30, 0)
    seen, unseen = (run_rows(run, 1000, 0, held_out) for held_out in (False, True))
    assert (len(seen.x), len(unseen.x), seen.held_out) == (267, 30, 30)
    rows = {every[place].x_n.numpy().tobytes(): place in apart for place in range(297)}
    for part, held_out in ((seen, False), (unseen, True)):
        assert [rows[row.numpy().tobytes()] for row in part.x] == [held_out] * len(part.x)
    own, fresh, given = (
        evaluate(run, **SHORT, **more) for more in ({}, {"reference": "held-out"}, {"reference": "digits{split: test}"})
    )
    told = "the 30 rows that it held out are `--reference held-out`"
    assert told in str(own)
    assert told in str(given)
    assert told not in str(fresh)
    assert [one.facts["reference_rows"] for one in (own, fresh, given)] == ["trained on", "held out", None]
    assert (
        own.groups["proximal"] == given.groups["proximal"] == "the run's own noisy rows (digits), which it trained on"
    )
    all_seen = load_run(write_run(tmp_path / "all", hold_out=0), load())
    assert "it held none out" in str(evaluate(all_seen, **SHORT))
    with pytest.raises(InputError, match=r"--reference held-out: .* held out none of its 1797 rows"):
        evaluate(all_seen, reference="held-out", **SHORT)
    with pytest.raises(InputError, match="--reference held-out: the subject is no run"):
        evaluate(waves(20, "side"), reference="held-out", extractors=["pixels"])
    with pytest.raises(InputError, match="the subject has 1 rows; at least 8"):
        evaluate(waves(1, "side"), reference=waves(20, "side"), clean=True, extractors=["pixels"])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"device": "nonsense"}, "--device nonsense: should be auto, cpu, cuda"),
        ({"device": "meta"}, "--device meta: only cpu, cuda and mps are supported"),
        ({"n": 64.5}, "n 64.5: should be a whole number, 8 or more"),
        ({"n": 7}, "n 7: should be a whole number, 8 or more"),
        ({"repeats": 0}, "repeats 0: should be a whole number, 1 or more"),
        ({"steps": 0}, "steps 0: should be a whole number, 1 or more"),
        ({"batch_size": 0}, "batch_size 0: should be a whole number, 1 or more"),
        ({"sampler": "hein"}, "did you mean 'heun'"),
        ({"extractors": ["lnet"]}, "did you mean 'lenet'"),
        ({"clean": True, "sigma_n": 0.2}, r"--reference: clean rows have no sigma_n \(0\.2\)"),
        ({"reference": None, "sigma_n": 0.2}, "--sigma-n declares the noise of --reference"),
        ({"reference": torch.zeros(20, 1, 8, 8)}, "nothing says how noisy these rows are"),
        (
            {"reference": waves(20, "side", 12), "sigma_n": 0},
            r"rows in memory: rows of shape \(1, 12, 12\), but .* has \(1, 8, 8\)",
        ),
        ({"reference": ["a", "b"], "sigma_n": 0}, "values of type <U1 are no data"),
        ({"reference": "digits", "sigma_n": math.nan}, "should be finite and 0 or more"),
        ({"reference": "digits", "sigma_n": torch.ones(1797)}, "its noise is simulated; give a number"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch, more, message: str
) -> None:
    monkeypatch.setattr(Heun, "sample", lambda *_, **__: pytest.fail("samples were drawn"))
    path = write_run(tmp_path / "run")
    with pytest.raises(InputError, match=message):
        evaluate(path, **{"reference": "digits", **SHORT, **more})


def test_samples_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    trained = load_run(write_run(tmp_path / "run"), load())
    with pytest.raises(InputError, match="/run: the samples are not finite; the run has diverged"):
        evaluate(replace(trained, denoiser=lambda x, sigma, **_: x * math.nan), reference="digits", **SHORT)
    with pytest.raises(InputError, match="NaN or infinite"):
        evaluate(torch.full((20, 1, 8, 8), math.nan), reference="digits", extractors="pixels", device="cpu")


def test_noisy_rows_in_memory_are_no_samples() -> None:
    part = InMemory.of(noise(waves(60, "samples"), 0.3, "n"), sigma_n=0.3)
    with pytest.raises(InputError, match="these rows are noisy observations, not samples of clean ones"):
        evaluate(part, reference="digits", device="cpu")
    with pytest.raises(InputError, match="the subject is no run: give --reference"):
        evaluate(waves(60, "samples"))


# ---- checkpoints, and restored rows


def test_a_ranking_is_a_record_of_checkpoints(tmp_path: Path) -> None:
    from ambientkit import train

    run = train(
        "digits",
        sigma_n=0.3,
        end_step=4,
        save_every=2,
        device="cpu",
        output_dir=tmp_path / "run",
        skip_preflight=True,
        model="mlp",
    )
    found = rank_checkpoints(run.path, **SHORT)
    assert sorted(one.step for one in found) == [2, 4]
    assert len(found) == 2
    assert found.best is next(iter(found))
    assert found.best.mean == min(one.mean for one in found)
    assert f"step {found.best.step} is first on average" in str(found)
    assert found.to_dict()["ranked_by"] == found.ranked_by == "proximal fid[pixels]"
    own = evaluate(run.path / "checkpoints" / "checkpoint_2", **SHORT)
    assert next(line for line in own if line.name == "fid").values == next(one for one in found if one.step == 2).values
    with pytest.raises(InputError, match="should be the folder of a run"):
        rank_checkpoints(tmp_path, **SHORT)
    with pytest.raises(InputError, match="needs repeats 2"):
        rank_checkpoints(run.path, **{**SHORT, "repeats": 1})


def test_restored_rows_in_memory_are_compared_row_by_row() -> None:
    clean = waves(40, "clean", 12)
    mean, draws = noise(clean, 0.1, "mean"), torch.stack([noise(clean, 0.2, f"draw {k}") for k in range(4)], 1)
    level, known = torch.full((40,), 0.3), torch.zeros(40, dtype=torch.bool)
    record = compare_restored(Restored(mean, draws, draws.std(1), level, known, known), clean, sigma_n=0)
    scores = {(score.name, of): score.value for score, of in record}
    assert scores["psnr", "posterior mean"] == pytest.approx(10 * math.log10(4 / 0.1**2), abs=0.2)
    assert scores["psnr", "one draw"] == pytest.approx(10 * math.log10(4 / 0.2**2), abs=0.2)
    assert record.error_of_mean == pytest.approx(0.1, rel=0.05)
    assert record.std_of_draws == pytest.approx(0.2, rel=0.05)
    assert list(compare_restored(mean, clean, draws=draws, sigma_n=0)) == list(record)
    assert list(compare_restored(mean.numpy(), clean, draws=draws.numpy(), sigma_n=0)) == list(record)
    assert "restored: rows in memory, 40 rows; reference: the first 40 rows of rows in memory, row by row" in str(
        record
    )
    assert record.to_dict()["calibration"]["std_of_draws"] == record.std_of_draws
    alone = compare_restored(mean, clean, clean=True)
    assert len(alone) == 2
    assert alone.to_dict()["calibration"] is None
    for one, more, message in (
        (mean, {"reference": None}, "give --reference, the clean rows"),
        (mean, {"reference": clean[:20], "sigma_n": 0}, "they are compared row by row"),
        (mean, {"reference": clean, "sigma_n": 0.3}, "these rows are noisy"),
        (mean * math.nan, {"reference": clean, "sigma_n": 0}, "not finite"),
        (mean, {"reference": clean, "sigma_n": 0, "draws": draws[:20]}, "do not belong to means"),
    ):
        with pytest.raises(InputError, match=message):
            compare_restored(one, **more)


def test_a_folder_of_restored_rows_is_no_subject_of_evaluate(tmp_path: Path) -> None:
    (tmp_path / "restored.json").write_text("{}")
    with pytest.raises(InputError, match="use compare_restored"):
        evaluate(tmp_path, reference="digits")
