"""Rows kept in files, whatever the format: one abstract data set, of which each format fills in how its files are opened."""

from ambientkit.stored.files import FileRows, needs
from ambientkit.stored.kept import Kept
from ambientkit.stored.noise import Noise
from ambientkit.stored.opened import OpenedArray
from ambientkit.stored.part import Counts, Found, Stored
from ambientkit.stored.part_files import StoredFiles
from ambientkit.stored.source import Source, UnusableFile, cause_of

__all__ = [
    "Counts",
    "FileRows",
    "Found",
    "Kept",
    "Noise",
    "OpenedArray",
    "Source",
    "Stored",
    "StoredFiles",
    "UnusableFile",
    "cause_of",
    "needs",
]
