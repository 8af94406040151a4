"""`--sigma-min auto`: the level that noisy rows speak for, where it is known in closed form; the same in files, in
memory and after a kill; and what it refuses."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.builtin.samplers.heun import Heun
from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.bands import relative_misfit
from ambientkit.maths.blocks import BANDS, BLOCK, band_of, coefficients
from ambientkit.maths.randomness import keyed_generator
from ambientkit.sample import draw_all, draw_to_files, load_run, restore_rows, restore_to_files, sample_rows, step_grid
from ambientkit.sample.stop_level import StopLevel, choose, levels_tried
from tests.support.sampling import ok, registry, write_run

PARTS = registry()
SIGMA_N, LOWEST = 0.4, 0.004
VARIANCE = torch.tensor([4.0, 0.3, 0.12, 0.05, 0.02, 0.008, 0.003], dtype=torch.float64)
"""Of the coefficients of a band, the mean first."""


PIXELS = coefficients(torch.eye(16, dtype=torch.float64).reshape(16, 1, BLOCK, BLOCK)).reshape(16, 16)
"""(pixel, frequency): the transform is orthonormal, so this turns coefficients back."""


def pictures(coef: torch.Tensor) -> torch.Tensor:
    """(n, side^2 blocks, BLOCK, BLOCK) to (n, 1, 4 side, 4 side)."""
    side = round(coef.shape[1] ** 0.5)
    blocks = (coef.flatten(2) @ PIXELS.T).reshape(len(coef), side, side, BLOCK, BLOCK)
    return blocks.transpose(2, 3).reshape(len(coef), 1, side * BLOCK, side * BLOCK)


def field(n: int, seed: int) -> torch.Tensor:
    """Rows of a Gaussian field whose blocks have independent coefficients of these variances."""
    z = torch.randn(n, 4, BLOCK, BLOCK, generator=keyed_generator(seed, "field"), dtype=torch.float64)
    return pictures(z * VARIANCE[band_of()].sqrt())


class Linear:
    """D(x, sigma) = v / (v + sigma^2) x, the exact denoiser of the field; below sigma_n it believes in `too_much`
    more variance of every coefficient than there is, as a network does that leaves noise."""

    def __init__(self, too_much: float = 0.0) -> None:
        self._too_much = too_much

    def gain(self, sigma: torch.Tensor) -> torch.Tensor:
        """(B,) to (B, 1, BLOCK, BLOCK)."""
        level = sigma.double().reshape(-1, 1, 1, 1)
        v = VARIANCE[band_of()] + self._too_much * (level < 0.999 * SIGMA_N)
        return v / (v + level**2)

    def __call__(self, x, sigma, /, **cond):
        return pictures(coefficients(x.double()) * self.gain(sigma)).to(x.dtype)


def noisy(n: int, seed: int) -> Batch:
    x_0 = field(n, seed)
    z = torch.randn(x_0.shape, generator=keyed_generator(seed, "noise"), dtype=torch.float64)
    return Batch(x_0 + SIGMA_N * z, torch.full((n,), SIGMA_N, dtype=torch.float64), torch.arange(n), {})


def drawn(denoiser: Linear, level: float, n: int = 300, seed: int = 5) -> torch.Tensor:
    """Samples that stop at a level: the field has blocks of one kind, so their law is Gaussian with known energies."""
    grid = step_grid(24, Levels(level, 20.0))
    return draw_all(denoiser, Heun(), (1, 8, 8), n, sigmas=grid, seed=seed, batch_size=300)


def exact_ratios(denoiser: Linear, level: float) -> list[float]:
    """Energy found over energy wanted, by band, in closed form. Sampler and denoiser are linear in each coefficient, so
    a sample's is the gain of the whole way times sigma_max z: it is run once, on one block in which all are 1."""
    grid = step_grid(24, Levels(level, 20.0))
    one = pictures(torch.ones(1, 1, BLOCK, BLOCK, dtype=torch.float64))
    end = Heun().sample(denoiser, one, grid.unsqueeze(1), [keyed_generator(0, "unused")], {})
    ratio = (20.0 * coefficients(end)[0, 0]) ** 2 / VARIANCE[band_of()]
    return [float(ratio[band_of() == band].mean()) for band in range(1, BANDS + 1)]


