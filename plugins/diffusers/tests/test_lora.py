"""`sdxl-lora` and `diffusers-unet`: adapters that train, are kept, and are read by diffusers alone, at any alpha."""

from __future__ import annotations

import json

import pytest
import torch
from ambientkit_diffusers.adapter import METADATA
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS, time_ids
from ambientkit_diffusers.models import DiffusersUNet, SDXLLoRA
from safetensors import safe_open
from torch.utils.data import Dataset

from ambientkit.batch import Batch
from ambientkit.checkpoint import initial_weights, write_folder
from ambientkit.checkpoint.initial import stated
from ambientkit.config import Source, resolve
from ambientkit.data.conditions import drop_conditions, null_values
from ambientkit.errors import InputError
from ambientkit.interfaces import Data, Finished, Levels, Signal
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import Entry, Registry, load
from ambientkit.run.folder import save_average
from ambientkit.sample import load_run, restore_rows, sample_rows
from ambientkit.sample.load import about_data
from ambientkit.training import build, steps

SHAPE = (4, 8, 8)
CONDS = {PROMPT: (77, 64), POOLED: (32,), TIME_IDS: (6,)}
SIGNAL = Signal(SHAPE, 1.0, CONDS)
LEVELS = {"sigma_min": 0.03, "sigma_max": 14.6}


class Latents(Data):
    """Noisy latents with the conditions of a tiny SDXL."""

    name = "test-latents"
    n: int = 8

    def rows(self):
        return _Rows(self.n)


class _Rows(Dataset):
    mapping, assumed = None, False

    def __init__(self, n):
        self.n = n

    def __len__(self):
        return self.n

    def __getitem__(self, index):
        g = keyed_generator(0, "latents", row=index)
        cond = {name: torch.randn(shape, generator=g) for name, shape in CONDS.items()}
        cond[TIME_IDS] = time_ids((16 + index, 16), (0, index), (16, 16))
        return Batch(torch.randn(SHAPE, generator=g), torch.tensor(0.3), torch.tensor(index), cond)


def registry():
    return Registry([*load().entries(), Entry("data", Latents, "tests", "0")])


def config(path, **more):
    model = {
        "name": "sdxl-lora",
        "path": str(path),
        "rank": 4,
        "alpha": 6,
        "base_dtype": "float32",
        **more.pop("model", {}),
    }
    return resolve(
        Source(
            {
                "data": {"name": "test-latents"},
                "model": model,
                "objective": "tweedie",
                "levels": LEVELS,
                "end_step": 3,
                "batch_size": 2,
                "hold_out": 0,
                **more,
            }
        ),
        registry(),
    )


def network_of(model, spread=0.2):
    """A network of a model whose adapter has a say."""
    with isolated_global_generator(0, "test"):
        network = model.network(SIGNAL)
        for name, parameter in network.named_parameters():
            if "lora_B" in name:
                parameter.data = spread * torch.randn(parameter.shape)
    return network.eval().requires_grad_(False)


def batch(n=2):
    g = keyed_generator(0, "batch")
    cond = {name: torch.randn(n, *shape, generator=g) for name, shape in CONDS.items()}
    cond[TIME_IDS] = time_ids((16, 16), (0, 0), (16, 16)).repeat(n, 1)
    return torch.randn(n, *SHAPE, generator=g), torch.tensor([0.4, 5.0])[:n], cond


def of_pipeline(path, load, model):
    """x_0_hat of diffusers alone: its pipeline's U-Net, after `load`, between the levels of its scheduler."""
    from diffusers import StableDiffusionXLPipeline

    pipeline = StableDiffusionXLPipeline.from_pretrained(path, local_files_only=True, add_watermarker=False)
    load(pipeline)
    x, sigma, cond = batch()
    level = sigma.reshape(-1, 1, 1, 1)
    added = {"text_embeds": cond[POOLED], "time_ids": cond[TIME_IDS]}
    with torch.no_grad():
        seen, time = x / (level**2 + 1).sqrt(), model.edge().time(sigma)
        answer = pipeline.unet(seen, time, encoder_hidden_states=cond[PROMPT], added_cond_kwargs=added).sample
    return x - level * answer, pipeline


