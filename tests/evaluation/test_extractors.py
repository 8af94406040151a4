"""Extractors: what they read, that their features are the same each time, and that files of weights are checked and
never run."""

from __future__ import annotations

import gzip
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from ambientkit.builtin.data.fashion_mnist import FILES, LABELS, FashionMNIST
from ambientkit.builtin.extractors import lenet
from ambientkit.builtin.extractors.efficientnet import _network
from ambientkit.errors import InputError
from ambientkit.evaluation import extract, label
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import keyed_generator
from ambientkit.registry import load


def rows(n: int = 5, channels: int = 1, side: int = 28) -> Tensor:
    return 2 * torch.rand((n, channels, side, side), generator=keyed_generator(0, f"{channels}{side}")) - 1


def build(name: str, **fields: object) -> Extractor:
    part = load().build("extractor", {"name": name, **fields})
    assert isinstance(part, Extractor)
    return part


def clothes(folder: Path, n: int = 300) -> Path:
    """A Fashion-MNIST in small: the class is where a bright bar lies."""
    labels = np.random.default_rng(0).integers(0, 10, n, dtype=np.uint8)
    images = np.random.default_rng(1).integers(0, 60, (n, 28, 28), dtype=np.uint8)
    for image, one in zip(images, labels, strict=True):
        image[2 * one + 2 : 2 * one + 5] = 250
    folder.mkdir()
    (folder / FILES["train"]).write_bytes(gzip.compress(struct.pack(">4i", 2051, n, 28, 28) + images.tobytes()))
    (folder / LABELS["train"]).write_bytes(gzip.compress(struct.pack(">2i", 2049, n) + labels.tobytes()))
    return folder


def test_pixels_are_the_rows_of_any_shape() -> None:
    assert torch.equal(extract(build("pixels"), rows()), rows().flatten(1).double())
    assert extract(build("pixels"), torch.zeros(3, 2)).shape == (3, 2)


def test_patches_are_the_windows_of_the_grid_one_picture_after_another() -> None:
    x = rows(3, channels=2, side=12)
    found = extract(build("patches", size=5, stride=3), x)
    windows = [x[i, :, t : t + 5, s : s + 5].flatten() for i in range(3) for t in (0, 3, 6) for s in (0, 3, 6)]
    assert torch.equal(found, torch.stack(windows).double())
    with pytest.raises(InputError, match="at least 4 x 4"):
        extract(build("patches"), rows(side=3))


def test_the_network_of_the_package_gives_1280_values_that_do_not_depend_on_the_company() -> None:
    part = build("efficientnet-lite0", size=32)
    x = rows(70)
    found = extract(part, x)
    assert found.shape == (70, 1280)
    assert torch.allclose(extract(part, x[64:]), found[64:], rtol=1e-4, atol=1e-5)
    assert torch.equal(extract(part, x), found)
    assert not _network("cpu").training
    grey = extract(part, x[:4])
    assert torch.allclose(extract(part, x[:4].expand(-1, 3, -1, -1)), grey, rtol=1e-5, atol=1e-6)
    with pytest.raises(InputError, match="not rows of shape"):
        extract(part, torch.zeros(3, 2))


def test_the_network_of_the_package_recognises_what_it_was_trained_on() -> None:
    import skimage.data

    cat = torch.from_numpy(skimage.data.chelsea()).permute(2, 0, 1).unsqueeze(0) / 127.5 - 1
    features = build("efficientnet-lite0", size=224).features(cat)
    assert int(_network("cpu")._fc(features).argmax()) == 285  # Egyptian cat


def test_a_lenet_is_trained_once_kept_and_found_again(tmp_path: Path) -> None:
    folder, file = clothes(tmp_path / "clothes"), tmp_path / "new" / "lenet.safetensors"
    part = build("lenet", folder=folder, weights=file)
    found = extract(part, rows())
    assert found.shape == (5, 64)
    assert float(found.min()) == 0, "what the last layer is given, after the rectifier"
    content = file.read_bytes()
    lenet.trained.cache_clear()
    again = tmp_path / "again.safetensors"
    assert torch.equal(extract(build("lenet", folder=folder, weights=again), rows()), found)
    assert again.read_bytes() == content
    assert torch.equal(extract(build("lenet", weights=file), rows()), found), "no data are needed once it is trained"
    other = tmp_path / "other.safetensors"
    extract(build("lenet", folder=folder, weights=other, seed=1), rows())
    assert other.read_bytes() != content


