"""Dreams beside the true continuation: a perfect world model is perfect, and every number by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from torch import Generator, Tensor

from adamas.core.protocols import DreamState
from adamas.core.types import Batch
from adamas.dreaming import continuation
from adamas.dreaming.continuation import Continuation, continue_dreams, longest_dream, true_and_dream
from adamas.fidelity.drift import dream_error
from adamas.media.pictures import ENDED_GREY
from adamas.world_models.base import Imagined
from tests.helpers.frame_model import FrameModel

L = 2


class Counting(FrameModel):
    """A game whose grey frame rises by 1 + action; action 2 rewards; it ends at 100. Offset 0 is perfect."""

    length = L

    def __init__(self, offset: int = 0) -> None:
        super().__init__()
        self.offset = offset

    def begin(self, context: Batch) -> DreamState:
        assert context.obs.shape[1] == L and context.action.shape[1] == L - 1
        return {"obs": context.obs[:, -1].int()}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Imagined]:
        obs = state["obs"] + 1 + action[:, None, None, None] + self.offset
        ended = obs[:, 0, 0, 0] >= 100
        return {"obs": obs}, Imagined(obs.to(torch.uint8), (action == 2).float(), ended)


def windows(actions: list[list[int]], first: list[int]) -> Batch:
    """True windows of the game, padded after its end; rewards are 3, so that only their sign is 1."""
    action = torch.tensor(actions)  # (B, T)
    b, t = action.shape
    level = torch.cat((torch.zeros(b, 1, dtype=torch.int64), (1 + action).cumsum(1)), dim=1)
    level += torch.tensor(first)[:, None]  # (B, T + 1)
    terminated = (level[:, 1:] >= 100) & (level[:, :-1] < 100)
    mask = torch.cat((torch.ones(b, 1, dtype=torch.bool), level[:, :-1] < 100), dim=1)
    obs = (level * mask)[:, :, None, None, None].expand(b, t + 1, 1, 2, 2).to(torch.uint8)
    real = mask[:, :-1] & mask[:, 1:]
    reward = 3.0 * (action == 2) * real
    return Batch(
        obs=obs,
        action=action * real,
        reward=reward,
        terminated=terminated & real,
        truncated=torch.zeros_like(terminated),
        mask=mask,
    )


def test_a_perfect_world_model_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(continuation, "DREAMS_AT_ONCE", 2)  # three dreams in two parts
    truth = windows([[0, 1, 2, 0, 1], [1, 1, 2, 2, 2], [0, 2, 2, 2, 2]], first=[10, 90, 0])
    dreams = continue_dreams(Counting(), truth, torch.Generator())
    assert dreams.mask.tolist() == [[True] * 4, [True] * 3 + [False], [True] * 4]  # the second ends at 100
    assert torch.equal(dreams.obs[dreams.mask], dreams.true_obs[dreams.mask])
    numbers = dream_error(dreams)
    assert set(numbers) == {
        *("psnr_1", "psnr_4", "exact_1", "exact_4"),
        *("dream_reward_rate", "real_reward_rate", "dream_end_rate", "real_end_rate"),
    }
    assert numbers["exact_1"] == numbers["exact_4"] == 1
    assert numbers["psnr_1"] == pytest.approx(60, abs=1e-4)
    assert numbers["dream_reward_rate"] == numbers["real_reward_rate"] == pytest.approx(7 / 11)
    assert numbers["dream_end_rate"] == numbers["real_end_rate"] == pytest.approx(1 / 11)


def test_a_world_model_that_drifts_is_found_out() -> None:
    truth = windows([[0, 0, 0, 0]], first=[0])
    numbers = dream_error(continue_dreams(Counting(offset=20), truth, torch.Generator()))
    assert numbers["exact_1"] == 1 and numbers["exact_3"] == 0  # 20 and 60 levels off; 38 are tolerated
    assert numbers["psnr_1"] == pytest.approx(20 * math.log10(255 / 20), rel=1e-5)
    assert numbers["psnr_3"] == pytest.approx(20 * math.log10(255 / 60), rel=1e-5)


def test_windows_without_a_real_step_after_their_context_are_left_out() -> None:
    truth = windows([[0, 0, 0]] * 4, first=[10, 20, 30, 40])
    mask = torch.tensor(
        [
            [True, True, True, True],
            [False, False, True, True],  # begins so early that the last context frame is padding
            [True, True, False, False],  # nothing happens after the context
            [False, True, True, True],  # begins before the episode: usable
        ]
    )
    dreams = continue_dreams(Counting(), replace(truth, mask=mask), torch.Generator())
    assert dreams.true_obs[:, 0, 0, 0, 0].tolist() == [12, 42]
    with pytest.raises(ValueError, match="no window"):
        continue_dreams(Counting(), replace(truth, mask=mask)[1:3], torch.Generator())


def test_true_and_dream_stop_at_the_true_end() -> None:
    obs = torch.randint(256, (2, 4, 3, 2, 2), dtype=torch.uint8)
    zeros = torch.zeros(2, 4)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    dreams = Continuation(
        obs=obs,
        true_obs=obs + 1,
        reward=zeros,
        true_reward=zeros,
        terminated=zeros.bool(),
        true_terminated=zeros.bool(),
        mask=mask,
    )
    true, dreamt = true_and_dream(dreams, 1)
    assert torch.equal(true, obs[1, :2] + 1) and torch.equal(dreamt, obs[1, :2])
    assert len(true_and_dream(dreams, 0)[0]) == 4


def test_a_dream_is_grey_after_its_own_end() -> None:
    obs = torch.randint(256, (1, 4, 3, 2, 2), dtype=torch.uint8)
    zeros = torch.zeros(1, 4)
    terminated = torch.tensor([[False, True, False, True]])
    dreams = Continuation(
        obs=obs,
        true_obs=obs + 1,
        reward=zeros,
        true_reward=zeros,
        terminated=terminated,
        true_terminated=zeros.bool(),
        mask=torch.ones(1, 4).bool(),
    )
    true, dreamt = true_and_dream(dreams, 0)
    assert torch.equal(true, obs[0] + 1)
    assert torch.equal(dreamt[:2], obs[0, :2])  # its last frame is shown
    assert (dreamt[2:] == ENDED_GREY).all()


def test_the_longest_dream_goes_on_with_its_game_for_the_most_steps() -> None:
    obs = torch.randint(256, (3, 4, 3, 2, 2), dtype=torch.uint8)
    zeros = torch.zeros(3, 4)
    terminated = torch.tensor([[True, False, False, False], [False] * 4, [False] * 4])
    mask = torch.tensor([[True] * 4, [True, True, True, False], [True, True, False, False]])
    dreams = Continuation(
        obs=obs,
        true_obs=obs,
        reward=zeros,
        true_reward=zeros,
        terminated=terminated,
        true_terminated=zeros.bool(),
        mask=mask,
    )
    true, dreamt = longest_dream(dreams)  # 1, 3 and 2 steps
    assert torch.equal(true, obs[1, :3]) and torch.equal(dreamt, obs[1, :3])
