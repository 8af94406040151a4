"""Runs that are killed, stopped, started twice, or find the disk full."""