@pytest.fixture(scope="module")
def run(tiny_sdxl, tmp_path_factory):
    """(a training of three steps, its folder)."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    training = build(config(tiny_sdxl, cond_dropout=0.5))
    list(steps(training))
    training.about_data = about_data(Latents().rows(), (0.3, 0.3), "declared")
    write_folder(folder / "checkpoints" / "checkpoint_3", training.state())
    save_average(training, folder, training.average_of_all())
    return training, folder


def test_only_the_adapter_is_trained_averaged_and_kept_in_float32(run):
    training, folder = run
    own, averaged = training.bare_network.state_dict(), training.average.module.state_dict()
    trained = {name for name, value in training.bare_network.named_parameters() if value.requires_grad}
    assert trained
    assert all(".lora_" in name for name in trained)
    assert all(own[name].dtype == torch.float32 for name in trained)
    for name, value in own.items():
        assert (averaged[name].data_ptr() == value.data_ptr()) == (name not in trained), name
    kept, _ = initial_weights(folder)
    assert kept.keys() == trained
    assert any(bool(kept[name].abs().max() > 0) for name in trained if "lora_B" in name)  # three steps have moved it


def test_a_run_resumes_to_the_same_bits(run, tiny_sdxl):
    whole, _ = run
    half = build(config(tiny_sdxl, cond_dropout=0.5))
    found = iter(steps(half))
    next(found)
    again = build(config(tiny_sdxl, cond_dropout=0.5))
    again.restore(half.state(), "here")
    list(steps(again))
    for mine, right in ((again.bare_network, whole.bare_network), (again.average.module, whole.average.module)):
        right = right.state_dict()
        assert all(torch.equal(value, right[name]) for name, value in mine.state_dict().items())


@pytest.mark.parametrize("alpha", [None, 6.0], ids=["alpha is rank", "alpha is not"])
def test_diffusers_reads_both_files_and_gives_the_trained_denoiser(alpha, tiny_sdxl, tmp_path):
    model = SDXLLoRA(path=tiny_sdxl, rank=4, alpha=alpha, base_dtype="float32")
    network = network_of(model)
    x, sigma, cond = batch()
    ours = model.denoiser(network, SIGNAL)(x, sigma, **cond)
    finished = Finished(model, network, SIGNAL, Levels(**LEVELS))
    written = {}
    for form, name in (("diffusers-lora", "lora"), ("kohya-lora", "kohya.safetensors")):
        exporter = load().build("exporter", form)
        assert exporter.takes(model)
        exporter.write(finished, tmp_path / name)
        written[form] = tmp_path / name
        assert "load_lora_weights" in exporter.snippet(finished, str(tmp_path / name))
    assert [file.name for file in written["diffusers-lora"].iterdir()] == ["pytorch_lora_weights.safetensors"]
    file = written["diffusers-lora"] / "pytorch_lora_weights.safetensors"
    with safe_open(file, "pt") as content:
        told = json.loads(content.metadata()[METADATA])
        assert all(name.startswith("unet.") for name in content.keys())  # noqa: SIM118
    assert (told["unet.r"], told["unet.lora_alpha"]) == (4, alpha or 4)
    bare, _ = of_pipeline(tiny_sdxl, lambda pipeline: None, model)
    assert float((bare - ours).abs().max()) > 0.05  # the adapter has a say
    for place in (written["diffusers-lora"], written["kohya-lora"]):
        found, pipeline = of_pipeline(tiny_sdxl, lambda pipeline, place=place: pipeline.load_lora_weights(place), model)
        torch.testing.assert_close(found, ours, rtol=1e-4, atol=1e-4)
        pipeline.fuse_lora()  # merged, as the page on export says
    for place in (file, written["kohya-lora"]):  # and back, from either
        tensors, where = initial_weights(place)
        again = model.translated(tensors, stated(where), network_of(model, spread=0.0), where)
        own = network.state_dict()
        assert again.keys() == {name for name in own if ".lora_" in name}
        assert all(torch.equal(value, own[name]) for name, value in again.items())


def test_an_adapter_of_another_base_rank_or_alpha_is_refused(tiny_sdxl, tmp_path):
    model = SDXLLoRA(path=tiny_sdxl, rank=4, alpha=6.0, base_dtype="float32")
    network = network_of(model)
    load().build("exporter", "diffusers-lora").write(
        Finished(model, network, SIGNAL, Levels(**LEVELS)), tmp_path / "lora"
    )
    tensors, where = initial_weights(tmp_path / "lora" / "pytorch_lora_weights.safetensors")

    def refused(**fields):
        other = SDXLLoRA(**{"path": tiny_sdxl, "rank": 4, "alpha": 6.0, "base_dtype": "float32", **fields})
        with pytest.raises(InputError) as error:
            other.translated(tensors, stated(where), other.network(SIGNAL), where)
        return str(error.value)

    with isolated_global_generator(0, "test"):
        assert "has rank 4, but the model rank 8" in refused(rank=8)
        assert "has alpha 6, but the model alpha 4" in refused(alpha=None)
        assert "belongs to another base, or to other targets" in refused(targets=("to_q",))
    changed = {
        name: value[:, :3] if name.endswith("to_q.lora.down.weight") else value for name, value in tensors.items()
    }
    with pytest.raises(InputError, match=r"belongs to another base: .*to_q"):
        model.translated(changed, stated(where), network, where)
    plain = DiffusersUNet(path=tiny_sdxl)
    with pytest.raises(InputError, match="is a LoRA, but the model has no adapter"):
        plain.translated(tensors, {}, network, where)


def test_the_adapter_of_a_text_encoder_is_left_out_and_said_so(tiny_sdxl, tmp_path, caplog):
    model = SDXLLoRA(path=tiny_sdxl, rank=4, base_dtype="float32")
    network = network_of(model)
    load().build("exporter", "diffusers-lora").write(
        Finished(model, network, SIGNAL, Levels(**LEVELS)), tmp_path / "lora"
    )
    tensors, where = initial_weights(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    name = "text_encoder.text_model.encoder.layers.0.self_attn.q_proj.lora_linear_layer"
    with caplog.at_level("INFO", logger="ambientkit"):
        assert model.translated(tensors, stated(where), network, where)
        assert not caplog.messages
        more = {f"{name}.down.weight": torch.zeros(4, 32), f"{name}.up.weight": torch.zeros(32, 4)}
        model.translated({**tensors, **more}, stated(where), network, where)
    assert "its adapter of text_encoder is left out" in caplog.text


def test_a_base_in_half_precision_has_an_adapter_and_an_algebra_in_float32(tiny_sdxl):
    model = SDXLLoRA(path=tiny_sdxl)
    with isolated_global_generator(0, "test"):
        network = model.network(SIGNAL)
    kinds = {(".lora_" in name, value.dtype) for name, value in network.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    x, sigma, cond = batch()
    times = []
    network.time_proj.register_forward_hook(lambda module, inputs, output: times.append(inputs[0]))
    answer = model.denoiser(network, SIGNAL)(x, sigma, **cond)
    assert answer.dtype == torch.float32
    assert torch.equal(times[0], model.edge().time(sigma))  # float32, and no rounding on the way
    assert times[0].dtype == torch.float32
    answer.sum().backward()
    grads = [value.grad for name, value in network.named_parameters() if "lora_B" in name]
    assert all(grad is not None and grad.dtype == torch.float32 for grad in grads)


def test_checkpointing_changes_no_step(tiny_sdxl, run):
    whole, _ = run
    found = build(config(tiny_sdxl, cond_dropout=0.5, checkpointing=True))
    list(steps(found))
    right = whole.bare_network.state_dict()
    for name, value in found.bare_network.state_dict().items():
        torch.testing.assert_close(value, right[name], rtol=1e-4, atol=1e-6)


def test_a_dropped_caption_is_the_pipeline_s_own_nothing_and_the_size_stays(tiny_sdxl):
    model = SDXLLoRA(path=tiny_sdxl)
    x, sigma, cond = batch()
    null = null_values(model, cond)
    assert TIME_IDS not in null  # which stays
    assert not null[PROMPT].any()
    dropped = drop_conditions(Batch(x, sigma, torch.arange(2), cond), null, 0.999999, 0, 0).cond
    assert not dropped[PROMPT].any()
    assert torch.equal(dropped[TIME_IDS], cond[TIME_IDS])


@pytest.mark.slow
def test_samples_of_a_prompt_are_guided_in_every_step_as_the_pipeline_guides(run, tiny_sdxl):
    from diffusers import StableDiffusionXLPipeline

    _, folder = run
    trained = load_run(folder, registry())
    asked = []
    inner = trained.denoiser

    def denoiser(x, sigma, /, **cond):
        asked.append((float(sigma[0]), cond))
        return inner(x, sigma, **cond)

    object.__setattr__(trained, "denoiser", denoiser)
    drawn = sample_rows(
        trained, 2, prompt=["a cat", "a dog"], negative_prompt="fog", guidance=5.0, steps=3, registry=registry()
    )
    assert drawn.shape == (2, *SHAPE)
    pipeline = StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True, add_watermarker=False)
    with torch.no_grad():
        right, against, pooled, _ = pipeline.encode_prompt(
            ["a cat", "a dog"], device="cpu", negative_prompt=["fog", "fog"], num_images_per_prompt=1
        )
    pairs = [asked[i : i + 2] for i in range(1, len(asked), 2)]  # the first call tried the conditions
    assert len(pairs) == 5  # Heun's three steps, of which the last is one of Euler
    for (sigma, without), (same, own) in pairs:
        assert sigma == same
        torch.testing.assert_close(own[PROMPT], right, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(own[POOLED], pooled, rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(without[PROMPT], against, rtol=1e-4, atol=1e-5)
        for cond in (own, without):
            assert cond[TIME_IDS].tolist() == [[16, 16, 0, 0, 16, 16]] * 2
    asked.clear()
    cut = sample_rows(trained, 1, prompt="a cat", guidance=5.0, steps=2, sigma_min="sigma-n", registry=registry())
    assert asked[-1][0] == asked[-2][0] == pytest.approx(0.3)  # the last denoising is guided too
    assert cut.shape == (1, *SHAPE)
    with pytest.raises(InputError, match="--negative-prompt: is what a prompt is guided away from; give guidance"):
        sample_rows(trained, 1, prompt="a cat", negative_prompt="fog", registry=registry())
    with pytest.raises(InputError, match="give --prompt TEXT"):
        sample_rows(trained, 1, registry=registry())


def test_noisy_latents_are_restored_under_a_prompt(run):
    _, folder = run
    trained = load_run(folder, registry())
    found = restore_rows(trained, Latents(n=2), prompt="a cat", guidance=2.0, draws=1, steps=2, registry=registry())
    assert found.mean.shape == (2, *SHAPE)
    own = restore_rows(trained, Latents(n=2), draws=1, steps=2, registry=registry())
    assert not torch.equal(found.mean, own.mean)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"targets": ("to_x",)}, "targets to_x match no linear or convolutional module"),
        ({"scheduler": {"_class_name": "IPNDMScheduler"}}, "scheduler IPNDMScheduler has no table of noise levels"),
    ],
)
def test_what_cannot_be_built_is_refused(fields, message, tiny_sdxl):
    with pytest.raises(InputError, match=message), isolated_global_generator(0, "test"):
        SDXLLoRA(**{"path": tiny_sdxl, **fields}).network(SIGNAL)


def test_missing_weights_and_rows_that_do_not_fit_are_refused(tiny_sdxl, tmp_path):
    with pytest.raises(InputError, match=r"fetch those of SDXL with: hf download \S+ .*--local-dir"):
        SDXLLoRA(path=tmp_path / "sdxl").network(SIGNAL)
    model = SDXLLoRA(path=tiny_sdxl)
    for signal, message in (
        (Signal((3, 8, 8), 1.0, CONDS), "takes 4 channels, but the rows have 3"),
        (Signal((4, 7, 8), 1.0, CONDS), "multiples of 2, but the rows are 7 x 8"),
        (Signal(SHAPE, 1.0, {PROMPT: (77, 64), POOLED: (32,)}), "needs the condition 'time_ids'"),
        (Signal(SHAPE, 1.0, {**CONDS, PROMPT: (77, 32)}), "encoded by the text encoders of another pipeline"),
        (Signal(SHAPE, 1.0, {**CONDS, "class_cond": ()}), "takes no class_cond"),
    ):
        with pytest.raises(InputError, match=message):
            model.network(signal)
    with pytest.raises(
        InputError,
        match=r"knows those from 0\.02917 to 14\.61.*Give levels: \{sigma_min: 0\.02917, sigma_max: 14\.61\}",
    ):
        build(config(tiny_sdxl, levels={}))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"base_dtype": "bfloat16"}, "weights that are trained stay float32"),
        ({"alpha": 3.0}, "alpha belongs to an adapter: give rank too"),
        ({"path": "a", "config": {"_class_name": "UNet2DModel"}}, "give either path, a folder with weights, or config"),
        ({"config": {}}, "names its class as _class_name"),
        ({}, "needs path, the folder of a pipeline or network, or config"),
    ],
)
def test_fields_that_contradict_each_other_are_refused(fields, message):
    with pytest.raises(InputError, match=message):
        load().build("model", {"name": "diffusers-unet", **fields})


@pytest.mark.parametrize(
    "option", ["noise_offset", "multires_noise_iterations", "input_perturbation", "ip_noise_gamma"]
)
def test_options_that_change_the_law_of_the_noise_are_refused_with_the_reason(option, tiny_sdxl):
    with pytest.raises(InputError, match=f"unknown key '{option}': it would change the law of x_t given x_n"):
        config(tiny_sdxl, **{option: 0.1})
    with pytest.raises(InputError, match=f"unknown key '{option}': it would change the law of x_t given x_n"):
        config(tiny_sdxl, model={option: 0.1})
