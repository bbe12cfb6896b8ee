"""The rollout in an environment of counters, where every number can be told in advance.

Environment i starts episode e at pixel 100 i + 20 e and counts up by one at each step. The policy's state is
s' = s / 2 + pixel, and so is its value, which thus tells the frames it has seen, and in which order.
"""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch
from torch import Tensor, nn

from adamas.core.actions import ActionSpec
from adamas.core.protocols import PolicyOutput
from adamas.core.types import EnvReset, EnvStep, History
from adamas.rl.policy import PolicyNetwork
from adamas.rl.rollout import OnHost, Position, Rollout, burn_in, evaluate_again, rollout, start
from tests.helpers.tensors import seeded


class Counters:
    """Environments whose episodes have given lengths; after the last of them they go on for ever."""

    def __init__(self, lengths: list[list[int]], truncate: bool = False, history: int = 0) -> None:
        self.lengths = lengths
        self.truncate = truncate
        self.history = history
        self.num_envs = len(lengths)
        self.action_spec = ActionSpec.discrete(("a", "b", "c"))
        self.obs_shape = (1, 1, 1)
        self.actions: list[Tensor] = []

    def reset(self) -> EnvReset:
        self.episode = [0] * self.num_envs
        self.age = [0] * self.num_envs
        return EnvReset(self._obs(range(self.num_envs)), self._history(range(self.num_envs)))

    def step(self, action: Tensor) -> EnvStep:
        self.actions.append(action)
        reward = self._obs(range(self.num_envs)).flatten() + 1000.0 * action  # tells frame and action
        self.age = [age + 1 for age in self.age]
        ended = [
            i
            for i, done in enumerate(self.lengths)
            if self.episode[i] < len(done) and self.age[i] == done[self.episode[i]]
        ]
        final_obs = self._obs(ended)
        for i in ended:
            self.episode[i], self.age[i] = self.episode[i] + 1, 0
        flags = torch.tensor([i in ended for i in range(self.num_envs)])
        never = torch.zeros_like(flags)
        terminated, truncated = (never, flags) if self.truncate else (flags, never)
        history = self._history(ended) if ended else None
        return EnvStep(
            obs=self._obs(range(self.num_envs)),
            reward=reward,
            terminated=terminated,
            truncated=truncated,
            final_obs=final_obs,
            history=history,
        )

    def close(self) -> None:
        pass

    def _obs(self, which: range | list[int]) -> Tensor:
        pixels = [100 * i + 20 * self.episode[i] + self.age[i] for i in which]
        return torch.tensor(pixels, dtype=torch.uint8).view(-1, 1, 1, 1)

    def _history(self, which: range | list[int]) -> History | None:
        """Frames 10, 11, ... of which the first is padding in odd environments."""
        if not self.history:
            return None
        obs = torch.arange(10, 10 + self.history, dtype=torch.uint8).view(1, -1, 1, 1, 1)
        mask = torch.ones(len(which), self.history, dtype=torch.bool)
        mask[:, 0] = torch.tensor([i % 2 == 0 for i in which])
        return History(obs.expand(len(which), -1, -1, -1, -1), mask, mask.long())


