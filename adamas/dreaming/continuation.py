"""Dreams that continue real windows under the windows' own actions."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from adamas.core.protocols import WorldModel
from adamas.core.types import Batch
from adamas.media.pictures import OVER

DREAMS_AT_ONCE = 64  # so that memory does not grow with their number


@dataclass(frozen=True)
class Continuation:
    """Dreams beside the true continuation of the same frames under the same actions.

    Attributes:
        obs: (B, T, C, H, W) uint8, dreamt frames.
        true_obs: (B, T, C, H, W) uint8.
        reward: (B, T), dreamt, in {-1, 0, 1}.
        true_reward: (B, T), the sign of the true rewards.
        terminated: (B, T) bool, dreamt.
        true_terminated: (B, T) bool.
        mask: (B, T) bool; false after the true end.
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
    """Dream on from the first L frames of every window, under the window's own actions, ``DREAMS_AT_ONCE`` at a time.

    Args:
        world_model: the world model.
        windows: B windows of L + T frames.
        generator: source of the dreams' randomness.

    Returns:
        The dreams of all windows that have their last context frame and the one after it.

    Raises:
        ValueError: no window has.
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
    return Continuation(*(torch.cat([getattr(x, f.name) for x in parts]) for f in fields(Continuation)))


def _continue_together(world_model: WorldModel, windows: Batch, generator: Generator) -> Continuation:
    length = world_model.context_length
    state = world_model.initial_state(windows.first_frames(length))
    predictions = []
    for action in windows.action[:, length - 1 :].unbind(1):
        state, prediction = world_model.step(state, action, generator)
        predictions.append(prediction)
    obs, reward, terminated = (torch.stack(x, dim=1) for x in zip(*predictions, strict=True))
    return Continuation(
        obs,
        windows.obs[:, length:],
        reward,
        windows.reward[:, length - 1 :].sign(),
        terminated,
        windows.terminated[:, length - 1 :],
        windows.transition_mask[:, length - 1 :],
    )


def longest_dream(continuation: Continuation) -> tuple[Tensor, Tensor]:
    """:func:`true_and_dream` of the dream that goes on for the most steps together with its game."""
    together = continuation.mask & ~dream_over(continuation)  # (B, T)
    return true_and_dream(continuation, int(together.sum(dim=1).argmax()))


def true_and_dream(continuation: Continuation, index: int) -> tuple[Tensor, Tensor]:
    """What really happened and what dream ``index`` made of the same actions: (T', C, H, W) each.

    T' is the number of steps until the horizon or the true end. After its own end a dream is grey: what the
    model makes of frames that follow none means nothing.
    """
    alive = continuation.mask[index]
    dream = continuation.obs[index].masked_fill(dream_over(continuation)[index, :, None, None, None], OVER)
    return continuation.true_obs[index, alive].cpu(), dream[alive].cpu()


def dream_over(continuation: Continuation) -> Tensor:
    """(B, T) bool: whether some step before was the dream's last."""
    ends = continuation.terminated.int()
    return ends.cumsum(dim=1) > ends
