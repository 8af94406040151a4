"""A run's configuration: read from files and flags, checked, and resolved to parts."""

from ambientkit.config.files import Source, load_file, merge
from ambientkit.config.run import RunConfig, ScheduledObjective, dump, resolve, scheduled

__all__ = ["RunConfig", "ScheduledObjective", "Source", "dump", "load_file", "merge", "resolve", "scheduled"]