class Memory(PolicyNetwork):
    """s' = decay s + pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.decay = nn.Parameter(torch.tensor(0.5))
        self.calls = 0

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        return (torch.zeros(batch_size, 1),)

    def encode(self, obs: Tensor) -> Tensor:
        return obs.flatten(1).float()

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        self.calls += 1
        after = self.decay * state[0] + features
        return PolicyOutput(after * torch.tensor([0.01, 0.0, -0.01]), after[:, 0], (after,))


class Doer(Memory):
    """A memory in which each action counts as well, in a state of three dimensions."""

    def initial_state(self, batch_size: int) -> tuple[Tensor, ...]:
        return (torch.zeros(batch_size, 1, 1),)

    def step(self, features: Tensor, state: tuple[Tensor, ...]) -> PolicyOutput:
        output = super().step(features, (state[0][..., 0],))
        return output._replace(state=(output.state[0][..., None],))

    def remember(self, state: tuple[Tensor, ...], action: Tensor) -> tuple[Tensor, ...]:
        return (state[0] + 10.0 * (1 + action[:, None, None]),)


def run(env: Counters, num_steps: int, policy: Memory | None = None) -> tuple[Rollout, Position]:
    policy = policy or Memory()
    return rollout(policy, env, start(policy, env)[0], num_steps, seeded())


def test_every_step_goes_with_its_frame_and_its_action() -> None:
    env = Counters([[2, 3], []])
    result, position = run(env, 6)
    assert result.obs.flatten(1).tolist() == [[0, 1, 20, 21, 22, 40], [100, 101, 102, 103, 104, 105]]
    assert torch.equal(result.action, torch.stack(env.actions, dim=1))
    assert torch.equal(result.reward, result.obs.flatten(1) + 1000.0 * result.action)
    assert result.terminated.tolist() == [[False, True, False, False, True, False], [False] * 6]
    assert not result.truncated.any()
    assert position.obs.flatten().tolist() == [41, 106]
    assert len(result.steps) == 6 and torch.equal(result.steps[1].final_obs.flatten(), torch.tensor([2]))


def test_state_starts_afresh_only_where_an_episode_ended() -> None:
    result, position = run(Counters([[2, 3], []]), 6)
    first, second = result.value.tolist()
    assert first == [0, 1, 20, 31, 37.5, 40]  # 21 + 20 / 2, 22 + 31 / 2
    value = 0.0
    for pixel, seen in zip(range(100, 106), second, strict=True):
        value = value / 2 + pixel
        assert seen == value
    assert position.policy_state[0].flatten().tolist() == [40, value]


@pytest.mark.parametrize("truncate", [False, True])
def test_bootstrap_values_are_those_of_the_frames_that_follow(truncate: bool) -> None:
    result, _ = run(Counters([[2, 3], []], truncate), 6)
    # After the step from frame 1 comes the final frame 2: 2 + 1 / 2. From 22, 23: 23 + 37.5 / 2.
    assert result.value_bootstrap[0].tolist() == [1, 2.5, 31, 37.5, 23 + 37.5 / 2, 41 + 40 / 2]
    assert result.value_bootstrap[1, :-1].tolist() == result.value[1, 1:].tolist()
    assert result.value_bootstrap[1, -1] == 106 + result.value[1, -1] / 2
    assert not result.value_bootstrap.requires_grad and result.value.requires_grad
    assert result.truncated.any() == truncate


def test_environments_that_end_together_keep_their_own_final_frames() -> None:
    result, _ = run(Counters([[2], [], [2]]), 3)
    assert result.value_bootstrap[:, 1].tolist() == [2.5, 102 + 0.5 * (101 + 50), 202 + 0.5 * (201 + 100)]


@pytest.mark.parametrize("policy", [Memory(), Doer()])
@pytest.mark.parametrize("history", [0, 2])
def test_evaluated_again_with_the_same_weights_a_rollout_is_the_same(history: int, policy: Memory) -> None:
    env = Counters([[2, 3], [4], [2, 1]], history=history)
    result, middle = rollout(policy, env, start(policy, env)[0], 6, seeded())
    logits, value = evaluate_again(policy, result, torch.tensor([2, 0]))
    assert torch.equal(logits, result.logits[[2, 0]]) and torch.equal(value, result.value[[2, 0]])
    (grad,) = torch.autograd.grad(value.sum(), list(policy.parameters()))
    (expected,) = torch.autograd.grad(result.value[[2, 0]].sum(), list(policy.parameters()))
    torch.testing.assert_close(grad, expected)
    later, _ = rollout(policy, env, middle, 2, seeded())  # which does not start from a fresh state
    assert torch.equal(evaluate_again(policy, later, torch.arange(3))[1], later.value)


def test_two_rollouts_are_one_long_rollout() -> None:
    policy, generator = Memory(), seeded()
    env = Counters([[2, 3], [5], []])
    one, middle = rollout(policy, env, start(policy, env)[0], 3, generator)
    assert not any(s.requires_grad for s in middle.policy_state)
    two, end = rollout(policy, env, middle, 4, generator)
    whole, whole_end = run(Counters([[2, 3], [5], []]), 7)
    for name in ("obs", "action", "logits", "value", "reward", "terminated", "truncated", "value_bootstrap"):
        assert torch.equal(torch.cat((getattr(one, name), getattr(two, name)), 1), getattr(whole, name)), name
    assert torch.equal(end.obs, whole_end.obs)
    assert torch.equal(end.policy_state[0], whole_end.policy_state[0])


def test_history_is_burnt_in_and_padding_is_not() -> None:
    policy = Memory()
    env = Counters([[2], []], history=2)
    position, _ = start(policy, env)
    # Environment 0 saw 10 and 11, environment 1 only 11.
    assert position.policy_state[0].flatten().tolist() == [16, 11]
    result, _ = rollout(policy, env, position, 3, seeded())
    assert result.value[0].tolist() == [8, 5, 20 + 16 / 2]  # burnt in again after the end
    assert result.value_bootstrap[0, 1] == 2 + 5 / 2
    assert result.value[1].tolist() == [105.5, 153.75, 178.875]
    none = torch.zeros(2, 3, dtype=torch.bool)
    padding = History(torch.full((2, 3, 1, 1, 1), 9, dtype=torch.uint8), none, none.long())
    assert not burn_in(policy, padding)[0].any()


def test_gradients_flow_through_time_but_not_through_an_end() -> None:
    policy, env = Memory(), Counters([[2], []])
    memory = torch.ones(2, 1, requires_grad=True)
    result, _ = rollout(policy, env, Position(env.reset().obs, (memory,)), 3, seeded())
    result.value[:, 2].sum().backward()
    assert memory.grad is not None
    assert memory.grad.flatten().tolist() == [0, 0.125]
    assert policy.decay.grad is not None and policy.decay.grad > 0


def test_temperature_and_exploration_reach_the_actions() -> None:
    policy, env = Memory(), Counters([[], []])
    greedy, _ = rollout(policy, env, start(policy, env)[0], 5, seeded(), temperature=0.0)
    assert torch.equal(greedy.action, greedy.logits.argmax(dim=-1))
    random, _ = rollout(policy, env, start(policy, env)[0], 60, seeded(), temperature=0.0, epsilon=1.0)
    assert set(random.action.flatten().tolist()) == {0, 1, 2}


def test_one_call_a_step_and_one_for_the_frame_after_the_last() -> None:
    policy = Memory()
    run(Counters([[], []]), 5, policy)
    assert policy.calls == 6
    policy = Memory()
    run(Counters([[2], [2]]), 5, policy)
    assert policy.calls == 6  # in the same call as the final frames of both


def test_on_host_gives_the_policy_s_own_answers() -> None:
    policy, env = Memory(), Counters([[2], []])
    host = OnHost(policy, torch.device("cpu"))
    result, _ = rollout(host, env, start(host, env)[0], 4, seeded())
    expected, _ = run(Counters([[2], []]), 4, policy)
    assert torch.equal(result.value, expected.value) and torch.equal(result.action, expected.action)
    assert result.value.requires_grad and result.logits.requires_grad  # for who learns from real steps
    with torch.no_grad():
        result, _ = rollout(host, env, start(host, env)[0], 4, seeded())
    assert not result.value.requires_grad and not result.logits.requires_grad


def test_a_rollout_is_copied_to_another_device() -> None:
    policy, env = Memory(), Counters([[2, 3], [4], [2, 1]])
    result, _ = rollout(policy, env, start(policy, env)[0], 6, seeded())
    copy = result.to(torch.device("meta"))
    tensors = [getattr(copy, field.name) for field in fields(copy)]
    tensors += [
        *copy.policy_state,
        *(x for restart in copy.restarts for x in (restart.ended, *restart.policy_state)),
    ]
    assert len(copy.restarts) == len(result.restarts) > 0
    assert all(x.device.type == "meta" for x in tensors if isinstance(x, Tensor))
