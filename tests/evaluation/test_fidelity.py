"""Dreams beside the true continuation: a perfect world model is perfect, and every number by hand."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Generator, Tensor

from adamas.core.protocols import Component, DreamState, Prediction
from adamas.core.types import Batch
from adamas.evaluation import fidelity
from adamas.evaluation.fidelity import (
    EXACT_TOLERANCE,
    Continuation,
    continue_dreams,
    dream_error,
    exact,
    psnr,
)

L = 2


class Counting:
    """A game whose grey frame rises by 1 + action; action 2 rewards; it ends at 100. Offset 0 is perfect."""

    context_length = L

    def __init__(self, offset: int = 0) -> None:
        self.offset = offset

    def initial_state(self, context: Batch) -> DreamState:
        assert context.obs.shape[1] == L and context.action.shape[1] == L - 1
        return {"obs": context.obs[:, -1].int()}

    def step(self, state: DreamState, action: Tensor, generator: Generator) -> tuple[DreamState, Prediction]:
        obs = state["obs"] + 1 + action[:, None, None, None] + self.offset
        ended = obs[:, 0, 0, 0] >= 100
        return {"obs": obs}, Prediction(obs.to(torch.uint8), (action == 2).float(), ended)

    def components(self) -> Mapping[str, Component]:
        return {}


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
    return Batch(obs, action * real, reward, terminated & real, torch.zeros_like(terminated), mask)


def test_a_perfect_world_model_has_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fidelity, "DREAMS_AT_ONCE", 2)  # three dreams in two parts
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


def test_psnr_by_hand() -> None:
    true = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    obs = true.clone()
    obs[1] = 51  # a fifth of the range
    obs[2, 0, 0, 0] = 255  # one value of four: a mean squared error of a quarter
    expected = torch.tensor([60, 20 * math.log10(5), 10 * math.log10(4)])
    torch.testing.assert_close(psnr(obs, true), expected)
    torch.testing.assert_close(psnr(true, obs), expected)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 11))
def test_exact_tolerates_so_much_in_every_value(true: int, dreamt: int, place: int) -> None:
    true_obs = torch.full((2, 3, 2, 2), true, dtype=torch.uint8)
    obs = true_obs.clone()
    obs[1].view(-1)[place] = dreamt
    assert exact(obs, true_obs).tolist() == [True, abs(true - dreamt) <= EXACT_TOLERANCE]


def test_rates_count_only_steps_that_were_alive() -> None:
    alive = torch.tensor([[True, True], [True, False]])
    frames = torch.zeros(2, 2, 1, 1, 1, dtype=torch.uint8)
    wrong = frames.clone()
    wrong[1] = 255  # the second dream is wrong, at step 2 after the true end
    numbers = dream_error(
        Continuation(
            obs=wrong,
            true_obs=frames,
            reward=torch.tensor([[1.0, -1.0], [1.0, 1.0]]),
            true_reward=torch.tensor([[1.0, 0.0], [1.0, 0.0]]),
            terminated=torch.tensor([[False, True], [True, True]]),
            true_terminated=torch.tensor([[False, False], [True, False]]),
            mask=alive,
        )
    )
    expected = {
        **{"psnr_1": 30.0, "exact_1": 0.5, "psnr_2": 60.0, "exact_2": 1.0},
        **{"dream_reward_rate": 1 / 3, "real_reward_rate": 2 / 3},
        **{"dream_end_rate": 2 / 3, "real_end_rate": 1 / 3},
    }
    assert numbers == pytest.approx(expected, abs=1e-4)
