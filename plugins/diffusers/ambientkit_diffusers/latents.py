"""The data set `latents`: a folder of pictures with captions, as a pipeline's VAE and text encoders see them."""

from __future__ import annotations

import importlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor

from ambientkit.batch import Batch, Clean
from ambientkit.errors import InputError
from ambientkit.inspection import Finding, NoiseVerdict
from ambientkit.interfaces import Data
from ambientkit.maths.noise import standard_normal
from ambientkit.maths.randomness import keyed_generator
from ambientkit.messages import note
from ambientkit.processes import device_of
from ambientkit.rows import Rows, evenly
from ambientkit.text import listed
from ambientkit_diffusers.calls import multiple_of
from ambientkit_diffusers.captions import Captioned, captioned
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS, Size, mirrored
from ambientkit_diffusers.edge import edge_of
from ambientkit_diffusers.files import component, network_folder, read_json
from ambientkit_diffusers.hf_captions import kind_of, of_dataset
from ambientkit_diffusers.latent_store import Store, default_store, key_of, weights_hash
from ambientkit_diffusers.pictures import Source, UnusableError, source_of
from ambientkit_diffusers.pixel_noise import PICTURES, REPEATS, Response, findings, respond
from ambientkit_diffusers.text import TextEncoders
from ambientkit_diffusers.vae import Autoencoder, pixels_per_cell

DTYPES = {"float32": torch.float32, "float16": torch.float16}


