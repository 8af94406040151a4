"""`ambientkit verify --run`: an exact denoiser comes out right within the sampling error, a wrong one does not, and the
report is honest."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path

import pytest
import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.data.in_memory import InMemory
from ambientkit.builtin.data.mixture import Mixture
from ambientkit.builtin.samplers.ancestral import Ancestral
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.data import observed
from ambientkit.data.held_out import held_out_rows
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load
from ambientkit.sample import load_run
from ambientkit.verification.run import measure_run
from ambientkit.verification.trained import consistency_residual, noisy_rows, seed_sensitivity, tweedie_loss
from tests.support import forked

pytestmark = pytest.mark.slow

LAW = Mixture().law()
EXACT, LEVELS = LAW.denoiser(), Levels(0.01, 20.0)


def observations(sigma_n=0.2, rows=192):
    x_0 = LAW.sample(rows, keyed_generator(0, "rows"))
    return Gaussian(sigma_n=sigma_n).observe(x_0, torch.arange(rows), keyed_generator(0, "noise"))


def residual(denoiser, sigma_n=0.2):
    curve = consistency_residual(denoiser, observations(sigma_n), Gaussian(), Ancestral(), LEVELS, points=5)
    return [mean / error for mean, error in zip(curve.mean, curve.error, strict=True)]


@pytest.mark.parametrize("sigma_n", [0.2, (0.1, 0.3)])
def test_the_consistency_residual_of_the_exact_denoiser_is_within_its_sampling_error(sigma_n):
    assert max(map(abs, residual(EXACT, sigma_n))) < 4


def test_the_consistency_residual_finds_a_denoiser_that_does_not_know_the_levels_below_the_noise():
    def stuck(x, sigma, /):
        return EXACT(x, sigma.clamp(min=0.2))

    assert max(residual(stuck)) > 6


def test_the_levels_of_the_residual_go_from_the_noise_of_the_data_to_just_above_the_lowest():
    curve = consistency_residual(EXACT, observations(), Gaussian(), Ancestral(), LEVELS, points=5)
    assert curve.sigma[0] == pytest.approx(0.2)
    assert curve.sigma[-1] == pytest.approx(0.01 * 1.34986, rel=1e-4)
    assert curve.n == 192


def test_the_tweedie_loss_is_least_at_the_exact_denoiser_at_every_level():
    def loss(denoiser):
        return tweedie_loss(denoiser, observations(rows=2000), Gaussian(), LEVELS, points=5)

    best = loss(EXACT)
    assert best.sigma[0] == pytest.approx(0.22)
    assert best.sigma[-1] == pytest.approx(20.0)
    shifted = loss(lambda x, sigma: EXACT(x, sigma) + 0.3)
    assert all(mean < other for mean, other in zip(best.mean, shifted.mean, strict=True))


def test_the_spread_of_restored_rows_adds_up_to_that_of_the_clean_data_and_a_collapsed_sampler_shows():
    def spread(sampler):
        return seed_sensitivity(EXACT, observations(0.4, 128), Gaussian(), sampler, LEVELS, seeds=6, steps=24)

    honest = spread(Ancestral())
    sigma_data = float(LAW.sample(20_000, keyed_generator(1, "rows")).std(0).square().mean().sqrt())
    assert honest.total == pytest.approx(sigma_data, rel=0.05)
    assert honest.within > 0.1
    assert spread(Heun()).within < 1e-6


def test_clean_rows_are_left_out_and_clean_data_are_refused():
    batch = observations()
    sigma_n = batch.sigma_n.clone()
    sigma_n[::2] = 0
    assert len(noisy_rows(batch._replace(sigma_n=sigma_n), Gaussian(), LEVELS).x_n) == len(batch.x_n) // 2
    with pytest.raises(InputError, match="0 rows have noise above sigma_min"):
        noisy_rows(batch._replace(sigma_n=torch.zeros_like(sigma_n)), Gaussian(), LEVELS)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run") / "run"
    few = (
        "--data",
        "mixture",
        "--set",
        "data.n=200",
        "--set",
        "model.width=16",
        "--end-step",
        "5",
        "--device",
        "cpu",
        "--skip-preflight",
    )
    done = forked.run(
        ["-m", "ambientkit", "train", *few, "--output-dir", folder], env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert done.returncode == 0, done.stderr
    return folder


def test_without_other_data_the_rows_that_the_run_held_out_are_measured_and_a_call_prints_and_writes_nothing(
    trained, capsys
):
    before = sorted(trained.rglob("*"))
    found = measure_run(trained, rows=64, device="cpu")
    assert capsys.readouterr() == ("", "")
    assert sorted(trained.rglob("*")) == before
    text = str(found)
    assert text.startswith(
        f"run: {trained}, step 5; measured on 20 rows of mixture that the run held out, beside 64 that it trained on\n"
    )
    assert "across seeds" in text
    content = json.loads(json.dumps(found.to_dict()))
    assert {name: curve["n"] for name, curve in content["tweedie_loss"].items()} == {
        "rows of the run": 64,
        "held-out rows": 20,
    }
    assert len(content["consistency_residual"]["mean"]) == len(content["consistency_residual"]["error"]) == 8
    loaded = load_run(trained, load())
    assert measure_run(loaded, rows=64).to_dict() == found.to_dict()
    of = observed(loaded.rows(), loaded.config.corruption, 0).__getitems__(held_out_rows(range(200), 20, 0))
    levels = loaded.config.levels.as_levels()
    assert found.losses["held-out rows"] == tweedie_loss(loaded.denoiser, of, loaded.config.corruption, levels, seed=0)
    few = dataclasses.replace(loaded, config=loaded.config.model_copy(update={"hold_out": 0}))
    assert "200 noisy rows of mixture, all of which the run trained on: a network that" in measure_run(few).rows


def test_the_command_writes_the_numbers_and_a_page_with_charts_into_the_run(trained, ambientkit):
    status, out, err = ambientkit("verify", "--run", trained, "--rows", 64, "--device", "cpu")
    assert (status, err) == (0, "")
    assert out.endswith(f"report: {trained / 'verify' / 'report.json'}\npage: {trained / 'verify' / 'report.html'}\n")
    assert json.loads((trained / "verify" / "report.json").read_text())["step"] == 5
    page = (trained / "verify" / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert page.count('<svg class="chart"') == 3
    assert "Consistency residual over sigma^2, +- 2 standard errors" in page
    assert "<script" not in page


@pytest.mark.parametrize(("device", "message"), [("nonsense", "should be auto, cpu, cuda"), ("cuda:99", "usable GPUs")])
def test_a_device_that_is_not_there_is_refused(trained, ambientkit, device, message):
    status, _, err = ambientkit("verify", "--run", trained, "--device", device)
    assert status == 2
    assert f"ambientkit: error: --device {device}: " in err
    assert message in err


def test_a_target_that_cannot_be_written_is_found_before_anything_is_measured(
    trained, ambientkit, tmp_path, monkeypatch
):
    monkeypatch.setattr("ambientkit.api.measuring.measure_run", lambda *_, **__: pytest.fail("the run was measured"))
    status, _, err = ambientkit("verify", "--run", trained, "--json", tmp_path / "none" / "f.json", "--device", "cpu")
    assert status == 2
    assert "--json" in err
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "model_ema.safetensors").write_bytes((trained / "model_ema.safetensors").read_bytes())
    (copy / "verify").write_text("mine")
    status, _, err = ambientkit("verify", "--run", copy, "--device", "cpu")
    assert status == 2
    assert f"{copy / 'verify'}: cannot be made" in err


def test_other_rows_are_set_beside_those_of_the_run_and_the_same_seed_gives_the_same_numbers(trained):
    first, second = (measure_run(trained, data="mixture{seed: 5, n: 100}", rows=64, device="cpu") for _ in range(2))
    assert "64 rows of mixture that the run has not seen, beside 64 that it trained on" in str(first)
    assert first == second
    assert set(first.to_dict()["tweedie_loss"]) == {"rows of the run", "held-out rows"}
    assert "gap" in str(first)


def test_rows_in_memory_may_be_held_out(trained):
    x = (
        LAW.sample(100, keyed_generator(3, "rows"))
        + 0.3 * torch.randn(100, 2, generator=keyed_generator(4, "noise"), dtype=torch.float64)
    ).float()
    found = measure_run(trained, data=InMemory.of(x, 0.3, layout="N..."), rows=64, device="cpu")
    assert "64 rows of in-memory that the run has not seen" in found.rows
    assert found.residual.sigma[0] == pytest.approx(0.3)


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ({"data": "mixture{n: 200}"}, "the run was trained on these rows"),
        ({"data": "digits"}, r"rows of shape \(1, 8, 8\), but the run has \(2,\)"),
        ({"sigma_n": "0.2"}, "give that too"),
        ({"rows": 1}, "--rows 1"),
    ],
)
def test_what_is_not_held_out_or_does_not_fit_is_refused(trained, more, complaint):
    with pytest.raises(InputError, match=complaint):
        measure_run(trained, **{"rows": 16, "device": "cpu", **more})
