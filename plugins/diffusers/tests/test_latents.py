"""A folder of captioned pictures as latents: encoded once, frozen per row, found again, and never stale."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from ambientkit_diffusers.captions import captioned
from ambientkit_diffusers.conditions import POOLED, PROMPT, TIME_IDS
from ambientkit_diffusers.latent_store import Store, weights_hash
from ambientkit_diffusers.latents import Latents
from ambientkit_diffusers.pictures import source_of
from ambientkit_diffusers.text import TextEncoders
from ambientkit_diffusers.vae import Autoencoder
from diffusers import EulerDiscreteScheduler
from PIL import Image

from ambientkit.batch import Batch, Clean
from ambientkit.builtin.corruptions.gaussian import Gaussian
from ambientkit.data import Visit, observed
from ambientkit.errors import InputError
from ambientkit.maths.randomness import keyed_generator


def picture(seed: int, size: tuple[int, int] = (64, 96)) -> Image.Image:
    """A smooth picture of height and width `size`."""
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((size[1], size[0]), Image.Resampling.BICUBIC)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures with captions."""
    home = tmp_path / "pictures"
    home.mkdir()
    for index in range(3):
        picture(index).save(home / f"{index}.png")
        (home / f"{index}.txt").write_text(f"a face\n  number {index}")
    return home


@pytest.fixture
def part(folder: Path, tiny_sdxl: Path, tmp_path: Path) -> Latents:
    return Latents(path=folder, pipeline=tiny_sdxl, cache=tmp_path / "store", device="cpu")


def changed(part: Latents, **fields: object) -> Latents:
    return Latents(**{**dict(part), **fields})


@pytest.mark.slow
def test_a_row_is_what_the_pipeline_s_own_encoders_give(part: Latents, folder: Path, tiny_sdxl: Path) -> None:
    rows = part.rows()
    row = rows[1]
    assert isinstance(row, Clean)
    assert row.x_0.shape == (4, 32, 32)
    whole = torch.from_numpy(np.asarray(picture(1)).copy()).permute(2, 0, 1)[None].float() / 127.5 - 1
    generator = keyed_generator(0, f"latents.vae.{hashlib.sha256((folder / '1.png').read_bytes()).hexdigest()}")
    with Autoencoder(tiny_sdxl) as vae:
        torch.testing.assert_close(row.x_0, vae.encode(whole[..., 16:80], [generator])[0])
    with TextEncoders(tiny_sdxl) as text:
        expected = text.encode(["a face number 1"])
    torch.testing.assert_close(row.cond[PROMPT], expected[PROMPT][0])
    torch.testing.assert_close(row.cond[POOLED], expected[POOLED][0])
    assert row.cond[TIME_IDS].tolist() == [64, 96, 0, 16, 64, 64]
    assert rows.decode(row.x_0[None]).shape == (1, 3, 64, 64)


def test_what_was_encoded_is_found_again_without_the_encoders(part: Latents, monkeypatch: pytest.MonkeyPatch) -> None:
    first = part.rows()[2]

    def loaded(self: object) -> None:
        raise AssertionError("the encoders are not needed")

    monkeypatch.setattr(Autoencoder, "__enter__", loaded)
    monkeypatch.setattr(TextEncoders, "__enter__", loaded)
    again = part.rows()[2]
    assert torch.equal(first.x_0, again.x_0)
    assert all(torch.equal(value, again.cond[name]) for name, value in first.cond.items())


@pytest.mark.slow
def test_a_picture_keeps_its_latent_when_others_come(part: Latents, folder: Path) -> None:
    before = part.rows()[1].x_0
    picture(9).save(folder / "0a.png")
    (folder / "0a.txt").write_text("a face")
    rows = part.rows()
    assert rows.names[2] == "1.png"
    assert torch.equal(rows[2].x_0, before)


@pytest.mark.slow
def test_nothing_stale_is_read(part: Latents, folder: Path, tmp_path: Path) -> None:
    before = part.rows()[0]
    picture(7).save(folder / "0.png")
    (folder / "0.txt").write_text("another caption")
    after = part.rows()[0]
    assert not torch.equal(before.x_0, after.x_0)
    assert not torch.equal(before.cond[PROMPT], after.cond[PROMPT])
    assert not torch.equal(changed(part, seed=1).rows()[0].x_0, after.x_0)
    assert changed(part, size=32).rows()[0].x_0.shape == (4, 16, 16)


@pytest.mark.parametrize("component", ["vae", "text_encoder", "text_encoder_2"])
def test_other_weights_give_other_keys(component: str, tiny_sdxl: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny_sdxl / component, tmp_path / component)
    assert weights_hash(copy) == weights_hash(tiny_sdxl / component)
    file = next(copy.glob("*.safetensors"))
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    assert weights_hash(copy) != weights_hash(tiny_sdxl / component)


