"""The objective `detail-moments`: the identity it rests on, what its running means push, what it leaves alone, and that
a resumed run is the unbroken one."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import hadamard

from ambientkit.batch import Batch
from ambientkit.builtin.checks.detail import SHAPE, DetailPower, DetailStationarity, law
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.builtin.objectives.consistency import Consistency
from ambientkit.builtin.objectives.detail_moments import READY, DetailMoments
from ambientkit.builtin.samplers.stochastic_heun import StochasticHeun
from ambientkit.interfaces import Levels, Sampler, Signal, Tools
from ambientkit.maths.blocks import BLOCK, band_of, coefficients
from ambientkit.maths.noise import per_row, standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.training import steps
from ambientkit.training.state import MEMORY
from ambientkit.verification import make_case
from tests.support.engine import make

LAW = law()
EXACT = LAW.denoiser()
SIGNS = torch.tensor(hadamard(BLOCK**2), dtype=torch.float64).reshape(-1, 1, BLOCK, BLOCK)


class Louder(Sampler):
    """The steps of `stochastic-heun`, whose ends have detail `factor` times as strong."""

    name = "louder"
    claims = frozenset({"reverse-kernel", "row-generators"})
    factor: float = 1.0

    def sample(self, denoiser, x, sigmas, generator, cond):
        x = StochasticHeun().sample(denoiser, x, sigmas, generator, cond)
        mean = x.mean((2, 3), keepdim=True)
        return mean + self.factor * (x - mean)


def observed(call: int, n: int = 256, sigma_n: float = 0.3) -> Batch:
    g = keyed_generator(call, "observed")
    x_0 = LAW.sample(n, g).reshape(-1, *SHAPE)
    level = torch.full((n,), sigma_n, dtype=torch.float64)
    return Batch(x_0 + per_row(level, x_0) * standard_normal(x_0, g), level, torch.arange(n), {})


def tools(call: int, memory: dict, sampler: Sampler | None = None) -> Tools:
    generator = keyed_generator(call, "tools")
    return Tools(
        Gaussian(), sampler or StochasticHeun(), EXACT, Signal(SHAPE, 0.6), generator, Levels(0.01, 20.0), memory
    )


@given(seed=st.integers(0, 10**6), sigma_n=st.floats(0.05, 2), share=st.floats(0.05, 1))
def test_the_energy_of_detail_is_the_same_at_every_level(seed, sigma_n, share):
    """Exact, in float64: over a design whose first and second moments are those of white noise, for a known point, of
    which D = x_0 is the exact denoiser: f(D) f(x_s), f(x_s)^2 - sigma_s^2 and f(x_n)^2 - sigma_n^2 have one mean, and
    (f(D) - f(x_s)) f(x_s) has the mean -sigma_s^2."""
    z = torch.cat([SIGNS, -SIGNS])
    x_0 = torch.randn(1, 1, BLOCK, BLOCK, generator=keyed_generator(seed, "x"), dtype=torch.float64)
    sigma_s = share * sigma_n
    f, f_s, f_n = (coefficients(x)[:, 0] for x in (x_0, x_0 + sigma_s * z, x_0 + sigma_n * z))
    wanted, detail = f[0] ** 2, band_of() > 0
    for found in ((f * f_s).mean(0), (f_s**2).mean(0) - sigma_s**2, (f_n**2).mean(0) - sigma_n**2):
        assert torch.allclose(found[detail], wanted[detail], atol=1e-9)
    assert torch.allclose(((f - f_s) * f_s).mean(0)[detail], torch.tensor(-(sigma_s**2), dtype=torch.float64))


def test_it_is_consistency_and_a_term_without_further_calls():
    """The same bits and the same calls as `consistency`, also where nothing is known of detail."""
    asked: list[int] = []

    def counted(x, sigma, /, **cond):
        asked.append(len(x))
        return EXACT(x, sigma)

    memory: dict = {}
    for call in range(3):
        mine = DetailMoments().loss(counted, observed(call), tools(call, memory))
        calls, asked[:] = asked[:], []
        other = Consistency().loss(counted, observed(call), tools(call, {}))
        assert (calls, set(mine)) == (asked, {"consistency", "detail"})
        asked.clear()
        assert torch.equal(mine["consistency"].value, other["consistency"].value)
        assert torch.equal(mine["detail"].sigma, other["consistency"].sigma)
    pixels = observed(0)
    pixels = pixels._replace(sigma_n=per_row(pixels.sigma_n, pixels.x_n).expand_as(pixels.x_n))
    points = make_case(Gaussian(sigma_n=0.3), 0)
    assert set(DetailMoments().loss(EXACT, pixels, tools(0, {}))) == {"consistency"}
    point_tools = dataclasses.replace(points.tools, generator=keyed_generator(0, "points"))
    points_batch = points.observe(16, keyed_generator(0, "observe"))
    assert set(DetailMoments().loss(points.oracle, points_batch, point_tools)) == {"consistency"}
    assert not point_tools.memory


def derivatives(sampler: Sampler, objective: DetailMoments, calls: int = 12) -> tuple[list[float], dict]:
    """d detail / d gain of each call, at the exact denoiser times (1 + gain)."""
    memory, found = {}, []
    for call in range(calls):
        gain = torch.zeros((), dtype=torch.float64, requires_grad=True)

        def denoiser(x, sigma, /, gain=gain, **cond):
            return EXACT(x, sigma) * (1 + gain)

        value = objective.loss(denoiser, observed(call), tools(call, memory, sampler))["detail"].value.mean()
        found.append(float(torch.autograd.grad(value, gain)[0]) if value.requires_grad else 0.0)
    return found, memory


@pytest.mark.parametrize(("factor", "sign"), [(1.3, 1), (0.7, -1)])
def test_too_strong_ends_weaken_detail_and_too_weak_ones_strengthen_it(factor, sign):
    found, _ = derivatives(Louder(factor=factor), DetailMoments(gain=0))
    assert found[0] == 0  # nothing is known yet
    assert all(sign * value > 0 for value in found[8:])


def test_the_law_of_the_ends_pushes_above_the_lowest_level_alone():
    found, memory = derivatives(Louder(factor=1.3), DetailMoments(gain=0, lowest=1.0, from_observation=0.0))
    assert found == [0.0] * len(found)
    assert float(memory["n"].max()) > READY


def test_memory_holds_sums_of_earlier_calls():
    """Against sums written out by hand: the energies wanted are those of the second and third call, the first but for
    what is forgotten."""
    memory: dict = {}
    objective = DetailMoments()
    shapes = []
    for call in range(3):
        objective.loss(EXACT, observed(call), tools(call, memory))
        shapes.append({name: tuple(value.shape) for name, value in memory.items()})
    assert shapes[0] == shapes[1] == shapes[2]
    band, wanted = band_of().numpy(), np.zeros(7)
    for call, weight in ((1, 1 - 1 / 1000), (2, 1.0)):
        batch = observed(call)
        square = (coefficients(batch.x_n)[:, 0] ** 2 - 0.3**2).numpy()
        wanted += [weight * square[:, band == one].sum() for one in range(7)]
    assert np.allclose(memory["rows"].sum(0).numpy(), wanted)


OBJECTIVE = [
    {"objective": "tweedie"},
    {"objective": {"name": "detail-moments", "fraction": 0.5, "window": 5}, "start": 2, "every": 2},
]
DIGITS = {"data": {"name": "digits"}, "corruption": {"name": "gaussian", "sigma_n": 0.3}, "batch_size": 16}


@pytest.mark.slow
def test_a_resumed_run_is_the_unbroken_one():
    """Weights, average, optimiser and memory, to the bit; the control forgets the memory."""
    unbroken = make(objective=OBJECTIVE, end_step=24, **DIGITS)
    for step in steps(unbroken):
        if step.step == 13:
            files = unbroken.state()
    assert MEMORY in files
    ends = []
    for forgets in (False, True):
        resumed = make(objective=OBJECTIVE, end_step=24, **DIGITS)
        resumed.restore({name: value for name, value in files.items() if not (forgets and name == MEMORY)}, "here")
        list(steps(resumed))
        ends.append(resumed.state() == unbroken.state())
    assert ends == [True, False]


@pytest.mark.thorough
@pytest.mark.parametrize("seed", range(3))
def test_checks_pass_and_their_controls_do_not(seed):
    """Six measurements at level 1e-5 each: a false alarm of 6e-5 at most."""
    case = make_case(Gaussian(sigma_n=0.3), seed)
    for check in (DetailStationarity(), DetailPower()):
        assert check.measure(DetailMoments(), case).p_value > 1e-5
        assert check.measure(check.control(DetailMoments()), case).p_value < 1e-5
