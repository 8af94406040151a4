"""The check `model-scaling`: some network of moderate size makes the denoiser exact, at every level and for any spread
of the data."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ambientkit.builtin.checks.answered import Answering, Asked
from ambientkit.builtin.checks.changed import ChangedModel, without_classes
from ambientkit.builtin.checks.labelled import Broken, require
from ambientkit.builtin.checks.outcome import exact
from ambientkit.interfaces import CONTRACT, Case, Check, Denoiser, Measured, Model, Part
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import keyed_generator

OWN_FORM = "own-form"
"""Claim of a model whose form is none of the known ones: it is not held to their skip."""
LEVELS = (0.002, 0.005, 0.02, 0.06, 0.2, 0.5, 1.0, 2.5, 7.0, 20.0, 80.0)


class ModelScaling(Check):
    """D(x, sigma) = skip x + out F, skip and out functions of sigma alone; the F that makes D exact has a std that
    keeps within bounds.

    The network's output is replaced by numbers of the check's own, so skip and out are read off. What F must be for x =
    x_0 + sigma z has variance ((1 - skip)^2 sigma_data^2 + skip^2 sigma^2) / out^2; it may vary by a factor of `spread`
    over levels from 0.002 to 80, and so may the std of the network's input, unless that is x itself. All of EDM, x_0,
    eps, v and flow keep within 3, in any schedule. The network's input for the level must rise or fall with it, and
    must be the same for the same level in any row; a discrete time may round it. A model that knows a range of levels
    (`level_range`) is asked within it. Where skip is EDM's for some spread of
    the data, that must be `Signal.sigma_data`; a skip that is none of EDM's, x_0's, eps', v's and flow's is taken for a
    mistake, unless the model claims "own-form".
    """

    name = "model-scaling"
    source = (
        "arXiv 2206.00364, section 5 and appendix B.6: unit variance of input and target; forms: ambientkit.maths.forms"
    )
    kind = "model"
    claim = CONTRACT
    null_law = "exact: nothing wrong beyond rounding"
    detects = (
        "a factor that is missing or squared, formulas of two forms mixed up, another sigma_data, a level "
        "that is given wrongly, or runs along the width of pictures"
    )
    meaning = (
        "No network can answer as it should at low or at high levels, or it is not given the level that it is asked at."
    )
    quick = True

    spread: float = 8.0
    """Largest ratio of two stds over all levels."""

    def measure(self, part: Part, case: Case) -> Measured:
        """0, or infinity with what is wrong."""
        assert isinstance(part, Model)
        own_form, part = OWN_FORM in part.claims, without_classes(part)
        try:
            for sigma_data in (0.5, 0.2, 2.0):
                self._try(part, Answering(part, case, sigma_data), own_form)
            self._other_pictures(part, case, own_form)
            self._many_rows(Answering(part, case, 0.5), case)
        except Broken as error:
            return Measured(math.inf, 0.0, 3 * len(LEVELS), str(error))
        return exact(0.0, 0.0, 3 * len(LEVELS))

    def control(self, part: Part) -> Part:
        """The same model, to whose answer sigma^2 x is added."""
        assert isinstance(part, Model)
        return _Growing(inner=part)

    def _other_pictures(self, part: Model, case: Case, own_form: bool) -> None:
        """Pictures of many channels and odd sides, or else of even ones: the first that the network takes."""
        for shape in ((5, 7, 9), (5, 16, 32), (3, 16, 32)):
            try:
                model = Answering(part, case, 0.5, shape)
                self._try(part, model, own_form)
                spread = "levels are spread along the width of pictures, where a batch has as many rows"
                return self._in_parts(model, case, shape[-1], 3, spread)
            except Broken:
                raise
            except Exception:  # a network may need other sides, and need not say so before it is asked
                continue

    def _many_rows(self, model: Answering, case: Case) -> None:
        """A batch of more than 64 rows, where rows are small: the same as half by half."""
        if math.prod(model.signal.shape) <= 256:
            self._in_parts(model, case, 70, 35, "rows of a large batch are mixed up")

    def _in_parts(self, model: Answering, case: Case, count: int, part: int, otherwise: str) -> None:
        generator = keyed_generator(case.seed, "verify.model-scaling.rows")
        x = torch.randn(count, *model.signal.shape, generator=generator)
        sigma = torch.logspace(-2, 1, count)
        whole, _ = model(x, sigma, torch.ones_like(x))
        few = zip(x.split(part), sigma.split(part), strict=True)
        parts = torch.cat([model(own, level, torch.ones_like(own))[0] for own, level in few])
        self._small(whole - parts, 1 + x.abs().flatten(1).amax(1).double(), otherwise)

    def _try(self, part: Model, model: Answering, own_form: bool) -> None:
        sigma, shape, sigma_data = _levels(part), model.signal.shape, model.signal.sigma_data
        generator = keyed_generator(0, "verify.model-scaling")
        unit = torch.randn(len(sigma), *shape, generator=generator)
        x = unit * per_row((sigma**2 + sigma_data**2).sqrt(), unit)
        f = torch.randn(len(sigma), *shape, generator=generator)
        zero, asked = model(x, sigma, torch.zeros_like(x))
        if asked is None:  # its inputs cannot be seen: the network is not called once, as a module
            return
        one, _ = model(x, sigma, torch.ones_like(x))
        other, _ = model(x, sigma, f)
        back, again = model(x.flip(0), sigma.flip(0), torch.zeros_like(x))
        model.network.train()
        training, told = model(x, sigma, torch.ones_like(x))
        model.network.eval()
        skip = ((zero * x).flatten(1).sum(1) / x.square().flatten(1).sum(1)).double()
        out = (one - zero).flatten(1).mean(1).double()
        size = x.abs().flatten(1).amax(1).double() + out.abs()
        self._small(zero - per_row(skip, x) * x, size, "without the network's answer, D is not a multiple of x")
        self._small(one - zero - per_row(out, x), size, "the network's answer is not scaled by one number a row")
        self._small(
            other - zero - per_row(out, x) * f,
            size,
            "D is not linear in the network's answer, or its pixels are exchanged",
        )
        self._small(training - one, size, "while training, another D is made of the network's answer than afterwards")
        if asked.time is not None and told is not None and told.time is not None:
            require(torch.equal(asked.time, told.time), "while training, the network gets another level")
        if told is not None and told.y.shape == asked.y.shape:
            self._small(
                told.y - asked.y,
                asked.y.double().abs().flatten(1).amax(1),
                "while training, the network gets another input",
            )
        self._small(back.flip(0) - zero, size, "a row's answer depends on the others")
        std = (((1 - skip) ** 2 * sigma_data**2 + skip**2 * sigma.double() ** 2).sqrt() / out.abs()).nan_to_num(
            nan=math.inf
        )
        require(bool(std.isfinite().all()), "the network's answer does not enter D at some level")
        ratio = float(std.max() / std.min())
        require(
            ratio <= self.spread * max(1.0, 1 / sigma_data, sigma_data),
            f"what the network must answer varies by a factor of {ratio:.3g} with the level",
        )
        self._input(x, sigma, asked, sigma_data)
        self._edm(skip, sigma.double(), sigma_data)
        if not own_form:
            known = [
                torch.zeros_like(skip),
                torch.ones_like(skip),
                1 / (1 + sigma.double() ** 2),
                1 / (1 + sigma.double()),
            ]
            known.append(sigma_data**2 / (sigma.double() ** 2 + sigma_data**2))
            near = any(bool(((skip - one).abs() < 5e-3).all()) for one in known)
            require(
                near,
                "skip is that of none of EDM, x_0, eps, v and flow; a form that is meant otherwise claims "
                f"{OWN_FORM!r}",
            )
        if asked.time is not None and again is not None and again.time is not None:
            self._time(asked.time, again.time.flip(0))

    def _small(self, error: Tensor, size: Tensor, otherwise: str) -> None:
        worst = error.double().abs().flatten(1).amax(1) / size
        require(bool((worst < 2e-3).all()), otherwise)

    def _input(self, x: Tensor, sigma: Tensor, asked: Asked, sigma_data: float) -> None:
        if asked.y.numel() != x.numel():
            return
        y = asked.y.reshape(x.shape).double()
        gain = (y * x).flatten(1).sum(1) / x.double().square().flatten(1).sum(1)
        size = x.abs().flatten(1).amax(1).double() * gain.abs()
        self._small(y - per_row(gain, x) * x, size + 1e-12, "the network's input is not a multiple of x")
        if bool(torch.isclose(gain, torch.ones_like(gain), rtol=1e-3).all()):
            return
        std = gain.abs() * (sigma.double() ** 2 + sigma_data**2).sqrt()
        ratio = float(std.max() / std.min())
        require(
            ratio <= self.spread * max(1.0, 1 / sigma_data, sigma_data),
            f"the network's input varies by a factor of {ratio:.3g} with the level",
        )

    def _edm(self, skip: Tensor, sigma: Tensor, sigma_data: float) -> None:
        """skip = s^2 / (sigma^2 + s^2) of some s: the same s at all levels in the middle, which is then sigma_data."""
        middle = (skip > 0.01) & (skip < 0.99)
        s = sigma[middle] * (skip[middle] / (1 - skip[middle])).sqrt()
        if len(s) < 3 or bool((s / s.mean() - 1).abs().max() > 0.02) or abs(float(s.mean()) - 1) < 0.02:
            return  # no skip of this kind; s = 1 is that of v for any data
        found = float(s.mean())
        require(
            abs(found / sigma_data - 1) < 0.02,
            f"c_skip is that of data of std {found:.3g}, not of {sigma_data:g}, which the signal says",
        )

    def _time(self, time: Tensor, again: Tensor) -> None:
        require(
            bool(torch.allclose(time, again, rtol=1e-4, atol=1e-6)),
            "the network's input for a level depends on the other rows",
        )
        require(bool(time.isfinite().all()), "the network's input for the level is not finite")
        steps = time.diff()
        require(
            bool((steps > 0).all() or (steps < 0).all()),
            "the network's input for the level neither rises nor falls with it",
        )


def _levels(part: Model) -> Tensor:
    """`LEVELS`; as many within the range of levels that the model's networks know, where it is narrower."""
    known = part.level_range()
    if known is None:
        return torch.tensor(LEVELS)
    low, high = max(LEVELS[0], 1.001 * known.sigma_min), min(LEVELS[-1], known.sigma_max / 1.001)
    return torch.logspace(math.log10(low), math.log10(high), len(LEVELS))


class _Growing(ChangedModel):
    """A model whose answers grow with the level: wrong on purpose."""

    name = "growing-control"

    def answer(self, right: Denoiser, x: Tensor, sigma: Tensor, cond: dict[str, Tensor]) -> Tensor:
        """The inner model's, with sigma^2 x on top."""
        answer = right(x, sigma, **cond)
        return answer + per_row(sigma.to(x.dtype), x) ** 2 * x
