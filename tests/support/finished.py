"""Run folders as `train` leaves them, without the time that training takes."""

from __future__ import annotations

import torch

from ambientkit.checkpoint.names import WEIGHTS
from ambientkit.checkpoint.weights import save_weights
from ambientkit.config import Source, dump, resolve
from ambientkit.interfaces import Signal
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import load

NOT_8_BIT = {"mapping": {"kind": "range", "low": 0, "high": 16}, "layout": "NHW"}


def write_run(folder, data="digits", step=10_000, noise="declared", sigma_n=(0.2, 0.3), units=NOT_8_BIT, **more):
    """A run of an untrained network, one layer of which is drawn, on rows 1 x 8 x 8."""
    config = resolve(Source({"data": data, "model": {"name": "mlp", "width": 8, "depth": 1}, **more}), load())
    signal = Signal((1, 8, 8), 0.5)
    with isolated_global_generator(0, "test"):
        network = config.model.network(signal)
        network.decode.weight.data = torch.randn(network.decode.weight.shape)
    metadata = {
        "config": dump(config),
        "signal": {"shape": signal.shape, "sigma_data": signal.sigma_data, "conds": {}},
        "step": step,
        "data": {
            "units": units,
            "sigma_n": list(sigma_n),
            "noise": noise,
        },
    }
    folder.mkdir(parents=True)
    save_weights(folder / WEIGHTS, network, metadata)
    return folder