@pytest.mark.parametrize("too_much", [0.0, 0.03])
def test_the_level_is_that_of_the_closed_form(too_much):
    """Energies in each band are those of the closed form within five of their errors; the exact denoiser is not
    stopped,
    and one that leaves noise is, within a step of where the closed form is least."""
    denoiser = Linear(too_much)
    found = choose(noisy(1500, 1), LOWEST, lambda level: drawn(denoiser, level), seed=0)
    levels = levels_tried(SIGMA_N, LOWEST)
    exact = [exact_ratios(denoiser, level) for level in levels]
    assert [one.level for one in found.tried] == levels
    for one, ratios in zip(found.tried, exact, strict=True):
        for band, ratio, variance in zip(one.bands, ratios, VARIANCE[1:].tolist(), strict=True):
            assert abs(band.found - ratio * variance) < 5 * band.found_error
            assert abs(band.wanted - variance) < 5 * band.wanted_error
    if too_much == 0:
        assert found.level == LOWEST
        return
    known = [place for place in range(BANDS) if VARIANCE[place + 1] > 0.03]  # the noisy rows know these to a third
    least = [sum((place + 2) * (ratios[place] - 1) ** 2 for place in known) for ratios in exact]
    assert abs(levels.index(found.level) - least.index(min(least))) <= 1


def test_control_energies_of_noisy_rows_with_their_noise_lead_elsewhere():
    """With the noise's energy counted as detail, the lowest level would fit best, whatever the network leaves."""
    denoiser, rows = Linear(0.03), noisy(1500, 1)
    levels = [levels_tried(SIGMA_N, LOWEST)[place] for place in (2, -1)]
    values = {
        sigma_n: [relative_misfit(rows.x_n, sigma_n, drawn(denoiser, level)).value for level in levels]
        for sigma_n in (SIGMA_N, 0.0)
    }
    assert values[SIGMA_N][0] < values[SIGMA_N][1]
    assert values[0.0][0] > values[0.0][1]


def test_the_error_of_a_difference_is_that_of_trials():
    """Over 60 trials of fresh noisy rows and samples, at two levels: the error of the difference of misfits that is
    said
    is its standard deviation within a factor of 1.5 (a relative error of 0.09 by chance)."""
    denoiser = Linear(0.03)
    grids = [step_grid(4, Levels(level, 20.0)).unsqueeze(1) for level in (0.2, LOWEST)]
    said, differences = [], []
    for trial in range(60):
        rows = noisy(200, 2 * trial)
        start = 20 * torch.randn(100, 1, 8, 8, generator=keyed_generator(trial, "start"), dtype=torch.float64)
        one, other = (
            relative_misfit(
                rows.x_n, SIGMA_N, Heun().sample(denoiser, start, grid.expand(-1, 100), keyed_generator(0, "u"), {})
            )
            for grid in grids
        )
        differences.append(one.value - other.value)
        said.append(one.error_beside(other))
    ratio = float(np.mean(said)) / float(np.std(differences, ddof=1))
    assert 1 / 1.5 < ratio < 1.5


def test_without_a_reason_sampling_goes_on_to_the_lowest_level():
    same = field(300, 3)
    found = choose(noisy(300, 1), LOWEST, lambda level: same, seed=0)
    assert found.level == LOWEST


@pytest.fixture(autouse=True)
def _few(monkeypatch):
    """A quarter of the rows that are judged otherwise."""
    for module in ("drawn", "restored"):
        monkeypatch.setattr(f"ambientkit.sample.{module}.JUDGED", 64)
    monkeypatch.setattr("ambientkit.sample.stop_level.REFERENCE", 256)


def picture_run(folder, **options):
    return load_run(write_run(folder, shape=(1, 8, 8), **options), PARTS)


