"""Wrong models: networks, classes, masks and randomness."""

from __future__ import annotations

import torch
from torch import nn

from ambientkit.maths.noise import per_row

from .bases import made
from .bases_models import Layers, Plain

_NETWORKS: dict[tuple[int, int], nn.Module] = {}


class Classes(Plain):
    """With ten classes by default."""

    num_classes: int | None = 10


class BatchNormed(Plain):
    """Normalises over the batch."""

    name = "kit15-batch-norm"

    def layers(self, size, told):
        found = super().layers(size, told)
        found.middle = nn.Sequential(nn.BatchNorm1d(self.width, track_running_stats=False), found.middle)
        return found


class AlwaysDrops(Plain):
    """Dropout is on in evaluation too (functional dropout without `training`)."""

    name = "kit15-always-drops"

    def answer(self, network, y, c_noise, cond):
        return nn.functional.dropout(super().answer(network, y, c_noise, cond), 0.1)


class SeedsTorch(Plain):
    """Seeds torch's global generator before a network is made: the seed of the run has no effect."""

    name = "kit15-seeds-torch"

    def layers(self, size, told):
        torch.manual_seed(0)
        return super().layers(size, told)


class OneNetwork(Plain):
    """Networks of one shape are kept: a second call gives the first network again."""

    name = "kit15-one-network"

    def layers(self, size, told):
        if (size, told) not in _NETWORKS:
            _NETWORKS[size, told] = super().layers(size, told)
        return _NETWORKS[size, told]


class LastLabelAsNone(Classes):
    """The null condition is the last label, num_classes - 1."""

    name = "kit15-last-label-as-none"

    def null_cond(self, name):
        return self.num_classes - 1 if name == "class_cond" else None


class NoNull(Classes):
    """Takes labels, and gives none that stands for no class."""

    name = "kit15-no-null-label"

    def null_cond(self, name):
        return None


class NoRowForNone(Classes):
    """The table of labels has num_classes rows: the label for none lies outside."""

    name = "kit15-no-row-for-none"

    def rows_of_labels(self):
        return self.num_classes


class LabelsWrapped(Classes):
    """Labels are taken modulo num_classes: none is class 0."""

    name = "kit15-labels-wrapped"

    def label(self, cond):
        return super().label(cond) % self.num_classes


class LabelsUnused(Classes):
    """Labels are asked for and then left out of the call."""

    name = "kit15-labels-unused"

    def label(self, cond):
        super().label(cond)


class GuidesItself(Classes):
    """Answers are guided by 1.5 within the denoiser, in training as well."""

    name = "kit15-guidance-built-in"

    def answer(self, network, y, c_noise, cond):
        none = torch.full_like(self.label(cond), self.num_classes)
        with_none = super().answer(network, y, c_noise, {**cond, "class_cond": none})
        return with_none + 1.5 * (super().answer(network, y, c_noise, cond) - with_none)


class MaskedAsSeen(Plain):
    """Hidden values keep the coefficients of values that are seen."""

    name = "kit15-hidden-as-seen"

    def out_of_hidden(self, c_out, sigma_data):
        return c_out.expand_as(c_out)


class MaskTurned(Plain):
    """The mask is read as true where a value is hidden."""

    name = "kit15-mask-turned"

    def denoised(self, network, x, sigma, sigma_data, cond):
        if "mask" in cond:
            cond = {**cond, "mask": ~cond["mask"].bool()}
        return super().denoised(network, x, sigma, sigma_data, cond)


class ReadsHidden(Plain):
    """What stands under the mask is read by the network and added with the skip."""

    name = "kit15-reads-hidden-values"

    def denoised(self, network, x, sigma, sigma_data, cond):
        c_skip, c_out, c_in = (per_row(c, x) for c in self.coefficients(sigma, sigma_data))
        if "mask" in cond:
            c_out = torch.where(cond["mask"].bool(), c_out, torch.full_like(c_out, sigma_data))
        if "sampled" in cond:
            c_out = torch.full_like(c_out, sigma_data)
        return c_skip * x + c_out * self.answer(network, c_in * x, self.told(sigma), cond)


class Placed(Layers):
    """With the place of a row in the batch."""

    def forward(self, y, c_noise, label=None):
        place = torch.arange(len(y), device=y.device).to(self.first.weight.dtype)
        return super().forward(y, c_noise, label) + 0.01 * place.unsqueeze(1)


class PlaceInTheBatch(Plain):
    """The place of a row in the batch is part of its embedding, as of a token in a sequence."""

    name = "kit15-place-in-the-batch"

    def layers(self, size, told):
        return Placed(size, told, self.width, self.rows_of_labels())


WRONG = made(
    BatchNormed,
    AlwaysDrops,
    SeedsTorch,
    OneNetwork,
    LastLabelAsNone,
    NoNull,
    NoRowForNone,
    LabelsWrapped,
    LabelsUnused,
    GuidesItself,
    MaskedAsSeen,
    MaskTurned,
    ReadsHidden,
    PlaceInTheBatch,
)
