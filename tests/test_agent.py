"""An agent acts on frames of either kind, one or many, and refuses those it was not made for."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from adamas.agent import Agent, check_fits
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from tests.helpers.diamond import policy
from tests.helpers.tiny_agent import tiny_agent_config

CONFIG = tiny_agent_config(obs_shape=(3, 8, 8), actions=("noop", "left", "right", "fire"))


@pytest.fixture
def agent() -> Agent:
    torch.manual_seed(0)
    agent = Agent(CONFIG)
    nn.init.normal_(policy(agent).actor_linear.weight, std=3.0)
    return agent


def frames(batch_size: int) -> np.ndarray:
    return np.random.default_rng(0).integers(256, size=(batch_size, 3, 8, 8), dtype=np.uint8)


def test_one_array_in_one_integer_out(agent: Agent) -> None:
    action, state = agent.act(frames(1)[0])
    assert type(action) is int and 0 <= action < 4
    assert [tuple(s.shape) for s in state] == [(1, 8), (1, 8)]


def test_arrays_in_arrays_out_and_tensors_in_tensors_out(agent: Agent) -> None:
    obs = frames(5)
    actions, state = agent.act(obs, temperature=0.0)
    assert isinstance(actions, np.ndarray) and actions.shape == (5,) and actions.dtype == np.int64
    same, same_state = agent.act(torch.from_numpy(obs), temperature=0.0)
    assert isinstance(same, torch.Tensor) and same.tolist() == actions.tolist()
    assert all(torch.equal(a, b) for a, b in zip(state, same_state, strict=True))
    one, _ = agent.act(torch.from_numpy(obs[2]), temperature=0.0)
    assert isinstance(one, torch.Tensor) and one.shape == () and one == actions[2]
    each = [agent.act(frame, temperature=0.0)[0] for frame in obs]
    assert each == actions.tolist()


def test_the_state_is_what_the_actor_critic_remembers(agent: Agent) -> None:
    first, second = frames(2)
    _, state = agent.act(first)
    _, state = agent.act(second, state)
    policy = agent.policy
    with torch.no_grad():
        output = policy(torch.from_numpy(first)[None], policy.initial_state(1))
        output = policy(torch.from_numpy(second)[None], output.state)
    assert torch.equal(state[0], output.state[0]) and torch.equal(state[1], output.state[1])
    assert not state[0].requires_grad
    _, fresh = agent.act(second)
    assert not torch.equal(fresh[0], state[0])


def test_actions_follow_the_policy_and_the_global_seed(agent: Agent) -> None:
    obs = torch.from_numpy(frames(1)).expand(1000, -1, -1, -1)
    with torch.no_grad():
        logits = agent.policy(obs[:1], agent.policy.initial_state(1)).logits[0]
    torch.manual_seed(3)
    actions, _ = agent.act(obs)
    torch.testing.assert_close(actions.bincount(minlength=4) / 1000, logits.softmax(0), atol=0.05, rtol=0)
    torch.manual_seed(3)
    assert torch.equal(agent.act(obs)[0], actions)
    assert not torch.equal(agent.act(obs)[0], actions)
    assert (agent.act(obs, temperature=0.0)[0] == logits.argmax()).all()


@pytest.mark.parametrize(
    ("obs", "got"),
    [
        (np.zeros((3, 8, 8), np.float32), r"torch.float32 \(3, 8, 8\)"),
        (np.zeros((8, 3, 8), np.uint8), r"torch.uint8 \(8, 3, 8\)"),
        (np.zeros((2, 3, 16, 16), np.uint8), r"torch.uint8 \(3, 16, 16\)"),
        (np.zeros((8, 8), np.uint8), r"torch.uint8"),
    ],
)
def test_frames_of_another_kind_are_refused(agent: Agent, obs: np.ndarray, got: str) -> None:
    with pytest.raises(UserError, match=rf"uint8 frames of shape \(3, 8, 8\), got {got}"):
        agent.act(obs)


def test_its_parts(agent: Agent) -> None:
    assert agent.denoiser is agent.world_model.denoiser
    assert agent.reward_end is agent.world_model.reward_end
    assert agent.action_spec is CONFIG.actions
    assert {name.split(".")[0] for name in agent.state_dict()} == {"world_model", "actor_critic"}


def test_environments_of_another_kind_are_refused() -> None:
    spec = ActionSpec.discrete(("a", "b", "c", "d"))
    check_fits(CONFIG, (3, 8, 8), spec, "runs/x")  # names may differ
    with pytest.raises(UserError, match=r"runs/x was trained on .* \(3, 8, 8\).* gives \(3, 64, 64\)"):
        check_fits(CONFIG, (3, 64, 64), spec, "runs/x")
    with pytest.raises(UserError, match=r"runs/x has 4 actions .* has 2 actions \(up, down\)"):
        check_fits(CONFIG, (3, 8, 8), ActionSpec.discrete(("up", "down")), "runs/x")
