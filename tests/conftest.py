"""Recorded tensors of the published system, to compare with."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors import safe_open
from torch import Tensor

from adamas.nn.unet import FrameNetworkConfig

FIXTURES = Path(__file__).parent / "fixtures"


class Reference(NamedTuple):
    """One recorded module: its sizes, its state dict, its inputs and outputs."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    io: dict[str, Tensor]

    def network(self) -> FrameNetworkConfig:
        """The network of a recorded denoiser."""
        sizes = self.config["inner_model"]
        return FrameNetworkConfig(
            sizes["num_steps_conditioning"],
            sizes["cond_channels"],
            tuple(sizes["depths"]),
            tuple(sizes["channels"]),
            tuple(map(bool, sizes["attn_depths"])),
        )


LoadReference = Callable[[str], Reference]


def load_reference(name: str) -> Reference:
    """Read ``fixtures/{name}.safetensors``; see the README beside it."""
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "io": {}}
    with safe_open(FIXTURES / f"{name}.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118  (not a dictionary)
            kind, _, rest = key.partition(".")
            parts[kind][rest] = file.get_tensor(key)
        return Reference(json.loads(file.metadata()["config"]), **parts)


@pytest.fixture(scope="session")
def reference() -> LoadReference:
    """Loads recorded tensors by name."""
    return load_reference
