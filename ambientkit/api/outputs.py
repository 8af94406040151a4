"""What a command needs to write its results and to print what went wrong."""

from __future__ import annotations

from ambientkit.checkpoint.folder import write_file
from ambientkit.checkpoint.target import check_target
from ambientkit.config.files import redacted
from ambientkit.processes import is_main

__all__ = ["check_target", "is_main", "redacted", "write_file"]
