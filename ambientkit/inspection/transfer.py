"""The line of photon transfer: the variance of the noise as a function of brightness, and what it rests on.

How it is fitted, and its sources: `photon.py`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

WHITE = 1.08
"""Largest ratio of the variances of two kinds of fine detail in areas of white noise."""
GROWS = 1.15
"""Ratio of the std of the noise in the brightest areas to that in the darkest, from which it is counts. Below, one
level is off by 7 % at most. Of 56 sets of galaxies with even noise 3 lie above."""


@dataclass(frozen=True, slots=True)
class Dark:
    """What frames without light say: the value of no light, and the noise there, file units, each with its std
    error."""

    offset: float
    offset_error: float
    read_std: float
    read_error: float
    frames: int


@dataclass(frozen=True, slots=True)
class PhotonTransfer:
    """The line var = noise^2 + gain (m - at), file units, with what it rests on."""

    gain: float
    """File units per count; 0 for noise that does not depend on brightness."""
    gain_error: float
    """Its standard error: chance, and half of what changes when only the smoothest areas count."""
    at: float
    """The brightness at which `variance_at` is given: the mean of the blocks, where gain and level are uncorrelated."""
    variance_at: float
    variance_error: float
    darkest: float
    """Brightness below which 0.1 % of the smooth areas lie."""
    brightest: float
    """Brightness above which 0.1 % of the smooth areas lie."""
    bend: float
    """Ratio of the std at the ends by a parabola to that by the line, the farther one: 1 for a camera."""
    bend_z: float
    """The parabola's coefficient over its standard error."""
    points: tuple[tuple[float, float, float, int], ...]
    """(mean, variance, standard error, blocks) of classes of brightness."""
    blocks: int
    dark: Dark | None = None
    strict_gain: float | None = None
    """The gain when only the smoothest areas count; None where the line does not rest on smooth areas."""
    white: float = 1.0
    """Variance of diagonal differences over that of the filter's answers: 1 for white noise, more for texture and for
    noise whose neighbours correlate."""

    share: float = 1.0
    """Of the blocks, those that are smooth."""
    counter: float | None = None
    """File units per count of a counter without read noise, whose line this is; None for other lines, and where zeros
    are too rare to say."""

    @property
    def trusted(self) -> bool:
        """Whether what was measured is white, as noise is, and not texture (3 standard errors beyond 1.08)."""
        return self.white <= WHITE + 3 * math.sqrt(2 / max(self.blocks, 1))

    def variance(self, value: float) -> float:
        """Of the noise at a brightness, file units squared; not below 0."""
        return max(self.variance_at + self.gain * (value - self.at), 0.0)

    @property
    def zero(self) -> float:
        """offset - read_std^2 / gain: where the line meets 0. With the gain it is all that rows without repeats can
        fix."""
        return self.at - self.variance_at / self.gain if self.gain > 0 else -math.inf

    @property
    def zero_error(self) -> float:
        """Standard error of `zero`, to first order."""
        if self.gain <= 0:
            return math.inf
        return math.hypot(self.variance_error / self.gain, self.variance_at / self.gain**2 * self.gain_error)

    @property
    def ratio(self) -> float:
        """Std of the noise in the brightest smooth areas over that in the darkest."""
        return self._ratio(self.gain)

    def _ratio(self, gain: float) -> float:
        """As `ratio`, for another gain."""
        low, high = (max(self.variance_at + gain * (m - self.at), 0.0) for m in (self.darkest, self.brightest))
        return math.sqrt(high / low) if low > 0 else math.inf

    @property
    def significant(self) -> bool:
        """Whether noise grows with brightness beyond doubt (4 standard errors) and by more than 15 % of its std,
        also without what the texture of bright areas may add.

        Texture adds in proportion to the roughness that is let in, and the smoothest areas let in about half of it. So
        the gain without texture is about as far below theirs as theirs below that of all.
        """
        bare = self.gain if self.strict_gain is None else min(self.gain, 2 * self.strict_gain - self.gain)
        return self.gain > 4 * self.gain_error and self._ratio(bare) > GROWS

    @property
    def straight(self) -> bool:
        """Whether a line describes it, as for counts; bent for speckle, gamma-corrected and compressed data."""
        return not (abs(self.bend_z) > 4 and abs(math.log(self.bend)) > math.log(1.25))

    @property
    def offset(self) -> float:
        """Measured with dark frames; without, the largest that the rows allow: the darkest brightness there is."""
        if self.dark is not None:
            return self.dark.offset
        return max(self.darkest, self.zero)

    @property
    def read_std(self) -> float:
        """Measured with dark frames; without, the noise at `offset`, so that the line is the same."""
        return self.dark.read_std if self.dark is not None else math.sqrt(self.variance(self.offset))
