"""Wrong data sets, extractors and checks: kinds that `verify` may or may not look at."""

from __future__ import annotations

import torch
from pydantic import Field
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean
from ambientkit.interfaces import Check, Data, Extractor, Measured
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator


class Waves(Data):
    """Right: 24 noisy waves of 12 values, keyed by the row."""

    name = "kit11-waves"

    sigma_n: float = Field(0.2, ge=0)
    """Std of the noise."""

    def rows(self):
        """Observations."""
        return _Waves(self)

    def one(self, index):
        """Row `index`."""
        g = keyed_generator(0, "kit11-waves", index)
        clean = torch.sin(torch.arange(12.0) * 0.5 + 0.3 * index)
        x_n = clean + self.sigma_n * standard_normal(clean.unsqueeze(0), g)[0]
        return Batch(x_n, torch.tensor(self.sigma_n), torch.tensor(index), {})


class _Waves(Dataset):
    def __init__(self, part):
        self.part = part

    def __len__(self):
        return 24

    def __getitem__(self, index):
        if not 0 <= index < 24:
            raise IndexError(index)
        return self.part.one(index)


class FreshNoise(Waves):
    """Draws fresh noise each time that a row is read, so that epochs average it away."""

    name = "kit11-fresh-noise"

    def one(self, index):
        made = super().one(index)
        clean = torch.sin(torch.arange(12.0) * 0.5 + 0.3 * index)
        return made._replace(x_n=clean + self.sigma_n * torch.randn(12))


class RowFromOne(Waves):
    """Numbers its rows from 1."""

    name = "kit11-row-from-one"

    def one(self, index):
        return super().one(index)._replace(row=torch.tensor(index + 1))


class VarianceForStd(Waves):
    """Reports the variance where the std is asked for."""

    name = "kit11-variance-for-std"

    def one(self, index):
        return super().one(index)._replace(sigma_n=torch.tensor(self.sigma_n**2))


class FileUnits(Waves):
    """Maps values to [-1, 1] and leaves the level in units of the file."""

    name = "kit11-file-units"

    def one(self, index):
        return super().one(index)._replace(sigma_n=torch.tensor(self.sigma_n * 127.5))


class LastIsOther(Waves):
    """The last row has another number type than the rest."""

    name = "kit11-last-is-other"

    def one(self, index):
        made = super().one(index)
        return made._replace(x_n=made.x_n.double()) if index == 23 else made


class SharedBuffer(Waves):
    """Gives one buffer out again and again: rows that were read before change."""

    name = "kit11-shared-buffer"

    def rows(self):
        return _Buffered(self)


class _Buffered(_Waves):
    def __init__(self, part):
        super().__init__(part)
        self.buffer = torch.zeros(12)

    def __getitem__(self, index):
        made = super().__getitem__(index)
        self.buffer.copy_(made.x_n)
        return made._replace(x_n=self.buffer)


class BatchedRow(Waves):
    """Rows keep a batch axis of one."""

    name = "kit11-batched-row"

    def one(self, index):
        made = super().one(index)
        return made._replace(x_n=made.x_n.unsqueeze(0), sigma_n=made.sigma_n.unsqueeze(0))


class CleanWithNoise(Waves):
    """Says that its rows are clean, and gives noisy ones."""

    name = "kit11-clean-with-noise"

    def one(self, index):
        made = super().one(index)
        return Clean(made.x_n, {})


class Moments(Extractor):
    """Right: mean and std of a row."""

    name = "kit11-moments"

    def features(self, pictures):
        """(N, 2)."""
        flat = pictures.flatten(1)
        return torch.stack([flat.mean(1), flat.std(1, unbiased=False)], 1)


class BatchStandard(Moments):
    """Standardises features over the rows that it is given together."""

    name = "kit11-batch-standard"

    def features(self, pictures):
        found = super().features(pictures)
        return (found - found.mean(0)) / (found.std(0) + 1e-6)


class ClipsPictures(Moments):
    """Clips the rows in place."""

    name = "kit11-clips-pictures"

    def features(self, pictures):
        return super().features(pictures.clamp_(-1, 1))


class FlatIsNan(Moments):
    """The logarithm of the std: minus infinity for a flat row."""

    name = "kit11-flat-is-nan"

    def features(self, pictures):
        found = super().features(pictures)
        return torch.stack([found[:, 0], found[:, 1].log()], 1)


class RandomFeatures(Moments):
    """Random directions drawn anew from torch's global generator in each call."""

    name = "kit11-random-features"

    def features(self, pictures):
        flat = pictures.flatten(1)
        return flat @ torch.randn(flat.shape[1], 8, dtype=flat.dtype)


class Shape(Check):
    """Right: a sampler keeps the shape of its points."""

    name = "kit11-shape"
    kind = "sampler"
    claim = "final-law"
    null_law = "exact"

    def measure(self, part, case):
        """1 where the shape is another."""
        x = torch.zeros(3, 2)
        grid = torch.tensor([1.0, 0.5]).unsqueeze(1).expand(2, 3)
        with torch.no_grad():
            wrong = part.sample(case.oracle, x, grid, keyed_generator(case.seed, "kit11"), {}).shape != x.shape
        return Measured(float(wrong), 0.0 if wrong else 1.0, 1)

    def control(self, part):
        """Drops a row."""
        kind = type(part)
        return type("Control", (kind,), {"sample": lambda own, *given: kind.sample(own, *given)[:-1]})()


class NeverRejects(Shape):
    """Its p-value is 1 whatever it finds: it can reject nothing, its own control either."""

    name = "kit11-never-rejects"

    def measure(self, part, case):
        return super().measure(part, case)._replace(p_value=1.0)


class OwnRandomness(Shape):
    """Not deterministic in its seed: it draws from torch's global generator, unseeded."""

    name = "kit11-own-randomness"

    def measure(self, part, case):
        return super().measure(part, case)._replace(statistic=float(torch.seed() % 7))


class RightControl(Shape):
    """Its control is the part itself, which nothing should reject."""

    name = "kit11-right-control"

    def control(self, part):
        return part
