"""A network with a frozen base: only what is trained is averaged, optimised and kept, and the base must be the same
wherever files are read."""

from __future__ import annotations

import json

import pytest
import torch
from torch import nn
from torch.profiler import ProfilerActivity, profile

from ambientkit.checkpoint import initial_weights, write_folder
from ambientkit.checkpoint.base import NONE, base_of, train_mode
from ambientkit.checkpoint.weights import load_weights
from ambientkit.config import RunConfig, Source, resolve
from ambientkit.errors import InputError
from ambientkit.interfaces import Model
from ambientkit.maths.noise import per_row
from ambientkit.maths.precondition import edm_preconditioning
from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.registry import Entry, Registry, load
from ambientkit.run.folder import save_average
from ambientkit.sample import load_run
from ambientkit.training import build, steps
from tests.support.engine import SMALL, bits, same


class Net(nn.Module):
    """A frozen table, of which a row is read, a frozen normalisation with buffers, and a trained head."""

    def __init__(self, size, table, width, trained):
        super().__init__()
        self.base = nn.ModuleDict({"table": nn.Embedding(table, 8), "norm": nn.BatchNorm1d(8)})
        self.base.requires_grad_(trained)
        self.head = nn.Sequential(nn.Linear(size + 9, width), nn.SiLU(), nn.Linear(width, size))

    def forward(self, y, noise):
        read = self.base["norm"](self.base["table"](torch.arange(len(y)) % 2))
        return self.head(torch.cat([y, read, noise.unsqueeze(1)], dim=1))


class Adapted(Model):
    """A model of which `table` rows of 8 numbers are frozen."""

    name = "adapted"
    table: int = 64
    width: int = 8
    trained: bool = False
    other: bool = False

    def network(self, signal):
        if self.other:
            torch.rand(1)  # so that the base is drawn from another place of the stream
        return Net(signal.shape[0], self.table, self.width, self.trained)

    def denoiser(self, network, signal):
        def denoise(x, sigma, /, **cond):
            c = edm_preconditioning(sigma, signal.sigma_data)
            return per_row(c.c_skip, x) * x + per_row(c.c_out, x) * network(per_row(c.c_in, x) * x, c.c_noise)

        return denoise


def registry():
    own = load()
    return Registry([*own.entries(), Entry("model", Adapted, "tests", "0")])


def config(**fields) -> RunConfig:
    return resolve(
        Source({**SMALL, "objective": "tweedie", "end_step": 4, "model": {"name": "adapted", **fields}}), registry()
    )


def trained(**fields):
    run = build(config(**fields))
    list(steps(run))
    return run


def written(run, folder):
    write_folder(folder / "checkpoints" / f"checkpoint_{run.step}", run.state())
    save_average(run, folder, run.average_of_all())
    return folder


def tensors_of(path):
    return set(load_weights(path)[0])


HEAD = {"head.0.weight", "head.0.bias", "head.2.weight", "head.2.bias"}


def test_files_hold_what_is_trained_and_the_average_shares_the_rest(tmp_path):
    run = trained()
    folder = written(run, tmp_path)
    last = folder / "checkpoints" / "checkpoint_4"
    assert tensors_of(folder / "model_ema.safetensors") == HEAD
    assert tensors_of(last / "model.safetensors") == HEAD
    assert tensors_of(last / "average.safetensors") == {"n_averaged", *(f"module.{name}" for name in HEAD)}
    assert {name.partition(".")[0] for name in tensors_of(last / "optimizer.safetensors")} == {"0", "1", "2", "3"}
    own, averaged = run.bare_network.state_dict(), run.average.module.state_dict()
    for name, value in own.items():
        assert (averaged[name].data_ptr() == value.data_ptr()) == (name not in HEAD), name
    assert not torch.equal(averaged["head.0.weight"], build(config()).bare_network.state_dict()["head.0.weight"])


def test_a_frozen_base_stays_to_the_bit_buffers_and_all():
    before, run = build(config()), trained()
    assert run.base.names == {name for name in run.bare_network.state_dict() if name.startswith("base.")}
    for name in run.base.names:
        assert torch.equal(before.bare_network.state_dict()[name], run.bare_network.state_dict()[name]), name
    moved = trained(trained=True)  # the control: a base that is trained changes, its buffers too, and is kept
    assert not moved.base
    for name in ("base.table.weight", "base.norm.running_mean"):
        assert not torch.equal(before.bare_network.state_dict()[name], moved.bare_network.state_dict()[name]), name


def test_a_run_over_a_frozen_base_resumes_to_the_same_bits(tmp_path):
    whole, half = trained(), build(config())
    found = iter(steps(half))
    next(found), next(found)
    again = build(config())
    again.restore(half.state(), "here")
    list(steps(again))
    assert same(bits(whole), bits(again))


