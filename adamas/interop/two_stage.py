"""The published two-stage world model (CS:GO): a denoiser of small frames, and the upsampler that enlarges them.

Its file holds no reward/end model and no policy, so it makes no agent.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import torch

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.edm import EdmDenoiser
from adamas.diffusion.upsampler import Upsampler, UpsamplerConfig
from adamas.interop.published import (
    ACTIONS,
    infer_network,
    is_two_stage,
    load_weights,
    read_tensors,
    with_prefix,
)


class TwoStage(NamedTuple):
    """Both stages: the small next frame, (B, C, h, w), and the full one drawn from it, (B, C, H, W)."""

    denoiser: EdmDenoiser
    upsampler: Upsampler


def load_two_stage(path: Path | str, factor: int = 5) -> TwoStage:
    """The stages in a published checkpoint, on the CPU and in evaluation mode. Executes no code from the file.

    Its actions are buttons, of which several may be pressed; the file does not record their names (they become "0",
    "1", ...). Noise and training targets are those of the published model of CS:GO.

    Args:
        path: of the file.
        factor: height and width of full frames, divided by the small ones'; the file does not record it either.

    Raises:
        UserError: the file cannot be read, or holds something else.
    """
    tensors = read_tensors(Path(path))
    if not is_two_stage(tensors):
        raise UserError(
            f"{path} has no tensors named upsampler.*: it is no two-stage model; load it with adamas.load"
        )
    first, second = (with_prefix(tensors, prefix) for prefix in ("denoiser.", "upsampler."))
    if other := sorted(name for name in tensors if not name.startswith(("denoiser.", "upsampler."))):
        raise UserError(
            f"{path} does not hold a two-stage model: {other[0]} is unexpected; get the file again"
        )
    try:
        network, img_channels = infer_network(first)
        config = DenoiserConfig(
            network,
            sigma_offset=0.1,
            log_sigma_mean=-1.2,
            num_autoregressive_steps=4,
            noise_previous_obs=True,
        )
        upsampler_config = UpsamplerConfig(infer_network(second, extra_frames=1)[0], factor=factor)
        buttons = ActionSpec(buttons=tuple(str(i) for i in range(len(first[ACTIONS]))))
    except KeyError as error:
        raise UserError(
            f"{path} does not hold a two-stage model: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{path} does not hold a two-stage model: its shapes do not fit together ({error}); get the file again"
        ) from error
    with torch.random.fork_rng(devices=[]):  # the initial weights are random, but not for long
        stages = TwoStage(
            EdmDenoiser(config, img_channels, buttons), Upsampler(upsampler_config, img_channels)
        )
    for stage, weights, what in zip(stages, (first, second), ("the denoiser", "the upsampler"), strict=True):
        load_weights(stage, weights, str(path), f"{what} of a two-stage model")
        stage.eval()
    return stages
