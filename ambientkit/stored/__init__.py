"""Rows kept in files, whatever the format: one abstract data set, of which each format fills in how its files are opened."""

from ambientkit.stored.files import FileRows, UnusableFile, needs
from ambientkit.stored.noise import Noise
from ambientkit.stored.opened import OpenedArray
from ambientkit.stored.part import Counts, Found, Stored
from ambientkit.stored.part_files import StoredFiles
from ambientkit.stored.source import Source

__all__ = ["Counts", "FileRows", "Found", "Noise", "OpenedArray", "Source", "Stored", "StoredFiles", "UnusableFile", "needs"]
