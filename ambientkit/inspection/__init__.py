"""What a data set holds, and whether its noise is what the mathematics takes it for: white, Gaussian, of the declared
level."""

from ambientkit.inspection.finding import NAMES, Finding, Verdict
from ambientkit.inspection.quick import look, model_findings, quick, refuse, scale_findings

__all__ = ["NAMES", "Finding", "Verdict", "look", "model_findings", "quick", "refuse", "scale_findings"]
