"""Rows kept in files of any format: one abstract data set, of which each format fills in how its files are opened."""

from ambientkit.readers.files import FileRows, needs
from ambientkit.readers.kept import Kept
from ambientkit.readers.levels import ESTIMATES, Noise
from ambientkit.readers.opened import OpenedArray
from ambientkit.readers.part import Counts, Found, Stored, open_rows
from ambientkit.readers.part_files import StoredFiles
from ambientkit.readers.results import Encoded, Encoding, Result, Savable, Series, Unwritable
from ambientkit.readers.source import Source, UnusableFile, cause_of

__all__ = [
    "ESTIMATES",
    "Counts",
    "Encoded",
    "Encoding",
    "FileRows",
    "Found",
    "Kept",
    "Noise",
    "OpenedArray",
    "Result",
    "Savable",
    "Series",
    "Source",
    "Stored",
    "StoredFiles",
    "UnusableFile",
    "Unwritable",
    "cause_of",
    "needs",
    "open_rows",
]
