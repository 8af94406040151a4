"""Train a diffusion model when you own only noisy data, and sample the clean distribution it hides."""

from importlib.metadata import version

__version__ = version("ambientkit")
