"""How far dreams are from what really happened, on episodes nobody trained on."""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Generator, Tensor

from adamas.core.protocols import WorldModel
from adamas.core.types import Batch

EXACT_TOLERANCE = 38  # levels of 255; 0.3 in [-1, 1]
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


def psnr(obs: Tensor, true_obs: Tensor) -> Tensor:
    """Peak signal-to-noise ratio in dB of (..., C, H, W) uint8 frames: (...). Identical frames: 60 dB at most."""
    error = (obs.float() - true_obs.float()).square().mean(dim=(-3, -2, -1))
    return 10 * torch.log10(255**2 / error.clamp(min=255**2 * 1e-6))


def exact(obs: Tensor, true_obs: Tensor) -> Tensor:
    """(...) bool: whether no value of a (..., C, H, W) uint8 frame is off by more than ``EXACT_TOLERANCE``."""
    return ((obs.int() - true_obs.int()).abs() <= EXACT_TOLERANCE).flatten(-3).all(dim=-1)


def dream_error(dreams: Continuation) -> dict[str, float]:
    """The numbers a run logs at every evaluation.

    ``*_1`` is the next frame, ``*_T`` the frame T steps on; rates are per step that was still alive in the game.
    """
    horizon = dreams.mask.shape[1]
    result = {}
    for step in (1, horizon):
        alive = dreams.mask[:, step - 1]
        if alive.any():
            pair = dreams.obs[alive, step - 1], dreams.true_obs[alive, step - 1]
            result[f"psnr_{step}"] = float(psnr(*pair).mean())
            result[f"exact_{step}"] = float(exact(*pair).float().mean())
    alive = dreams.mask
    result["dream_reward_rate"] = float(dreams.reward[alive].mean())
    result["real_reward_rate"] = float(dreams.true_reward[alive].mean())
    result["dream_end_rate"] = float(dreams.terminated[alive].float().mean())
    result["real_end_rate"] = float(dreams.true_terminated[alive].float().mean())
    return result
