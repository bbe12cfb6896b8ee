"""Rollouts: a policy acts in a vector of environments, which may be real games or dreams."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import Policy, PolicyOutput, RecurrentPolicy, VectorEnv
from adamas.core.types import EnvStep, History
from adamas.rl.action_distribution import sample_action

PolicyState = tuple[Tensor, ...]
CPU = torch.device("cpu")


class Position(NamedTuple):
    """Where a rollout continues: what the policy sees of B environments, (B, ...), and the policy's state."""

    obs: Tensor
    policy_state: PolicyState


class Restart(NamedTuple):
    """After step ``t``, the environments ``ended`` (K,) int64 got a new policy state, K rows of each of its tensors."""

    t: int
    ended: Tensor
    policy_state: PolicyState


@dataclass(frozen=True)
class Rollout:
    """B parallel sequences of T steps.

    Attributes:
        action_spec: describes the actions.
        obs: (B, T, ...), what the policy acted on: frames (C, H, W) uint8 in a game.
        action: (B, T) int64, or (B, T, D) float32.
        logits: (B, T, P), parameters of the action distribution; with gradients, unless the caller disabled them.
        value: (B, T); with gradients, unless the caller disabled them.
        reward: (B, T) float32.
        terminated: (B, T) bool; or float32, the probability of an end.
        truncated: (B, T) bool.
        value_bootstrap: (B, T), without gradients: the value of the next frame, V(o_{t+1}). Where step t ends an
            episode, o_{t+1} is the episode's last frame, not the first frame of the next episode.
        steps: what the environment returned at each of the T steps.
        policy_state: the policy's recurrent state before the first step.
        restarts: where the state was replaced, because an episode ended and the next one began.
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
    policy_state: PolicyState
    restarts: list[Restart]

    def to(self, device: torch.device) -> Rollout:
        """Copy all tensors but those of ``steps`` to ``device``, where they are not there yet."""
        moved: dict[str, Any] = {
            field.name: value.to(device)
            for field in fields(self)
            if isinstance(value := getattr(self, field.name), Tensor)
        }
        restarts = [Restart(t, ended.to(device), _to(state, device)) for t, ended, state in self.restarts]
        return replace(self, **moved, policy_state=_to(self.policy_state, device), restarts=restarts)


def _to(state: PolicyState, device: torch.device) -> PolicyState:
    return tuple(s.to(device) for s in state)


class OnHost:
    """A policy that takes and returns tensors in CPU memory, while its network computes on ``device``."""

    def __init__(self, policy: Policy, device: torch.device) -> None:
        self.policy = policy
        self.device = device

    def initial_state(self, batch_size: int) -> PolicyState:
        """The policy's initial state, in CPU memory."""
        return _to(self.policy.initial_state(batch_size), CPU)

    def __call__(self, obs: Tensor, state: PolicyState) -> PolicyOutput:
        """Call the policy; inputs and outputs are in CPU memory."""
        output = self.policy(obs.to(self.device), _to(state, self.device))
        return PolicyOutput(output.logits.cpu(), output.value.cpu(), _to(output.state, CPU))

    def remember(self, state: PolicyState, action: Tensor) -> PolicyState:
        """Tell the policy which action was taken."""
        return _to(self.policy.remember(_to(state, self.device), action.to(self.device)), CPU)


def start(policy: Policy, env: VectorEnv) -> tuple[Position, Tensor]:
    """Reset every environment, and burn the policy's state in on what came before, if anything did.

    Returns:
        Where a rollout can begin, and the first frames that people see, (B, C, H, W) uint8 if the environment has any.
    """
    reset = env.reset()
    state = policy.initial_state(env.num_envs)
    if reset.history is not None:
        state = burn_in(policy, reset.history)
    return Position(reset.obs, state), reset.shown


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
    before = tuple(s.detach() for s in state)
    frames, outputs, actions, steps = [], [], [], []
    ends: list[tuple[int, Tensor, Position]] = []
    restarts: list[Restart] = []
    for t in range(num_steps):
        output = policy(obs, state)
        action = sample_action(env.action_spec, output.logits.detach(), generator, temperature, epsilon)
        step = env.step(action)
        frames.append(obs)
        outputs.append(output)
        actions.append(action)
        steps.append(step)
        obs, state = step.obs, policy.remember(output.state, action)
        if len(step.final_obs):  # K of them
            index = step.ended_index  # (K,)
            ends.append((t, index, Position(step.final_obs, tuple(s[index] for s in state))))
            restarts.append(Restart(t, index, _fresh_state(policy, len(index), step.history)))
            state = _replaced(state, restarts[-1])
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
        policy_state=before,
        restarts=restarts,
    )
    return result, position


def evaluate_again(policy: RecurrentPolicy, rollout: Rollout, rows: Tensor) -> tuple[Tensor, Tensor]:
    """What the policy, as it is now, says of the frames of a rollout: with gradients, from the same recurrent states.

    Args:
        policy: the policy, whose weights may have changed since.
        rollout: B sequences of T steps.
        rows: (b,) int64, the sequences to evaluate.

    Returns:
        Parameters of the action distributions (b, T, P), and values (b, T).
    """
    obs = rollout.obs[rows]
    features = policy.encode(obs.flatten(0, 1)).reshape(*obs.shape[:2], -1)  # (b, T, features)
    state = tuple(s[rows] for s in rollout.policy_state)
    restarts = {restart.t: restart for restart in rollout.restarts}
    outputs = []
    for t in range(obs.shape[1]):
        output = policy.step(features[:, t], state)
        outputs.append(output)
        state = policy.remember(output.state, rollout.action[rows, t])
        if t in restarts:
            all_rows = tuple(
                s.new_zeros(len(rollout.obs), *s.shape[1:]).index_copy(0, rows, s) for s in state
            )
            state = tuple(s[rows] for s in _replaced(all_rows, restarts[t]))
    return torch.stack([o.logits for o in outputs], dim=1), torch.stack([o.value for o in outputs], dim=1)


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
    for obs, mask, action in zip(*(part.unbind(1) for part in history), strict=True):
        after = policy.remember(policy(obs, state).state, action)
        state = tuple(
            torch.where(mask.reshape(-1, *[1] * (old.ndim - 1)), new, old)
            for new, old in zip(after, state, strict=True)
        )
    return state


def _fresh_state(policy: Policy, count: int, history: History | None) -> PolicyState:
    """The policy's state at the start of ``count`` episodes."""
    return policy.initial_state(count) if history is None else burn_in(policy, history)


def _replaced(state: PolicyState, restart: Restart) -> PolicyState:
    """``state`` of B environments, with that of those that began a new episode."""
    return tuple(
        old.index_copy(0, restart.ended, new) for old, new in zip(state, restart.policy_state, strict=True)
    )
