"""Work in batches that fit into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from torch import Tensor

from ambientkit.errors import RunError


class Batches:
    """Cuts a range into batches of at most `size`; where one does not fit into memory, `size` is halved for good and
    the batch done again."""

    def __init__(self, size: int) -> None:
        self.size = size

    def over(self, count: int, work: Callable[[range], Tensor]) -> Iterator[Tensor]:
        """work(range of 0..count-1), batch after batch. Raises RunError where not even a batch of one fits."""
        start = 0
        while start < count:
            part = range(start, min(start + self.size, count))
            result = self._try(part, work)
            if result is not None:
                start = part.stop
                yield result

    def _try(self, part: range, work: Callable[[range], Tensor]) -> Tensor | None:
        from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

        reason = ""
        try:
            return work(part)
        except Exception as error:
            if not should_reduce_batch_size(error):
                raise
            reason = " ".join(str(error).split())[:200]
        # Out of the except block: the error's traceback holds what was allocated.
        clear_device_cache(garbage_collection=True)
        if len(part) == 1:
            raise RunError(
                f"not even one sample at a time fits into memory ({reason}); use another device, or a smaller model"
            )
        self.size = len(part) // 2
        return None
