"""The contracts: what a part of each kind takes, returns and promises.

Third parties subclass these classes and register them by `ambientkit.hookspecs`. Fields are the whole configuration.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Generator, Tensor, nn
from torch.utils.data import Dataset

from ambientkit.batch import Batch, Clean, Term, View
from ambientkit.errors import InputError
from ambientkit.fields import Fields, WeightedObjective
from ambientkit.maths.ambient import capped_inverse_square, clean_std
from ambientkit.maths.mixture import GaussianMixture
from ambientkit.maths.noise import RandomSource, per_row
from ambientkit.maths.weights import HIDDEN
from ambientkit.proposal import Proposal


class Levels(NamedTuple):
    """The range of noise levels a run's denoiser is made for, data units: 0 < sigma_min < sigma_max."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0


@dataclass(frozen=True, slots=True)
class Signal:
    """What a network must know of the data before the first batch."""

    shape: tuple[int, ...]
    """(C, H, W), or any (*S)."""
    sigma_data: float
    """Std of the *clean* data, data units; estimated as sqrt(var(x_n) - sigma_n^2) where it is not given."""
    conds: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Shape of each condition, without the batch axis."""


class Denoiser(Protocol):
    """D(x, sigma) = E[x_0 | x_0 + sigma z = x]. x (B, *S); sigma (B,), > 0; returns (B, *S) in the dtype of x."""

    def __call__(self, x: Tensor, sigma: Tensor, /, **cond: Tensor) -> Tensor: ...


class Part(Fields, abc.ABC):
    """Anything that can be named in a run's configuration."""

    name: ClassVar[str]
    """Lower case, unique within its kind: what the command line calls it."""
    source: ClassVar[str] = ""
    """Paper and equation."""
    claims: ClassVar[frozenset[str]] = frozenset()
    """Properties that `ambientkit verify` tests; empty means that nothing is claimed, and nothing is checked."""


class ClaimsWhen:
    """Claims of which some hold for some fields only: `claims = ClaimsWhen({"a"}, {"b"}, lambda part: part.eta == 1)`.
    A part that meets the condition claims `always` and `then`, another one `always` alone, and the class itself both.
    """

    def __init__(self, always: Iterable[str], then: Iterable[str], condition: Callable[[Any], bool]) -> None:
        self._always, self._condition = frozenset(always), condition
        self._both = self._always | frozenset(then)

    def __get__(self, part: Part | None, owner: type[Part]) -> frozenset[str]:
        return self._both if part is None or self._condition(part) else self._always


