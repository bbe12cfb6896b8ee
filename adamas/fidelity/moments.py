"""Moments of the real game, and what follows them under given actions, in the game and in dreams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.errors import UserError
from adamas.core.protocols import Policy
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.dreaming.starts import Trail
from adamas.envs.rewind import BranchingGame
from adamas.media.pictures import hold_last
from adamas.rl.action_distribution import sample_action
from adamas.world_models.base import WorldModel

MAX_TRIES = 1_000  # most episodes that are played for each moment, because some end too early


@dataclass(frozen=True)
class Moment:
    """A moment from which both a dream and the game can go on.

    Attributes:
        context: one segment of L real frames (B = 1), of which the last is the frame of the moment.
        saved: the state of the game in this moment, for its ``restore``.
    """

    context: Batch
    saved: Any


def find_moments(
    game: BranchingGame, policy: Policy, length: int, num_moments: int, seed: int, max_steps: int = 200
) -> list[Moment]:
    """Find moments of different episodes that a policy plays.

    The number of steps before a moment is drawn uniformly. If the episode ends before, a new episode with a new number
    is played. The policy samples its actions at temperature 1, as in evaluations.

    Args:
        game: the game.
        policy: the policy, which takes and returns tensors in CPU memory (see :class:`~adamas.rl.rollout.OnHost`).
        length: L, the number of frames in a context. A moment has at least L frames up to it.
        num_moments: number of moments.
        seed: everything random follows from it.
        max_steps: largest number of steps before a moment.

    Raises:
        UserError: the episodes are too short, or an action is more than one choice among several.
    """
    _ = game.action_spec.names  # raises for other action spaces than one choice
    rng = np.random.default_rng(derive_seed(seed, "moments"))
    generator = Generator().manual_seed(derive_seed(seed, "moments", "policy"))
    moments: list[Moment] = []
    for _ in range(MAX_TRIES * num_moments):
        num_steps = int(rng.integers(length - 1, max_steps + 1))
        moment = _play(game, policy, length, num_steps, int(rng.integers(2**31)), generator)
        if moment is not None:
            moments.append(moment)
        if len(moments) == num_moments:
            return moments
    raise UserError(
        f"{MAX_TRIES * num_moments} episodes gave {len(moments)} of {num_moments} moments with {length} frames "
        "before the end; choose an agent that survives longer"
    )


@torch.no_grad()
def _play(
    game: BranchingGame, policy: Policy, length: int, num_steps: int, seed: int, generator: Generator
) -> Moment | None:
    """Play one episode: the moment after ``num_steps`` steps, or None if the episode ends before."""
    obs, state = game.reset(seed), policy.initial_state(1)
    trail = Trail(length, game.action_spec)
    trail.begin(obs)
    for _ in range(num_steps):
        output = policy(obs[None], state)
        chosen = sample_action(game.action_spec, output.logits, generator)  # (1,)
        action, state = chosen[0], policy.remember(output.state, chosen)
        obs, _, terminated, truncated = game.step(int(action))
        if terminated or truncated:
            return None
        trail.add(action, obs)
    return Moment(trail.context(), game.save())


def play_on(game: BranchingGame, moment: Moment, actions: Tensor, seed: int) -> Tensor:
    """Play ``actions``, (T,), from a moment of the game, with the random numbers of ``seed``.

    Returns:
        (T, C, H, W) uint8, the frames. After the end of the episode its last frame is repeated.
    """
    game.restore(moment.saved, seed)
    frames: list[Tensor] = []
    for action in actions.tolist():
        obs, _, terminated, truncated = game.step(action)
        frames.append(obs)
        if terminated or truncated:
            break
    return hold_last(torch.stack(frames), len(actions))


@torch.no_grad()
def dream_on(world_model: WorldModel, context: Batch, actions: Tensor, generator: Generator) -> Tensor:
    """Dream on from B contexts under given actions.

    Args:
        world_model: the world model.
        context: B segments of L frames.
        actions: (B, T) int64.
        generator: source of the dreams' randomness, on the world model's device.

    Returns:
        (B, T, C, H, W) uint8, the frames, in CPU memory. After the end of a dream its last frame is repeated.
    """
    device = generator.device
    state, _ = world_model.start(context.to(device))
    frames: list[Tensor] = []
    over = torch.zeros(len(actions), dtype=torch.bool, device=device)
    for action in actions.to(device).unbind(1):
        state, imagined = world_model.imagine(state, action, generator)
        obs = world_model.decode(state)
        frames.append(torch.where(over[:, None, None, None], frames[-1], obs) if frames else obs)
        over = over | imagined.terminated
    return torch.stack(frames, dim=1).cpu()
