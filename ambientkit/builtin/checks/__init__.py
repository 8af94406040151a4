"""Checks: each tests one claim by a statistic with a known null law, and brings a part that it must reject."""