def test_samples_are_drawn_with_the_base_that_the_model_gives_again(tmp_path):
    run = trained()
    read = load_run(written(run, tmp_path), registry())
    for name, value in run.average.module.state_dict().items():
        assert torch.equal(read.network.state_dict()[name], value), name
    x, sigma = torch.ones(3, 2), torch.full((3,), 0.5)
    with torch.no_grad():
        assert torch.equal(read.denoiser(x, sigma), run.teacher(x, sigma))
    other = load_run(tmp_path / "checkpoints" / "checkpoint_4", registry())
    assert torch.equal(other.network.state_dict()["base.table.weight"], read.network.state_dict()["base.table.weight"])


def test_another_base_is_refused_wherever_files_are_read(tmp_path):
    folder = written(trained(), tmp_path)
    last = folder / "checkpoints" / "checkpoint_4"
    other = build(config(other=True))
    with pytest.raises(
        InputError, match=r"belong to a frozen base of digest \w{12}, but the model gives one of digest \w{12} here"
    ):
        other.restore({path.name: path.read_bytes() for path in last.iterdir()}, "there")
    for place in (folder, last, folder / "model_ema.safetensors"):
        with pytest.raises(InputError, match="frozen base"):
            initial_weights(place, other.base)
        tensors, where = initial_weights(place, build(config()).base)
        build(config()).begin_with(tensors, where)
    with pytest.raises(InputError, match="freezes nothing here"):
        initial_weights(folder, build(config(trained=True)).base)
    content = (folder / "model_ema.safetensors").read_bytes()
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    assert '"other": false' in header["__metadata__"]["config"]
    header["__metadata__"]["config"] = header["__metadata__"]["config"].replace('"other": false', '"other": true')
    text = json.dumps(header).encode()
    (folder / "model_ema.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + content[start:])
    with pytest.raises(InputError, match=r"model_ema\.safetensors: these weights belong to a frozen base"):
        load_run(folder, registry())


def test_whole_weights_of_another_program_are_taken_where_their_base_is_the_same():
    run, donor = build(config()), trained()
    whole = donor.bare_network.state_dict()
    run.begin_with(whole, "here")
    assert torch.equal(run.bare_network.state_dict()["head.0.weight"], whole["head.0.weight"])
    changed = {**whole, "base.table.weight": whole["base.table.weight"] + 1}
    with pytest.raises(InputError, match=r"tensor 'base.table.weight' is frozen in this model, but has other values"):
        run.begin_with(changed, "here")


def test_the_digest_sees_values_shapes_and_names():
    def made(change=lambda network: None):
        with isolated_global_generator(0, "net"):
            network = Net(2, 64, 8, False)
        change(network)
        return base_of(network).digest

    first = made()
    assert first == made()
    with torch.no_grad():
        assert first != made(lambda network: network.base["table"].weight[7, 1].add_(1e-3))
        assert first != made(lambda network: network.base["norm"].running_var.add_(1))
        assert first == made(lambda network: network.head[0].weight.add_(1))
    assert first != made(lambda network: network.head.requires_grad_(False)[2].weight.requires_grad_(True))


def test_a_network_of_which_nothing_is_trained_is_refused_and_one_of_which_all_is_has_no_base():
    with isolated_global_generator(0, "net"):
        assert base_of(Net(2, 64, 8, True)) is NONE
        assert base_of(Net(2, 64, 8, False).requires_grad_(False)) is NONE

    class Stuck(Adapted):
        name = "stuck"

        def network(self, signal):
            return super().network(signal).requires_grad_(False)

    stuck = config().model_copy(update={"model": Stuck()})
    with pytest.raises(InputError, match="model 'stuck': its network has no trainable parameter"):
        build(stuck)


def test_frozen_modules_run_in_evaluation_mode_and_others_in_training_mode():
    with isolated_global_generator(0, "net"):
        network = nn.Sequential(
            Net(2, 64, 8, False), nn.Dropout(0.5), nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Dropout(0.5))
        )
    train_mode(network)
    assert [module.training for module in (network, network[0], network[0].head, network[1])] == [True] * 4
    assert [module.training for module in (network[0].base["norm"], network[2], network[2][1])] == [False] * 3


def test_memory_and_files_follow_what_is_trained():
    """50 million frozen numbers, of which two rows are read, under a head of 1 million: nothing but the network itself
    is as large as the base."""
    table, width = 6_250_000, 72_000

    def peak(**fields):
        asked = config(table=table, width=width, **fields)
        with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
            run = build(asked)
            next(steps(run))
            files = run.state()
        held = high = 0
        for event in sorted(
            (e for e in seen.profiler.kineto_results.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()
        ):
            held += event.nbytes()
            high = max(high, held)
        return run, high, sum(map(len, files.values()))

    run, high, size = peak()
    base = 4 * sum(run.bare_network.state_dict()[name].numel() for name in run.base.names)
    head = 4 * sum(parameter.numel() for parameter in run.trained)
    assert base >= 200e6
    assert 3.9e6 < head < 5e6
    assert size < 4.1 * head  # weights, average, and two numbers of the optimiser for each weight
    assert base < high < base + 12 * head
    assert run.optimizer_of_all()["state"].keys() == {0, 1, 2, 3}
