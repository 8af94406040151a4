"""Text encoders and VAE of a pipeline: the same captions, latents and pictures as the pipeline's own, and unloaded
after."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from ambientkit_diffusers.conditions import POOLED, PROMPT, time_ids
from ambientkit_diffusers.text import TextEncoders
from ambientkit_diffusers.vae import Autoencoder, pixels_per_cell

from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator


@pytest.fixture(scope="module")
def pipeline(tiny_sdxl):
    from diffusers import StableDiffusionXLPipeline

    return StableDiffusionXLPipeline.from_pretrained(tiny_sdxl, local_files_only=True, add_watermarker=False)


@pytest.mark.slow
def test_captions_are_encoded_as_the_pipeline_does_and_none_stands_as_it_says(tiny_sdxl, pipeline):
    with TextEncoders(tiny_sdxl) as text:
        found, nothing = text.encode(["a cat", ""]), text.empty_prompt()
        loaded = weakref.ref(text._pipeline.text_encoder_2)
    gc.collect()
    assert loaded() is None  # unloaded
    with torch.no_grad():
        embeds, null, pooled, null_pooled = pipeline.encode_prompt(
            "a cat", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=True
        )
    for name, right, none in ((PROMPT, embeds, null), (POOLED, pooled, null_pooled)):
        torch.testing.assert_close(found[name][:1], right)
        torch.testing.assert_close(nothing[name], none[0])
        assert not torch.equal(found[name][1], none[0])  # an empty text is not the same as none
    assert (found[PROMPT].shape, found[POOLED].shape) == ((2, 77, 64), (2, 32))


def test_latents_and_pictures_are_scaled_by_the_vae_s_own_factor(tiny_sdxl, pipeline):
    pictures = torch.rand(2, 3, 64, 64, generator=keyed_generator(0, "pictures")) * 2 - 1
    generators = [keyed_generator(0, "vae", row=row) for row in (4, 7)]
    with Autoencoder(tiny_sdxl) as vae:
        latents = vae.encode(pictures, generators)
        again = vae.encode(pictures[1:], [keyed_generator(0, "vae", row=7)])
        seen = vae.decode(latents)
    assert latents.shape == (2, 4, 64 // pixels_per_cell(tiny_sdxl), 32)
    torch.testing.assert_close(again[0], latents[1])  # a row's draw does not depend on its batch
    with torch.no_grad():
        law = pipeline.vae.encode(pictures).latent_dist
        drawn = law.sample(generator=[keyed_generator(0, "vae", row=row) for row in (4, 7)])
        torch.testing.assert_close(latents, drawn * pipeline.vae.config.scaling_factor)
        torch.testing.assert_close(seen, pipeline.vae.decode(drawn).sample, rtol=1e-4, atol=1e-4)


def test_time_ids_are_in_the_order_of_the_pipeline(pipeline):
    right = pipeline._get_add_time_ids((600, 800), (3, 5), (512, 640), torch.float32, text_encoder_projection_dim=32)
    assert torch.equal(time_ids((600, 800), (3, 5), (512, 640)), right[0])


def test_missing_weights_name_the_command_that_fetches_them(tmp_path):
    for part in (TextEncoders, Autoencoder):
        with (
            pytest.raises(InputError, match=rf"hf download \S+ .*--local-dir {tmp_path / 'sdxl'}"),
            part(tmp_path / "sdxl"),
        ):
            pass
