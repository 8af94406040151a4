"""Mutants: wrong variants of the built-in parts, which the checks must reject."""
