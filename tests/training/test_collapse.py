"""The detector of collapse: it names what is wrong with a broken run, says nothing of a healthy one, and changes
nothing in training."""

from __future__ import annotations

import dataclasses
import json
import math

import pytest
import torch

from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.checkpoint.status import read_status
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.randomness import keyed_generator
from ambientkit.run import train as command
from ambientkit.training import steps
from ambientkit.training.collapse import APART, CAUSES, ROWS, SEEDS, STEPS, Detector, Look, look
from ambientkit.verification import make_case
from tests.support.engine import FLAGS, bits, log, make, same

pytestmark = pytest.mark.slow

SIGMA_N = 0.1
CASE = make_case(Gaussian(sigma_n=SIGMA_N), 0)


def looked(denoiser, seed=0, n=256):
    batch = CASE.observe(n, keyed_generator(seed, "given"))
    return look(
        denoiser, batch, CASE.tools.corruption, StochasticHeun(), CASE.tools.levels, CASE.tools.signal.sigma_data, seed
    )


def below(edge, other):
    """The exact denoiser, and below the level `edge` another one."""

    def denoiser(x, sigma, /, **cond):
        return torch.where((sigma < edge).unsqueeze(1), other(x, sigma), CASE.oracle(x, sigma))

    return denoiser


def zero(x, sigma):
    return torch.zeros_like(x)


@pytest.mark.parametrize("seed", range(12))
def test_the_exact_denoiser_gives_no_cause_for_worry(seed):
    """The healthy control of all tests below; another seed each, and a second look."""
    detector = Detector()
    for step in (1000, 2000, 3000):
        found = looked(CASE.oracle, 100 * seed + step)
        assert detector.seen(found, step) == []
        assert 0.6 < found.within / found.expected < 1.6
    assert detector.said == []


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("wrong", "causes"),
    [
        (below(0.9 * SIGMA_N, zero), {"draws-alike", "draws-narrow"}),
        (below(99, lambda x, sigma: 3 * CASE.oracle(x, sigma)), {"worse-than-shrinking"}),
    ],
    ids=["constant", "tripled"],
)
def test_a_collapsed_denoiser_is_named(wrong, causes, seed):
    assert causes <= set(Detector().seen(looked(wrong, seed), 1000))


@pytest.mark.parametrize("seed", range(3))
def test_a_network_that_answers_whatever_it_is_asked_with_one_constant_is_named(seed):
    """What is left of a denoiser whose network is dead: c_skip x and a picture that does not depend on x."""

    def dead(x, sigma, /, **cond):
        variance = CASE.tools.signal.sigma_data**2
        return (variance / (variance + sigma**2)).unsqueeze(1) * x + torch.tensor([0.1, -0.05], dtype=x.dtype)

    assert "dead" in Detector().seen(looked(dead, seed), 1000)


def test_draws_that_are_all_alike_are_named_though_observations_still_differ():
    """Below sigma_n the denoiser answers what it answered for the observation itself: a posterior mean, the same for
    every seed."""
    batch = CASE.observe(256, keyed_generator(0, "given"))
    means = CASE.oracle(batch.x_n, batch.sigma_n)

    def remembering(x, sigma, /, **cond):
        alike = torch.arange(len(x)) % ROWS
        return torch.where((sigma < 0.9 * SIGMA_N).unsqueeze(1), means[alike], CASE.oracle(x, sigma))

    found = look(
        remembering, batch, CASE.tools.corruption, StochasticHeun(), CASE.tools.levels, CASE.tools.signal.sigma_data, 0
    )
    assert Detector().seen(found, 1000) == ["draws-alike"]


@pytest.mark.parametrize("seed", range(3))
def test_a_law_that_has_become_too_narrow_is_named_though_its_denoiser_is_consistent_with_itself(seed):
    """What is left when posterior draws are replaced by their mean: by its own measure, sigma_n^2 - |x_n - D|^2, the
    draws spread as they should."""
    law = CASE.law
    narrow = GaussianMixture(law.weights, law.means, law.covariances * 0.05).denoiser()
    found = looked(narrow, seed, 1024)
    assert Detector().seen(found, 1000) == ["draws-alike"]
    assert 0.7 < (found.within + found.across) / found.whole < 1.3


def test_the_expected_spread_is_the_squared_error_of_any_denoiser():
    """Against the clean points, for denoisers that are right, too narrow and nonsense; within 5 standard errors, one in
    3,000 by chance for all."""
    law, generator = CASE.law, keyed_generator(0, "given")
    x_0 = law.sample(4096, generator)
    batch = Gaussian(sigma_n=SIGMA_N).observe(x_0, torch.arange(len(x_0)), generator)
    narrow = GaussianMixture(law.weights, law.means, law.covariances * 0.05).denoiser()
    for denoiser in (CASE.oracle, narrow, lambda x, sigma, /, **cond: x.sin()):
        found = look(
            denoiser, batch, CASE.tools.corruption, StochasticHeun(), CASE.tools.levels, CASE.tools.signal.sigma_data, 0
        )
        error = (denoiser(batch.x_n, batch.sigma_n) - x_0).square().flatten(1).mean(1)
        spread = math.hypot(found.expected_error, float(error.std()) / math.sqrt(len(error)))
        assert abs(found.expected - float(error.mean())) < 5 * spread