def test_one_byte_in_the_middle_of_a_large_file_of_weights_gives_another_key(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    content = bytearray(2**23)
    seen = set()
    for place in (None, 2**22 + 12_345, 2**22 + 99_999):
        if place is not None:
            content[place] ^= 1
        (tmp_path / "vae" / "model.safetensors").write_bytes(content)
        seen.add(weights_hash(tmp_path / "vae"))
    assert len(seen) == 3


@pytest.mark.slow
def test_a_cut_entry_is_made_again(part: Latents) -> None:
    rows = part.rows()
    before = rows[0].x_0
    file = rows._store.path(rows._latents[0])
    file.write_bytes(file.read_bytes()[:-5])
    assert torch.equal(part.rows()[0].x_0, before)


def test_an_entry_that_is_interrupted_is_not_there(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(RuntimeError, match="stopped"):
        store.write("ab", {"x": _Stopping(torch.zeros(2))})
    assert not store.holds("ab")
    assert not list(tmp_path.rglob("*.safetensors"))


class _Stopping:
    """A tensor during whose writing the process is stopped."""

    def __init__(self, value: torch.Tensor) -> None:
        self.value = value

    def contiguous(self) -> torch.Tensor:
        raise RuntimeError("stopped")


def test_noise_of_a_timestep_is_drawn_once_at_the_level_of_the_scheduler(part: Latents) -> None:
    clean, noisy = part.rows(), changed(part, noise_timestep=100).rows()
    row = noisy[2]
    assert isinstance(row, Batch)
    table = EulerDiscreteScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear").alphas_cumprod
    level = float(((1 - table[100].double()) / table[100].double()).sqrt())
    assert float(row.sigma_n) == pytest.approx(level)
    assert torch.equal(row.x_n, noisy[2].x_n)
    z = (row.x_n - clean[2].x_0) / level
    assert abs(float(z.mean())) < 4 / z.numel() ** 0.5
    assert abs(float(z.std()) - 1) < 4 / (2 * z.numel()) ** 0.5


def test_a_random_crop_and_a_flip_are_frozen_per_picture(part: Latents) -> None:
    one, other = (changed(part, crop="random", flip=True).rows() for _ in range(2))
    assert all(torch.equal(one[i].x_0, other[i].x_0) for i in range(3))
    lefts = {float(one[i].cond[TIME_IDS][3]) for i in range(3)}
    assert len(lefts) > 1
    assert all(0 <= left <= 32 for left in lefts)


def test_the_crop_that_is_said_is_that_of_the_picture_as_it_is_seen(folder: Path) -> None:
    mirrored = set()
    for one in captioned(folder):
        for seed in range(4):
            source = source_of(one, [(64, 64)], "random", True, seed)
            _, _, top, left, *_ = source.time_ids().int().tolist()
            with Image.open(one.file) as opened:
                seen = opened.convert("RGB").transpose(Image.Transpose.FLIP_LEFT_RIGHT) if source.flip else opened
                right = np.asarray(seen.convert("RGB"))[top : top + 64, left : left + 64]
            assert torch.equal(source.read(), torch.from_numpy(right.copy()).permute(2, 0, 1).float() / 127.5 - 1)
            mirrored.add((source.flip, left != source.crop[1]))
    assert (True, True) in mirrored
    assert (False, False) in mirrored


def test_a_flip_after_the_noise_moves_the_crop_that_is_said(part: Latents) -> None:
    """As if the picture had been mirrored first."""
    rows = changed(part, crop="random", noise_timestep=100).rows()
    seen = observed(rows, Gaussian(), 0, ("flip-horizontal",))
    flipped = set()
    for index in range(3):
        plain = rows[index]
        original, (top, left), size = ((64, 96), plain.cond[TIME_IDS][2:4].tolist(), (64, 64))
        for epoch in range(6):
            one = seen[Visit(index, epoch)]
            flip = not torch.equal(one.x_n, plain.x_n)
            assert torch.equal(one.x_n, plain.x_n.flip(2) if flip else plain.x_n)
            assert one.cond[TIME_IDS].tolist() == [*original, top, 32 - left if flip else left, *size]
            assert torch.equal(one.cond[PROMPT], plain.cond[PROMPT])
            flipped.add(flip and left != 16)
    assert True in flipped


@pytest.mark.slow
@pytest.mark.parametrize("name", ["crop=4x4", "quarter-turns"])
def test_a_pose_that_the_size_conditions_would_not_know_of_is_refused(part: Latents, name: str) -> None:
    observed(part.rows(), Gaussian(sigma_n=0.1), 0, ("flip-horizontal",))
    with pytest.raises(InputError, match=f"augment: {name} change the size or the place of rows, which one of their"):
        observed(part.rows(), Gaussian(sigma_n=0.1), 0, ("flip-horizontal", name))


def test_captions_of_metadata(part: Latents, folder: Path) -> None:
    for file in folder.glob("*.txt"):
        file.unlink()
    lines = [{"file_name": f"{i}.png", "prompt": f"a face number {i}"} for i in range(3)]
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, lines)))
    found = changed(part, caption_key="prompt").rows()
    assert len(found) == 3
    with pytest.raises(InputError, match=r"line 1: should hold the caption of 0.png as 'text', but holds prompt"):
        part.rows()


