"""`AmbientDenoiser`: k-diffusion's `Denoiser` whose loss learns from noisy rows, for training scripts of
k-diffusion."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ambientkit import registry as registries
from ambientkit.batch import Batch, Term
from ambientkit.config import ScheduledObjective, scheduled
from ambientkit.errors import InputError
from ambientkit.interfaces import Corruption, Denoiser, Levels, Sampler, Signal, Tools
from ambientkit.maths.randomness import keyed_generator
from ambientkit_kdiffusion.library import k_diffusion

K = k_diffusion()

LEVELS = Levels()
RESAMPLING = "it turns and shifts pictures after the noise, which changes the law of the noise: set it to 0"


class AmbientDenoiser(K.layers.Denoiser):
    """k-diffusion's preconditioned denoiser, D(x, sigma) = c_skip x + c_out F(c_in x, sigma), with the loss of an
    ambient objective: it learns E[x_0 | x_t] from observations x_n = x_0 + sigma_n z.

    In a script, `K.Denoiser(inner_model, sigma_data=0.5)` becomes `AmbientDenoiser(inner_model, sigma_n=0.2,
    sigma_data=0.5)`; see also `from_config`. Everything else stays as it is: `forward` is that of the base class, so
    k-diffusion's samplers take the result, down to sigma_min.

    The rows given to `loss` must carry noise that was added once, of std sigma_n in the units of the rows.
    """

    def __init__(
        self,
        inner_model: nn.Module,
        sigma_n: float | Tensor,
        sigma_data: float = 1.0,
        weighting: str | Callable[[Tensor], Tensor] = "karras",
        scales: int = 1,
        *,
        objective: Any = "tweedie-consistency",
        ema: nn.Module | None = None,
        levels: Levels = LEVELS,
        sampler: Any = "stochastic-heun",
        end_step: int = 10_000,
    ) -> None:
        """sigma_n: noise std of the rows, one number, or one per pixel, (C, H, W); sigma_data: std of the
        *clean* data. weighting: a further factor w(sigma), as in k-diffusion. objective: as in a run of ambientkit.
        ema: the averaged network, from which consistency starts its chains; the network itself where it is not given.
        end_step: the length of the run, of which objectives begin or end at a share (consistency at a tenth).

        Raises InputError for a level that is no noise level, and for `scales` other than 1.
        """
        noise = torch.as_tensor(sigma_n, dtype=torch.float32)
        if not (noise.isfinite().all() and (noise >= 0).all() and (noise < levels.sigma_max).all()):
            raise InputError(f"sigma_n should be a noise level from 0 to below {levels.sigma_max:g}, but is {sigma_n}")
        if scales != 1:
            raise InputError(
                f"scales is {scales}: a loss by frequency (DCT) is not available with an ambient objective"
            )
        super().__init__(inner_model, sigma_data, weighting if isinstance(weighting, str) else "karras", scales)
        if not isinstance(weighting, str):
            self.weighting = weighting  # the released version takes no function in its constructor
        registry = registries.load()
        self.terms: tuple[ScheduledObjective, ...] = scheduled(objective, registry)
        self.end_step = end_step
        self.levels = levels
        self.ema = (ema,)  # in a tuple, so that it is no part of this module's state and parameters
        self._corruption = registry.build(Corruption, "gaussian")
        self._sampler = registry.build(Sampler, sampler)
        self._memories: list[dict[str, Tensor]] = [{} for _ in self.terms]
        self.sigma_n = noise  # no buffer: k-diffusion's average insists on the buffers of its own Denoiser
        self.step = 0
        """Calls of `loss` in training mode so far: what `every`, `start` and `stop` of the objectives count."""

    @classmethod
    def from_config(
        cls, config: Mapping[str, Any], inner_model: nn.Module, sigma_n: float | Tensor, **options: Any
    ) -> AmbientDenoiser:
        """What `K.config.make_denoiser_wrapper(config)(inner_model)` is in k-diffusion's training script, for rows with
        noise of std sigma_n.

        sigma_data, the range of levels, the weighting and a log-normal density of levels are those of the
        configuration; options: as of the constructor. Raises InputError for a configuration whose augmentation changes
        the law of the noise, and for losses that have no ambient form.
        """
        model = config["model"]
        if model.get("augment_prob", 0):
            raise InputError(f"model.augment_prob is {model['augment_prob']}: {RESAMPLING}")
        for name, allowed in (("has_variance", False), ("loss_config", "karras"), ("loss_scales", 1)):
            if model.get(name, allowed) != allowed:
                raise InputError(f"model.{name} is {model[name]!r}, which has no ambient form: leave it at {allowed!r}")
        if "sigma_min" in model and "sigma_max" in model:
            options.setdefault("levels", Levels(model["sigma_min"], model["sigma_max"]))
        made = cls(
            inner_model,
            sigma_n,
            sigma_data=model.get("sigma_data", 1.0),
            weighting=model.get("loss_weighting", "karras"),
            **options,
        )
        if (density := model.get("sigma_sample_density")) is not None:
            made.terms = tuple(_with_density(term, density) for term in made.terms)
        return made

    def loss(self, input: Tensor, noise: Tensor, sigma: Tensor, **kwargs: Tensor) -> Tensor:
        """(B,), one value per row, whose mean is the weighted loss of the objective: what k-diffusion's script averages
        and calls backward on. A single value is not the loss of its row.

        input (B, *S): observations x_n. noise and sigma are not used: the objective draws its own levels above the
        noise of the data, in pairs, from a generator that is seeded by one draw of torch's global generator, as the
        script's noise is. kwargs: conditions, handed to the network.
        """
        seed = int(torch.randint(2**31, (), generator=torch.default_generator))
        count = len(input)
        cond = {name: value for name, value in kwargs.items() if value is not None}
        batch = Batch(input, self._level(input), torch.arange(count, device=input.device), cond)
        total = input.new_zeros(count)
        for place, term in enumerate(self.terms):
            weight = term.weight_at(self.step, max(self.end_step, self.step + 1))
            if weight == 0:
                continue
            key = f"objective.{place}.{term.objective.name}"
            tools = Tools(
                corruption=self._corruption,
                sampler=self._sampler,
                teacher=self._teacher(),
                signal=Signal(tuple(input.shape[1:]), self.sigma_data),
                generator=keyed_generator(seed, key, device=input.device),
                levels=self.levels,
                memory=self._memories[place],
            )
            for found in term.objective.loss(self, batch, tools).values():
                total = total + weight * self._by_row(found, count)
        if self.training:
            self.step += 1
        return total

    def _level(self, input: Tensor) -> Tensor:
        sigma_n = self.sigma_n.to(input)
        if sigma_n.ndim == 0:
            return sigma_n.expand(len(input))
        try:
            return sigma_n.expand(input.shape)
        except RuntimeError:
            raise InputError(
                f"sigma_n has shape {tuple(sigma_n.shape)}, but the rows have {tuple(input.shape[1:])}: give one "
                "number, "
                "or one per pixel"
            ) from None

    def _by_row(self, term: Term, count: int) -> Tensor:
        """The values of a term on the first rows, scaled so that the mean over all `count` rows is that of the term."""
        if len(term.value) == 0:
            return term.value.new_zeros(count)
        value = term.value * self.weighting(term.sigma) * (count / len(term.value))
        return torch.cat([value, value.new_zeros(count - len(value))])

    def _teacher(self) -> Denoiser:
        network = self.ema[0] if self.ema[0] is not None else self.inner_model

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            c_skip, c_out, c_in = [K.utils.append_dims(c, x.ndim) for c in self.get_scalings(sigma)]
            with torch.no_grad():
                return network(x * c_in, sigma, **cond) * c_out + x * c_skip

        return denoise


def _with_density(term: ScheduledObjective, density: Mapping[str, Any]) -> ScheduledObjective:
    """The same with k-diffusion's log-normal density of levels, truncated at the noise of each row."""
    if not {"p_mean", "p_std"} <= set(type(term.objective).model_fields):
        return term
    if density.get("type") != "lognormal":
        warnings.warn(
            f"model.sigma_sample_density is {density.get('type')!r}: {term.objective.name} draws log-normal levels "
            "instead",
            stacklevel=3,
        )
        return term
    mean, std = (density.get(new, density.get(old)) for new, old in (("mean", "loc"), ("std", "scale")))
    return term.model_copy(update={"objective": term.objective.model_copy(update={"p_mean": mean, "p_std": std})})
