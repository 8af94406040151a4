"""Registers the built-in parts, through the same hooks as any plug-in."""

from __future__ import annotations

from ambientkit.builtin.ancestral import Ancestral
from ambientkit.builtin.array import Array
from ambientkit.builtin.consistency import Consistency
from ambientkit.builtin.denoising import Denoising
from ambientkit.builtin.digits import Digits
from ambientkit.builtin.fashion_mnist import FashionMNIST
from ambientkit.builtin.gaussian import Gaussian
from ambientkit.builtin.heun import Heun
from ambientkit.builtin.image_folder import ImageFolder
from ambientkit.builtin.mixture import Mixture
from ambientkit.builtin.mlp import MLP
from ambientkit.builtin.naive import Naive
from ambientkit.builtin.recipes import TweedieConsistency
from ambientkit.builtin.stationarity import Stationarity
from ambientkit.builtin.tweedie import Tweedie
from ambientkit.hookspecs import hookimpl


@hookimpl
def register_corruptions():
    return [Gaussian]


@hookimpl
def register_objectives():
    return [Tweedie, Consistency, Denoising, Naive]


@hookimpl
def register_recipes():
    return [TweedieConsistency]


@hookimpl
def register_samplers():
    return [Ancestral, Heun]


@hookimpl
def register_models():
    return [MLP]


@hookimpl
def register_datasets():
    return [Array, Digits, FashionMNIST, ImageFolder, Mixture]


@hookimpl
def register_checks():
    return [Stationarity]