class Latents(Data):
    """Pictures of a folder with their captions, encoded once by a pipeline's own VAE and text encoders, in float32.

    Everything random before the noise is drawn once per picture, from the seed and the content of its file: the VAE's
    draw, the crop, the flip. So x_n is fixed per row, as Tweedie needs it. The encoders are loaded, asked and unloaded;
    what they gave is kept under a hash of all that made it, and is found again. A row is a latent (C, h, w); noise is
    added by the run's corruption (`--sigma-n`), or here, once, at the level of a step of the pipeline's scheduler
    (`noise_timestep`). Pictures that carry noise already (`pixel_noise`) are observations of a level that is measured;
    what noise of pixels becomes in latents is not white, and is measured too (`ambientkit_diffusers.pixel_noise`).
    """

    name = "latents"
    source = "arXiv 2307.01952, section 2.2; noise per row arXiv 2404.10177, section 4"

    path: Path
    """The folder of pictures, with captions in .txt files beside them or in metadata.jsonl; or a Hugging Face data set:
    a folder of save_to_disk, .parquet, or the layout imagefolder (the extra `datasets`)."""
    pipeline: Path
    """The folder of the pipeline: its VAE, its text encoders, its scheduler."""
    size: int | None = Field(None, ge=8)
    """Height and width trained at, pixels; by default those of the pipeline's network."""
    crop: Literal["center", "random"] = "center"
    """What is taken of a picture that was brought to cover the size trained at: of its middle, or drawn once."""
    buckets: bool = False
    """Train on several aspect ratios, each picture in the nearest of size^2 pixels: less is cropped, and a step holds
    pictures of one ratio."""
    bucket_step: int = Field(64, ge=8)
    """Sides of buckets are multiples of this, pixels."""
    flip: bool = False
    """Mirror half of the pictures, once and for all."""
    seed: int = 0
    """Of the VAE's draws, crops, flips, and of the noise of `noise_timestep`."""
    noise_timestep: int | None = Field(None, ge=1)
    """Add noise of the level at this step of the scheduler's table, once per row: the rows are observations."""
    pixel_noise: float | None = Field(None, gt=0)
    """Std of the noise that the pictures carry already, units of [-1, 1] of a pixel: the rows are observations, whose
    level in latents is measured by encoding some again with fresh noise. It is not white there: `inspect` says how
    far, and `train` refuses what it is too far in."""
    caption_key: str = "text"
    """What metadata.jsonl, or the data set, calls the caption."""
    image_key: str | None = None
    """Column of the pictures in a Hugging Face data set; by default the only one of images."""
    split: str = "train"
    """Split of a Hugging Face data set."""
    without_caption: Literal["fail", "empty"] = "fail"
    """A picture without a caption ends the run, or is trained on without one."""
    on_bad_file: Literal["fail", "skip"] = "fail"
    """Pictures that cannot be read: list them and stop, or leave them out."""
    prompt_dtype: Literal["float32", "float16"] = "float32"
    """In which encoded captions are kept on the disk."""
    cache: Path | None = None
    """Where encoded rows are kept; by default a folder of the user's cache."""
    device: str = "auto"
    """Where the VAE and the text encoders run."""

    @model_validator(mode="after")
    def _folders(self) -> Latents:
        if self.path.exists() and self.pipeline.exists() and self.path.resolve() == self.pipeline.resolve():
            raise ValueError("path is the folder of the pictures, pipeline that of the weights, but they are one")
        if self.pixel_noise is not None and self.noise_timestep is not None:
            raise ValueError("pixel_noise is of pictures that are noisy already, noise_timestep adds noise: give one")
        return self

    def rows(self) -> LatentRows:
        """Latents with their conditions. Raises InputError for pictures without a caption, pictures that cannot be
        read, latents that are not finite, and weights that are not there, each by name."""
        kind = kind_of(self.path)
        pictures = (
            captioned(self.path, self.caption_key)
            if kind is None
            else of_dataset(self.path, kind, self.split, self.caption_key, self.image_key)
        )
        bare = [one.name for one in pictures if one.caption is None]
        if bare and self.without_caption == "fail":
            raise InputError(
                f"{self.path}: {len(bare)} of {len(pictures)} pictures have no caption: {listed(bare)}. Write one "
                f"into a "
                ".txt file beside each, or train on them without one: without_caption: empty"
            )
        size = self._size()
        store = Store(self.cache or default_store())
        pictures, sources, left_out = self._sources(pictures, size)
        encoded = self._encode_pictures(pictures, sources, store)
        prompts, nothing = self._encode_captions([one.caption or "" for one in pictures], store)
        sigma = None if self.noise_timestep is None else self._sigma(self.noise_timestep)
        response = None if self.pixel_noise is None else self._response(sources, encoded, store)
        names = [one.name for one in pictures]
        rows = LatentRows(self, store, encoded, prompts, nothing, sigma, response, left_out, names)
        if self.buckets:
            order = sorted({source.size for source in sources})
            rows.buckets = [order.index(source.size) for source in sources]
        return rows

    def _response(self, sources: Sequence[Source], keys: Sequence[str], store: Store) -> Response:
        """What the noise of the pictures is in latents, measured once on some of them, evenly spaced."""
        assert self.pixel_noise is not None
        chosen = [sources[place] for place in evenly(len(sources), PICTURES)]
        made = {"response of": [keys[place] for place in evenly(len(keys), PICTURES)], "noise": self.pixel_noise}
        key = key_of({**made, "repeats": REPEATS})
        if (kept := store.read(key)) is not None:
            return Response.unpacked(kept["response"])
        note(f"measuring the noise of latents: {len(chosen)} pictures, {REPEATS} times each, by the VAE in float32")
        with Autoencoder(self.pipeline, device_of(self.device)) as autoencoder:

            def encode(picture: Tensor, number: int) -> Tensor:
                return autoencoder.encode(picture[None], [chosen[number].generator(self.seed, "latents.vae")])[0]

            pictures = [source.read() for source in chosen]
            found = respond(encode, pictures, self.pixel_noise, keyed_generator(self.seed, "latents.response"))
        store.write(key, {"response": found.packed()})
        return found

    def _size(self) -> int:
        """Pixels along a side. Raises InputError for a size that the VAE cannot halve often enough."""
        cell = pixels_per_cell(self.pipeline)
        config = read_json(network_folder(self.pipeline, f"data set {self.name!r}") / "config.json")
        size = self.size or int(config.get("sample_size") or 128) * cell
        if size % cell:
            raise InputError(f"size: should be a multiple of {cell}, which the VAE makes one cell of, but is {size}")
        return size

    def _sizes(self, size: int) -> list[Size]:
        """The (height, width) that pictures are brought to. Source of the buckets: diffusers, training_utils."""
        if not self.buckets:
            return [(size, size)]
        cell = pixels_per_cell(self.pipeline) * self._patch()
        if self.bucket_step % cell:
            raise InputError(f"bucket_step: should be a multiple of {cell} pixels, but is {self.bucket_step}")
        made = importlib.import_module("diffusers.training_utils").generate_aspect_ratio_buckets(size, self.bucket_step)
        return [(int(height), int(width)) for height, width in made]

    def _patch(self) -> int:
        """Cells along a side that the network halves to one, or takes as one patch."""
        config = read_json(network_folder(self.pipeline, f"data set {self.name!r}") / "config.json")
        return multiple_of(str(config.get("_class_name")), config)

    def _sigma(self, step: int) -> float:
        """The level of a step of the scheduler's table, counted from 0, or of a flow's time."""
        folder = component(self.pipeline, "scheduler", f"data set {self.name!r}")
        edge = edge_of(read_json(folder / "scheduler_config.json"))
        try:
            return edge.level(step)
        except InputError as error:
            raise InputError(f"noise_timestep: {error}") from None

    def _sources(self, pictures: Sequence[Captioned], size: int) -> tuple[list[Captioned], list[Source], list[str]]:
        """The pictures that can be read, what of each is encoded, and those that are left out, with the cause."""
        good, sources, bad, sizes = [], [], [], self._sizes(size)
        for one in pictures:
            try:
                sources.append(source_of(one, sizes, self.crop, self.flip, self.seed))
                good.append(one)
            except UnusableError as cause:
                bad.append(f"{one.name}: {cause}")
        if bad and (self.on_bad_file == "fail" or not good):
            raise InputError(
                f"{self.path}: {len(bad)} of {len(pictures)} pictures cannot be used: {listed(bad, limit=4)}. Repair "
                f"or "
                f"remove them{', or leave them out with on_bad_file: skip' if good else ''}"
            )
        enlarged = [source.resized[0] > source.original[0] for source in sources]
        if small := [one.name for one, larger in zip(good, enlarged, strict=True) if larger]:
            note(
                f"{len(small)} of {len(good)} pictures are smaller than {size} pixels and are enlarged: {listed(small)}"
            )
        if self.buckets:
            found = Counter(source.size for source in sources)
            shown = [f"{height} x {width}: {n}" for (height, width), n in sorted(found.items())]
            note(f"pictures by bucket (height x width): {listed(shown, limit=12)}")
        return good, sources, bad

    def _encode_pictures(self, pictures: Sequence[Captioned], sources: Sequence[Source], store: Store) -> list[str]:
        """The key of each picture's latent; those that are missing are made first."""
        vae = weights_hash(component(self.pipeline, "vae", "VAE"))
        keys = [key_of({"latent of": source.key, "size": source.size, "vae": vae}) for source in sources]
        missing = {key: place for place, key in enumerate(keys) if not store.holds(key)}
        if missing:
            note(f"encoding {len(missing)} of {len(keys)} pictures by the VAE, in float32")
            with Autoencoder(self.pipeline, device_of(self.device)) as autoencoder:
                for key, place in missing.items():  # one by one: a batch would change the rounding of its rows
                    source = sources[place]
                    generator = source.generator(self.seed, "latents.vae")
                    latent = autoencoder.encode(source.read()[None], [generator])[0]
                    if not latent.isfinite().all():
                        raise InputError(
                            f"{pictures[place].name}: the VAE gives a latent that is not finite; its weights, or this "
                            "picture, are damaged"
                        )
                    store.write(key, {"latent": latent, TIME_IDS: source.time_ids()})
        return keys

    def _encode_captions(self, captions: Sequence[str], store: Store) -> tuple[list[str], str]:
        """The key of each encoded caption, and that of none."""
        folders = sorted(self.pipeline.glob("text_encoder*")) + sorted(self.pipeline.glob("tokenizer*"))
        index = read_json(self.pipeline / "model_index.json") if (self.pipeline / "model_index.json").is_file() else {}
        made = {
            "encoders": [weights_hash(folder) for folder in folders],
            "empty": bool(index.get("force_zeros_for_empty_prompt", False)),
            "dtype": self.prompt_dtype,
        }
        keys = [key_of({"caption": caption, **made}) for caption in captions]
        nothing = key_of({"caption": "", **made})
        missing = {key: caption for key, caption in zip(keys, captions, strict=True) if not store.holds(key)}
        missing |= {} if store.holds(nothing) else {nothing: ""}
        if missing:
            note(f"encoding {len(missing)} captions by the text encoders, in float32")
            dtype = DTYPES[self.prompt_dtype]
            with TextEncoders(self.pipeline, device_of(self.device)) as text:
                if missing.pop(nothing, None) is not None:
                    store.write(nothing, {name: value.to(dtype) for name, value in text.empty_prompt().items()})
                for key, caption in missing.items():
                    store.write(key, {name: value[0].to(dtype) for name, value in text.encode([caption]).items()})
        return keys, nothing


