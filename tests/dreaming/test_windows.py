"""Windows hold their context, are drawn from all starts, and end where their episode ends."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.protocols import PolicyOutput
from adamas.core.types import Batch
from adamas.data.store import NEW, EpisodeStore
from adamas.dreaming.starts import PlayedStarts, with_actions_of
from adamas.dreaming.windows import draw_windows, play_window, windows_under_actions
from tests.dreaming.test_starts import Agent, Counting, Randomly

L = 2


def make_store(folder: Path, lengths: list[int]) -> EpisodeStore:
    """Episodes of so many frames; every pixel of frame t of episode e is 50 e + t."""
    store = EpisodeStore.create(folder, (1, 2, 2))
    for number, length in enumerate(lengths):
        for t in range(length - 1):
            frame = np.full((1, 1, 2, 2), 50 * number + t, dtype=np.uint8)
            last = t == length - 2
            following = np.array([number if t else NEW])
            store.append(following, frame, np.array([0]), np.zeros(1), np.array([last]), np.array([False]))
        store.append_final(
            np.array([number]), np.full((1, 1, 2, 2), 50 * number + length - 1, dtype=np.uint8)
        )
    store.commit()
    return store


def test_windows_hold_their_context_and_are_drawn_from_all_moments(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", [2, 3, 6])
    windows = draw_windows(store, 200, L, 3, np.random.default_rng(0))
    assert windows.batch.obs.shape == (200, L + 3, 1, 2, 2) and windows.batch.mask[:, : L + 1].all()
    first = windows.batch.obs[:, 0, 0, 0, 0].tolist()
    assert sorted(set(first)) == [
        50,
        100,
        101,
        102,
        103,
    ]  # one start in the second episode, four in the third
    assert (windows.episode == [1 if value < 100 else 2 for value in first]).all()
    assert all(first.count(value) == pytest.approx(40, abs=20) for value in set(first))


def test_episodes_that_are_too_short_are_named(tmp_path: Path) -> None:
    store = make_store(tmp_path / "data", [2, 2])
    with pytest.raises(
        UserError, match="data has no episode of more than 2 frames, and a dream starts from 2 frames"
    ):
        draw_windows(store, 4, L, 3, np.random.default_rng(0))


def test_an_agent_without_actions_does_not_see_them_and_others_refuse_unknown_ones() -> None:
    action = torch.tensor([[0, 1, 2]])
    transition = torch.zeros(1, 3)
    windows = Batch(
        obs=torch.zeros(1, 4, 1, 2, 2),
        action=action,
        reward=transition,
        terminated=transition,
        truncated=transition,
        mask=torch.ones(1, 4).bool(),
    )
    assert with_actions_of(ActionSpec.numbered(3), windows, "data") is windows
    assert with_actions_of(ActionSpec.nothing(), windows, "data").action.tolist() == [[0, 0, 0]]
    vectors = replace(windows, action=torch.ones(1, 3, 2))
    assert with_actions_of(ActionSpec.nothing(), vectors, "data").action.tolist() == [[0, 0, 0]]
    for spec, wrong in ((ActionSpec.numbered(2), windows), (ActionSpec.numbered(3), vectors)):
        with pytest.raises(UserError, match="data holds actions that the agent does not have"):
            with_actions_of(spec, wrong, "data")


class Forgetful(Randomly):
    """A policy of three equal chances that does not mind being burnt in on a few frames."""

    def forward(self, obs: torch.Tensor, state: tuple[torch.Tensor, ...]) -> PolicyOutput:
        return PolicyOutput(torch.zeros(1, 3), torch.zeros(1), state)


def played_starts() -> PlayedStarts:
    agent = Agent()
    agent.player = Forgetful()
    return PlayedStarts(Counting(), agent)  # type: ignore[arg-type]


def test_a_played_window_follows_the_given_actions_until_its_episode_ends() -> None:
    starts = played_starts()
    actions = torch.tensor([2, 1] * 5)
    for seed in range(5):
        window = play_window(starts, 10, np.random.default_rng(seed), actions=actions)
        assert window.obs.shape == (1, 14, 1, 2, 2) and window.action.shape == window.reward.shape == (1, 13)
        first = int(window.obs[0, 3, 0, 0, 0])
        taken = int(window.mask[0, 4:].sum())
        assert taken == 7 - first, "an episode lasts 7 steps"
        assert torch.equal(window.action[0, 3 : 3 + taken], actions[:taken])
        assert window.obs[0, 4 : 4 + taken, 0, 0, 0].tolist() == list(range(first + 1, 8))
        assert window.obs[0, 4 : 4 + taken, 0, 0, 1].tolist() == actions[:taken].tolist()


def test_windows_under_actions_hold_the_contexts_and_the_actions() -> None:
    starts = played_starts()
    context = starts.draw(3, np.random.default_rng(0))
    windows = windows_under_actions(context, torch.tensor([1, 2, 0]))
    assert torch.equal(windows.obs[:, :4], context.obs) and not windows.obs[:, 4:].any()
    assert windows.action[:, 3:].tolist() == [[1, 2, 0]] * 3
    assert torch.equal(windows.mask[:, :4], context.mask) and windows.mask[:, 4:].all()
