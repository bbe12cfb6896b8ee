"""The network of the two stages of a small model like that of CS:GO."""

from __future__ import annotations

from torch import Tensor, nn

from adamas.diffusion.edm import Edm
from adamas.nn.unet import FrameNetworkConfig
from tests.helpers.tensors import seeded

TOLD = FrameNetworkConfig(
    context_length=2,
    cond_channels=16,
    depths=(1, 1),
    channels=(8, 8),
    attn_depths=(False, False),
    noise_cond=True,
)
Recorded = tuple[Edm, dict[str, Tensor]]


def shake(model: nn.Module) -> None:
    """Fill the weights that start at 0, so that everything in the network counts."""
    generator = seeded()
    for parameter in model.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1, generator=generator)
