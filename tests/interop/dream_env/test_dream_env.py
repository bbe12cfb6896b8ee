"""Dreams as Gymnasium environments, mostly in a world model that counts."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.error import ResetNeeded
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from gymnasium.wrappers.vector import RecordEpisodeStatistics

import adamas
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.interop.dream_env import DreamEnv, DreamEnvs
from tests.helpers.counting_model import MAKE, SHAPE, L, write


def numbers(obs: np.ndarray) -> list[int]:
    """What a counting model's frames (B, 8, 4, 3) say."""
    return [int(n) for n in obs[:, 0, 0, 0]]


def test_dreams_start_from_all_contexts_alike(counting: Agent, dataset: Path) -> None:
    dreams = adamas.make_dream(counting, dataset, num_envs=4_000)
    obs, info = dreams.reset(seed=0)
    starts, count = np.unique(numbers(obs), return_counts=True)
    assert starts.tolist() == [12, 22, 23, 24] and info == {}
    assert (abs(count - 1_000) < 150).all()  # five standard deviations
    context: Any = counting.world_model.last_context
    assert context.mask.all() and (context.action == 2).all()
    assert (context.obs[:, :, 0, 0, 0].diff(dim=1) == 1).all()


def test_spaces_are_those_of_images_and_discrete_actions(counting: Agent, dataset: Path) -> None:
    dreams = adamas.make_dream(counting, dataset, num_envs=5)
    assert dreams.num_envs == 5
    assert dreams.single_observation_space == gymnasium.spaces.Box(0, 255, (8, 4, 3), np.uint8)
    assert dreams.single_action_space == gymnasium.spaces.Discrete(3)
    assert dreams.observation_space.shape == (5, 8, 4, 3) and dreams.action_space.shape == (5,)
    assert dreams.reset(seed=0)[0] in dreams.observation_space


def test_frames_have_channels_last_and_rewards_are_the_model_s(counting: Agent, dataset: Path) -> None:
    dreams = adamas.make_dream(counting, dataset, num_envs=3)
    start, _ = dreams.reset(seed=0)
    obs, reward, terminated, truncated, info = dreams.step(np.array([0, 1, 1]))
    assert obs.dtype == np.uint8 and obs in dreams.observation_space
    assert (np.array(numbers(obs)) - numbers(start)).tolist() == [0, 1, 1]
    assert obs[0, 5, 2].tolist() == [numbers(start)[0], 5, 2]  # row 5, column 2
    assert reward.tolist() == [-1, 0, 0] and reward.dtype == np.float32
    assert not terminated.any() and not truncated.any() and info == {}
    assert dreams.step([0, 0, 0])[1].tolist() == [-1, -1, -1]  # a list will do


def test_dreams_restart_in_the_step_in_which_they_end(counting: Agent, dataset: Path) -> None:
    dreams = adamas.make_dream(counting, dataset, num_envs=3, horizon=2)
    assert dreams.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    first = numbers(dreams.reset(seed=0)[0])
    obs, _, terminated, truncated, info = dreams.step(np.array([1, 2, 1]))
    assert terminated.tolist() == [False, True, False] and not truncated.any()
    assert info["_final_obs"].tolist() == [False, True, False]
    assert info["final_obs"][0] is None and info["final_obs"][2] is None
    assert numbers(info["final_obs"][1][None]) == [first[1] + 60]
    again = numbers(obs)
    assert again[0] == first[0] + 1 and again[1] in (12, 22, 23, 24) and again[2] == first[2] + 1
    obs, _, terminated, truncated, info = dreams.step(np.array([1, 1, 2]))
    assert terminated.tolist() == [False, False, True] and truncated.tolist() == [True, False, True]
    assert numbers(np.stack(info["final_obs"][[0, 2]])) == [first[0] + 2, first[2] + 61]
    assert numbers(obs)[1] == again[1] + 1


def test_what_is_told_of_an_end_is_laid_out_as_by_gymnasium(counting: Agent, dataset: Path) -> None:
    ours = adamas.make_dream(counting, dataset, num_envs=2)
    theirs = SyncVectorEnv(
        [lambda: DreamEnv(counting, dataset)] * 2, autoreset_mode=AutoresetMode.SAME_STEP, copy=False
    )
    infos: list[dict[str, Any]] = []
    for dreams in (ours, theirs):
        dreams.reset(seed=0)
        infos.append(dreams.step(np.array([1, 2]))[-1])
    assert infos[0].keys() == infos[1].keys() == {"final_obs", "_final_obs", "final_info", "_final_info"}
    for key, value in infos[0].items():
        other = infos[1][key]
        if key == "final_info":
            assert value == other == {}
        else:
            assert value.shape == other.shape and value.dtype == other.dtype
            assert [type(x) for x in value] == [type(x) for x in other]
    assert infos[0]["final_obs"][1].shape == infos[1]["final_obs"][1].shape == (8, 4, 3)


def play(dreams: DreamEnvs, seed: int | None, steps: int = 12) -> list[np.ndarray]:
    """Everything that some steps return."""
    seen = [dreams.reset(seed=seed)[0]]
    for t in range(steps):
        obs, reward, terminated, truncated, info = dreams.step(np.array([t % 3, 1, 2]))
        seen += [obs, reward, terminated, truncated, *(x for x in info.get("final_obs", []) if x is not None)]
    return seen