def test_samples_of_the_same_seed_stop_at_the_same_level(tmp_path, sample):
    trained = picture_run(tmp_path / "run")
    options = {"n": 5, "steps": 3, "seed": 2, "sigma_min": "auto", "registry": PARTS}
    rows = sample_rows(trained, **options)
    record = draw_to_files(trained, tmp_path / "out", units="unit", **options)
    assert np.array_equal(rows.numpy(), np.load(record.path))
    manifest = json.loads((tmp_path / "out" / "samples.json").read_text())
    stop = StopLevel.from_dict(manifest["stop_level"])
    assert manifest["sigma_min"] == stop.level
    assert stop.to_dict() == manifest["stop_level"]
    assert len(stop.tried[0].bands) == BANDS
    assert record.notes == (stop.said(),)
    assert torch.equal(rows, sample_rows(trained, **options | {"sigma_min": stop.level}))
    run = ak.load(tmp_path / "run", parts=[type(trained.config.model)])
    assert run.stop_level(seed=2, steps=3) == stop
    assert "band 6" in str(stop)


def test_an_interrupted_command_goes_on_to_the_level_it_chose(tmp_path, sample, monkeypatch):
    run = write_run(tmp_path / "run", shape=(1, 8, 8))
    flags = ["--n", 6, "--steps", 3, "--sigma-min", "auto", "--out", tmp_path / "out"]
    said = ok(sample(run, *flags))
    assert "stops at" in said
    monkeypatch.setattr("ambientkit.sample.drawn.choose", None)  # it is not chosen again
    assert "nothing to do" in ok(sample(run, *flags))
    manifest = tmp_path / "out" / "samples.json"
    told = json.loads(manifest.read_text())
    del told["stop_level"]["tried"]
    manifest.write_text(json.dumps(told))
    status, _, err = sample(run, *flags)
    assert (status, "stop_level" in err) == (2, True)


def test_restored_rows_stop_where_theirs_fit(tmp_path):
    trained = picture_run(tmp_path / "run")
    rows = (field(200, 7).float() / 2 + 0.3 * torch.randn(200, 1, 8, 8, generator=keyed_generator(7, "n"))).numpy()
    options = {"sigma_n": 0.3, "n": 3, "draws": 2, "steps": 4, "sigma_min": "auto", "registry": PARTS}
    found = restore_rows(trained, rows, **options)
    record = restore_to_files(trained, rows, tmp_path / "out", units="unit", **options)
    assert np.array_equal(found.draws.numpy(), np.load(tmp_path / "out" / "draws.npy"))
    told = json.loads((tmp_path / "out" / "restored.json").read_text())
    stop = ak.load(tmp_path / "run", parts=[type(trained.config.model)]).stop_level(rows, sigma_n=0.3, steps=4)
    assert told["sigma_min"] == stop.level
    assert told["stop_level"] == stop.to_dict()
    assert (stop.n, record.n) == ((200, 50), 3)
    low = max(told["sigma_min"], 0.0)
    assert torch.equal(found.draws, restore_rows(trained, rows, **options | {"sigma_min": low}).draws)


@pytest.mark.parametrize(
    ("setup", "says"),
    [({"shape": (2,), "data": "mixture"}, r"needs pictures .* rows of shape \(2,\)"), ({"clean": True}, "no noise")],
)
def test_rows_that_tell_no_energies_are_refused(tmp_path, setup, says):
    clean = setup.pop("clean", False)
    trained = load_run(write_run(tmp_path / "run", **{"shape": (1, 8, 8), **setup}), PARTS)
    if clean:
        config = trained.config
        corruption = config.corruption.model_copy(update={"sigma_n": 0.0})
        trained = type(trained)(config.model_copy(update={"corruption": corruption}), *list(vars_of(trained))[1:])
    with pytest.raises(InputError, match=says):
        sample_rows(trained, 4, steps=2, sigma_min="auto", registry=PARTS)


def vars_of(trained):
    return (getattr(trained, name) for name in type(trained).__dataclass_fields__)


def test_what_cannot_be_chosen_from_is_refused(tmp_path):
    trained = picture_run(tmp_path / "run")
    rows = torch.randn(10, 1, 8, 8, generator=keyed_generator(1, "rows"))
    with pytest.raises(InputError, match="noise per pixel"):
        restore_rows(trained, rows, sigma_n=np.full((10, 1, 8, 8), 0.3), sigma_min="auto", registry=PARTS)
    with pytest.raises(InputError, match="needs 8 rows"):
        restore_rows(trained, rows[:5], sigma_n=0.3, sigma_min="auto", registry=PARTS)
    with pytest.raises(InputError, match="--draws 0"):
        restore_rows(trained, rows, sigma_n=0.3, draws=0, sigma_min="auto", registry=PARTS)
