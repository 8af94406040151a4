"""A diffusers scheduler as the edge of a model: between our levels sigma, of x = x_0 + sigma z, and its network.

What a scheduler says of training is a table (alpha_k, s_k) of x = alpha_k x_0 + s_k z at times k, and what the network
answers with. Our level of row k is sigma_k = s_k / alpha_k. Three families:

    family   known by                     input                 time
    table    alphas_cumprod               x / sqrt(1+sigma^2)   k at sigma_k, between them as `TableTime` says
    flow     x_t = (1-t) x_0 + t z        x / (1 + sigma)       N t, t = sigma / (1 + sigma), any t: not a table
             (or use_flow_sigmas)
    edm      precondition_inputs          by the scheduler's own functions, any sigma

A scheduler of the first family with continuous times (Euler's `timestep_type: continuous`) has log(sigma) / 4, between
its `sigma_min` and `sigma_max` where it has them. Settings of sampling (Karras levels, spacing, shifts, offsets) change
none of this. Levels and times are computed in float64 and handed on in float32; half precision holds no time above 256
to a step. Sources: `maths.forms`; diffusers 0.42, schedulers/; zero-terminal SNR arXiv 2305.08891, algorithm 1.
"""

from __future__ import annotations

import abc
import math
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from ambientkit.errors import InputError
from ambientkit.interfaces import Levels
from ambientkit.maths.forms import Form, flow_input, flow_time, to_x_0, vp_input
from ambientkit.maths.noise import per_row
from ambientkit_diffusers.library import diffusers

FORMS: dict[str, Form] = {"epsilon": "eps", "v_prediction": "v", "sample": "x_0", "flow_prediction": "flow"}
"""diffusers' name of what a network answers with -> ours."""
NEARLY_0 = 2.0**-24
"""abar of noise alone, where samplers of diffusers need a level that is finite."""
PLATEAU = 1e-3
"""Share of an interval of the table, at either end, in which the time is the row's own: levels are rounded numbers, and
sigma_k in float32 must give k. It moves no time by more than this."""


class Edge(abc.ABC):
    """x_0_hat from a network: its input and its time for our x and sigma, and x_0_hat from its answer."""

    levels: Levels
    """The range of levels that the network was trained at, data units; infinity for noise alone."""
    name: str
    """What the scheduler is called in messages."""

    @abc.abstractmethod
    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """What the network sees, (B, *S), float32 at least. sigma: (B,), > 0."""

    @abc.abstractmethod
    def time(self, sigma: Tensor) -> Tensor:
        """(B,), float32: continuous and not decreasing in sigma, k to the last bit at the level of row k."""

    @abc.abstractmethod
    def x_0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """x_0_hat (B, *S) from the network's answer at our x, float32 at least."""

    def level(self, step: int) -> float:
        """sigma at step `step` of training, counted from 0. Raises InputError where steps are not counted, or the level
        is not above 0 and finite."""
        raise InputError(f"scheduler {self.name} counts no steps; give --sigma-n")


class TableTime:
    """Times of a table between its rows: linear in log sigma, as k-diffusion and diffusers' samplers have it.

    t(sigma) = k + w, w = log(sigma / sigma_k) / log(sigma_{k+1} / sigma_k). Where the table ends in noise alone
    (sigma = infinity, zero-terminal SNR) the last interval has w = 1 - sigma_k / sigma. Below and above the table the
    time is that of its end. Source: k-diffusion, DiscreteSchedule.sigma_to_t.
    """

    def __init__(self, sigmas: Tensor) -> None:
        """sigmas: (N,), float64, increasing, > 0; the last may be infinity."""
        self.sigmas = sigmas.double().cpu()
        self._by_device: dict[torch.device, Tensor] = {}

    def __call__(self, sigma: Tensor) -> Tensor:
        """(B,) levels to (B,) times, float32."""
        wide = sigma if sigma.device.type != "mps" else sigma.cpu()  # which has no float64
        table = self._by_device.setdefault(wide.device, self.sigmas.to(wide.device))
        level = wide.double()
        k = (torch.searchsorted(table, level, right=True) - 1).clamp(0, len(table) - 2)
        low, high = table[k], table[k + 1]
        w = torch.where(high.isinf(), 1 - low / level, (level / low).log() / (high / low).log())
        w = ((w - PLATEAU) / (1 - 2 * PLATEAU)).clamp(0, 1)
        return (k + w).float().to(sigma.device)


