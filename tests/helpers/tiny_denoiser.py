"""A tiny EDM denoiser with weights that are nowhere zero."""

from __future__ import annotations

import torch

from adamas.core.actions import ActionSpec
from adamas.diffusion.edm import EdmConfig, EdmDenoiser
from tests.helpers.tiny_agent import fill_zeros, tiny_network

FOUR = ActionSpec.numbered(4)
NETWORK = tiny_network(levels=2)


def make_denoiser(num_autoregressive_steps: int = 2) -> EdmDenoiser:
    torch.manual_seed(0)
    denoiser = EdmDenoiser(
        EdmConfig(network=NETWORK, num_autoregressive_steps=num_autoregressive_steps), 3, FOUR
    )
    fill_zeros(denoiser)
    return denoiser
