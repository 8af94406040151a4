"""The abstract data set `StoredFiles`: a folder of files of one format, or one such file."""

from __future__ import annotations

import abc
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from ambientkit.readers.files import FileRows
from ambientkit.readers.folders import find_or_one
from ambientkit.readers.part import Found, Stored

logger = logging.getLogger("ambientkit")


class StoredFiles(Stored):
    """Rows in a folder of files of one format, in the order of their names, or in one such file."""

    suffixes: ClassVar[tuple[str, ...]]
    """What files of this format are called, lower case."""
    what: ClassVar[str]
    """What one such file is called in messages."""

    path: Path
    """The folder, or one file. Names with a leading dot, and files with another suffix, are left out and counted."""
    follow_links: bool = False
    """Follow symbolic links, also to outside of the folder; otherwise they are left out and counted."""

    @abc.abstractmethod
    def open(self, files: Sequence[Path]) -> FileRows:
        """The rows of these files, by their headers. Raises InputError where they are unusable or the library is
        missing."""

    def find(self) -> Found:
        """The files of the folder, by their headers. Raises InputError where there are none, or they are unusable."""
        files, left_out = find_or_one(self.path, self.suffixes, self.follow_links, self.what, self.begins)
        source = self.open(files)
        names = source.file_names()
        logger.log(
            logging.WARNING if left_out else logging.INFO,
            "%s: %ss used: %d%s",
            self.path,
            source.what,
            len(names),
            left_out,
        )
        return Found(source, "N...")
