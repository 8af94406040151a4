"""Figures of samples that say how much of them is copied."""
