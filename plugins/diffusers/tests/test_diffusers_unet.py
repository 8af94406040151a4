"""`diffusers-unet`: its claims, and the folder that diffusers reads again, its adapter merged."""

from __future__ import annotations

import pytest
import torch
from ambientkit_diffusers.models import DiffusersUNet

from ambientkit.errors import InputError
from ambientkit.interfaces import Finished, Levels, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load
from ambientkit.testing import parametrize_with_checks

UNET = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 1,
    "out_channels": 1,
    "block_out_channels": [32, 32],
    "layers_per_block": 1,
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "norm_num_groups": 32,
}
DDPM = {"_class_name": "DDPMScheduler", "prediction_type": "v_prediction"}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
SIGNAL = Signal((1, 8, 8), 0.5)


@pytest.mark.slow
@parametrize_with_checks(
    [DiffusersUNet(config=UNET, scheduler=FLOW), DiffusersUNet(config=UNET, scheduler=DDPM)]
)  # of a table, levels within it are asked
def test_the_model_has_the_properties_it_claims(part, check):
    check(part)


@pytest.mark.parametrize("rank", [None, 2], ids=["whole", "adapter"])
def test_diffusers_reads_the_folder_and_gives_the_same_denoiser(rank, tmp_path, drawn):
    from diffusers import DDPMScheduler, UNet2DModel

    fields = {} if rank is None else {"rank": rank, "alpha": 3.0, "targets": ("to_q", "to_out.0", "conv1")}
    model = DiffusersUNet(config=UNET, scheduler=DDPM, **fields)
    network = drawn(model, SIGNAL)
    exporter = load().build("exporter", "diffusers")
    assert exporter.takes(model)
    finished = Finished(model, network, SIGNAL, Levels())
    exporter.write(finished, tmp_path / "out")
    assert "UNet2DModel.from_pretrained" in exporter.snippet(finished, "out")
    x = torch.randn(2, 1, 8, 8, generator=keyed_generator(0, "x"))
    sigma = torch.tensor([0.3, 4.0])
    with isolated_global_generator(0, "test"), torch.no_grad():
        again = UNet2DModel.from_pretrained(tmp_path / "out", subfolder="unet").eval()
        ours, edge = model.denoiser(network, SIGNAL)(x, sigma), model.edge()
        assert not any("lora" in name for name in again.state_dict())
        v = again(edge.input(x, sigma), edge.time(sigma)).sample
    assert (
        DDPMScheduler.from_pretrained(tmp_path / "out", subfolder="scheduler").config.prediction_type == "v_prediction"
    )
    level = per_row(sigma, x)
    right = x / (1 + level**2) - level / (1 + level**2).sqrt() * v
    torch.testing.assert_close(ours, right, rtol=1e-4, atol=1e-5)
    assert float(v.std()) > 0.01  # the network has a say


def test_classes_are_refused_where_the_network_has_no_place_for_them():
    labelled = Signal((1, 8, 8), 0.5, {"class_cond": ()})
    for rows, has in ((None, "none"), (3, "3")):
        model = DiffusersUNet(config={**UNET, "num_class_embeds": rows}, scheduler=DDPM, num_classes=4)
        with pytest.raises(InputError, match=f"num_classes 4: the network has embeddings for {has}"):
            model.network(labelled)
    for rows, null in ((4, None), (5, 4)):
        model = DiffusersUNet(config={**UNET, "num_class_embeds": rows}, scheduler=DDPM, num_classes=4)
        assert model.null_cond("class_cond") == null