class Corruption(Part):
    """How observations arise from clean data, and how they are made noisier still.

    Two claims matter beyond `verify`: "symmetric-degrade", that x_t is symmetric about x_n, so that 2 x_n - x_t is as
    good a draw; and "row-generators", that `observe` takes a list of generators, one per row. Without the second it is
    called row by row.

    A corruption that hides a part of a row (`carries`) is served by objectives that claim so ("serves-masks",
    "serves-operators") and by no other: see `ambientkit.config.pairs`.
    """

    carries: ClassVar[frozenset[str]] = frozenset()
    """Names in `Batch.cond` that say how a row was observed, such as "mask": `observe` or the data set puts them there,
    and they travel with the row. The denoiser gets `degrade`'s answer under these names, in `View.cond`:
    a mask that hides more, for instance. They are never left out by `cond_dropout` or guidance."""

    @abc.abstractmethod
    def observe(self, x_0: Tensor, row: Tensor, generator: RandomSource) -> Batch:
        """Clean rows (B, *S) to observations, once. The same generator state gives the same result."""

    @abc.abstractmethod
    def degrade(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """x_n to x_t at levels sigma (B,). Raises ValueError naming the row where sigma < floor(batch)."""

    @abc.abstractmethod
    def expect(self, x_0_hat: Tensor, view: View, batch: Batch) -> Tensor:
        """E[x_n | view] from E[x_0 | view]; (B, *S).

        Value by value it is affine in x_0_hat and in view.x, a x_0_hat + b x_t + c: see `slope`.
        """

    @abc.abstractmethod
    def floor(self, batch: Batch) -> Tensor:
        """(B,), the lowest level at which `degrade` can place each row. Noise per pixel reduces to its maximum."""

    def slope(self, view: View, batch: Batch) -> Tensor:
        """a = d E[x_n | view] / d E[x_0 | view], value by value, (B, *S): the share of x_0 in each value of x_n
        at this level.

        An error of x_0_hat counts a^2 times in |expect(x_0_hat) - x_n|^2, so an objective that wants it in full weighs
        by 1/a^2. 1 for clean values, 0 for values without information (at sigma = sigma_n, or under a mask). Read off
        `expect`: for a x_0_hat + b x_t it is a to the last bit. Only a corruption of measurements overrides it.
        """
        at_0 = view._replace(x=torch.zeros_like(view.x))
        return self.expect(torch.ones_like(view.x), at_0, batch) - self.expect(at_0.x, at_0, batch)

    def weight(self, view: View, batch: Batch, cap: Tensor, hidden: Tensor) -> Tensor:
        """What the squared error of each value of x_n counts, (B, *S), in the scale of x_0: min(1/a^2, cap).

        cap: (B,). hidden: (B,), what an error of x_0_hat counts where the view hides x_0 altogether, against one where
        it shows it. Only a corruption that hides values overrides it: it divides `hidden` by the chance that such a
        value was measured, given what the view shows, so that the mean is an error of every value of x_0, and gives 0
        to what was not measured.
        """
        return capped_inverse_square(self.slope(view, batch), per_row(cap, batch.x_n))

    @property
    def hidden_power(self) -> float:
        """The power of `hidden_factor` of an objective that is given none."""
        return HIDDEN

    def show(self, batch: Batch, sigma: Tensor, generator: RandomSource) -> View:
        """The rows at levels sigma (B,) with all that was measured of them, for restoring: `degrade`, unless
        that hides more in each call. Raises as `degrade`."""
        return self.degrade(batch, sigma, generator)

    def unseen(self, batch: Batch) -> str:
        """The part of x_0 that no row of the batch measures, in words; empty where every value is measured, and for
        corruptions that hide nothing. Training on such rows is refused."""
        return ""

    def clean_std(self, batch: Batch) -> float:
        """Std of the clean data, sqrt(var(x_n) - mean(sigma_n^2)); 0.0 where the noise exceeds the spread. Only a
        corruption that hides values overrides it, to leave them out."""
        return clean_std(batch.x_n, batch.sigma_n)


class Sampler(Part):
    """Carries points from one noise level to lower ones.

    A sampler that draws from the reverse kernel p(x_s | x_t), so that E[h(x_s) | x_t] = h(x_t) up to its step error,
    claims "reverse-kernel"; a deterministic one must not. One that draws with `maths.noise.standard_normal`, and so
    takes a list of generators, one per row, claims "row-generators"; for others samples are drawn one at a time.
    """

    @abc.abstractmethod
    def sample(
        self, denoiser: Denoiser, x: Tensor, sigmas: Tensor, generator: RandomSource, cond: Mapping[str, Tensor]
    ) -> Tensor:
        """Carry x (B, *S) from sigmas[0] to sigmas[-1]; sigmas (T, B), T >= 2, decreasing, only the last may be 0.
        Never sets grad mode; where it is on, a gradient passes from the result to the denoiser's answers."""


Memory = dict[str, Tensor]
"""What an objective keeps between steps, by name."""


@dataclass(frozen=True, slots=True)
class Tools:
    """The tools that the trainer gives an objective. Valid for one call; only `memory` persists."""

    corruption: Corruption
    sampler: Sampler
    teacher: Denoiser
    """The EMA denoiser, always present."""
    signal: Signal
    generator: Generator
    """A fresh generator on the batch's device, keyed by (seed, objective, rank, step)."""
    levels: Levels = Levels()
    """The range of levels at which this run's denoiser will be asked."""
    memory: Memory = field(default_factory=dict)
    """Of this entry of the recipe on this process: empty at first, filled by the objective, saved with the run. Names
    and shapes stay."""


class Objective(Part):
    """A loss whose minimum is E[x_0 | x_t]. Stateless (it keeps `tools.memory`); owns the calls of the model."""

    below_sigma_n: ClassVar[str] = ""
    """How it trains the levels below the noise of the data, as a model card says it ("by making ..."); empty where it
    does not. `sample` warns where no objective of a run does."""

    @abc.abstractmethod
    def loss(self, denoiser: Denoiser, batch: Batch, tools: Tools) -> dict[str, Term]:
        """Named terms, each with one value per row used. Raises InputError where the batch does not suit the
        objective."""


class Recipe(Part):
    """A list of weighted objectives that `--objective` may name. A concrete recipe gives `terms` a default."""

    terms: tuple[WeightedObjective, ...]
    """Objectives, each with its weight, first and last step, ramp and period."""


class Model(Part):
    """A network, and how its output becomes an estimate of x_0.

    A model whose networks take a class has a field `num_classes`, the number of classes: the condition `class_cond` is
    then a label below it, and num_classes itself stands for "no class". A model without the field says nothing of them.

    A network may hold frozen parameters (`requires_grad` False), such as a base under adapters. Only what is trained is
    averaged, optimised and kept in files; the average uses the base of the network itself, and modules whose parameters
    are all frozen run in evaluation mode, so that their buffers stay too. What reads a run's files asks `network` for
    the base again. So `network` must give the same one each time: from files that fields of the model name, or drawn
    from torch's global generator, which a run sets by its seed. A digest in the files says whether it did.
    """

    always: ClassVar[frozenset[str]] = frozenset()
    """Conditions that are never dropped: true of a row without the others, as the size of a picture is."""

    @property
    def classes(self) -> int | None:
        """The number of classes (`num_classes`); None where the model has no such field, or it is not given."""
        return getattr(self, "num_classes", None)

    @abc.abstractmethod
    def network(self, signal: Signal) -> nn.Module:
        """A fresh network: what accelerate prepares and EMA copies. Raises InputError for what it cannot take."""

    @abc.abstractmethod
    def denoiser(self, network: nn.Module, signal: Signal) -> Denoiser:
        """Wrap a (possibly prepared) network. The only home of preconditioning and of VP, eps, v and flow forms."""

    def null_cond(self, name: str) -> float | Tensor | None:
        """What a row without the condition `name` carries in its place, for `cond_dropout` and guidance: a number, or a
        tensor of its shape. None, as here, is 0 for floating-point conditions, and nothing for whole numbers: a model
        that takes class labels gives the label that stands for none.
        """
        return None

    @classmethod
    def proposal(cls, shape: tuple[int, ...], conds: Mapping[str, tuple[int, ...]], rows: int) -> Proposal | None:
        """How a run that names no model would use this one, by its arguments alone; None where it is not offered."""
        return None

    def level_range(self) -> Levels | None:
        """The levels that its networks distinguish; a run beyond them is refused. None: any."""
        return None

    def prompted(self, prompts: Sequence[str], signal: Signal) -> dict[str, Tensor]:
        """Conditions of texts, name -> (len(prompts), ...); "" is none. Raises InputError where it takes no text."""
        raise InputError(f"model {self.name!r} takes no prompt")

    def translated(
        self, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any], network: nn.Module, where: str
    ) -> Mapping[str, Tensor]:
        """Tensors of another program's file (`init_from`) by the network's names. Raises InputError where none fit."""
        return tensors


