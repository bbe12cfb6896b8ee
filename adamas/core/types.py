"""The shapes, ranges and units of everything that crosses a layer boundary.

Letters: B parallel sequences, T transitions, L context frames, C channels, H height, W width,
A number of actions, N denoising steps, K environments that just ended.

Time runs the same way everywhere. Frame ``t`` is seen, action ``t`` is taken in it, reward ``t`` and the
end flags ``t`` answer that action, and frame ``t + 1`` follows::

    t            0          1          2        ...      T-1         T
    obs         o_0 ------ o_1 ------ o_2 ---- ... ---- o_{T-1} --- o_T     T + 1 frames
    action          a_0        a_1        a_2  ...         a_{T-1}          T
    reward          r_0        r_1        r_2  ...         r_{T-1}          T
    terminated      e_0        e_1        e_2  ...         e_{T-1}          T   true end of the POMDP
    truncated       u_0        u_1        u_2  ...         u_{T-1}          T   time limit, horizon

Pixels are ``uint8`` in [0, 255], channels first, at rest and in transit. They become floats in [-1, 1] in
one function (:func:`to_model_range`) and leave that range in one function (:func:`to_pixels`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """One episode, or the part of a running one that is known so far.

    Attributes:
        obs: (T + 1, C, H, W) uint8; the last frame of the episode is included.
        action: (T,) int64, or (T, K) float32 (:class:`~adamas.core.actions.ActionSpec`).
        reward: (T,) float32, as the game gives it (not clipped).
        terminated: (T,) bool; only the last entry may be true.
        truncated: (T,) bool; only the last entry may be true.
    """

    obs: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    terminated: np.ndarray
    truncated: np.ndarray

    def __len__(self) -> int:
        """Number of transitions T."""
        return len(self.action)


@dataclass(frozen=True)
class Batch:
    """B segments of T transitions cut out of episodes, padded where they reach past an episode.

    Attributes:
        obs: (B, T + 1, C, H, W) uint8; padding is zero.
        action: (B, T) int64, or (B, T, K) float32; padding is zero.
        reward: (B, T) float32; padding is zero.
        terminated: (B, T) bool.
        truncated: (B, T) bool.
        mask: (B, T + 1) bool; true where the frame is real. Transition t is real where frames t and t + 1 are.
    """

    obs: Tensor
    action: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    mask: Tensor

    @property
    def transition_mask(self) -> Tensor:
        """(B, T) bool: true where both frames of the transition are real."""
        return self.mask[:, :-1] & self.mask[:, 1:]

    def to(self, device: torch.device | str) -> Batch:
        """The same batch on ``device``. A GPU fetches it when it gets there; the program does not wait."""
        tensors = [getattr(self, f.name) for f in fields(self)]
        if torch.device(device).type == "cuda":  # it can fetch from page-locked memory only
            tensors = [tensor.pin_memory() for tensor in tensors]
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in tensors))

    def first_frames(self, num_frames: int) -> Batch:
        """The first ``num_frames`` frames of every segment, and the transitions between them."""
        n = num_frames
        return Batch(
            self.obs[:, :n],
            self.action[:, : n - 1],
            self.reward[:, : n - 1],
            self.terminated[:, : n - 1],
            self.truncated[:, : n - 1],
            self.mask[:, :n],
        )

    def __getitem__(self, index: slice | Tensor) -> Batch:
        """Some of the B segments."""
        return Batch(*(getattr(self, f.name)[index] for f in fields(self)))

    @staticmethod
    def concatenate(batches: Sequence[Batch]) -> Batch:
        """One batch of the segments of several, in order."""
        return Batch(*(torch.cat([getattr(batch, f.name) for batch in batches]) for f in fields(Batch)))

    def split(self, sizes: Sequence[int]) -> list[Batch]:
        """Batches of so many segments each, in order; ``sizes`` sum to B."""
        parts = zip(*(getattr(self, f.name).split(list(sizes)) for f in fields(self)), strict=True)
        return [Batch(*tensors) for tensors in parts]


def single_context(obs: Tensor, action: Tensor, length: int) -> Batch:
    """The frames of one running episode as one context (B = 1) of ``length`` frames, padded in front.

    Args:
        obs: (K, C, H, W) uint8, at most ``length`` frames, oldest first.
        action: (K - 1,) int64 or (K - 1, D) float32, the actions between them.
        length: L, the number of frames in a context.

    Returns:
        A context without rewards and ends, which no world model reads from it.
    """
    padding = length - len(obs)
    frames = obs.new_zeros(1, length, *obs.shape[1:])
    actions = action.new_zeros(1, length - 1, *action.shape[1:])
    frames[0, padding:] = obs
    if len(action):
        actions[0, padding:] = action
    none = torch.zeros(1, length - 1, dtype=torch.bool)
    mask = torch.arange(length)[None] >= padding
    return Batch(frames, actions, none.float(), none, none.clone(), mask)


@dataclass(frozen=True)
class SegmentSpec:
    """Which segments a component trains on.

    Attributes:
        num_frames: frames in a segment, T + 1.
        past_end: the segment may run past the episode's end (and is then padded there).
        final_frame: the episode's last frame may be part of it. A dream cannot start from a frame after which
            nothing happens, so contexts for the policy leave it out.
    """

    num_frames: int
    past_end: bool = False
    final_frame: bool = True


class History(NamedTuple):
    """Frames that came before the first observation of K restarted worlds, for burning in a recurrent state.

    Attributes:
        obs: (K, L - 1, C, H, W) uint8, oldest first.
        mask: (K, L - 1) bool; false where there was no frame yet.
    """

    obs: Tensor
    mask: Tensor


class EnvReset(NamedTuple):
    """What a reset returns: the first frames, (B, C, H, W) uint8, and what came before them (dreams only)."""

    obs: Tensor
    history: History | None = None


class EnvStep(NamedTuple):
    """What a step of B environments returns. Environments that end restart within the same step.

    Attributes:
        obs: (B, C, H, W) uint8: the frame to act in next. Where an environment ended it is already the first
            frame of its next episode.
        reward: (B,) float32.
        terminated: (B,) bool.
        truncated: (B,) bool.
        final_obs: (K, C, H, W) uint8: the last frames of the K environments that ended, in the order of
            their indices.
        history: frames before ``obs`` of the same K environments (dreams only).
    """

    obs: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    history: History | None = None

    @property
    def ended(self) -> Tensor:
        """(B,) bool: which environments ended, for whichever reason."""
        return self.terminated | self.truncated

    @property
    def ended_index(self) -> Tensor:
        """(K,) int64: indices of the environments that ended, in order.

        K is known from ``final_obs``, so the program need not wait for the device as it would for ``nonzero``.
        """
        order = self.ended.to(torch.uint8).argsort(descending=True, stable=True)  # (B,)
        return order[: len(self.final_obs)]


def to_model_range(obs: Tensor, mask: Tensor | None = None) -> Tensor:
    """Pixels to the range models work in: uint8 [0, 255] to float32 [-1, 1]; frames outside ``mask`` become 0.

    Args:
        obs: (..., C, H, W) uint8.
        mask: (...) bool, optional: which frames are real. The published system pads with 0, that is mid-grey.
    """
    if obs.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8, got {obs.dtype}")
    x = obs.float().mul_(2 / 255).sub_(1)  # (..., C, H, W)
    return x if mask is None else x * mask[..., None, None, None]


def to_pixels(x: Tensor) -> Tensor:
    """Model range to pixels, by rounding: float [-1, 1] (clamped) to uint8 [0, 255]."""
    return x.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
