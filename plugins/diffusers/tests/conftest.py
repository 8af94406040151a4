"""A guard of torch's global generator, as in the tests of ambientkit itself, and no network."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from ambientkit.maths.randomness import isolated_global_generator
from ambientkit.run import demo

# The picture at the end of a run takes 63 calls of the network, tests train for a few steps.
demo.DEMO_STEPS = 4


@pytest.fixture(autouse=True)
def _offline(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(autouse=True)
def _global_generator_untouched(request: pytest.FixtureRequest) -> Iterator[None]:
    before = torch.get_rng_state()
    yield
    if request.node.get_closest_marker("touches_global_generator") is None:
        assert torch.equal(before, torch.get_rng_state()), "this test moved torch's global generator"


@pytest.fixture(scope="session")
def drawn():
    """A network of a model all of whose values are drawn, so that its answer depends on everything."""

    def drawn(model, signal):
        with isolated_global_generator(0, "test"):
            network = model.network(signal)
            for parameter in network.parameters():
                parameter.data += 0.05 * torch.randn(parameter.shape)
        return network.eval().requires_grad_(False)

    return drawn


@pytest.fixture(scope="session")
def tiny_sdxl(tmp_path_factory):
    """The folder of a tiny SDXL with random weights."""
    from ambientkit_diffusers.tiny import write_tiny_sdxl

    return write_tiny_sdxl(tmp_path_factory.mktemp("pipelines") / "tiny-sdxl")


@pytest.fixture(scope="session")
def tiny_sd3(tmp_path_factory):
    """The folder of a tiny Stable Diffusion 3 with random weights, without the third text encoder, as it may be."""
    import diffusers
    import transformers
    from ambientkit_diffusers.library import quietly
    from ambientkit_diffusers.tiny import TOKENS, _tokenizer

    path = tmp_path_factory.mktemp("pipelines") / "tiny-sd3"
    path.mkdir()
    tokenizers = [_tokenizer(path, pad) for pad in ("<|endoftext|>", "!")]
    size = len(tokenizers[0])
    text = transformers.CLIPTextConfig(
        bos_token_id=size - 2, eos_token_id=size - 1, vocab_size=size, hidden_size=32, intermediate_size=37,
        num_attention_heads=4, num_hidden_layers=2, projection_dim=32, max_position_embeddings=TOKENS,
        hidden_act="gelu", pad_token_id=0,
    )  # fmt: skip
    with isolated_global_generator(0, "tiny-sd3"), quietly():
        diffusers.StableDiffusion3Pipeline(
            transformer=diffusers.SD3Transformer2DModel(
                sample_size=16, patch_size=2, in_channels=4, out_channels=4, num_layers=2, attention_head_dim=8,
                num_attention_heads=2, joint_attention_dim=64, caption_projection_dim=16, pooled_projection_dim=64,
                pos_embed_max_size=16, qk_norm="rms_norm",
            ),
            vae=diffusers.AutoencoderKL(
                block_out_channels=[8, 8], down_block_types=["DownEncoderBlock2D"] * 2,
                up_block_types=["UpDecoderBlock2D"] * 2, latent_channels=4, sample_size=32, norm_num_groups=4,
                scaling_factor=1.5305, shift_factor=0.0609,
            ),
            text_encoder=transformers.CLIPTextModelWithProjection(text), tokenizer=tokenizers[0],
            text_encoder_2=transformers.CLIPTextModelWithProjection(text), tokenizer_2=tokenizers[1],
            text_encoder_3=None, tokenizer_3=None,
            scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        ).save_pretrained(path, safe_serialization=True)  # fmt: skip
    return path