class Data(Part):
    """A data set. Fields that mean the same in every one that has them: `path`, the file or folder it reads; `sigma_n`,
    the declared noise level of its rows; `clean`, that its rows are clean; `on_bad_file`, "fail" or "skip"."""

    files: ClassVar[tuple[str, ...]] = ()
    """Ends of file names, lower case, such as (".fits", ".fits.gz"): a path of such a file, given as data, means {name,
    path: the file}."""
    folders: ClassVar[tuple[str, ...]] = ()
    """Ends of file names: a folder most of whose files are named so means {name, path: the folder}."""
    marks: ClassVar[tuple[str, ...]] = ()
    """Names of files: a folder that holds one of them means this data set. "a+b" asks for both."""
    begins: ClassVar[tuple[tuple[int, bytes], ...]] = ()
    """(offset, bytes) of the first 1,024 bytes by which files are known that nobody claims by their names."""

    @abc.abstractmethod
    def rows(self) -> Dataset[Clean] | Dataset[Batch]:
        """A map-style data set whose item i is a `Clean` row, or an observation: a `Batch` without its batch axis, with
        row = i.

        One with more properties (units, axes, rows left out) returns a subclass of `ambientkit.rows.Rows`.
        Clean rows get simulated noise from the run's corruption; observations carry their own known noise level.
        Raises InputError where files are missing or unusable.
        """


