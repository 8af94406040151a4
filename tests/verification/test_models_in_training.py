"""Models that keep something from call to call while they train: the number of calls may count, their rows may not."""

from __future__ import annotations

from torch import nn

from ambientkit.builtin.checks.model_contract import ModelContract
from ambientkit.builtin.models.mlp import MLP
from ambientkit.builtin.mutants.modes import DriftsInTraining
from ambientkit.interfaces import Model, Signal
from ambientkit.verification import case_for


class SpectralNorms(MLP):
    """An `mlp` under spectral norms, each of which takes a step of its iteration in every call while it trains."""

    name = "spectral-norms"

    def network(self, signal: Signal) -> nn.Module:
        """The inner network; its last layer begins at 0, and is left as it is."""
        network = super().network(signal)
        for module in network.modules():
            if isinstance(module, nn.Linear) and module.weight.any():
                nn.utils.parametrizations.spectral_norm(module)
        return network


def measured(part: Model):
    return ModelContract().measure(part, case_for(part))


def test_a_network_that_changes_with_the_number_of_calls_is_right():
    assert measured(SpectralNorms(width=24)).why == ""


def test_a_network_that_remembers_the_rows_of_earlier_calls_is_named():
    assert "earlier calls" in measured(DriftsInTraining()).why
