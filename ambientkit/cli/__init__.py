"""The command line. Heavy libraries are imported inside the commands, so that `--help` is immediate."""

from ambientkit.cli.app import main

__all__ = ["main"]
