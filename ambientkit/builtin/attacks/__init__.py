"""Ways to ask a model for its training rows."""
