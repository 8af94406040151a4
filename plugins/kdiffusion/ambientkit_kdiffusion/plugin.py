"""Registers the parts of this package with ambientkit."""

from __future__ import annotations

from ambientkit.hookspecs import hookimpl
from ambientkit_kdiffusion import samplers
from ambientkit_kdiffusion.exporter import KDiffusionFile
from ambientkit_kdiffusion.image_transformer_v1 import ImageTransformerV1
from ambientkit_kdiffusion.image_v1 import ImageV1


@hookimpl
def register_models():
    return [ImageV1, ImageTransformerV1]


@hookimpl
def register_exporters():
    return [KDiffusionFile]


@hookimpl
def register_samplers():
    return [
        samplers.Euler,
        samplers.EulerAncestral,
        samplers.Heun,
        samplers.DPM2,
        samplers.DPM2Ancestral,
        samplers.LMS,
        samplers.DPMpp2SAncestral,
        samplers.DPMppSDE,
        samplers.DPMpp2M,
        samplers.DPMpp2MSDE,
        samplers.DPMpp3MSDE,
    ]
