"""What k-diffusion's two networks share as models: a preset or a JSON configuration, and its own preconditioning."""

from __future__ import annotations

import abc
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator
from torch import Tensor, nn

from ambientkit.errors import InputError
from ambientkit.interfaces import Denoiser, Model, Signal
from ambientkit.maths.precondition import SEEN, TOLD, beside, channels_beside, denoised
from ambientkit_kdiffusion.extended import extend
from ambientkit_kdiffusion.json_config import KDiffusionConfig, sections, unused
from ambientkit_kdiffusion.library import k_diffusion
from ambientkit_kdiffusion.repair import stop_dropout_in_evaluation
from ambientkit_kdiffusion.sizes import picture

Preset = Literal["tiny", "small", "base"]
Side = Annotated[int, Field(ge=1)]


class KDiffusionModel(Model):
    """A network of k-diffusion under its `layers.Denoiser`: D(x, sigma) = c_skip x + c_out F(c_in x, sigma).

    Rows that are seen in part bring a mask, which joins the input as further channels. Configured by a preset (and the
    other fields, which change single values of it), or by a configuration of k-diffusion.
    """

    source: ClassVar[str] = "k-diffusion 0.1.1.post1; preconditioning arXiv 2206.00364, table 1"
    claims = frozenset({"denoiser-contract"})

    preset: Preset | None = None
    """Where the values come from that no other field gives; "tiny" where neither this nor `config` is given."""
    config: KDiffusionConfig | None = None
    """Path of a k-diffusion JSON configuration, or its content. Read: its section `model`, with k-diffusion's own
    defaults, and `dataset.num_classes`. A warning lists what else it states."""
    dropout_rate: float | None = Field(None, ge=0, lt=1)
    """Share of features dropped while training; 0 where it is not given."""
    canvas: tuple[Side, Side] | None = None
    """Height and width on which the network sees the pictures, for sizes that no patch divides: zeros are below them
    and to their right, and its answer there is cut off."""

    @model_validator(mode="after")
    def _one_way_of_saying_it(self) -> KDiffusionModel:
        if self.config is None:
            return self
        others = [name for name in type(self).model_fields if name != "config" and getattr(self, name) is not None]
        if others:
            raise ValueError(f"give either config, which says everything, or {', '.join(others)}, but not both")
        kind = self.config["model"].get("type")
        if kind != self.name:
            raise ValueError(f"config.model.type is {kind!r}, but this is the model {self.name!r}")
        return self

    def network(self, signal: Signal) -> nn.Module:
        """k-diffusion's inner model F for rows (channels, height, width).

        Raises InputError where shape, conditions or configuration do not fit.
        """
        resolved = self.resolved(signal)
        with _k_diffusion_s_complaints(self.name):
            network = k_diffusion().config.make_model(resolved)
        if self.config is not None and (names := unused(self.config)):
            warnings.warn(
                f"of the k-diffusion configuration these are not used by model {self.name!r}: {', '.join(names)}",
                stacklevel=2,
            )
        network = stop_dropout_in_evaluation(network)
        inside, canvas = (signal.shape[1], signal.shape[2]), self.size(signal)
        return network if inside == canvas else extend(network, inside, canvas)

    def size(self, signal: Signal) -> tuple[int, int]:
        """Height and width that the network sees. Raises InputError where the rows are larger than the canvas."""
        _, height, width = picture(self.name, signal)
        if self.canvas is None:
            return height, width
        if self.canvas[0] < height or self.canvas[1] < width:
            raise InputError(
                f"model {self.name!r}: canvas is {self.canvas[0]} x {self.canvas[1]}, but the rows are {height} x "
                f"{width}: it should be as large or larger"
            )
        return self.canvas

    def resolved(self, signal: Signal) -> dict[str, Any]:
        """The configuration of k-diffusion for rows of this signal, with all its defaults. Raises InputError where it
        does not fit."""
        shape = picture(self.name, signal)
        try:
            told = channels_beside(signal.conds, shape)
        except ValueError as error:
            raise InputError(f"model {self.name!r}: {error}") from None
        # As many channels come out as go in: those of the masks are not used.
        shape = (shape[0] + told, *self.size(signal))
        load_config = k_diffusion().config.load_config
        with _k_diffusion_s_complaints(self.name):
            if self.config is None:
                resolved = load_config(self._from_preset(shape))
            else:
                resolved = load_config(sections(self.config))
                _contradictions(self.name, resolved["model"], shape)
            self._check(resolved, shape, signal)
        return resolved

    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """D(x, sigma) for x (B, C, H, W), sigma (B,). sigma_data is the configuration's where it states one, else the
        signal's."""
        sigma_data = self.sigma_data(signal)
        preconditioned = k_diffusion().Denoiser(network, sigma_data=sigma_data)

        def masked(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            others = {name: value for name, value in cond.items() if name not in SEEN}

            def answered(y: Tensor, c_noise: Tensor) -> Tensor:  # k-diffusion's networks take sigma itself
                inputs = self._inputs(x, others)
                return network(beside(y, cond), sigma.to(x.dtype), **inputs)[:, : x.shape[1]]

            return denoised(answered, x, sigma, sigma_data, cond)

        if set(signal.conds) & set(TOLD):
            return masked

        def denoise(x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor:
            return preconditioned(x, sigma.to(x.dtype), **self._inputs(x, cond)).to(
                x.dtype
            )  # levels of a grid may be float64

        return denoise

    @abc.abstractmethod
    def _from_preset(self, shape: tuple[int, int, int]) -> dict[str, Any]:
        """The sections of a k-diffusion configuration for rows of this shape."""

    @abc.abstractmethod
    def _inputs(self, x: Tensor, cond: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """What k-diffusion's network takes for these conditions, by the names of its arguments."""

    @abc.abstractmethod
    def _check(self, resolved: dict[str, Any], shape: tuple[int, int, int], signal: Signal) -> None:
        """Raise InputError where the resolved configuration does not suit the size of the rows or their conditions."""

    def sigma_data(self, signal: Signal) -> float:
        """The std of the clean data that the denoiser is made with. Raises InputError for a configuration that states
        none that can be."""
        stated = signal.sigma_data if self.config is None else self.config["model"].get("sigma_data", signal.sigma_data)
        if not isinstance(stated, int | float) or not stated > 0:
            raise InputError(
                f"model {self.name!r} needs sigma_data, the std of the clean data, to be a positive number, but it "
                f"is {stated!r}"
            )
        return float(stated)


@contextmanager
def _k_diffusion_s_complaints(name: str) -> Iterator[None]:
    """What k-diffusion raises at a configuration, as an InputError."""
    try:
        yield
    except KeyError as error:
        raise InputError(f"config of model {name!r} lacks model.{error.args[0]}") from None
    except (TypeError, ValueError, IndexError, AssertionError, RuntimeError) as error:
        raise InputError(
            f"k-diffusion cannot build {name!r} as configured: {type(error).__name__} {error}".rstrip()
        ) from error


def check_classes(name: str, classes: int | None, signal: Signal) -> None:
    """Raise InputError where the data lack the label of a model with classes, or carry any other condition."""
    conds = signal.conds
    if classes and conds.get("class_cond") != ():
        given = f"carry it with shape {tuple(conds['class_cond'])}" if "class_cond" in conds else "do not carry it"
        raise InputError(
            f"model {name!r} is given num_classes {classes}, so it needs one integer label per row as condition "
            f"'class_cond', but the data {given}"
        )
    if surplus := sorted(set(conds) - ({"class_cond"} if classes else set()) - set(SEEN)):
        hint = "leave it out" if classes else "leave it out, or give num_classes where it is a 'class_cond'"
        raise InputError(f"model {name!r} takes no {', '.join(surplus)}, but the data carry it: {hint}")


def _contradictions(name: str, model: dict[str, Any], shape: tuple[int, int, int]) -> None:
    channels, *size = shape
    if model["input_channels"] != channels:
        raise InputError(
            f"config of model {name!r} says input_channels {model['input_channels']}, but the rows have {channels} "
            "channel(s)"
        )
    stated = model.get("input_size", size)
    if (list(stated) if isinstance(stated, list | tuple) else [stated, stated]) != size:
        raise InputError(f"config of model {name!r} says input_size {stated}, but the rows are {size[0]} x {size[1]}")