def test_a_lenet_learns_what_it_is_told(tmp_path: Path) -> None:
    folder = clothes(tmp_path / "clothes", 3000)
    network = lenet.trained(0, tmp_path / "w.safetensors", folder)
    data = FashionMNIST(folder=folder)
    clean = data.rows()
    x = torch.stack([clean[i].x_0 for i in range(3000)])
    assert float((network(x).argmax(1) == data.labels()).double().mean()) > 0.5  # chance is 0.1


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"folder": "elsewhere"}, "give weights too"),
        ({"weights": "w.pth", "folder": "elsewhere"}, r"should be a \.safetensors file"),
        ({"weights": "w.safetensors", "folder": "elsewhere"}, "there is no train-labels-idx1-ubyte.gz in elsewhere"),
    ],
)
def test_a_lenet_that_cannot_be_had_says_why(fields, message, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        extract(build("lenet", **fields), rows())
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(InputError, match=r"rows of shape \(1, 28, 28\), not \(3, 28, 28\)"):
        extract(build("lenet"), rows(channels=3))


class Canary:
    """Leaves a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (Path.touch, (self.path,))


def test_files_of_weights_that_are_missing_damaged_foreign_or_dangerous_are_refused(tmp_path: Path) -> None:
    def message(file: Path) -> str:
        with pytest.raises(InputError) as caught:
            extract(build("inception", weights=file), rows(1, 3))
        return str(caught.value)

    assert "nothing is downloaded" in message(tmp_path / "none.pth")
    torch.save({"a": torch.zeros(3)}, tmp_path / "foreign.pth")
    assert "does not fit the network" in message(tmp_path / "foreign.pth")
    (tmp_path / "cut.pth").write_bytes((tmp_path / "foreign.pth").read_bytes()[:200])
    assert "cannot be read as a file of weights" in message(tmp_path / "cut.pth")
    (tmp_path / "cut.safetensors").write_bytes(b"\xff" * 64)
    assert "cannot be read as a file of weights" in message(tmp_path / "cut.safetensors")
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Canary(tmp_path / "CANARY")))
    torch.save({"a": Canary(tmp_path / "CANARY")}, tmp_path / "trap2.pth")
    for trap in ("trap.pth", "trap2.pth"):
        assert "cannot be read as a file of weights" in message(tmp_path / trap)
    assert not (tmp_path / "CANARY").exists()
    torch.save([1, 2], tmp_path / "list.pth")
    assert "tensors by name" in message(tmp_path / "list.pth")


def test_inception_sees_8_bit_pictures_through_the_weights_of_the_file(tmp_path: Path, monkeypatch) -> None:
    from torch_fidelity import feature_extractor_inceptionv3 as module

    class Fake(torch.nn.Module):
        """The library's network is 91 MB; what is tested is what it is given."""

        def __init__(self, name, features_list, feature_extractor_weights_path) -> None:
            super().__init__()
            assert features_list == ["2048"]
            self.weights = torch.load(feature_extractor_weights_path, weights_only=True)

        def forward(self, x: Tensor) -> tuple[Tensor]:
            assert x.dtype == torch.uint8
            return (x.flatten(1).float() * self.weights["scale"],)

    monkeypatch.setattr(module, "FeatureExtractorInceptionV3", Fake)
    torch.save({"scale": torch.tensor(2.0)}, tmp_path / "w.pth")
    x = torch.tensor([-1.5, -1.0, 0.0, 1.0, 7.0]).reshape(1, 1, 1, 5)
    found = extract(build("inception", weights=tmp_path / "w.pth"), x)
    assert found[0, :5].tolist() == [0, 0, 2 * 128, 510, 510]
    assert label(build("inception", weights=tmp_path / "w.pth")) == "inception{weights=w.pth}"


def test_the_label_carries_the_settings_and_no_folder_of_the_machine(tmp_path: Path) -> None:
    assert label(build("pixels")) == "pixels"
    assert label(build("efficientnet-lite0")) == "efficientnet-lite0{size=64}"
    assert str(tmp_path) not in label(build("lenet", weights=tmp_path / "a.safetensors"))


class Odd(Extractor):
    """An extractor whose answers are not what the contract says."""

    name = "odd"
    answer: str = "short"

    def features(self, pictures: Tensor) -> Tensor:
        return {"short": pictures[:2].flatten(1), "whole": pictures.flatten(1).long(), "nan": pictures.flatten(1) / 0}[
            self.answer
        ]


@pytest.mark.parametrize(
    ("answer", "message"), [("short", r"gave \(2, 784\)"), ("whole", "int64"), ("nan", "not finite")]
)
def test_features_that_break_the_contract_are_refused(answer: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        extract(Odd(answer=answer), torch.zeros(5, 1, 28, 28))
    for rows_ in (torch.zeros(0, 1, 28, 28), torch.zeros(5, 1, 28, 28, dtype=torch.uint8)):  # 0..255 is not [-1, 1]
        with pytest.raises(InputError, match="reads floating-point rows in units of"):
            extract(build("pixels"), rows_)