def test_a_residual_that_grows_is_named_and_one_that_was_there_from_the_start_is_not():
    drifting = below(0.5 * SIGMA_N, lambda x, sigma: CASE.oracle(x, sigma) + 0.3)
    detector = Detector()
    assert detector.seen(looked(CASE.oracle, 0), 1000) == []
    assert detector.seen(looked(drifting, 1), 2000) == ["residual-grows"]
    from_the_start = Detector()
    for step in (1000, 2000, 3000):
        assert "residual-grows" not in from_the_start.seen(looked(drifting, step), step)


def test_a_cause_is_said_once():
    detector = Detector()
    broken = below(0.9 * SIGMA_N, zero)
    assert detector.seen(looked(broken, 0), 1000)
    assert detector.seen(looked(broken, 1), 2000) == []


def line(step, loss, n=500):
    return {"step": step, "by_level": {"tweedie": {f"{k}": {"mean": loss * k, "n": n} for k in (1, 2, 3, 4, 5)}}}


def told(losses, **options):
    detector = Detector()
    return [cause for step, loss in enumerate(losses) for cause in detector.line(line(step, loss, **options))]


def test_a_loss_that_falls_wavers_or_jumps_for_once_is_no_cause():
    assert told([2.0, 1.5, 1.2, 1.4, 1.2, 1.5, 1.1, 1.3]) == []
    assert told([1.0, 1.0, 1.0, 5.0, 1.0, 1.0, 1.0]) == []


def test_a_loss_that_rises_for_good_is_named_once():
    assert told([1.0, 1.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0]) == ["loss-rises"]


def test_levels_with_few_values_say_nothing():
    assert told([1.0, 1.0, 1.0, 3.0, 4.0, 5.0, 6.0, 7.0], n=20) == []


def test_a_detector_that_was_saved_goes_on_as_an_unbroken_one():
    losses = [1.0, 1.0, 1.0, 3.0, 4.0, 5.0, 6.0]
    for cut in range(len(losses)):
        first, found = Detector(), []
        for step, loss in enumerate(losses[:cut]):
            found += first.line(line(step, loss))
        second = Detector(json.loads(json.dumps(first.state)))
        for step, loss in enumerate(losses[cut:]):
            found += second.line(line(step, loss))
        assert found == ["loss-rises"]
        assert len(second.said) == 1


def test_clean_rows_give_no_look():
    batch = CASE.observe(64, keyed_generator(0, "given"))
    clean = batch._replace(sigma_n=torch.zeros_like(batch.sigma_n))
    levels, corruption = CASE.tools.levels, CASE.tools.corruption
    assert look(CASE.oracle, clean, corruption, StochasticHeun(), levels, 0.5, 0) is None


def test_a_look_costs_what_is_said():
    rows = []

    def counting(x, sigma, /, **cond):
        rows.append(len(x))
        return CASE.oracle(x, sigma)

    looked(counting)
    assert sum(rows) == 2 * 256 + ROWS * SEEDS * (2 * (STEPS - 1) + 1) + 4 * 64


def test_looking_changes_nothing_in_training():
    quiet, busy = make(), make()
    plain = [float(step.loss) for step in steps(quiet)]
    disturbed = []
    for step in steps(busy):
        disturbed.append(float(step.loss))
        config = busy.config
        given = busy.observations.__getitems__(list(range(40)))
        look(
            busy.teacher,
            given,
            config.corruption,
            config.sampler,
            config.levels.as_levels(),
            busy.signal.sigma_data,
            config.seed,
        )
    assert plain == disturbed
    assert same(bits(quiet), bits(busy))


SHORT = ["train", *FLAGS, "--objective", "tweedie", "--end-step", str(APART + 3), "--save-every", str(APART - 1)]


def test_a_healthy_run_looks_once_and_says_nothing(tmp_path, ambientkit):
    """At APART - 1 it would be too early; the look at the end is in the last line."""
    status, _, err = ambientkit(*SHORT, "--output-dir", tmp_path / "run")
    assert (status, err) == (0, "")
    lines = log(tmp_path / "run")
    assert ["look" in line for line in lines] == [False] * (len(lines) - 1) + [True]
    assert not any("warnings" in line for line in lines)
    assert not read_status(tmp_path / "run").warnings


def test_a_warning_goes_to_stderr_the_log_and_the_status(tmp_path, ambientkit, monkeypatch):
    collapsed = Look(0.0, 0.2, 0.02, 0.001, 0.22, 0.8, 0.3, {})
    monkeypatch.setattr(command, "look", lambda *given: dataclasses.replace(collapsed))
    folder = tmp_path / "run"
    status, _, err = ambientkit(*SHORT, "--output-dir", folder)
    assert status == 0
    assert err == f"warning: step {APART + 3}: {CAUSES['draws-alike']}\n"
    assert [line["warnings"] for line in log(folder) if "warnings" in line] == [[CAUSES["draws-alike"]]]
    assert json.loads((folder / "status.json").read_text())["warnings"] == [CAUSES["draws-alike"]]
    assert CAUSES["draws-alike"] in ambientkit("status", folder)[1]