def equal(a: list[np.ndarray], b: list[np.ndarray]) -> bool:
    return len(a) == len(b) and all(map(np.array_equal, a, b))


def test_everything_follows_from_the_seed(run: Path) -> None:
    one, other = (adamas.make_dream(run, num_envs=3, horizon=5) for _ in range(2))
    first = play(one, 7)
    onwards = play(one, None)
    assert not equal(first, onwards)
    play(other, None)  # whatever happened before
    assert equal(first, play(other, 7)) and equal(onwards, play(other, None))
    assert not equal(first, play(other, 8))


def test_what_happens_in_dreams_follows_from_the_seed_as_well(run: Path, tmp_path: Path) -> None:
    dreams = adamas.make_dream(run, write(tmp_path / "one context", (L + 1,)), num_envs=3)
    assert np.array_equal(dreams.reset(seed=7)[0], dreams.reset(seed=8)[0])
    assert not equal(play(dreams, 7), play(dreams, 8))


def test_global_randomness_is_left_alone(run: Path) -> None:
    dreams = adamas.make_dream(run, num_envs=3)
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    play(dreams, 0)
    assert torch.equal(torch.rand(1), expected)


def test_gymnasium_makes_and_approves_of_dreams(run: Path) -> None:
    dream = gymnasium.make(MAKE, checkpoint=run, horizon=4, render_mode="rgb_array")
    check_env(dream.unwrapped)  # its warnings are errors here
    dream.reset(seed=0)
    obs, *_ = dream.step(dream.action_space.sample())
    assert np.array_equal(np.asarray(dream.render()), obs)
    dreams = gymnasium.make_vec(MAKE, num_envs=2, checkpoint=run, horizon=4)
    assert isinstance(dreams, DreamEnvs)
    recorded = RecordEpisodeStatistics(dreams)
    recorded.reset(seed=0)
    ends = 0
    for _ in range(20):
        _, _, terminated, truncated, _ = recorded.step([1, 1])
        ends += int((terminated | truncated).sum())
    assert recorded.episode_count == ends >= 10  # a dream lasts for at most 4 steps


def test_one_dream_waits_for_a_reset(counting: Agent, dataset: Path) -> None:
    dream = DreamEnv(counting, dataset, horizon=2, render_mode="rgb_array")
    for action in (dream.render, lambda: dream.step(0)):
        with pytest.raises(ResetNeeded, match="reset"):
            action()
    start = int(dream.reset(seed=0)[0][0, 0, 0])
    dream.step(1)
    obs, reward, terminated, truncated, info = dream.step(1)
    assert (reward, terminated, truncated, info) == (0.0, False, True, {})
    assert all(type(x) is y for x, y in ((reward, float), (terminated, bool), (truncated, bool)))
    assert obs[0, 0, 0] == start + 2  # its own last frame, not that of a next dream
    assert np.array_equal(np.asarray(dream.render()), obs) and not np.shares_memory(dream.render(), obs)
    with pytest.raises(ResetNeeded, match="the episode is over"):
        dream.step(1)
    assert dream.reset()[0][0, 0, 0] in (12, 22, 23, 24)
    assert dream.step(2)[2:4] == (True, False)
    assert DreamEnv(counting, dataset).render() is None


def test_mistakes_get_one_line(counting: Agent, dataset: Path, run: Path, tmp_path: Path) -> None:
    checkpoint = run / "checkpoints" / "step-00000001"
    short, small = write(tmp_path / "short", (3, 2)), write(tmp_path / "small", (9,), (3, 4, 4))
    empty = EpisodeStore.create(tmp_path / "empty", SHAPE).folder
    mistakes: list[tuple[dict[str, Any], str]] = [
        ({"agent_or_path": tmp_path / "nowhere"}, "nowhere does not exist; give a run folder"),
        ({"agent_or_path": checkpoint}, "step-00000001 has no real frames .* give `dataset`, such as RUN/"),
        ({"agent_or_path": counting}, "an agent by itself has no real frames .* give `dataset`"),
        ({"agent_or_path": run, "dataset": tmp_path / "nowhere"}, "no dataset in .*nowhere"),
        ({"agent_or_path": run, "dataset": empty}, "empty has no episode of more than 3 frames"),
        ({"agent_or_path": run, "dataset": short}, "short has no episode of more than 3 frames"),
        (
            {"agent_or_path": run, "dataset": small},
            r"small holds frames of shape \(3, 4, 4\), .* \(3, 8, 4\)",
        ),
        ({"agent_or_path": run, "horizon": 0}, "`horizon` is 0; it must be at least 1"),
        ({"agent_or_path": run, "num_envs": 0}, "`num_envs` is 0; it must be at least 1"),
    ]
    for arguments, message in mistakes:
        with pytest.raises(UserError, match=message) as error:
            adamas.make_dream(**arguments)
        assert "\n" not in str(error.value)
    other_game = write(tmp_path / "other", (9,), action=(3,))
    with pytest.raises(UserError, match="other holds actions that the agent does not have"):
        adamas.make_dream(counting, other_game).reset()


def test_importing_adamas_does_not_import_gymnasium() -> None:
    code = "import sys, adamas; sys.exit('gymnasium' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert "make_dream" in adamas.__all__
