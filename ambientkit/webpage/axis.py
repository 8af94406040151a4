"""From values to places along an axis of a chart."""

from __future__ import annotations

import math


class Axis:
    """A linear or logarithmic axis from `low` at `start` to `high` at `end`; a range without width is widened, values
    outside are cut."""

    def __init__(self, low: float, high: float, start: float, end: float, *, log: bool) -> None:
        self._log = log
        if high <= low:
            low, high = (low / 2, high * 2) if log else (low - 1, high + 1)
        self.low, self.high = low, high
        self._low, self._high, self._start, self._end = low, high, start, end

    def at(self, value: float) -> float:
        """Where a value lies."""
        value = min(max(value, self._low), self._high)
        low, high = self._low, self._high
        share = math.log(value / low) / math.log(high / low) if self._log else (value - low) / (high - low)
        return self._start + share * (self._end - self._start)

    def ticks(self) -> list[float]:
        """Two to eight round numbers in the range."""
        if self._log:
            powers = range(math.floor(math.log10(self._low)), math.ceil(math.log10(self._high)) + 1)
            digits = (1,) if len(powers) > 4 else (1, 2, 5)
            found = [
                digit * 10.0**power
                for power in powers
                for digit in digits
                if self._low <= digit * 10.0**power <= self._high
            ]
            if len(found) > 2:
                return found
        # Also on a logarithmic axis that spans too little for 1, 2 and 5.
        step = 10.0 ** math.floor(math.log10((self._high - self._low) / 2))
        step *= next(f for f in (1, 2, 5, 10) if (self._high - self._low) / (step * f) <= 6)
        first = math.ceil(self._low / step)
        return [n * step for n in range(first, math.floor(self._high / step) + 1)]
