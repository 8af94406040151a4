"""A pipeline of SDXL's make with random weights, small enough for a test: 3 million values, no hub, no network."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ambientkit.maths.randomness import isolated_global_generator
from ambientkit_diffusers.library import diffusers, quietly, transformers

SIDE = 64
"""Pixels along a side of its pictures; its latents are (4, 32, 32), as its VAE halves them once."""
TOKENS = 77


def write_tiny_sdxl(path: Path, seed: int = 0, **scheduler: Any) -> Path:
    """Write the folder of a StableDiffusionXLPipeline: U-Net, VAE, two text encoders and tokenizers, Euler's scheduler.

    Its classes, conditions and names of modules are SDXL's; its sizes are not, and its tokens are single characters.
    Its samples are noise. seed: of its weights. scheduler: other values of the scheduler's configuration, such as
    prediction_type="v_prediction".
    """
    library, texts = diffusers(), transformers()
    path.mkdir(parents=True)
    tokenizers = [_tokenizer(path, pad) for pad in ("<|endoftext|>", "!")]
    size = len(tokenizers[0])
    common = {
        "bos_token_id": size - 2,
        "eos_token_id": size - 1,
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 37,
        "num_attention_heads": 4,
        "num_hidden_layers": 3,
        "projection_dim": 32,
        "max_position_embeddings": TOKENS,
        "hidden_act": "gelu",
    }
    with isolated_global_generator(seed, "tiny-sdxl"):
        pipeline = library.StableDiffusionXLPipeline(
            vae=library.AutoencoderKL(
                block_out_channels=[16, 32],
                down_block_types=["DownEncoderBlock2D"] * 2,
                up_block_types=["UpDecoderBlock2D"] * 2,
                latent_channels=4,
                sample_size=SIDE,
                norm_num_groups=8,
                scaling_factor=0.13025,
            ),
            text_encoder=texts.CLIPTextModel(texts.CLIPTextConfig(pad_token_id=size - 1, **common)),
            text_encoder_2=texts.CLIPTextModelWithProjection(texts.CLIPTextConfig(pad_token_id=0, **common)),
            tokenizer=tokenizers[0],
            tokenizer_2=tokenizers[1],
            unet=library.UNet2DConditionModel(
                block_out_channels=(32, 64),
                layers_per_block=1,
                sample_size=SIDE // 2,
                in_channels=4,
                out_channels=4,
                down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
                up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
                attention_head_dim=(2, 4),
                use_linear_projection=True,
                addition_embed_type="text_time",
                addition_time_embed_dim=8,
                transformer_layers_per_block=(1, 1),
                projection_class_embeddings_input_dim=6 * 8 + 32,
                cross_attention_dim=64,
                norm_num_groups=8,
            ),
            scheduler=library.EulerDiscreteScheduler(
                **{
                    "beta_start": 0.00085,
                    "beta_end": 0.012,
                    "beta_schedule": "scaled_linear",
                    "steps_offset": 1,
                    "timestep_spacing": "leading",
                    **scheduler,
                }
            ),
            force_zeros_for_empty_prompt=True,
            add_watermarker=False,
        )
    with quietly():
        pipeline.save_pretrained(path, safe_serialization=True)
    for name in ("vocab.json", "merges.txt"):
        (path / name).unlink()
    return path


def _tokenizer(path: Path, pad: str) -> Any:
    """CLIP's tokenizer, with bytes for words: no merges, so that no file of a vocabulary is needed."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in printable]
    letters = [chr(byte) for byte in printable] + [chr(256 + place) for place in range(len(others))]
    words = [*letters, *(letter + "</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (path / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(words)}), encoding="utf-8")
    (path / "merges.txt").write_text("#version: 0.2\n", encoding="utf-8")
    return transformers().CLIPTokenizer.from_pretrained(
        str(path),
        pad_token=pad,
        model_max_length=TOKENS,
        bos_token="<|startoftext|>",
        eos_token="<|endoftext|>",
        unk_token="<|endoftext|>",
    )
