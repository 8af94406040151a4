"""What a data set holds, and whether its noise is what the mathematics takes it for: white, Gaussian, of the declared
level."""

from ambientkit.inspection.finding import NAMES, Finding, NoiseVerdict
from ambientkit.inspection.judged import look, model_findings, refuse

__all__ = ["NAMES", "Finding", "NoiseVerdict", "look", "model_findings", "refuse"]
