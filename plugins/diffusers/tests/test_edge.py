"""Schedulers of diffusers as edges: their own noising and prediction formulas, exact times, and refusals by name."""

from __future__ import annotations

import diffusers
import pytest
import torch
from ambientkit_diffusers.edge import FORMS, TableTime, edge_of
from hypothesis import given, settings
from hypothesis import strategies as st

from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.forms import from_x_0
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

SDXL = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TABLES = [
    ("DDPMScheduler", {}),
    ("DDPMScheduler", {"beta_schedule": "squaredcos_cap_v2"}),
    ("DDPMScheduler", {**SDXL, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}),
    ("DDIMScheduler", {**SDXL, "prediction_type": "sample"}),
    ("DDIMScheduler", {**SDXL, "prediction_type": "v_prediction", "rescale_betas_zero_snr": True}),
    ("EulerDiscreteScheduler", {**SDXL, "steps_offset": 1, "timestep_spacing": "leading"}),
    ("EulerDiscreteScheduler", {**SDXL, "use_karras_sigmas": True, "prediction_type": "v_prediction"}),
    ("EulerDiscreteScheduler", {**SDXL, "rescale_betas_zero_snr": True, "prediction_type": "v_prediction"}),
    ("EulerAncestralDiscreteScheduler", SDXL),
    ("HeunDiscreteScheduler", SDXL),
    ("LMSDiscreteScheduler", SDXL),
    ("PNDMScheduler", {**SDXL, "skip_prk_steps": True}),
    ("DPMSolverMultistepScheduler", {**SDXL, "prediction_type": "v_prediction"}),
    ("UniPCMultistepScheduler", SDXL),
    ("KDPM2DiscreteScheduler", SDXL),
    ("TCDScheduler", SDXL),
    ("CogVideoXDDIMScheduler", {"prediction_type": "v_prediction", "num_train_timesteps": 50}),
]
FLOWS = [
    ("FlowMatchEulerDiscreteScheduler", {}),
    ("FlowMatchEulerDiscreteScheduler", {"shift": 3.0, "use_dynamic_shifting": False}),
    ("FlowMatchHeunDiscreteScheduler", {"shift": 2.0}),
]


def named(case) -> str:
    return "-".join([case[0], *(str(value) for value in case[1].values() if isinstance(value, str))])


def made(case):
    return getattr(diffusers, case[0])(**case[1])


def rows(n: int, seed: int = 0):
    g = keyed_generator(seed, "rows")
    return torch.randn(n, 4, 4, 4, generator=g), torch.randn(n, 4, 4, 4, generator=g)


@pytest.mark.parametrize("case", TABLES, ids=named)
def test_times_are_the_table_s_own_to_the_last_bit_in_whatever_precision_a_level_was_computed(case):
    scheduler = made(case)
    edge, abar = edge_of(scheduler), scheduler.alphas_cumprod
    single, double = ((1 - table) / table for table in (abar, abar.double()))
    for squared in (single, double):
        finite = squared.isfinite()
        times = edge.time(squared.sqrt()[finite])
        assert times.dtype == torch.float32
        assert torch.equal(times, torch.arange(len(abar), dtype=torch.float32)[finite])
    assert float(edge.time(torch.tensor([1e-9]))) == 0
    assert float(edge.time(torch.tensor([1e30]))) == len(abar) - 1


