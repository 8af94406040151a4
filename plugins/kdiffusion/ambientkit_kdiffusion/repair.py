"""Repairs of k-diffusion 0.1.1.post1 that leave its arithmetic alone."""

from __future__ import annotations

from torch import nn

from ambientkit_kdiffusion.library import k_diffusion


class TrainingDropout(nn.Module):
    """Stands for the `nn.Dropout` of which k-diffusion's 2-D attention reads only `p`: the rate while training, 0 in
    evaluation."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    @property
    def p(self) -> float:
        return self.rate if self.training else 0.0


def stop_dropout_in_evaluation(network: nn.Module) -> nn.Module:
    """The same network, whose 2-D attention drops weights in training only.

    k-diffusion hands `self.dropout.p` to scaled_dot_product_attention in every mode, so that samples would be
    disturbed, and drawn with torch's global generator.
    """
    layers = k_diffusion().layers
    for module in network.modules():
        if isinstance(module, layers.SelfAttention2d | layers.CrossAttention2d):
            module.dropout = TrainingDropout(module.dropout.p)
    return network
