"""Extractors that read a file of weights: the real networks, with random weights, against their libraries called
directly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor
from torchvision.transforms.functional import normalize

from ambientkit.errors import InputError
from ambientkit.evaluation import extract, fid, kid, precision_recall
from ambientkit.interfaces import Extractor
from ambientkit.maths.randomness import isolated_global_generator, keyed_generator
from ambientkit.registry import load

pytestmark = pytest.mark.slow

SIZE = 42


def build(name: str, **fields: object) -> Extractor:
    part = load().build("extractor", {"name": name, **fields})
    assert isinstance(part, Extractor)
    return part


def rows(n: int, channels: int = 3, side: int = SIZE, key: str = "x") -> Tensor:
    return 2.4 * torch.rand((n, channels, side, side), generator=keyed_generator(0, f"{key}{channels}{side}")) - 1.2


# ---- DINOv2


@pytest.fixture(scope="module", params=["", "_reg4"])
def dinov2(request, tmp_path_factory):
    """(timm's own network for pictures of any size, a file of its weights in timm's names, one in Meta's)."""
    timm = pytest.importorskip("timm", reason="timm is not installed (pip install 'ambientkit[dinov2]')")
    with isolated_global_generator(0, "test"):
        network = timm.create_model(
            f"vit_small_patch14{request.param}_dinov2", pretrained=False, num_classes=0, dynamic_img_size=True
        )
        for parameter in network.parameters():  # of a fresh one some are 0
            parameter.data += 0.02 * torch.randn(parameter.shape)
    folder, own = tmp_path_factory.mktemp("dinov2"), network.state_dict()
    save_file(own, folder / "timm.safetensors")
    meta = dict(own)
    if request.param:  # in Meta's file the class token has a place of its own
        place = torch.randn(1, 1, 384, generator=keyed_generator(0, "place"))
        meta["register_tokens"], meta["cls_token"] = meta.pop("reg_token"), own["cls_token"] - place
        meta["pos_embed"] = torch.cat([place, own["pos_embed"]], dim=1)
    save_file({**meta, "mask_token": torch.zeros(1, 384)}, folder / "meta.safetensors")
    return network.eval(), folder


@pytest.mark.parametrize("names", ["timm", "meta"])
def test_dinov2_is_the_class_token_of_timm_on_pictures_in_the_units_of_imagenet(dinov2, names: str) -> None:
    network, folder = dinov2
    part, x = build("dinov2", weights=folder / f"{names}.safetensors", size=SIZE), rows(3)
    with torch.no_grad():
        expected = network(normalize((x + 1) / 2, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    found = extract(part, x)
    assert found.shape == (3, 384)
    torch.testing.assert_close(found, expected.double(), rtol=1e-4, atol=1e-4)
    assert float(found.std(0).mean()) > 0.01, "the network tells pictures apart"
    grey = rows(2, channels=1)
    torch.testing.assert_close(extract(part, grey), extract(part, grey.expand(-1, 3, -1, -1)), rtol=1e-4, atol=1e-5)
    large = torch.nn.functional.interpolate(x, (SIZE, SIZE), mode="bicubic", antialias=True)
    torch.testing.assert_close(extract(part, large), found, rtol=1e-4, atol=1e-4)
    assert extract(part, rows(1, side=28)).shape == (1, 384)


def test_a_dinov2_of_other_files_is_refused_by_name(tmp_path: Path) -> None:
    def message(file: Path, **fields: object) -> str:
        with pytest.raises(InputError) as caught:
            extract(build("dinov2", weights=file, **fields), rows(1))
        return str(caught.value)

    assert "nothing is downloaded" in message(tmp_path / "none.safetensors")
    torch.save({"cls_token": torch.zeros(1, 1, 384)}, tmp_path / "w.pth")
    assert "should be a .safetensors file, but is w.pth" in message(tmp_path / "w.pth")
    pytest.importorskip("timm", reason="timm is not installed (pip install 'ambientkit[dinov2]')")
    save_file({"embeddings.cls_token": torch.zeros(1, 1, 384)}, tmp_path / "hf.safetensors")
    assert "holds no DINOv2 in timm's or Meta's names" in message(tmp_path / "hf.safetensors")
    save_file(
        {"cls_token": torch.zeros(1, 1, 384), "pos_embed": torch.zeros(1, 10, 384)}, tmp_path / "part.safetensors"
    )
    assert "does not fit the network" in message(tmp_path / "part.safetensors")
    assert "multiple of 14" in message(tmp_path / "part.safetensors", size=100)


def test_without_timm_the_command_that_brings_it_is_told(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "timm", None)
    save_file({"a": torch.zeros(1)}, tmp_path / "w.safetensors")
    with pytest.raises(InputError, match=r"timm is not installed; it comes with: pip install 'ambientkit\[dinov2\]'"):
        extract(build("dinov2", weights=tmp_path / "w.safetensors"), rows(1))


# ---- Inception


@pytest.fixture(scope="module")
def inception(tmp_path_factory) -> Path:
    """A folder with w.pth and w.safetensors: random weights in the names of torch-fidelity's published file."""
    from torch_fidelity import feature_extractor_inceptionv3 as module

    kept: dict[str, Tensor] = {}

    def fresh(
        self, tensors, *arguments, **keywords
    ):  # the constructor reads a file before anybody can ask for its names
        if not kept:
            kept.update({name: value.clone() for name, value in self.state_dict().items()})
        return None

    folder = tmp_path_factory.mktemp("inception")
    torch.save({}, folder / "empty.pth")
    with pytest.MonkeyPatch.context() as patch, isolated_global_generator(0, "test"):
        patch.setattr(module.FeatureExtractorInceptionV3, "load_state_dict", fresh)
        module.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=folder / "empty.pth"
        )
    torch.save(kept, folder / "w.pth")
    save_file(kept, folder / "w.safetensors")
    return folder


class Pictures(torch.utils.data.Dataset):
    """8-bit pictures, as torch-fidelity reads them."""

    def __init__(self, x: Tensor) -> None:
        self.x = ((x.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, index: int) -> Tensor:
        return self.x[index]


@pytest.mark.thorough
def test_inception_and_its_distances_are_those_of_torch_fidelity_called_directly(inception: Path) -> None:
    from torch_fidelity import calculate_metrics
    from torch_fidelity.utils import create_feature_extractor

    a, b = rows(5, side=16), rows(5, side=16, key="y") * 0.7
    part = build("inception", weights=inception / "w.safetensors")
    of_a, of_b = extract(part, a), extract(part, b)
    file, name = str(inception / "w.pth"), "inception-v3-compat"
    with isolated_global_generator(0, "test"):
        (direct,) = create_feature_extractor(name, ["2048"], cuda=False, feature_extractor_weights_path=file)(
            Pictures(a).x
        )
        told = calculate_metrics(
            input1=Pictures(b),
            input2=Pictures(a),
            feature_extractor=name,
            feature_extractor_weights_path=file,
            fid=True,
            kid=True,
            prc=True,
            kid_subsets=1,
            kid_subset_size=5,
            batch_size=6,
            cuda=False,
            cache=False,
            verbose=False,
            save_cpu_ram=True,
        )
    torch.testing.assert_close(of_a, direct.double(), rtol=1e-5, atol=1e-6)
    assert torch.equal(extract(build("inception", weights=inception / "w.pth"), a), of_a)
    assert fid(of_a, of_b).value == pytest.approx(told["frechet_inception_distance"], rel=1e-3)
    assert kid(of_a, of_b).value == pytest.approx(told["kernel_inception_distance_mean"], rel=1e-3)
    precision, recall = precision_recall(of_a, of_b)
    assert (precision.value, recall.value) == (told["precision"], told["recall"])


def test_a_file_in_the_names_of_torchvision_is_refused_since_its_network_is_another(tmp_path: Path) -> None:
    """torchvision's Inception has the same blocks, a classifier of 1,000 and other pooling: its FID is not the
    published one."""
    from torchvision.models import inception_v3

    with isolated_global_generator(0, "test"):
        save_file(inception_v3(weights=None, init_weights=False).state_dict(), tmp_path / "tv.safetensors")
    with pytest.raises(InputError, match="does not fit the network"):
        extract(build("inception", weights=tmp_path / "tv.safetensors"), rows(1))
