"""Windows: L real frames from which a dream starts, and T steps after them under given actions.

Most windows hold what really happened in these T steps, read from a dataset or played in a game, so that a dream can
be compared with it. Windows of :func:`windows_under_actions` hold the actions alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adamas.core.types import Batch, History
from adamas.data.store import EpisodeStore
from adamas.data.windows import draw_uniformly
from adamas.dreaming.starts import PlayedStarts, start_places
from adamas.media.pictures import hold_last
from adamas.rl.action_distribution import sample_action
from adamas.rl.rollout import burn_in


@dataclass(frozen=True)
class Windows:
    """Windows of a dataset.

    Attributes:
        batch: B windows of L + T frames; the first L frames and the one after them are real in each.
        episode: (B,) int64, the episode from which each window comes.
    """

    batch: Batch
    episode: np.ndarray


def draw_windows(
    store: EpisodeStore, num_windows: int, length: int, horizon: int, rng: np.random.Generator
) -> Windows:
    """Draw windows from a dataset, uniformly among all places where a dream can start.

    Args:
        store: the dataset.
        num_windows: B.
        length: L, the frames from which a dream starts.
        horizon: T, the steps after them.
        rng: source of the draws.

    Raises:
        UserError: no episode is long enough.
    """
    episode, start = draw_uniformly(start_places(store, length), num_windows, rng)
    return Windows(store.read(episode, start, length + horizon), episode)


@torch.no_grad()
def play_window(
    starts: PlayedStarts,
    horizon: int,
    rng: np.random.Generator,
    *,
    actions: Tensor | None = None,
    temperature: float = 1.0,
    epsilon: float = 0.0,
) -> Batch:
    """Play one window in a new episode of a game.

    The agent plays up to the start. From there on the given actions are taken, or the agent plays on.

    Args:
        starts: the game, and the agent that plays it.
        horizon: T. If the episode ends before, the rest of the window is padding.
        rng: source of the start and of the agent's actions.
        actions: (T,) int64, or (T, D) float32, the actions after the start. None: the agent's own.
        temperature: of the agent's policy; 0 is greedy.
        epsilon: probability of a uniformly random action.

    Returns:
        One window (B = 1) of L + T frames.
    """
    starts.restart()
    context = starts.draw(1, rng)
    state = burn_in(starts.policy, History(context.obs[:, :-1], context.mask[:, :-1], context.action))
    generator = torch.Generator().manual_seed(int(rng.integers(2**63)))
    frames, taken = [context.obs[:, -1]], []
    for t in range(horizon):
        logits, _, state = starts.policy(frames[-1], state)
        action = sample_action(starts.env.action_spec, logits, generator, temperature, epsilon)
        taken.append(action if actions is None else actions[t : t + 1])
        state = starts.policy.remember(state, taken[-1])
        step = starts.env.step(taken[-1])
        frames.append(step.final_obs if step.ended[0] else step.obs)
        if step.ended[0]:
            break
    obs = hold_last(torch.cat(frames[1:]), horizon)[None]
    action = hold_last(torch.cat(taken), horizon)[None]
    return _extended(context, action, obs, (torch.arange(horizon) < len(taken))[None])


def windows_under_actions(context: Batch, actions: Tensor) -> Batch:
    """Extend contexts by actions that nobody took in the game, for dreams alone.

    Args:
        context: B contexts of L frames.
        actions: (T,) int64, or (T, D) float32, the same for all.

    Returns:
        B windows of L + T frames, the last T of which are black.
    """
    count, horizon = len(context.obs), len(actions)
    black = context.obs.new_zeros(count, horizon, *context.obs.shape[2:])
    steps = torch.ones(count, horizon, dtype=torch.bool)
    return _extended(context, actions.expand(count, *actions.shape), black, steps)


def _extended(context: Batch, action: Tensor, obs: Tensor, mask: Tensor) -> Batch:
    """B contexts and T steps after each: actions, frames (B, T, C, H, W), and (B, T) bool, where they are real."""
    mask = torch.cat((context.mask, mask), dim=1)
    none = torch.zeros(len(mask), mask.shape[1] - 1)
    return Batch(
        obs=torch.cat((context.obs, obs), dim=1),
        action=torch.cat((context.action, action), dim=1),
        reward=none,
        terminated=none.bool(),
        truncated=none.bool(),
        mask=mask,
    )
