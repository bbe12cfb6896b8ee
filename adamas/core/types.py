"""Data types shared by all layers (episodes, batches, environment steps), with their shapes, ranges and units.

Letters: B parallel sequences, T transitions, L context frames, C channels, H height, W width,
A number of actions, D entries of an action vector, N denoising steps, K any other number, mostly of environments
that just ended.

Time indices mean the same everywhere. The agent sees frame ``t`` and takes action ``t`` in it. The environment
returns reward ``t``, the end flags ``t`` and frame ``t + 1``::

    t            0          1          2        ...      T-1         T
    obs         o_0 ------ o_1 ------ o_2 ---- ... ---- o_{T-1} --- o_T     T + 1 frames
    action          a_0        a_1        a_2  ...         a_{T-1}          T
    reward          r_0        r_1        r_2  ...         r_{T-1}          T
    terminated      e_0        e_1        e_2  ...         e_{T-1}          T   true end of the POMDP
    truncated       u_0        u_1        u_2  ...         u_{T-1}          T   time limit, horizon

Pixels are stored and passed on as ``uint8`` in [0, 255], channels first. Only :func:`to_model_range` converts them
to floats in [-1, 1], and only :func:`to_pixels` converts them back. Policies of world models that show them floats
instead use :func:`as_model_range`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Episode:
    """One episode, or the first part of a running one.

    Attributes:
        obs: (T + 1, C, H, W) uint8. The last frame of the episode is included.
        action: (T,) int64, or (T, D) float32 (:class:`~adamas.core.actions.ActionSpec`).
        reward: (T,) float32, as the environment returns it (not clipped).
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