class Extractor(Part):
    """From rows to features, in which two sets of rows are compared.

    A distance between features says nothing without the name of the extractor, so every score carries it. Stateless: a
    network is loaded when it is first asked, from a file, never from the net.
    """

    @abc.abstractmethod
    def features(self, pictures: Tensor) -> Tensor:
        """Rows (N, *S) in units of [-1, 1], unclipped, to features (N, F), floating point and finite; a row's features
        do not depend on the others.

        An extractor that sees each row as a set of P parts returns (N P, F), the P parts of a row one after another.
        Raises InputError where it cannot read rows of this shape, or where the file of its weights is missing or
        damaged.
        """


@dataclass(frozen=True, slots=True)
class Finished:
    """A trained network, as an exporter is given it."""

    model: Model
    network: nn.Module
    """Of the model, with the averaged weights, on the CPU, in evaluation mode."""
    signal: Signal
    levels: Levels
    """The range of levels that it was trained at."""


class Exporter(Part):
    """Writes a trained network as another library reads it, to the same denoiser: `ambientkit export --format NAME`."""

    suffix: ClassVar[str]
    """How the name of the file ends that it writes, such as ".safetensors"; empty where it writes a folder."""

    @abc.abstractmethod
    def takes(self, model: Model) -> bool:
        """Whether the form can express networks of this model."""

    @abc.abstractmethod
    def write(self, finished: Finished, path: Path) -> None:
        """Write the file or folder `path`, not there yet, without names of this machine. Raises InputError for a
        network it cannot express."""

    @abc.abstractmethod
    def snippet(self, finished: Finished, path: str) -> str:
        """Python lines that read `path` and draw samples with the other library alone."""


@dataclass(frozen=True, slots=True)
class Case:
    """A problem whose answer is known in closed form, for a check to measure a part on."""

    oracle: Denoiser
    """The exact denoiser."""
    observe: Callable[[int, Generator], Batch]
    """Draws n fresh observations."""
    tools: Tools
    """With the exact posterior sampler and the oracle as teacher; its generator is replaced for every call."""
    seed: int
    law: GaussianMixture
    """The law of the clean data; `oracle` is its denoiser."""
    partial: tuple[Corruption, ...] = ()
    """Corruptions that hide a part of each row, for objectives that claim to serve them."""


class Measured(NamedTuple):
    """One measurement: a statistic, its p-value under the null law, and the number of independent samples.

    An exact check, whose null law is a tolerance, has the largest error as its statistic, and p-value 1 within the
    tolerance, 0 beyond it.
    """

    statistic: float
    p_value: float
    n: int
    why: str = ""
    """The finding in words, where a number does not say it: "the batch was changed"."""


CONTRACT = "contract"
"""The claim that every part makes by being of its kind: a check of it measures each part of the kind, with any
`claims`."""


class Check(Part):
    """One property, measured by a statistic with a known null law, and a control that it must reject."""

    kind: ClassVar[str]
    """The kind of part it applies to: "objective", "sampler", ..."""
    claim: ClassVar[str]
    """The claim it tests: a part is measured if its `claims` name this. `CONTRACT`: every part of the kind is
    measured."""
    null_law: ClassVar[str] = ""
    """Law of the statistic for a right part, such as "F(p, n - p)", or "exact: tolerance 1e-9"."""
    detects: ClassVar[str] = ""
    """The smallest difference it finds."""
    meaning: ClassVar[str] = ""
    """What a failure means for who uses the part, in one or two sentences."""
    implied_by: ClassVar[frozenset[str]] = frozenset()
    """Claims that say more: a part that makes one of them need not make this check's."""
    quick: ClassVar[bool] = False
    """Whether it belongs to `verify --quick`, and for objectives to the check before a run."""

    @abc.abstractmethod
    def measure(self, part: Part, case: Case) -> Measured:
        """Measure the part on a case. Deterministic in `case.seed`."""

    @abc.abstractmethod
    def control(self, part: Part) -> Part:
        """A part that is known to be wrong in this property, made from `part`."""


class Mutant(Part):
    """A part that is wrong on purpose, mixed into the contract of its kind: `class Swapped(Mutant, Objective)`.

    It claims what the right part claims, so that the same checks are run on it; at least one must reject it. A mutant
    that no check can distinguish from a right part, because it is one, declares it in `equivalent`. It is registered
    with `register_mutants` and can be named nowhere.
    """

    mutant_of: ClassVar[str]
    """Name of the right part, of the same kind."""
    wrong: ClassVar[str]
    """The mistake, in one line."""
    equivalent: ClassVar[str] = ""
    """Why it is right all the same; empty for a mutant that must be rejected."""
