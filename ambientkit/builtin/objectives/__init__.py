"""Objectives and recipes."""
