"""A tiny EDM denoiser with weights that are nowhere zero."""

from __future__ import annotations

import torch
from torch import nn

from adamas.core.actions import ActionSpec
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from adamas.nn.unet import FrameNetworkConfig

FOUR = ActionSpec.numbered(4)
NETWORK = FrameNetworkConfig(
    context_length=2, cond_channels=16, depths=(1, 1), channels=(8, 8), attn_depths=(False, False)
)


def make_denoiser(num_autoregressive_steps: int = 2) -> EdmDenoiser:
    torch.manual_seed(0)
    denoiser = EdmDenoiser(
        EdmConfig(network=NETWORK, num_autoregressive_steps=num_autoregressive_steps), 3, FOUR
    )
    for parameter in denoiser.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.1)
    return denoiser
