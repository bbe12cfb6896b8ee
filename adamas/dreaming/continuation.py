"""Dreams that continue real windows under the actions that were really taken."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from adamas.core.types import Batch
from adamas.media.pictures import ENDED_GREY
from adamas.world_models.base import WorldModel

DREAMS_AT_ONCE = 64  # limits the memory of many dreams


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """B dreams of T steps beside the true continuation of the same frames under the same actions.

    Attributes:
        obs: (B, T, C, H, W) uint8, the dreamt frames.
        true_obs: (B, T, C, H, W) uint8, the real frames.
        reward: (B, T), dreamt, in {-1, 0, 1}.
        true_reward: (B, T), the signs of the real rewards.
        terminated: (B, T) bool, dreamt.
        true_terminated: (B, T) bool, real.
        mask: (B, T) bool; false after the real episode has ended.
    """

    obs: Tensor
    true_obs: Tensor
    reward: Tensor
    true_reward: Tensor
    terminated: Tensor
    true_terminated: Tensor
    mask: Tensor


@torch.no_grad()
def continue_dreams(world_model: WorldModel, windows: Batch, generator: Generator) -> Continuation:
    """Dream on from the first L frames of each window, under the actions of the window.

    The windows are computed ``DREAMS_AT_ONCE`` at a time.

    Args:
        world_model: the world model.
        windows: windows of L + T frames.
        generator: source of the dreams' randomness.

    Returns:
        One dream for each window whose last context frame and next frame are real.

    Raises:
        ValueError: there is no such window.
    """
    length = world_model.context_length
    usable = windows.mask[:, length - 1] & windows.mask[:, length]
    if not usable.any():
        raise ValueError("no window starts inside an episode")
    windows = windows[usable]
    parts = [
        _continue_together(world_model, windows[start : start + DREAMS_AT_ONCE], generator)
        for start in range(0, len(windows.mask), DREAMS_AT_ONCE)
    ]
    names = [field.name for field in fields(Continuation)]
    return Continuation(**{name: torch.cat([getattr(part, name) for part in parts]) for name in names})


def _continue_together(world_model: WorldModel, windows: Batch, generator: Generator) -> Continuation:
    length = world_model.context_length
    state, _ = world_model.start(windows.first_frames(length))
    steps = []
    for action in windows.action[:, length - 1 :].unbind(1):
        state, imagined = world_model.imagine(state, action, generator)
        steps.append((world_model.decode(state), imagined.reward, imagined.terminated))
    obs, reward, terminated = (torch.stack(x, dim=1) for x in zip(*steps, strict=True))
    return Continuation(
        obs=obs,
        true_obs=windows.obs[:, length:],
        reward=reward,
        true_reward=windows.reward[:, length - 1 :].sign(),
        terminated=terminated,
        true_terminated=windows.terminated[:, length - 1 :],
        mask=windows.transition_mask[:, length - 1 :],
    )


def longest_dream(continuation: Continuation) -> tuple[Tensor, Tensor]:
    """The real frames and the dream, as in :func:`true_and_dream`, of the pair that goes on together for longest."""
    together = continuation.mask & ~dream_over(continuation)  # (B, T)
    return true_and_dream(continuation, int(together.sum(dim=1).argmax()))


def true_and_dream(continuation: Continuation, index: int) -> tuple[Tensor, Tensor]:
    """The real frames and the frames of dream ``index``, up to the end of the real episode or the horizon.

    After the dream has ended, its frames are grey: the world model was not trained to continue from there.

    Returns:
        (T', C, H, W) uint8 each, in CPU memory, where T' is the number of steps up to that point.
    """
    alive = continuation.mask[index]
    dream = continuation.obs[index].masked_fill(
        dream_over(continuation)[index, :, None, None, None], ENDED_GREY
    )
    return continuation.true_obs[index, alive].cpu(), dream[alive].cpu()


def dream_over(continuation: Continuation) -> Tensor:
    """(B, T) bool: true after the step in which the dream ended."""
    ends = continuation.terminated.int()
    return ends.cumsum(dim=1) > ends
