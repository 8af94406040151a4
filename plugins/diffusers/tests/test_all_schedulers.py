"""Every scheduler that diffusers has: its own noising is the edge's, or it is refused by name before step 1."""

from __future__ import annotations

import diffusers
import pytest
import torch
from ambientkit_diffusers.edge import EDMEdge, FlowEdge, TableEdge, edge_of

from ambientkit.errors import InputError
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

ALL = [
    name for name in sorted(dir(diffusers)) if name.endswith("Scheduler") and isinstance(getattr(diffusers, name), type)
]
NO_NOISE_ON_IMAGES = {  # tokens, proteins: they are no noise on real numbers, or ask for more to be built at all
    "AmusedScheduler",
    "BlockRefinementScheduler",
    "DiscreteDDIMScheduler",
    "EntropyBoundScheduler",
    "RFD4ProteinaScheduler",
    "VQDiffusionScheduler",
}
REFUSED = {
    "CMStochasticIterativeScheduler",
    "DDPMWuerstchenScheduler",
    "HeliosDMDScheduler",
    "HeliosScheduler",
    "IPNDMScheduler",
    "KarrasVeScheduler",
    "LTXEulerAncestralRFScheduler",
    "MiniMaxH3Scheduler",
    "PiflowScheduler",
    "RePaintScheduler",
    "SCMScheduler",
    "ScoreSdeVeScheduler",
    "ScoreSdeVpScheduler",
}
OF_MULTISTEP = ("DEISMultistep", "DPMSolverMultistep", "DPMSolverSinglestep", "UniPCMultistep", "SASolver")


def rows():
    g = keyed_generator(0, "rows")
    return torch.randn(3, 4, 4, 4, generator=g), torch.randn(3, 4, 4, 4, generator=g)


def flow_noised(make, x_0, times, z):
    """By a scheduler of its own for each row: some count the calls."""
    return torch.cat([make().scale_noise(x_0[[i]], times[[i]], z[[i]]) for i in range(len(x_0))])


@pytest.mark.parametrize("name", [name for name in ALL if name not in NO_NOISE_ON_IMAGES])
def test_a_scheduler_noises_as_its_edge_does_or_is_refused_by_name(name):
    scheduler = getattr(diffusers, name)()
    if name in REFUSED:
        with pytest.raises(InputError, match=f"scheduler {name} "):
            edge_of(scheduler)
        return
    edge = edge_of(scheduler)
    if not hasattr(scheduler, "add_noise") and not hasattr(scheduler, "scale_noise"):
        assert name == "DDIMInverseScheduler"  # which only inverts, by the table of DDIM
        assert torch.equal(scheduler.alphas_cumprod, diffusers.DDIMScheduler().alphas_cumprod)
        return
    x_0, z = rows()
    if isinstance(edge, FlowEdge):
        times = scheduler.timesteps[[100, 400, 900]].float()
        t = times.double() / 1000
        sigma = (t / (1 - t)).float()
        noised = flow_noised(lambda: getattr(diffusers, name)(), x_0, times, z)
    elif isinstance(edge, EDMEdge):
        scheduler.set_timesteps(20)
        times, sigma = scheduler.timesteps[[1, 8, 17]], scheduler.sigmas[[1, 8, 17]]
        noised = scheduler.add_noise(x_0, z, times)
    else:
        assert isinstance(edge, TableEdge)
        times = torch.tensor([3, 500, 990])
        if name.startswith(OF_MULTISTEP):  # their add_noise takes the level of another time before this call
            scheduler.set_timesteps(20)
            times = scheduler.timesteps[[17, 8, 1]]
        abar = scheduler.alphas_cumprod[times.long()]
        sigma = ((1 - abar) / abar).sqrt().float()
        noised = scheduler.add_noise(x_0, z, times)
    x = x_0 + per_row(sigma, x_0) * z
    shown = x if bool(torch.isclose(noised, x, rtol=1e-4, atol=1e-4).all()) else edge.input(x, sigma)
    torch.testing.assert_close(noised, shown, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(edge.time(sigma), times.float(), rtol=2e-6, atol=0)


@pytest.mark.parametrize("shift", [1.0, 3.0, 7.0])
@pytest.mark.parametrize(
    "name", ["DPMSolverMultistepScheduler", "UniPCMultistepScheduler", "DEISMultistepScheduler", "SASolverScheduler"]
)
def test_a_multistep_scheduler_on_a_flow_noises_as_the_edge_whatever_its_shift(name, shift):
    scheduler = getattr(diffusers, name)(use_flow_sigmas=True, prediction_type="flow_prediction", flow_shift=shift)
    edge = edge_of(scheduler)
    assert isinstance(edge, FlowEdge)
    scheduler.set_timesteps(20)
    x_0, z = rows()
    t = scheduler.sigmas[[1, 8, 17]].double()
    sigma = (t / (1 - t)).float()
    torch.testing.assert_close(
        edge.input(x_0 + per_row(sigma, x_0) * z, sigma),
        (1 - per_row(t, x_0)) * x_0 + per_row(t, x_0) * z,
        check_dtype=False,
        rtol=1e-4,
        atol=1e-5,
    )
    torch.testing.assert_close(edge.time(sigma), scheduler.timesteps[[1, 8, 17]].float(), rtol=0, atol=1.0)


@pytest.mark.parametrize(
    "name", ["FlowMatchEulerDiscreteScheduler", "FlowMatchHeunDiscreteScheduler", "FlowMatchLCMScheduler"]
)
@pytest.mark.parametrize("shift", [0.5, 3.0, 12.0])
def test_a_shift_moves_the_levels_that_are_visited_and_no_level_s_time(name, shift):
    scheduler = getattr(diffusers, name)(shift=shift)
    edge = edge_of(scheduler)
    times = scheduler.timesteps[[10, 500, 980]].float()
    t = times.double() / 1000
    x_0, z = rows()
    sigma = (t / (1 - t)).float()
    noised = flow_noised(lambda: getattr(diffusers, name)(shift=shift), x_0, times, z)
    torch.testing.assert_close(edge.input(x_0 + per_row(sigma, x_0) * z, sigma), noised, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(edge.time(sigma), times, rtol=2e-6, atol=0)


def test_a_flow_in_stages_of_several_sizes_is_refused():
    with pytest.raises(InputError, match=r"HeliosScheduler .*stages"):
        edge_of(diffusers.HeliosScheduler())
