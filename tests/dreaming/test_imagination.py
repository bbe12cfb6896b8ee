"""Dreams in a world model that counts.

A dream's state is one number, the last pixel of its context, and grows by the action at each step. The model
says that a dream ends when it reaches 50. Contexts are numbered: the n-th starts at pixel n.
"""

from __future__ import annotations

import copy

import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.protocols import DreamState
from adamas.core.types import Batch, EnvStep
from adamas.dreaming.imagination import Imagination
from adamas.world_models.base import Imagined
from tests.helpers.batches import frames_alone
from tests.helpers.frame_model import FrameModel

L = 3


class CountingModel(FrameModel):
    length = L

    def begin(self, context: Batch) -> DreamState:
        return {"count": context.obs[:, -1, 0, 0, 0].long()}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        count = state["count"] + action
        noise = torch.rand(len(count), generator=generator)
        return {"count": count}, Imagined(count.to(torch.uint8).view(-1, 1, 1, 1), noise, count >= 50)


class Contexts:
    """Hands out the contexts 1, 2, 3, ... and remembers how many were asked for at a time."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def __call__(self, k: int) -> Batch:
        first = sum(self.asked) + 1
        self.asked.append(k)
        last = torch.arange(first, first + k, dtype=torch.uint8)
        obs = torch.stack((last + 100, last + 200, last), dim=1).view(k, L, 1, 1, 1)
        mask = torch.ones(k, L, dtype=torch.bool)
        mask[:, 0] = False
        return frames_alone(obs, mask)


def make(num_envs: int = 3, horizon: int = 4) -> tuple[Imagination, Contexts]:
    contexts = Contexts()
    spec = ActionSpec.discrete(("stay", "go"))
    generator = Generator().manual_seed(0)
    dreams = Imagination(CountingModel(), contexts, num_envs, horizon, (1, 1, 1), spec, generator)
    return dreams, contexts


def step(dreams: Imagination, *action: int) -> EnvStep:
    return dreams.step(torch.tensor(action))


def pixels(obs: Tensor) -> list[int]:
    return [int(x) for x in obs.flatten()]


def test_dreams_start_from_the_last_frames_of_fresh_contexts() -> None:
    dreams, contexts = make()
    reset = dreams.reset()
    assert contexts.asked == [3]
    assert pixels(reset.obs) == [1, 2, 3] and reset.obs.dtype == torch.uint8
    assert reset.history is not None
    assert reset.history.obs.flatten(1).tolist() == [[101, 201], [102, 202], [103, 203]]
    assert reset.history.mask.tolist() == [[False, True]] * 3


def test_frames_and_rewards_are_the_model_s() -> None:
    dreams, contexts = make()
    dreams.reset()
    result = step(dreams, 1, 0, 10)
    assert pixels(result.obs) == [2, 2, 13]
    expected = torch.rand(3, generator=Generator().manual_seed(0))
    assert torch.equal(result.reward, expected)
    assert not result.ended.any() and len(result.final_obs) == 0 and result.history is None
    assert contexts.asked == [3]


def test_all_dreams_are_truncated_at_the_horizon() -> None:
    dreams, contexts = make(horizon=4)
    dreams.reset()
    for _ in range(3):
        assert not step(dreams, 1, 1, 1).ended.any()
    result = step(dreams, 1, 1, 1)
    assert result.truncated.tolist() == [True] * 3 and not result.terminated.any()
    assert pixels(result.final_obs) == [5, 6, 7]
    assert pixels(result.obs) == [4, 5, 6] and contexts.asked == [3, 3]  # contexts 4, 5 and 6
    assert not step(dreams, 1, 1, 1).ended.any()


def test_only_dreams_that_ended_restart() -> None:
    dreams, contexts = make(horizon=4)
    dreams.reset()
    result = step(dreams, 60, 1, 70)
    assert result.terminated.tolist() == [True, False, True] and not result.truncated.any()
    assert pixels(result.final_obs) == [61, 73]  # in the order of their indices
    assert pixels(result.obs) == [4, 3, 5] and contexts.asked == [3, 2]
    assert result.history is not None and pixels(result.history.obs[:, 0]) == [104, 105]
    assert pixels(step(dreams, 1, 1, 1).obs) == [5, 4, 6]
    # The one that went on reaches its horizon first, alone.
    assert not step(dreams, 0, 0, 0).ended.any()
    result = step(dreams, 0, 0, 0)
    assert result.truncated.tolist() == [False, True, False]
    assert pixels(result.final_obs) == [4] and pixels(result.obs) == [5, 6, 6]
    assert step(dreams, 0, 0, 0).truncated.tolist() == [True, False, True]


def test_an_end_at_the_horizon_is_both() -> None:
    dreams, _ = make(num_envs=2, horizon=1)
    dreams.reset()
    result = step(dreams, 60, 1)
    assert result.terminated.tolist() == [True, False]
    assert result.truncated.tolist() == [True, True]
    assert pixels(result.final_obs) == [61, 3]


def test_a_saved_state_resumes_exactly_and_stays_as_it_was() -> None:
    actions = [(1, 0, 60), (1, 1, 1), (0, 1, 0), (60, 0, 1), (1, 1, 1)]
    dreams, contexts = make()
    dreams.reset()
    step(dreams, 1, 1, 1)
    saved, asked, rng = dreams.state_dict(), list(contexts.asked), dreams.generator.get_state()
    untouched = copy.deepcopy(saved)
    truth = [step(dreams, *action) for action in actions]

    resumed, contexts = make()
    contexts.asked = asked
    resumed.load_state_dict(saved)
    resumed.generator.set_state(rng)
    for action, expected in zip(actions, truth, strict=True):
        result = step(resumed, *action)
        for field in ("obs", "reward", "terminated", "truncated", "final_obs"):
            assert torch.equal(getattr(result, field), getattr(expected, field))
    assert torch.equal(saved["age"], untouched["age"])
    assert torch.equal(saved["state"]["count"], untouched["state"]["count"])
