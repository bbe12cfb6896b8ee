"""Whether dreams, taken together, look like the game: Frechet distances between sets of frames and of clips."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from adamas.dreaming.continuation import Continuation
from adamas.fidelity.frechet import ImageFeatures, frechet_distance, scripted_features

CLIP_LENGTH = 16  # frames
MAX_SAMPLES = 1_024  # frames, or clips, of each set

Features = Callable[[Tensor], Tensor]


def features_of(
    weights_lpips: Path | None, weights_inception: Path | None, weights_i3d: Path | None
) -> dict[str, tuple[Features, bool]]:
    """By the name of the distance: features, and whether they are of clips (B, T, C, H, W) instead of frames.

    Raises:
        UserError: weights are not there, or are not what they should be.
    """
    alexnet = ImageFeatures(weights_lpips)
    found: dict[str, tuple[Features, bool]] = {
        "Frechet AlexNet": (alexnet, False),
        "Frechet AlexNet clip": (alexnet.clips, True),
    }
    if weights_inception is not None:
        found["FID"] = (scripted_features(weights_inception, "inception"), False)
    if weights_i3d is not None:
        found["FVD"] = (scripted_features(weights_i3d, "i3d"), True)
    return found


def population_distance(
    dreams: Continuation, episode: np.ndarray, features: Features, of_clips: bool
) -> dict[str, float | None]:
    """Between dreams beside one half of the episodes, and the game in the other half.

    Returns:
        ``dream``, and ``game``: the same distance of the game's own frames in the first half, which is what a
        perfect dream would get. None where a half has fewer than two samples.
    """
    names = np.unique(episode)
    one, other = (np.flatnonzero(np.isin(episode, half)) for half in (names[::2], names[1::2]))
    mask = dreams.mask.cpu()
    dream, game, others = (
        samples(frames.cpu()[half], mask[half], of_clips)
        for frames, half in ((dreams.obs, one), (dreams.true_obs, one), (dreams.true_obs, other))
    )
    if min(len(dream), len(others)) < 2:
        return {"dream": None, "game": None}
    size = min(len(dream), len(others))
    reference = features(spaced(others, size))
    return {
        name: frechet_distance(features(spaced(frames, size)), reference)
        for name, frames in (("dream", dream), ("game", game))
    }


def samples(frames: Tensor, mask: Tensor, of_clips: bool) -> Tensor:
    """The frames in ``mask`` (B, T) of (B, T, C, H, W): (K, C, H, W), or as clips: (K, CLIP_LENGTH, C, H, W)."""
    if not of_clips:
        return frames[mask]
    num_clips = frames.shape[1] // CLIP_LENGTH
    used = slice(0, num_clips * CLIP_LENGTH)
    whole = mask[:, used].reshape(len(mask), num_clips, CLIP_LENGTH).all(dim=2)  # (B, clips)
    return frames[:, used].reshape(len(mask), num_clips, CLIP_LENGTH, *frames.shape[2:])[whole]


def spaced(values: Tensor, count: int) -> Tensor:
    """``count`` of the entries, or as many as are compared, at equal distances."""
    return values[torch.linspace(0, len(values) - 1, min(count, MAX_SAMPLES)).round().long()]
