"""What authors of parts test with: conformance checks for pytest, and Hypothesis strategies. Neither library is loaded
until it is used."""

from ambientkit.testing.conformance import BiasFound, NoVerdict, parametrize_with_checks

__all__ = ["BiasFound", "NoVerdict", "parametrize_with_checks"]