@pytest.mark.parametrize("case", TABLES, ids=named)
def test_networks_see_what_the_scheduler_s_noising_shows_them(case):
    scheduler = made(case)
    edge, last = edge_of(scheduler), len(scheduler.alphas_cumprod) - 1
    k = torch.tensor([0, 1, last // 2, last - 1])
    x_0, z = rows(4)
    sigma = ((1 - scheduler.alphas_cumprod[k]) / scheduler.alphas_cumprod[k]).sqrt().float()
    x = x_0 + per_row(sigma, x_0) * z
    reference = diffusers.DDPMScheduler(trained_betas=(1 - _alphas(scheduler.alphas_cumprod)).tolist())
    torch.testing.assert_close(edge.input(x, sigma), reference.add_noise(x_0, z, k), rtol=2e-4, atol=2e-5)
    answer = {"eps": z, "v": reference.get_velocity(x_0, z, k), "x_0": x_0}[edge.form]
    scale = float((1 + sigma).max())
    assert float((edge.x_0(answer, x, sigma) - x_0).abs().max()) < 2e-5 * scale


def _alphas(abar):
    return abar.double() / torch.cat([torch.ones(1, dtype=torch.float64), abar.double()[:-1]]).clamp(min=1e-30)


@pytest.mark.parametrize("answers", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("kind", ["DDIMScheduler", "DDPMScheduler", "EulerDiscreteScheduler", "LMSDiscreteScheduler"])
def test_x_0_is_what_the_scheduler_s_own_step_makes_of_an_answer(kind, answers):
    fixed = {"clip_sample": False} if kind[:3] == "DDI" or kind[:3] == "DDP" else {}
    scheduler = getattr(diffusers, kind)(**SDXL, **fixed, prediction_type=answers)
    if kind[0] == "E" and answers == "sample":
        pytest.skip("Euler's scheduler takes no answer of this kind")
    edge = edge_of(scheduler)
    scheduler.set_timesteps(10)
    k = scheduler.timesteps[3]
    sigma = ((1 - scheduler.alphas_cumprod[int(k)]) / scheduler.alphas_cumprod[int(k)]).sqrt().reshape(1)
    x_0, z = rows(1)
    x, answer = x_0 + sigma * z, rows(1, seed=1)[0]
    theirs = x if hasattr(scheduler, "scale_model_input") and kind[0] in "EL" else edge.input(x, sigma)
    if kind[0] in "EL":
        scheduler.scale_model_input(theirs, k)
    done = scheduler.step(answer, k, theirs, **({"generator": keyed_generator(0, "step")} if kind[0] in "DE" else {}))
    torch.testing.assert_close(edge.x_0(answer, x, sigma), done.pred_original_sample, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", FLOWS, ids=named)
def test_a_flow_has_its_own_time_at_any_level_and_the_scheduler_s_noising(case):
    scheduler = made(case)
    edge = edge_of(scheduler)
    times = scheduler.timesteps[[5, 300, 900]].float()
    t = (times / 1000).double()
    x_0, z = rows(3)
    sigma = (t / (1 - t)).float()
    noised = torch.cat([made(case).scale_noise(x_0[[i]], times[[i]], z[[i]]) for i in range(3)])
    x = x_0 + per_row(sigma, x_0) * z
    torch.testing.assert_close(edge.input(x, sigma), noised, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(edge.time(sigma), times, rtol=2e-6, atol=0)
    torch.testing.assert_close(edge.x_0(z - x_0, x, sigma), x_0, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("EDMEulerScheduler", {}),
        ("EDMEulerScheduler", {"prediction_type": "v_prediction", "sigma_data": 1.0}),
        ("EDMDPMSolverMultistepScheduler", {}),
        ("CosineDPMSolverMultistepScheduler", {"sigma_data": 1.0}),
    ],
)
def test_edm_schedulers_precondition_themselves(kind, fields):
    scheduler = getattr(diffusers, kind)(**fields)
    edge = edge_of(scheduler)
    (x, answer), sigma = rows(3), torch.tensor([0.1, 1.0, 30.0])
    for i, level in enumerate(sigma):
        right = scheduler.precondition_outputs(x[[i]], answer[[i]], level)
        torch.testing.assert_close(edge.x_0(answer, x, sigma)[[i]], right)
        torch.testing.assert_close(edge.input(x, sigma)[[i]], scheduler.precondition_inputs(x[[i]], level))
    torch.testing.assert_close(
        edge.time(sigma), torch.stack([scheduler.precondition_noise(s) for s in sigma]).flatten()
    )


def test_euler_with_continuous_times_has_a_quarter_of_the_logarithm():
    edge = edge_of(diffusers.EulerDiscreteScheduler(**SDXL, timestep_type="continuous", prediction_type="v_prediction"))
    torch.testing.assert_close(edge.time(torch.tensor([0.5, 7.0])), torch.tensor([0.5, 7.0]).log() / 4)
    assert edge.levels == edge_of(diffusers.DDPMScheduler(**SDXL)).levels


def test_euler_with_continuous_times_is_known_between_its_own_ends_and_visits_its_own_times():
    kept = {"timestep_type": "continuous", "prediction_type": "v_prediction", "use_karras_sigmas": True}
    scheduler = diffusers.EulerDiscreteScheduler(**SDXL, **kept, sigma_min=0.002, sigma_max=700.0)
    edge = edge_of(scheduler)
    assert edge.levels == Levels(0.002, 700.0)
    scheduler.set_timesteps(12)
    torch.testing.assert_close(edge.time(scheduler.sigmas[:-1]), scheduler.timesteps, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(scheduler.sigmas[[0, -2]], torch.tensor([700.0, 0.002]), rtol=1e-4, atol=0)


@pytest.mark.parametrize("kind", ["EulerDiscrete", "EulerAncestralDiscrete", "DPMSolverMultistep", "UniPCMultistep"])
def test_the_finite_level_that_samplers_write_for_noise_alone_is_noise_alone_where_it_is_out_of_order(kind):
    """Under the default betas the last row but one is noisier than 2^-24."""
    scheduler = getattr(diffusers, f"{kind}Scheduler")(rescale_betas_zero_snr=True, prediction_type="v_prediction")
    abar = scheduler.alphas_cumprod.double()
    assert abar[-2] < abar[-1] == 2.0**-24
    edge, right = edge_of(scheduler), edge_of(diffusers.DDPMScheduler(rescale_betas_zero_snr=True))
    assert edge.levels.sigma_max == right.levels.sigma_max == float("inf")
    sigmas = ((1 - abar) / abar).sqrt()
    assert torch.equal(edge.time(sigmas[:-1]), torch.arange(999.0))
    assert float(edge.time(torch.tensor([1e9]))) > 998.9
    (x_0, z), k = rows(3), torch.tensor([0, 500, 990])
    sigma = sigmas[k].float()
    x = x_0 + per_row(sigma, x_0) * z
    shown = x if kind[0] == "E" else edge.input(x, sigma)
    theirs = scheduler if kind[0] == "E" else diffusers.DDPMScheduler(rescale_betas_zero_snr=True)
    torch.testing.assert_close(
        theirs.add_noise(x_0, z, k.float() if kind[0] == "E" else k), shown, rtol=1e-3, atol=1e-3
    )


@settings(deadline=None, max_examples=60)
@given(st.floats(-5, 12), st.floats(1e-7, 0.3), st.sampled_from([0, 1, 2, 7]))
def test_time_is_continuous_and_does_not_fall(log_sigma, step, which):
    edge = edge_of(made(TABLES[which]))
    first = torch.tensor([log_sigma], dtype=torch.float64).exp()
    here, there, near = (edge.time(first * factor) for factor in (1.0, 1 + step, 1 + 1e-9))
    assert float(here) <= float(there)
    assert float(near - here) <= 2e-4  # a float32 step at 1,000 is 6e-5


def test_a_table_that_ends_in_noise_alone_has_a_time_for_every_level():
    sigmas = torch.tensor([0.1, 1.0, 10.0, float("inf")], dtype=torch.float64)
    time = TableTime(sigmas)
    levels = torch.tensor([10.0, 20.0, 1e3, 1e9])
    assert time(levels)[0] == 2
    assert bool((time(levels).diff() > 0).all())
    torch.testing.assert_close(time(levels), 3 - 10.0 / levels, atol=1.1e-3, rtol=0)


@pytest.mark.parametrize(
    "kind",
    [
        "IPNDMScheduler",
        "ScoreSdeVeScheduler",
        "CMStochasticIterativeScheduler",
        "SCMScheduler",
        "DDPMWuerstchenScheduler",
    ],
)
def test_a_scheduler_without_a_table_is_refused_by_name(kind):
    with pytest.raises(InputError, match=f"{kind} "):
        edge_of(getattr(diffusers, kind)())


def test_what_a_scheduler_does_not_say_is_asked_for():
    scheduler = diffusers.RePaintScheduler()
    with pytest.raises(InputError, match="RePaintScheduler does not say what the network answers with: give predicts"):
        edge_of(scheduler)
    assert edge_of(scheduler, "epsilon").form == "eps"
    with pytest.raises(InputError, match="should be one of epsilon"):
        edge_of(scheduler, "noise")
    with pytest.raises(
        InputError, match="has a table of noise levels, but its network is said to answer with 'flow_prediction'"
    ):
        edge_of(diffusers.DDPMScheduler(), "flow_prediction")
    with pytest.raises(InputError, match="has no scheduler of this name"):
        edge_of({"_class_name": "NoScheduler"})
    with pytest.raises(InputError, match="invert_sigmas"):
        edge_of(diffusers.FlowMatchEulerDiscreteScheduler(invert_sigmas=True))


def test_a_multistep_scheduler_on_flow_sigmas_is_a_flow():
    edge = edge_of(diffusers.UniPCMultistepScheduler(use_flow_sigmas=True, prediction_type="flow_prediction"))
    assert edge.form == "flow"
    assert float(edge.time(torch.tensor([1.0]))) == 500


@pytest.mark.parametrize("answers", ["epsilon", "sample", "flow_prediction"])
@pytest.mark.parametrize("kind", ["DPMSolverMultistep", "UniPCMultistep"])
def test_flow_sigmas_are_a_flow_s_whatever_the_network_answers_with(kind, answers):
    build = getattr(diffusers, f"{kind}Scheduler")
    scheduler = build(use_flow_sigmas=True, prediction_type=answers, flow_shift=3.0)
    edge = edge_of(scheduler)
    scheduler.set_timesteps(10)
    time = scheduler.timesteps[4]
    scheduler._init_step_index(time)
    t = scheduler.sigmas[4].double().reshape(1)
    sigma = (t / (1 - t)).float()
    (x_0, z), answer = rows(1), rows(1, seed=1)[0]
    seen = edge.input(x_0 + per_row(sigma, x_0) * z, sigma)
    torch.testing.assert_close(seen, scheduler.add_noise(x_0, z, time.reshape(1)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        edge.x_0(answer, seen * (1 + per_row(sigma, x_0)), sigma),
        scheduler.convert_model_output(answer, sample=seen), rtol=1e-4, atol=1e-4,
    )  # fmt: skip
    assert float((edge.time(sigma) - time).abs()) <= 1  # whose times are rounded down
    with pytest.raises(InputError, match=f"{kind}Scheduler: a flow is answered with .*sample, not v_prediction"):
        edge_of(build(use_flow_sigmas=True, prediction_type="v_prediction"))


@pytest.mark.parametrize("kind", ["EulerDiscreteScheduler", "FlowMatchEulerDiscreteScheduler", "EDMEulerScheduler"])
def test_what_is_asked_of_an_edge_is_not_written_to(kind):
    edge, (x, answer), sigma = edge_of(getattr(diffusers, kind)()), rows(2), torch.tensor([0.4, 5.0])
    given = [value.clone() for value in (x, answer, sigma)]
    edge.input(x, sigma), edge.time(sigma), edge.x_0(answer, x, sigma)
    assert all(torch.equal(value, before) for value, before in zip((x, answer, sigma), given, strict=True))


def test_every_form_inverts_in_float64():
    x_0, z = (value.double() for value in rows(3))
    sigma = torch.tensor([0.03, 1.0, 14.0], dtype=torch.float64)
    x = x_0 + per_row(sigma, x_0) * z
    for answers, form in FORMS.items():
        if answers != "flow_prediction":
            edge = edge_of(diffusers.DDPMScheduler(**SDXL, prediction_type=answers))
            torch.testing.assert_close(edge.x_0(from_x_0(x_0, x, sigma, form), x, sigma), x_0, rtol=1e-12, atol=1e-12)
