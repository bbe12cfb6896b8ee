"""Moments of real play, and what follows them under given actions: in the game and in dreams."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.errors import UserError
from adamas.core.protocols import Policy, WorldModel
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch, single_context
from adamas.envs.rewind import BranchingGame
from adamas.rl.action_distribution import sample_action

MAX_TRIES = 1_000  # episodes that may end too early, for each moment


@dataclass(frozen=True)
class Moment:
    """Where a dream and the game can start from together.

    Attributes:
        context: one segment of L real frames (B = 1), the last of which is the present one.
        saved: the same moment of the game, for its ``restore``.
    """

    context: Batch
    saved: Any


def find_moments(
    game: BranchingGame, policy: Policy, length: int, num_moments: int, seed: int, max_steps: int = 200
) -> list[Moment]:
    """Moments of as many episodes, each drawn uniformly from all that the policy reaches within ``max_steps``.

    The number of steps is drawn first; an episode that ends before is given up, and another one tried with
    another number. The policy acts as it does while it is scored (temperature 1).

    Args:
        game: where it plays.
        policy: in CPU memory (see :class:`~adamas.rl.rollout.OnHost`).
        length: L; the first moment of an episode is that of its L-th frame.
        num_moments: how many.
        seed: everything follows from it.
        max_steps: at most so many steps are played before a moment.

    Raises:
        UserError: the episodes are too short.
    """
    _ = game.action_spec.names  # refuses all but one choice: games are stepped by number
    rng = np.random.default_rng(derive_seed(seed, "moments"))
    generator = Generator().manual_seed(derive_seed(seed, "moments", "policy"))
    moments: list[Moment] = []
    for _ in range(MAX_TRIES * num_moments):
        if len(moments) == num_moments:
            return moments
        num_steps = int(rng.integers(length - 1, max_steps + 1))
        moment = _play(game, policy, length, num_steps, int(rng.integers(2**31)), generator)
        if moment is not None:
            moments.append(moment)
    raise UserError(
        f"{MAX_TRIES * num_moments} episodes gave {len(moments)} of {num_moments} moments with {length} frames "
        "before the end; choose an agent that survives longer"
    )


@torch.no_grad()
def _play(
    game: BranchingGame, policy: Policy, length: int, num_steps: int, seed: int, generator: Generator
) -> Moment | None:
    """The moment after ``num_steps`` of one episode, unless it has ended."""
    obs, state = game.reset(seed), policy.initial_state(1)
    frames, actions = deque([obs], length), deque[int]([], length - 1)
    for _ in range(num_steps):
        output = policy(obs[None], state)
        action, state = int(sample_action(game.action_spec, output.logits, generator)), output.state
        obs, _, terminated, truncated = game.step(action)
        if terminated or truncated:
            return None
        frames.append(obs)
        actions.append(action)
    taken = torch.tensor(list(actions), dtype=torch.int64)
    context = single_context(torch.stack(tuple(frames)), taken, length)
    return Moment(context, game.save())


def play_on(game: BranchingGame, moment: Moment, actions: Tensor, seed: int) -> Tensor:
    """What the game makes of ``actions``, (T,), with the chance of ``seed``: (T, C, H, W) uint8.

    Where it ends before, its last frame stays.
    """
    game.restore(moment.saved, seed)
    frames: list[Tensor] = []
    over = False
    for action in actions.tolist():
        if over:
            frames.append(frames[-1])
        else:
            obs, _, terminated, truncated = game.step(action)
            frames.append(obs)
            over = terminated or truncated
    return torch.stack(frames)


@torch.no_grad()
def dream_on(world_model: WorldModel, context: Batch, actions: Tensor, generator: Generator) -> Tensor:
    """What dreams make of ``actions``, (B, T): (B, T, C, H, W) uint8 in CPU memory.

    Where a dream ends before, its last frame stays.

    Args:
        world_model: the world model.
        context: B segments of L frames.
        actions: (B, T) int64.
        generator: source of the dreams' randomness, on the world model's device.
    """
    device = generator.device
    state = world_model.initial_state(context.to(device))
    frames: list[Tensor] = []
    over = torch.zeros(len(actions), dtype=torch.bool, device=device)
    for action in actions.to(device).unbind(1):
        state, prediction = world_model.step(state, action, generator)
        held = (
            torch.where(over[:, None, None, None], frames[-1], prediction.obs) if frames else prediction.obs
        )
        frames.append(held)
        over = over | prediction.terminated
    return torch.stack(frames, dim=1).cpu()