class LatentRows(Rows):
    """The rows of `latents`: read from the store one at a time."""

    def __init__(
        self,
        part: Latents,
        store: Store,
        latents: Sequence[str],
        prompts: Sequence[str],
        nothing: str,
        sigma: float | None,
        response: Response | None,
        left_out: Sequence[str],
        names: Sequence[str],
    ) -> None:
        self._part, self._store, self._sigma, self.response = part, store, sigma, response
        self._latents, self._prompts = list(latents), list(prompts)
        self.left_out, self.names = list(left_out), list(names)
        config = read_json(network_folder(part.pipeline, f"data set {part.name!r}") / "config.json")
        sized = config.get("addition_embed_type") == "text_time"  # SDXL, which takes size and crop
        self._kept = (PROMPT, POOLED, TIME_IDS) if sized else (PROMPT, POOLED)
        self.placed = sized

    def __len__(self) -> int:
        return len(self._latents)

    def __getitem__(self, index: int) -> Clean | Batch:
        latent, prompt = self._read(self._latents[index]), self._read(self._prompts[index])
        cond = {name: value.float() for name, value in (latent | prompt).items() if name in self._kept}
        if self.response is not None:
            return Batch(latent["latent"], torch.tensor(self.response.level), torch.tensor(index), cond)
        if self._sigma is None:
            return Clean(latent["latent"], cond)
        generator = keyed_generator(self._part.seed, "latents.noise", row=index)
        x_n = latent["latent"] + self._sigma * standard_normal(latent["latent"], generator)
        return Batch(x_n, torch.tensor(self._sigma), torch.tensor(index), cond)

    def mirrored(self, cond: Mapping[str, Tensor], horizontal: bool, vertical: bool) -> Mapping[str, Tensor]:
        """With the crop of SDXL's size condition as it is seen in the mirror image."""
        if TIME_IDS not in cond:
            return cond
        return {**cond, TIME_IDS: mirrored(cond[TIME_IDS], horizontal, vertical)}

    def noise_findings(self) -> Sequence[Finding]:
        """Of noise that is drawn here, that it is; of pictures' own, how far it is from white noise of latents. The
        details of latents look like noise, so that tests of pictures say nothing of them."""
        if self.response is not None:
            return findings(self.response, self._part.pixel_noise or 0.0)
        if self._sigma is not None:
            return [Finding("noise", NoiseVerdict.FINE, f"white noise of std {self._sigma:.4g} is added to each row.")]
        told = "noise of pictures does not show in their latents: where there is some, give its std as pixel_noise."
        return [Finding("noise", NoiseVerdict.UNTRIED, told)]

    def decode(self, rows: Tensor) -> Tensor:
        """Pictures (n, 3, H, W), about [-1, 1], by the pipeline's VAE, which is loaded and unloaded."""
        with Autoencoder(self._part.pipeline, device_of(self._part.device)) as autoencoder:
            return autoencoder.decode(rows)

    def _read(self, key: str) -> dict[str, Tensor]:
        found = self._store.read(key)
        if found is None:
            raise InputError(
                f"{self._store.path(key)}: was removed or damaged while it was used; the same command makes it again"
            )
        return found
