"""Going back to a moment on MinAtar: the usual frames, and chance that follows from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adamas.envs.config import MinAtarConfig
from adamas.envs.minatar import PALETTES
from adamas.envs.rewind import make_branching
from tests.helpers.rewinding import compare_with_make_env, play


@pytest.mark.parametrize("game", PALETTES)
def test_minatar_is_that_of_make_env(game: str) -> None:
    pytest.importorskip("minatar")
    compare_with_make_env(MinAtarConfig(game=game, size=10, sticky_actions=0.3), 100)


def test_minatar_chance_follows_from_the_seed() -> None:
    """After two steps to the left the paddle goes on to the left one time in ten, instead of to the right."""
    pytest.importorskip("minatar")
    game = make_branching(MinAtarConfig(game="breakout", size=10))
    game.reset(1)
    assert play(game, [1, 1])[1, :, 9].amin(dim=0).argmax() == 2, "neither was replaced in this episode"
    saved = game.save()

    def column(seed: int) -> int:
        game.restore(saved, seed)
        return int(game.step(2).obs[:, 9].amin(dim=0).argmax())

    found = [column(seed) for seed in range(500)]
    assert set(found) == {1, 3}
    assert 30 <= found.count(1) <= 72, "3 standard deviations about 50 of 500"
    assert [column(seed) for seed in range(50)] == found[:50]


def test_minatar_plays_the_same_future_again() -> None:
    pytest.importorskip("minatar")
    for name in PALETTES:
        game = make_branching(MinAtarConfig(game=name, size=10, sticky_actions=0.5))
        game.reset(0)
        play(game, [0, 1, 0, 1])
        saved = game.save()
        actions = np.random.default_rng(0).integers(0, 3, 8).tolist()
        futures = []
        for seed in (0, 1, 0):
            game.restore(saved, seed)
            futures.append(play(game, actions))
        assert torch.equal(futures[0], futures[2]), name


def test_minatar_time_limit_counts_from_the_start() -> None:
    pytest.importorskip("minatar")
    game = make_branching(MinAtarConfig(game="freeway", size=10, max_episode_steps=5))
    game.reset(0)
    play(game, [0] * 3)
    saved = game.save()
    for seed in range(2):
        game.restore(saved, seed)
        assert [game.step(0).truncated for _ in range(2)] == [False, True]


def test_a_moment_can_be_played_on_with_every_action_taken() -> None:
    """Saved where all actions stick, restored where none does."""
    pytest.importorskip("minatar")
    config = MinAtarConfig(game="breakout", size=10, sticky_actions=1.0)
    stuck, obedient = make_branching(config), make_branching(config, sticky=False)
    stuck.reset(0)
    play(stuck, [2, 2])
    saved = stuck.save()
    obedient.reset(5)
    for action, column in [(0, 4), (1, 3), (2, 5)]:
        for game, expected in ((obedient, column), (stuck, 4)):
            game.restore(saved, 0)
            assert game.step(action).obs[:, 9].amin(dim=0).argmax() == expected
