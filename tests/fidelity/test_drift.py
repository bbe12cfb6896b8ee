"""Windows, distances by step, their intervals, and what was judged: by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from adamas.core.types import Batch
from adamas.dreaming.continuation import Continuation
from adamas.fidelity import drift
from adamas.fidelity.drift import (
    distances_by_step,
    dream_error,
    means,
    rewards_and_ends,
    still,
    under_other_actions,
)
from adamas.fidelity.frechet_samples import CLIP_LENGTH, Features, frechet_distances, samples, spaced
from adamas.fidelity.results import FrechetDistances
from adamas.nn.lpips import Lpips

L = 2


def continuation(obs: torch.Tensor, true_obs: torch.Tensor, mask: torch.Tensor) -> Continuation:
    nothing = torch.zeros(mask.shape)
    return Continuation(
        obs=obs,
        true_obs=true_obs,
        reward=nothing,
        true_reward=nothing,
        terminated=nothing.bool(),
        true_terminated=nothing.bool(),
        mask=mask,
    )


def make_windows(obs: torch.Tensor, action: torch.Tensor) -> Batch:
    """Windows of which only frames and actions matter."""
    nothing = torch.zeros(action.shape)
    mask = torch.ones(obs.shape[:2], dtype=torch.bool)
    return Batch(obs=obs, action=action, reward=nothing, terminated=nothing, truncated=nothing, mask=mask)


def test_distances_by_step_and_nothing_after_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drift, "BATCH", 2)  # five frames in three parts
    true_obs = torch.zeros(2, 3, 1, 11, 11, dtype=torch.uint8)
    obs = true_obs.clone()
    obs[0, 1], obs[1, 2] = 51, 255
    mask = torch.tensor([[True, True, True], [True, True, False]])
    found = distances_by_step(continuation(obs, true_obs, mask), lpips=None)
    assert list(found) == ["mse", "psnr", "ssim", "exact"]
    np.testing.assert_allclose(found["mse"], [[0, 0.04, 0], [0, 0, np.nan]], atol=1e-7)
    np.testing.assert_allclose(found["exact"], np.array([[1, 0, 1], [1, 1, np.nan]]))
    assert found["psnr"][0, 1] == pytest.approx(13.979, abs=1e-3)


def test_the_still_frame_is_the_last_of_the_context() -> None:
    true_obs = torch.arange(3, dtype=torch.uint8).view(1, 3, 1, 1, 1)
    windows = make_windows(
        torch.tensor([7, 9, 0, 1, 2], dtype=torch.uint8).view(1, 5, 1, 1, 1), torch.zeros(1, 4)
    )
    frozen = still(continuation(true_obs + 1, true_obs, torch.ones(1, 3, dtype=torch.bool)), windows, L)
    assert frozen.obs.flatten().tolist() == [9, 9, 9]
    assert torch.equal(frozen.true_obs, true_obs)


def test_other_actions_are_those_of_another_window_once_the_dream_begins() -> None:
    action = torch.tensor([[1, 2, 3, 4], [5, 6, 7, 8]])
    windows = make_windows(torch.zeros(2, 5, 1, 1, 1), action)
    assert under_other_actions(windows, 3).action.tolist() == [[1, 2, 7, 8], [5, 6, 3, 4]]


def test_other_actions_are_never_those_after_an_end() -> None:
    action = torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0], [7, 8, 9, 0]])  # 0 is padding
    windows = make_windows(torch.zeros(3, 5, 1, 1, 1), action)
    windows.mask[1, 3:] = windows.mask[2, 4:] = False
    assert under_other_actions(windows, 2).action.tolist() == [[1, 8, 9, 4], [5, 2, 0, 0], [7, 6, 3, 0]]


def test_intervals_resample_whole_episodes() -> None:
    """Two windows of one episode are as good as one: the interval is that of two episodes, not of four windows."""
    values = np.array([[0.0], [0.0], [1.0], [1.0]])
    together = means(values, np.array([3, 3, 8, 8]), seed=0)
    assert (together.mean, together.low, together.high) == ([0.5], [0.0], [1.0])
    many = means(np.tile(values, (25, 1)), np.arange(100), seed=0)
    assert many.low[0] == pytest.approx(0.4, abs=0.02) and many.high[0] == pytest.approx(0.6, abs=0.02)


def test_means_leave_out_what_is_not_there() -> None:
    found = means(np.array([[1.0, np.nan, np.nan], [3.0, 5.0, np.nan]]), np.array([0, 1]), seed=0)
    assert found.mean == [2.0, 5.0, None] and found.dreams == [2, 1, 0]
    assert found.low == [1.0, None, None] and found.high == [3.0, None, None], "one episode has no spread"
    alone = means(np.array([[0.25], [0.5]]), np.array([4, 4]), seed=0)
    assert (alone.mean, alone.low, alone.high, alone.dreams) == ([0.375], [None], [None], [2])


def test_a_mean_lies_in_its_interval() -> None:
    tenth = np.full((3, 1), 0.1, dtype=np.float32)
    found = means(tenth, np.arange(3), seed=0)
    assert found.mean == found.low == found.high == [float(tenth[0, 0])]


def test_rewards_and_ends_by_hand() -> None:
    frames = torch.zeros(1, 6, 1, 1, 1, dtype=torch.uint8)
    dreams = Continuation(
        obs=frames,
        true_obs=frames,
        reward=torch.tensor([[1.0, 1.0, -1.0, 0.0, 0.0, 1.0]]),
        true_reward=torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 1.0]]),
        terminated=torch.tensor([[False, False, False, False, True, True]]),
        true_terminated=torch.tensor([[False, False, False, False, True, False]]),
        mask=torch.tensor([[True, True, True, True, True, False]]),
    )
    found = rewards_and_ends(dreams)
    assert found.steps == 5
    assert found.reward_rate == pytest.approx(3 / 5) and found.true_reward_rate == pytest.approx(2 / 5)
    assert found.reward_precision == pytest.approx(
        1 / 3
    )  # three said, one right: another was of the wrong sign
    assert found.reward_recall == pytest.approx(1 / 2)
    assert (found.end_precision, found.end_recall) == (1.0, 1.0)
    never = rewards_and_ends(continuation(frames, frames, torch.ones(1, 6, dtype=torch.bool)))
    assert never.end_precision is None and never.reward_recall is None and never.end_rate == 0


def test_clips_lie_before_the_end() -> None:
    frames = torch.arange(2 * 40).view(2, 40, 1, 1, 1)
    mask = torch.ones(2, 40, dtype=torch.bool)
    mask[1, 20:] = False
    clips = samples(frames, mask, of_clips=True)
    assert clips.shape == (3, CLIP_LENGTH, 1, 1, 1)
    assert clips[:, 0].flatten().tolist() == [0, 16, 40]
    assert len(samples(frames, mask, of_clips=False)) == 60
    assert spaced(torch.arange(10), 4).tolist() == [0, 3, 6, 9]


def test_a_perfect_dream_is_as_far_from_the_game_as_the_game_itself() -> None:
    generator = torch.Generator().manual_seed(0)
    true_obs = torch.randint(256, (8, 4, 1, 2, 2), generator=generator).to(torch.uint8)
    mask, episode = torch.ones(8, 4, dtype=torch.bool), np.arange(8)

    def pixels(frames: torch.Tensor) -> torch.Tensor:
        return frames.flatten(1).float()

    features = Features(pixels, of_clips=False)
    perfect = frechet_distances(continuation(true_obs, true_obs, mask), episode, features)
    assert perfect.dream == perfect.game and perfect.game is not None and perfect.game > 0
    dark = frechet_distances(continuation(true_obs // 4, true_obs, mask), episode, features)
    assert dark.game == perfect.game and dark.dream is not None and dark.dream > 4 * perfect.game
    alone = frechet_distances(continuation(true_obs, true_obs, mask), np.zeros(8, int), features)
    assert alone == FrechetDistances(None, None)  # nothing to compare one episode with


def test_perceptual_distances_stand_where_their_frames_do(weights: Path) -> None:
    lpips = Lpips("alex", weights)
    obs, true_obs = torch.randint(256, (2, 1, 2, 3, 32, 32), dtype=torch.uint8)
    found = distances_by_step(continuation(obs, true_obs, torch.tensor([[True, False]])), lpips)
    assert found["lpips"][0, 0] == pytest.approx(lpips(obs[:, 0], true_obs[:, 0]).item())
    assert np.isnan(found["lpips"][0, 1])


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