class TableEdge(Edge):
    """A network of the VP family, in any of the four forms; see the top of this module."""

    def __init__(self, name: str, sigmas: Tensor, form: Form) -> None:
        self.name, self.form, self._sigmas = name, form, sigmas
        self.levels = Levels(float(sigmas[0]), float(sigmas[-1]))
        self._time: Callable[[Tensor], Tensor] = TableTime(sigmas)

    def ask_for_log(self, sigma_min: float | None, sigma_max: float | None) -> None:
        """Take log(sigma) / 4 for the time, between levels of which the table's ends are those that are not given."""
        self._time = _quarter_log
        self.levels = Levels(
            self.levels.sigma_min if sigma_min is None else float(sigma_min),
            self.levels.sigma_max if sigma_max is None else float(sigma_max),
        )

    def level(self, step: int) -> float:
        """sigma_k, k = step."""
        steps = len(self._sigmas)
        if not 0 <= step < steps or not self._sigmas[step].isfinite():
            raise InputError(f"should be below {steps}, at a level that is finite, but is {step}")
        return float(self._sigmas[step])

    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x / sqrt(1 + sigma^2)."""
        return vp_input(x, sigma)

    def time(self, sigma: Tensor) -> Tensor:
        """The row of the table, with what lies between two rows."""
        return self._time(sigma)

    def x_0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """By the form; nothing is divided."""
        return to_x_0(output, x, sigma, self.form)


class FlowEdge(Edge):
    """A flow network: x_t = (1 - t) x_0 + t z, given N t, answers z - x_0, or with z or x_0 alone."""

    def __init__(self, name: str, steps: int, form: Form = "flow") -> None:
        self.name, self.form, self._steps = name, form, steps
        self.levels = Levels(1 / max(steps - 1, 1), math.inf)

    def level(self, step: int) -> float:
        """t / (1 - t), t = step / N."""
        if not 0 < step < self._steps:
            raise InputError(f"should be from 1 to {self._steps - 1}, but is {step}")
        return step / (self._steps - step)

    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """x / (1 + sigma)."""
        return flow_input(x, sigma)

    def time(self, sigma: Tensor) -> Tensor:
        """N sigma / (1 + sigma)."""
        if sigma.device.type == "mps":
            return self.time(sigma.cpu()).to(sigma.device)
        return (self._steps * flow_time(sigma.double())).float()

    def x_0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """By the form; of a flow (x - sigma output) / (1 + sigma)."""
        return to_x_0(output, x, sigma, self.form)


class EDMEdge(Edge):
    """A network under EDM's preconditioning, by the functions of its own scheduler."""

    def __init__(self, name: str, scheduler: Any) -> None:
        self.name, self._scheduler = name, scheduler
        self.levels = Levels(float(scheduler.config.sigma_min), float(scheduler.config.sigma_max))

    def input(self, x: Tensor, sigma: Tensor) -> Tensor:
        """c_in x."""
        return self._scheduler.precondition_inputs(x, per_row(sigma.to(x), x))

    def time(self, sigma: Tensor) -> Tensor:
        """c_noise."""
        return self._scheduler.precondition_noise(sigma.float())

    def x_0(self, output: Tensor, x: Tensor, sigma: Tensor) -> Tensor:
        """c_skip x + c_out output."""
        return self._scheduler.precondition_outputs(x, output, per_row(sigma.to(x), x))


def edge_of(scheduler: Any, predicts: str | None = None) -> Edge:
    """The edge of a scheduler of diffusers, or of its configuration with `_class_name`.

    predicts: what the network answers with ("epsilon", "v_prediction", "sample", "flow_prediction"), where the
    scheduler does not say it, or says it wrongly. Raises InputError, naming the scheduler, where it has no table of any
    of the families above, or says nothing of the network.
    """
    if isinstance(scheduler, Mapping):
        scheduler = built(dict(scheduler))
    name, config = type(scheduler).__name__, scheduler.config
    if predicts is not None and predicts not in FORMS:
        raise InputError(f"predicts {predicts!r}: should be one of {', '.join(FORMS)}")
    if all(hasattr(scheduler, f"precondition_{what}") for what in ("inputs", "noise", "outputs")):
        if predicts is not None and predicts != config.prediction_type:
            scheduler = type(scheduler).from_config(config, prediction_type=predicts)
        return EDMEdge(name, scheduler)
    steps = int(config.get("num_train_timesteps", 0) or 0)
    answer = predicts or config.get("prediction_type")
    matched = hasattr(scheduler, "scale_noise")
    if matched or config.get("use_flow_sigmas"):  # the input and times of a flow, for any answer
        _check_flow(name, scheduler, steps)
        known = ("flow_prediction",) if matched else ("flow_prediction", "epsilon", "sample")
        if answer not in (None, *known):
            raise InputError(f"scheduler {name}: a flow is answered with {' or '.join(known)}, not {answer}")
        return FlowEdge(name, steps, FORMS[answer or "flow_prediction"])
    table = getattr(scheduler, "alphas_cumprod", None)
    if not isinstance(table, Tensor) or table.ndim != 1 or len(table) < 2:
        raise InputError(
            f"scheduler {name} has no table of noise levels (alphas_cumprod), is no flow and no EDM scheduler: "
            "what its network was trained on "
            "cannot be distinguished from it. Give the scheduler of the network's training, such as DDPMScheduler, "
            "EulerDiscreteScheduler or "
            "FlowMatchEulerDiscreteScheduler"
        )
    if answer is None:
        raise InputError(
            f"scheduler {name} does not say what the network answers with: give predicts, one of {', '.join(FORMS)}"
        )
    if answer not in FORMS or answer == "flow_prediction":
        raise InputError(
            f"scheduler {name} has a table of noise levels, but its network is said to answer with {answer!r}: "
            "should be epsilon, v_prediction or sample"
        )
    edge = TableEdge(name, table_of(name, table), FORMS[answer])
    if config.get("timestep_type") == "continuous" and answer == "v_prediction":
        edge.ask_for_log(config.get("sigma_min"), config.get("sigma_max"))
    return edge


