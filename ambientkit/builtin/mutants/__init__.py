"""Mutants: wrong variants of the built-in parts, which the checks must reject; a file for each part."""
