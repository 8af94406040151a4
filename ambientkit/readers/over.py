"""A source laid over another one, whose values it changes or explains."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from numpy.typing import NDArray

from ambientkit.readers.source import Source


class Over:
    """The rows of a source, as they are; a subclass says what is different. `dtype` and `shape` are those of the
    source."""

    def __init__(self, source: Source) -> None:
        self.source, self.dtype, self.shape = source, source.dtype, source.shape

    def __str__(self) -> str:
        return str(self.source)

    @property
    def missing(self) -> dict[str, float]:
        """Name -> file value of what stands for a missing pixel; as of the source, which may find more when it is
        read."""
        return dict(getattr(self.source, "missing", {}))

    def check(self) -> None:
        """As of the source, which may have left out files."""
        self.source.check()
        self.shape = self.source.shape

    def read(self, start: int, stop: int) -> NDArray[Any]:
        """Rows start..stop."""
        return self.seen(self.source.read(start, stop))

    def row(self, index: int) -> NDArray[Any]:
        """One row."""
        return self.seen(self.source.row(index))

    def all(self) -> NDArray[Any]:
        """Everything, in memory."""
        return self.seen(self.source.all())

    def chunks(self) -> Iterator[tuple[int, int]]:
        """As of the source."""
        return self.source.chunks()

    def name(self, index: int) -> str:
        """As of the source."""
        return self.source.name(index)

    def blocks(self) -> list[int] | None:
        """Rows of each shard; None where the source has no shards."""
        blocks: list[int] | None = self.source.blocks() if hasattr(self.source, "blocks") else None
        return blocks

    def seen(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (*S) or (n, *S) of the source, as they are given on."""
        return values


def bare(source: Any) -> Any:
    """The source of the files themselves."""
    while isinstance(source, Over):
        source = source.source
    return source
