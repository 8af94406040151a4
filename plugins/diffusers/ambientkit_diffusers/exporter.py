"""The export form `diffusers`: a folder with a network, a scheduler and a pipeline, all of them diffusers' own
classes."""

from __future__ import annotations

import json
from pathlib import Path

from ambientkit.errors import InputError
from ambientkit.interfaces import Exporter, Finished, Model
from ambientkit.maths.precondition import TOLD
from ambientkit_diffusers.library import diffusers
from ambientkit_diffusers.unet2d import UNet2D

SNIPPET = """\
import torch
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained({path})
pictures = pipeline(batch_size=4, num_inference_steps=32{cond}, generator=torch.Generator().manual_seed(0)).images
pictures[0].save("picture.png")
"""


class DiffusersFolder(Exporter):
    """A folder for diffusers: `unet` (UNet2DModel), `scheduler` (EDMEulerScheduler), and a pipeline that joins them.

    The scheduler carries sigma_min, sigma_max and sigma_data, so that c_skip x + c_out F(c_in x, c_noise) is the same
    denoiser; its steps are those of Euler's rule on the levels of `--schedule karras`. The pipeline is
    `ConsistencyModelPipeline`, the one of diffusers' own that leaves the scaling of noise and input to the scheduler;
    what it draws is no consistency model's. It takes square pictures only, and cuts them to [0, 1];
    `UNet2DModel.from_pretrained(PATH, subfolder="unet")` and the scheduler leave them whole.
    """

    name = "diffusers"
    source = "diffusers, EDMEulerScheduler; arXiv 2206.00364, table 1 and algorithm 1"
    suffix = ""

    def takes(self, model: Model) -> bool:
        """True for `unet2d`."""
        return isinstance(model, UNet2D)

    def write(self, finished: Finished, path: Path) -> None:
        """`model_index.json`, `unet/` with safetensors, `scheduler/`. Raises InputError for pictures that are not
        square."""
        if told := sorted(set(finished.signal.conds) & set(TOLD)):
            raise InputError(
                f"diffusers' pipeline gives its network no {', '.join(told)}: a network for masked rows stays here"
            )
        _, height, width = finished.signal.shape
        if height != width:
            raise InputError(f"diffusers' pipeline draws square pictures only, and these are {height} x {width}")
        library = diffusers()
        scheduler = library.EDMEulerScheduler(
            sigma_min=finished.levels.sigma_min,
            sigma_max=finished.levels.sigma_max,
            sigma_data=finished.signal.sigma_data,
        )
        pipeline = library.ConsistencyModelPipeline(unet=finished.network, scheduler=scheduler)
        pipeline.save_pretrained(path, safe_serialization=True)

    def snippet(self, finished: Finished, path: str) -> str:
        """The pipeline, by its general name."""
        return SNIPPET.format(
            path=json.dumps(path), cond=", class_labels=[0] * 4" if "class_cond" in finished.signal.conds else ""
        )
