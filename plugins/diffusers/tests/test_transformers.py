"""DiT and Stable Diffusion 3: their schedulers' formulas, training under an adapter, files that diffusers reads."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from ambientkit_diffusers.conditions import POOLED, PROMPT
from ambientkit_diffusers.latents import Latents
from ambientkit_diffusers.models import DiffusersUNet
from PIL import Image
from torch.utils.data import Dataset

import ambientkit as ak
from ambientkit.batch import Batch
from ambientkit.checkpoint import initial_weights
from ambientkit.checkpoint.initial import stated
from ambientkit.errors import InputError
from ambientkit.interfaces import Finished, Levels, Signal
from ambientkit.maths.noise import per_row
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load

SHAPE = (4, 8, 8)
CLASSES = 5
DIT = {
    "_class_name": "DiTTransformer2DModel", "num_attention_heads": 2, "attention_head_dim": 8, "in_channels": 4,
    "out_channels": 8, "num_layers": 2, "sample_size": 8, "patch_size": 2, "num_embeds_ada_norm": CLASSES,
}  # fmt: skip
DDIM = {"_class_name": "DDIMScheduler"}
OF_DIT = Signal(SHAPE, 1.0, {"class_cond": ()})
OF_SD3 = Signal(SHAPE, 1.0, {PROMPT: (333, 64), POOLED: (64,)})
LEVELS = {"sigma_min": 0.03, "sigma_max": 50.0}


class Noisy(Dataset):
    """Noisy latents of std 0.3, with the conditions of a signal."""

    def __init__(self, conds):
        self.conds = conds

    def __len__(self):
        return 6

    def __getitem__(self, index):
        g = keyed_generator(0, "rows", row=index)
        cond = {
            name: torch.randn(shape, generator=g) if shape else index % CLASSES for name, shape in self.conds.items()
        }
        return Batch(torch.randn(SHAPE, generator=g), torch.tensor(0.3), torch.tensor(index), cond)


def asked(signal):
    """(x, sigma, conditions) of two rows."""
    g = keyed_generator(0, "asked")
    cond = {
        name: torch.randn(2, *shape, generator=g) if shape else torch.tensor([1, CLASSES])
        for name, shape in signal.conds.items()
    }
    return torch.randn(2, *SHAPE, generator=g), torch.tensor([0.4, 5.0]), cond


def trained(model, conds, **more):
    """A training of three steps under an adapter."""
    configured = ak.configure(
        Noisy(conds), model=model, objective="tweedie-consistency", levels=LEVELS, end_step=3, batch_size=2,
        hold_out=0.0, sigma_data=1.0, lr=0.05, device="cpu", cond_dropout=0.5, **more,
    )  # fmt: skip
    training = ak.build(configured)
    for _ in ak.steps(training):
        pass
    return training


def finished(model, training, signal):
    return Finished(model, training.average.module.eval().requires_grad_(False), signal, Levels(**LEVELS))


@pytest.fixture(scope="module")
def dit():
    """(a DiT under an adapter, its training)."""
    with isolated_global_generator(0, "test"):
        model = DiffusersUNet(config=DIT, scheduler=DDIM, rank=2, alpha=3.0)
        return model, trained(model, OF_DIT.conds)


@pytest.fixture(scope="module")
def sd3(tiny_sd3):
    """(Stable Diffusion 3 under an adapter, its training)."""
    with isolated_global_generator(0, "test"):
        model = DiffusersUNet(path=tiny_sd3, rank=4, alpha=6.0)
        return model, trained(model, OF_SD3.conds)


def test_a_dit_answers_by_its_scheduler_s_table_and_its_variance_is_left_out(drawn):
    model = DiffusersUNet(config=DIT, scheduler=DDIM)
    network = drawn(model, OF_DIT)
    x, _, cond = asked(OF_DIT)
    scheduler = model.scheduler_object()
    k = torch.tensor([100, 700])
    abar = scheduler.alphas_cumprod[k]
    sigma = ((1 - abar) / abar).sqrt()
    with torch.no_grad():
        shown = x * per_row(abar.sqrt(), x)
        answer = network(shown, timestep=k, class_labels=cond["class_cond"]).sample
        ours = model.denoiser(network, OF_DIT)(x, sigma, **cond)
    assert answer.shape[1] == 8
    scheduler.set_timesteps(1000)
    for i in range(2):
        right = scheduler.step(answer[[i], :4], int(k[i]), shown[[i]])
        clipped = scheduler.config.clip_sample
        theirs = right.pred_original_sample
        torch.testing.assert_close(ours[[i]].clamp(-1, 1) if clipped else ours[[i]], theirs, rtol=1e-3, atol=1e-4)


def test_a_dit_drops_labels_by_the_run_alone_and_names_the_one_that_stands_for_none(dit):
    model, training = dit
    network = training.bare_network.train()
    x, sigma, cond = asked(OF_DIT)
    state = torch.get_rng_state()
    with torch.no_grad():
        one, other = (model.denoiser(network, OF_DIT)(x, sigma, **cond) for _ in range(2))
    assert torch.equal(one, other)
    assert torch.equal(state, torch.get_rng_state())
    assert (model.classes, model.null_cond("class_cond")) == (CLASSES, CLASSES)
    with pytest.raises(InputError, match="its embedding 5 stands for none: leave num_classes out"):
        DiffusersUNet(config=DIT, scheduler=DDIM, num_classes=3).check(OF_DIT)


def test_diffusers_reads_a_merged_dit_and_gives_the_trained_denoiser(dit, tmp_path):
    from diffusers import DiTTransformer2DModel

    model, training = dit
    exporter = load().build("exporter", "diffusers")
    exporter.write(finished(model, training, OF_DIT), tmp_path / "out")
    assert "DiTTransformer2DModel.from_pretrained" in exporter.snippet(finished(model, training, OF_DIT), "out")
    x, sigma, cond = asked(OF_DIT)
    with isolated_global_generator(0, "test"), torch.no_grad():
        network = DiTTransformer2DModel.from_pretrained(tmp_path / "out", subfolder="transformer").eval()
        edge, level = model.edge(), per_row(sigma, x)
        eps = network(edge.input(x, sigma), timestep=edge.time(sigma), class_labels=cond["class_cond"]).sample[:, :4]
        torch.testing.assert_close(training.teacher(x, sigma, **cond), x - level * eps, rtol=1e-4, atol=1e-4)
    for form in ("diffusers-lora", "kohya-lora"):
        with pytest.raises(InputError, match="loads no LoRA of this form on a DiTTransformer2DModel"):
            load().build("exporter", form).write(finished(model, training, OF_DIT), tmp_path / form)


def test_a_dit_is_read_under_the_name_that_its_weights_were_published_with(dit, tmp_path):
    model, training = dit
    load().build("exporter", "diffusers").write(finished(model, training, OF_DIT), tmp_path / "out")
    file = tmp_path / "out" / "transformer" / "config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps({**told, "_class_name": "Transformer2DModel", "norm_type": "ada_norm_zero"}))
    again = DiffusersUNet(path=tmp_path / "out")
    x, sigma, cond = asked(OF_DIT)
    with isolated_global_generator(0, "test"), torch.no_grad():
        found = again.denoiser(again.network(OF_DIT).eval(), OF_DIT)(x, sigma, **cond)
        torch.testing.assert_close(found, training.teacher(x, sigma, **cond), rtol=1e-4, atol=1e-4)


def test_diffusers_reads_an_adapter_of_sd3_and_gives_the_trained_denoiser(sd3, tiny_sd3, tmp_path):
    from diffusers import StableDiffusion3Pipeline

    model, training = sd3
    exporter = load().build("exporter", "diffusers-lora")
    exporter.write(finished(model, training, OF_SD3), tmp_path / "lora")
    x, sigma, cond = asked(OF_SD3)
    t = per_row(sigma / (1 + sigma), x)

    def flow(pipeline):
        with torch.no_grad():
            return pipeline.transformer(
                hidden_states=(1 - t) * x, timestep=1000 * t.flatten(), encoder_hidden_states=cond[PROMPT],
                pooled_projections=cond[POOLED], return_dict=False,
            )[0]  # fmt: skip

    with isolated_global_generator(0, "test"), torch.no_grad():
        without = dict.fromkeys(("text_encoder_3", "tokenizer_3", "image_encoder", "feature_extractor"))
        pipeline = StableDiffusion3Pipeline.from_pretrained(tiny_sd3, local_files_only=True, **without)
        bare = flow(pipeline)
        pipeline.load_lora_weights(tmp_path / "lora")
        found = flow(pipeline)
        ours = training.teacher(x, sigma, **cond)
    assert float((bare - found).abs().max()) > 1e-3  # the adapter has a say
    torch.testing.assert_close(ours, (1 - t) * x - t * found, rtol=1e-4, atol=1e-4)
    tensors, where = initial_weights(tmp_path / "lora" / "pytorch_lora_weights.safetensors")
    with isolated_global_generator(0, "test"):
        fresh = model.network(OF_SD3)
    again = model.translated(tensors, stated(where), fresh, where)
    own = training.average.module.state_dict()
    assert all(torch.equal(value, own[name]) for name, value in again.items())
    assert len(again) == sum(".lora_" in name for name in own)
    with pytest.raises(InputError, match=r"loads no LoRA of this form on a SD3Transformer2DModel.*own keys"):
        load().build("exporter", "kohya-lora").write(finished(model, training, OF_SD3), tmp_path / "kohya")


@pytest.mark.slow
def test_sd3_runs_from_pictures_with_captions_to_samples_of_a_prompt(tiny_sd3, tmp_path):
    (tmp_path / "pictures").mkdir()
    for index in range(3):
        coarse = np.random.default_rng(index).integers(0, 256, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((40, 32)).save(tmp_path / "pictures" / f"{index}.png")
        (tmp_path / "pictures" / f"{index}.txt").write_text("a face")
    data = Latents(path=tmp_path / "pictures", pipeline=tiny_sd3, noise_timestep=200, cache=tmp_path / "store")
    assert float(data.rows()[0].sigma_n) == pytest.approx(0.25)  # t / (1 - t), t = .2
    run = ak.train(
        data, model=DiffusersUNet(path=tiny_sd3, rank=2), levels=LEVELS, end_step=2, batch_size=2,
        skip_preflight=True, output_dir=tmp_path / "run", device="cpu",
    )  # fmt: skip
    drawn = run.sample(1, prompt="a face", guidance=4.0, negative_prompt="fog", steps=2)
    assert drawn.shape == (1, 4, 16, 16)
    assert drawn.isfinite().all()