@dataclass(frozen=True, kw_only=True)
class Batch:
    """B segments of T transitions from episodes, padded where they reach beyond an episode.

    Attributes:
        obs: (B, T + 1, C, H, W) uint8; padding is zero.
        action: (B, T) int64, or (B, T, D) float32; padding is zero.
        reward: (B, T) float32; padding is zero.
        terminated: (B, T) bool.
        truncated: (B, T) bool.
        mask: (B, T + 1) bool; true for real frames, false for padding.
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
        """Copy the batch to ``device``. Copies to a GPU are asynchronous."""
        # Asynchronous copies need pinned (page-locked) memory.
        pinned = self._each(Tensor.pin_memory) if torch.device(device).type == "cuda" else self
        return pinned._each(lambda tensor: tensor.to(device, non_blocking=True))

    def first_frames(self, num_frames: int) -> Batch:
        """Take the first ``num_frames`` frames of every segment, and the transitions between them."""
        n = num_frames
        return Batch(
            obs=self.obs[:, :n],
            action=self.action[:, : n - 1],
            reward=self.reward[:, : n - 1],
            terminated=self.terminated[:, : n - 1],
            truncated=self.truncated[:, : n - 1],
            mask=self.mask[:, :n],
        )

    def __getitem__(self, index: slice | Tensor) -> Batch:
        """Select some of the B segments."""
        return self._each(lambda tensor: tensor[index])

    @staticmethod
    def concatenate(batches: Sequence[Batch]) -> Batch:
        """Join the segments of several batches, in order."""
        names = [field.name for field in fields(Batch)]
        return Batch(**{name: torch.cat([getattr(batch, name) for batch in batches]) for name in names})

    def split(self, sizes: Sequence[int]) -> list[Batch]:
        """Split into batches with these numbers of segments, in order. ``sizes`` must sum to B."""
        parts = {field.name: getattr(self, field.name).split(list(sizes)) for field in fields(self)}
        return [Batch(**{name: part[i] for name, part in parts.items()}) for i in range(len(sizes))]

    def _each(self, change: Callable[[Tensor], Tensor]) -> Batch:
        """Change every tensor in the same way."""
        return Batch(**{field.name: change(getattr(self, field.name)) for field in fields(self)})


def single_context(obs: Tensor, action: Tensor, length: int) -> Batch:
    """Make a context (B = 1) of ``length`` frames from the latest frames of an episode, padded at the front.

    Args:
        obs: (K, C, H, W) uint8, at most ``length`` frames, oldest first.
        action: (K - 1,) int64 or (K - 1, D) float32, the actions between them.
        length: L, the number of frames in a context.

    Returns:
        A context whose rewards and end flags are zero, because no world model reads them from a context.
    """
    padding = length - len(obs)
    frames = obs.new_zeros(1, length, *obs.shape[1:])
    actions = action.new_zeros(1, length - 1, *action.shape[1:])
    frames[0, padding:] = obs
    if len(action):
        actions[0, padding:] = action
    none = torch.zeros(1, length - 1, dtype=torch.bool)
    mask = torch.arange(length)[None] >= padding
    return Batch(
        obs=frames, action=actions, reward=none.float(), terminated=none, truncated=none.clone(), mask=mask
    )


@dataclass(frozen=True)
class SegmentSpec:
    """Which segments of episodes a component trains on.

    Attributes:
        num_frames: number of frames in a segment, T + 1.
        past_end: whether a segment may reach beyond the end of the episode, where it is padded.
        final_frame: whether a segment may contain the last frame of the episode. Contexts for the policy leave it
            out, because a dream cannot start at the end of an episode.
        at_edge: whether the frame of an episode that is drawn first is an edge of the segment: its first frame with
            ``past_end``, and its last frame without. If not, its place in the segment is random.
    """

    num_frames: int
    past_end: bool = False
    final_frame: bool = True
    at_edge: bool = False


class History(NamedTuple):
    """What came before the first observation of K episodes, for the burn-in of a recurrent state.

    Attributes:
        obs: (K, L - 1, ...), what the policy would have seen, oldest first: frames (C, H, W) uint8 in a game.
        mask: (K, L - 1) bool; true for real frames, false for padding.
        action: (K, L - 1) int64, or (K, L - 1, D) float32, the action after each of them.
    """

    obs: Tensor
    mask: Tensor
    action: Tensor


class EnvReset(NamedTuple):
    """The result of a reset.

    Attributes:
        obs: what the policy sees first: frames (B, C, H, W) uint8 in a game, (B, ...) in a dream.
        history: what it would have seen before (dreams only).
        frames: (B, C, H, W) uint8, what people see, if it was asked for; None where it is ``obs``.
    """

    obs: Tensor
    history: History | None = None
    frames: Tensor | None = None

    @property
    def shown(self) -> Tensor:
        """(B, C, H, W) uint8, what people see."""
        return self.obs if self.frames is None else self.frames


class EnvStep(NamedTuple):
    """The result of a step of B environments. Environments that end restart within the same step (autoreset).

    Attributes:
        obs: what the policy acts on next: frames (B, C, H, W) uint8 in a game, (B, ...) in a dream. For an environment
            that ended, this is already the first frame of its next episode.
        reward: (B,) float32.
        terminated: (B,) bool; in dreams of some world models (B,) float32, the probability of the end.
        truncated: (B,) bool.
        final_obs: (K, ...): the last of the K environments that ended, in the order of their indices.
        history: what came before ``obs`` in the same K environments (dreams only).
        goes_on: whether an environment that is terminated goes on, and ends only when it is truncated (dreams of some
            world models).
        frames: (B, C, H, W) uint8, what people see, if it was asked for; None where it is ``obs``.
        final_frames: (K, C, H, W) uint8, the same for ``final_obs``.
    """

    obs: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    final_obs: Tensor
    history: History | None = None
    goes_on: bool = False
    frames: Tensor | None = None
    final_frames: Tensor | None = None

    @property
    def shown(self) -> Tensor:
        """(B, C, H, W) uint8, what people see."""
        return self.obs if self.frames is None else self.frames

    @property
    def final_shown(self) -> Tensor:
        """(K, C, H, W) uint8, what people see of the ends."""
        return self.final_obs if self.final_frames is None else self.final_frames

    @property
    def ended(self) -> Tensor:
        """(B,) bool: which environments ended, and began a new episode."""
        return self.truncated if self.goes_on else self.terminated | self.truncated

    @property
    def ended_index(self) -> Tensor:
        """(K,) int64: indices of the environments that ended, in order.

        K is known from ``final_obs``. This avoids ``nonzero``, which would synchronise with the device.
        """
        order = self.ended.to(torch.uint8).argsort(descending=True, stable=True)  # (B,)
        return order[: len(self.final_obs)]


def to_model_range(obs: Tensor, mask: Tensor | None = None) -> Tensor:
    """Convert pixels to the range that models use: uint8 [0, 255] to float32 [-1, 1].

    Args:
        obs: (..., C, H, W) uint8; TypeError otherwise.
        mask: (...) bool, optional: which frames are real. The others become 0 (mid-grey), as in the published code.
    """
    if obs.dtype != torch.uint8:
        raise TypeError(f"pixels must be uint8, got {obs.dtype}")
    x = obs.float().mul_(2 / 255).sub_(1)  # (..., C, H, W)
    return x if mask is None else x * mask[..., None, None, None]


def as_model_range(frames: Tensor) -> Tensor:
    """Frames (..., C, H, W) as float32 in [-1, 1]: converted if they are uint8, and as they are otherwise."""
    return frames if frames.is_floating_point() else to_model_range(frames)


def to_pixels(x: Tensor) -> Tensor:
    """Convert the range of models to pixels: float [-1, 1], clamped, to uint8 [0, 255], rounded."""
    return x.float().clamp(-1, 1).add(1).mul(127.5).round().to(torch.uint8)