@pytest.mark.slow
def test_a_picture_without_a_caption_is_named(part: Latents, folder: Path) -> None:
    (folder / "1.txt").unlink()
    with pytest.raises(InputError, match=r"1 of 3 pictures have no caption: 1.png"):
        part.rows()
    row = changed(part, without_caption="empty").rows()[1]
    assert not row.cond[PROMPT].any(), "what stands for none in a pipeline that forces zeros"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda file: file.write_bytes(b"cut"), "cannot be read as a picture"),
        (lambda file: picture(0).convert("RGBA").save(file), "has transparent parts"),
        (lambda file: Image.fromarray(np.zeros((64, 64), np.uint16)).save(file), "is no picture of 8 bits"),
    ],
    ids=["cut", "transparent", "16-bit"],
)
@pytest.mark.slow
def test_a_picture_that_cannot_be_used_is_named(part: Latents, folder: Path, write, words: str) -> None:
    write(folder / "2.png")
    with pytest.raises(InputError, match=rf"1 of 3 pictures cannot be used: 2.png: {words}"):
        part.rows()
    rows = changed(part, on_bad_file="skip").rows()
    assert (len(rows), rows.left_out[0].split(":")[0]) == (2, "2.png")


def test_latents_that_are_not_finite_are_named(part: Latents, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encode = Autoencoder.encode
    monkeypatch.setattr(Autoencoder, "encode", lambda self, x, g: encode(self, x, g) / 0)
    with pytest.raises(InputError, match=r"0.png: the VAE gives a latent that is not finite"):
        part.rows()
    assert not list((folder.parent / "store").rglob("*.safetensors"))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"size": 63}, "should be a multiple of 2"),
        ({"noise_timestep": 1000}, "noise_timestep: should be below 1000"),
    ],
)
@pytest.mark.slow
def test_settings_that_do_not_fit_are_refused(part: Latents, fields: dict[str, object], words: str) -> None:
    with pytest.raises(InputError, match=words):
        changed(part, **fields).rows()


def test_weights_that_are_not_there_are_refused_with_the_command_that_fetches_them(
    part: Latents, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"hf download stabilityai/stable-diffusion-xl-base-1.0"):
        changed(part, pipeline=tmp_path / "nowhere").rows()


def as_saved(home: Path, place: Path) -> None:
    table = _table(home)
    table.save_to_disk(place)


def as_parquet(home: Path, place: Path) -> None:
    place.mkdir()
    _table(home).to_parquet(place / "train-00000.parquet")


def as_imagefolder(home: Path, place: Path) -> None:
    """A folder per split, with metadata.csv."""
    (place / "train").mkdir(parents=True)
    for file in sorted(home.glob("*.png")):
        shutil.copy(file, place / "train")
    lines = [f"{i}.png,a face number {i}" for i in range(3)]
    (place / "train" / "metadata.csv").write_text("\n".join(["file_name,text", *lines]))


def _table(home: Path):
    datasets = pytest.importorskip("datasets")
    files = sorted(home.glob("*.png"))
    columns = {"image": [str(file) for file in files], "text": [f"a face number {i}" for i in range(3)]}
    return datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image())


@pytest.mark.parametrize("write", [as_saved, as_parquet, as_imagefolder], ids=["saved", "parquet", "imagefolder"])
@pytest.mark.slow
def test_a_hugging_face_data_set_gives_the_rows_of_the_folder(
    write, part: Latents, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", str(tmp_path / "hf"))
    write(folder, tmp_path / "set")
    expected, found = part.rows(), changed(part, path=tmp_path / "set").rows()
    assert found.names == ["row 0", "row 1", "row 2"]
    for index in range(3):
        assert torch.equal(found[index].x_0, expected[index].x_0)
        assert torch.equal(found[index].cond[PROMPT], expected[index].cond[PROMPT])
    with pytest.raises(
        InputError, match=r"has no column 'prompt' of captions; give caption_key: its columns are .*text"
    ):
        changed(part, path=tmp_path / "set", caption_key="prompt").rows()
    with pytest.raises(InputError, match="say which column holds the pictures, as image_key"):
        changed(part, path=tmp_path / "set", image_key="text").rows()


def test_rows_of_a_data_set_without_a_caption_or_a_picture_are_named(
    part: Latents, folder: Path, tmp_path: Path
) -> None:
    datasets = pytest.importorskip("datasets")
    png = (folder / "0.png").read_bytes()
    columns = {"image": [{"bytes": png}, {"bytes": b"cut"}, {"bytes": png}], "text": ["a", "b", None]}
    datasets.Dataset.from_dict(columns).cast_column("image", datasets.Image(decode=False)).save_to_disk(tmp_path / "s")
    with pytest.raises(InputError, match=r"1 of 3 pictures have no caption: row 2"):
        changed(part, path=tmp_path / "s").rows()
    with pytest.raises(InputError, match=r"1 of 3 pictures cannot be used: row 1: cannot be read as a picture"):
        changed(part, path=tmp_path / "s", without_caption="empty").rows()
