"""What a data set holds, and whether its noise is what the mathematics takes it for: white, Gaussian, of the declared
level."""

from ambientkit.inspection.finding import NAMES, Finding, NoiseVerdict
from ambientkit.inspection.quick import model_findings, quick, refuse, sampled_rows, scale_findings

__all__ = ["NAMES", "Finding", "NoiseVerdict", "model_findings", "quick", "refuse", "sampled_rows", "scale_findings"]