def table_of(name: str, alphas_cumprod: Tensor) -> Tensor:
    """sigma_k = sqrt((1 - abar_k) / abar_k), (N,), float64. Raises InputError where they do not increase from above
    0.

    Samplers of diffusers write `NEARLY_0` for an abar of 0 at the end of a table of zero-terminal SNR. Where that is no
    longer the least of the table, the last level is the one that it stands for: noise alone.
    """
    abar = alphas_cumprod.detach().cpu().double()
    if abar[-1] == NEARLY_0 and abar[-2] <= NEARLY_0:
        abar[-1] = 0
    sigmas = ((1 - abar) / abar).sqrt()
    increasing = bool((sigmas[1:] > sigmas[:-1]).all()) and bool(sigmas[0] > 0) and bool(sigmas[:-1].isfinite().all())
    if not increasing or sigmas.isnan().any():
        raise InputError(
            f"scheduler {name}: its noise levels do not increase from above 0, so a level has no time of its own"
        )
    return sigmas


def _quarter_log(sigma: Tensor) -> Tensor:
    return 0.25 * sigma.float().log()


def _check_flow(name: str, scheduler: Any, steps: int) -> None:
    """Raise InputError where the scheduler's own noising is not (1 - t) x_0 + t z at time N t."""
    if scheduler.config.get("invert_sigmas"):
        raise InputError(f"scheduler {name} with invert_sigmas counts time from noise to data, which is not supported")
    if int(scheduler.config.get("stages") or 1) > 1:
        raise InputError(
            f"scheduler {name} is a flow in stages of several sizes of picture, each with levels of its own, which is "
            "not supported"
        )
    times = getattr(scheduler, "timesteps", None)
    if steps < 1:
        raise InputError(f"scheduler {name} does not say num_train_timesteps")
    if not hasattr(scheduler, "scale_noise"):
        return  # a multistep scheduler with flow sigmas, which noises by its table
    if times is None or len(times) == 0:
        raise InputError(
            f"scheduler {name} has no table of times before it is given the number of steps; this one is not supported"
        )
    time = times[len(times) // 2].reshape(1).float().cpu()
    t = time / steps
    one, nothing = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    try:
        # Copies: some schedulers count the calls.
        signal, noise = (
            deepcopy(scheduler).scale_noise(a, time, b).flatten() for a, b in ((one, nothing), (nothing, one))
        )
    except (RuntimeError, ValueError, IndexError, TypeError, AttributeError):
        signal = noise = torch.full((1,), math.nan)
    if not (torch.allclose(signal, 1 - t, atol=1e-4) and torch.allclose(noise, t, atol=1e-4) and 0 < float(t) < 1):
        raise InputError(
            f"scheduler {name} does not noise as a flow does, (1 - t) x_0 + t z at time {steps} t; this one is not "
            "supported"
        )


def built(config: dict[str, Any]) -> Any:
    """A scheduler from its configuration. Raises InputError where diffusers has none of its name."""
    name = str(config.get("_class_name", ""))
    kind = getattr(diffusers(), name, None) if name.isidentifier() else None
    if not (isinstance(kind, type) and issubclass(kind, diffusers().SchedulerMixin)):
        raise InputError(f"scheduler {name!r}: diffusers {diffusers().__version__} has no scheduler of this name")
    return kind.from_config(config)
