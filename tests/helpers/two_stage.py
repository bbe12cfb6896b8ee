"""The network of the two stages of a small model like that of CS:GO."""

from __future__ import annotations

from torch import Tensor

from adamas.diffusion.edm import Edm
from tests.helpers.tiny_agent import tiny_network

TOLD = tiny_network(levels=2, noise_cond=True)
Recorded = tuple[Edm, dict[str, Tensor]]
