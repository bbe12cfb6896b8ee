"""Rollouts: a policy acts in a vector of environments, which may be real games or dreams."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import Policy, PolicyOutput, VectorEnv
from adamas.core.types import EnvStep, History
from adamas.rl.action_distribution import sample_action

PolicyState = tuple[Tensor, ...]


class Position(NamedTuple):
    """Where a rollout continues: the current frames of B environments, (B, C, H, W) uint8, and the policy's state."""

    obs: Tensor
    policy_state: PolicyState


@dataclass(frozen=True)
class Rollout:
    """B parallel sequences of T steps.

    Attributes:
        action_spec: describes the actions.
        obs: (B, T, C, H, W) uint8, the frames that the policy acted on.
        action: (B, T) int64, or (B, T, D) float32.
        logits: (B, T, P), parameters of the action distribution; with gradients, unless the caller disabled them.
        value: (B, T); with gradients, unless the caller disabled them.
        reward: (B, T) float32.
        terminated: (B, T) bool.
        truncated: (B, T) bool.
        value_bootstrap: (B, T), without gradients: the value of the next frame, V(o_{t+1}). Where step t ends an
            episode, o_{t+1} is the episode's last frame, not the first frame of the next episode.
        steps: what the environment returned at each of the T steps.
    """

    action_spec: ActionSpec
    obs: Tensor
    action: Tensor
    logits: Tensor
    value: Tensor
    reward: Tensor
    terminated: Tensor
    truncated: Tensor
    value_bootstrap: Tensor
    steps: list[EnvStep]


class OnHost:
    """A policy that takes and returns tensors in CPU memory, while its network computes on ``device``."""

    def __init__(self, policy: Policy, device: torch.device) -> None:
        self.policy = policy
        self.device = device

    def initial_state(self, batch_size: int) -> PolicyState:
        """The policy's initial state, in CPU memory."""
        return tuple(s.cpu() for s in self.policy.initial_state(batch_size))

    def __call__(self, obs: Tensor, state: PolicyState) -> PolicyOutput:
        """Call the policy; inputs and outputs are in CPU memory."""
        output = self.policy(obs.to(self.device), tuple(s.to(self.device) for s in state))
        return PolicyOutput(output.logits.cpu(), output.value.cpu(), tuple(s.cpu() for s in output.state))


def start(policy: Policy, env: VectorEnv) -> Position:
    """Reset every environment, and burn the policy's state in on the frames before the first, if there are any."""
    reset = env.reset()
    state = policy.initial_state(env.num_envs)
    if reset.history is not None:
        state = burn_in(policy, reset.history)
    return Position(reset.obs, state)


def rollout(
    policy: Policy,
    env: VectorEnv,
    position: Position,
    num_steps: int,
    generator: Generator,
    temperature: float = 1.0,
    epsilon: float = 0.0,
) -> tuple[Rollout, Position]:
    """Act for ``num_steps`` steps from ``position``.

    Args:
        policy: maps frames to logits and values.
        env: B environments, real or dreamt.
        position: from :func:`start`, or from the previous rollout.
        num_steps: T.
        generator: source of randomness for the actions.
        temperature: temperature of the policy; 0 is greedy.
        epsilon: probability of a uniformly random action.

    Returns:
        The rollout, and the position after its last step (detached).
    """
    obs, state = position
    frames, outputs, actions, steps = [], [], [], []
    ends: list[tuple[int, Tensor, Position]] = []
    for t in range(num_steps):
        output = policy(obs, state)
        action = sample_action(env.action_spec, output.logits.detach(), generator, temperature, epsilon)
        step = env.step(action)
        frames.append(obs)
        outputs.append(output)
        actions.append(action)
        steps.append(step)
        obs, state = step.obs, output.state
        if len(step.final_obs):  # K of them
            index = step.ended_index  # (K,)
            ends.append((t, index, Position(step.final_obs, tuple(s[index] for s in state))))
            state = _restart(policy, state, index, step.history)
    position = Position(obs, tuple(s.detach() for s in state))
    value = torch.stack([o.value for o in outputs], dim=1)  # (B, T)
    result = Rollout(
        action_spec=env.action_spec,
        obs=torch.stack(frames, dim=1),
        action=torch.stack(actions, dim=1),
        logits=torch.stack([o.logits for o in outputs], dim=1),
        value=value,
        reward=torch.stack([s.reward for s in steps], dim=1),
        terminated=torch.stack([s.terminated for s in steps], dim=1),
        truncated=torch.stack([s.truncated for s in steps], dim=1),
        value_bootstrap=_following_values(policy, value, position, ends),
        steps=steps,
    )
    return result, position


@torch.no_grad()
def _following_values(
    policy: Policy, value: Tensor, position: Position, ends: list[tuple[int, Tensor, Position]]
) -> Tensor:
    """The values of the next frames, V(o_{t+1}), of (B, T) steps.

    Most of them are known, because the policy acted on these frames in step t + 1. The frames after the last step, and
    the last frames of episodes, are evaluated here in a single batch. An entry of ``ends`` holds a step t, the
    indices (K,) of environments whose episodes ended there, and their last frames with the policy's states.
    """
    positions = [position, *(last for _, _, last in ends)]
    obs = torch.cat([p.obs for p in positions])
    state = tuple(torch.cat(parts) for parts in zip(*(p.policy_state for p in positions), strict=True))
    values = torch.split(policy(obs, state).value, [len(p.obs) for p in positions])
    result = torch.cat((value[:, 1:], values[0][:, None]), dim=1)
    for (t, index, _), last in zip(ends, values[1:], strict=True):
        result[index, t] = last
    return result


@torch.no_grad()
def burn_in(policy: Policy, history: History) -> PolicyState:
    """Run the policy on K histories and return its state; masked (missing) frames leave the state as it was."""
    state = policy.initial_state(len(history.obs))
    for obs, mask in zip(history.obs.unbind(1), history.mask.unbind(1), strict=True):
        after = policy(obs, state).state
        state = tuple(torch.where(mask[:, None], new, old) for new, old in zip(after, state, strict=True))
    return state


def _restart(policy: Policy, state: PolicyState, index: Tensor, history: History | None) -> PolicyState:
    """Replace ``state`` of the K environments at ``index`` by the state at the start of their next episodes."""
    fresh = policy.initial_state(len(index)) if history is None else burn_in(policy, history)
    return tuple(old.index_copy(0, index, new) for old, new in zip(state, fresh, strict=True))
