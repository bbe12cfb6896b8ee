"""Going back to a moment on Atari: the usual frames, and chance that follows from the seed alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from adamas.core.pixels import area_taps, shrink_area
from adamas.envs import EnvConfig
from adamas.envs.config import AtariConfig
from adamas.envs.rewind import make_branching
from tests.helpers.rewinding import compare_with_make_env, play

FIRE, RIGHT, LEFT = 1, 2, 3  # of Breakout on Atari


@pytest.mark.parametrize(
    ("config", "num_steps", "action", "end"),
    [
        (AtariConfig(game="Pong", size=64, noop_max=0), 100, None, (False, False)),
        (AtariConfig(game="Breakout", size=32, noop_max=0), 150, FIRE, (True, False)),  # five lives
        (
            AtariConfig(game="MsPacman", size=84, width=3, noop_max=0, max_episode_steps=100),
            150,
            None,
            (False, True),
        ),
        (AtariConfig(game="Freeway", size=33, frame_skip=1, noop_max=0), 40, None, (False, False)),
        (AtariConfig(game="Boxing", size=160, frame_skip=2, noop_max=0), 40, None, (False, False)),
        (AtariConfig(game="Boxing", size=210, width=150, noop_max=0), 20, None, (False, False)),
    ],
)
def test_atari_is_that_of_make_env(
    config: EnvConfig, num_steps: int, action: int | None, end: tuple[bool, bool]
) -> None:
    assert compare_with_make_env(config, num_steps, action) == end


@pytest.mark.parametrize("size", [1, 9, 16, 48, 64, 96, 150, 160])
def test_frames_shrink_as_with_opencv(size: int) -> None:
    """48, 96 and others know ties, which only the same sums in the same precision break alike."""
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for screen in rng.integers(0, 256, (3, 210, 160, 3), dtype=np.uint8):
        expected = cv2.resize(screen, (size, size), interpolation=cv2.INTER_AREA).reshape(size, size, 3)
        found = shrink_area(screen, area_taps(210, size), area_taps(160, size))
        assert np.array_equal(found.transpose(1, 2, 0), expected)


def test_shrinking_by_hand() -> None:
    """Three pixels to two: each new one is two thirds of one pixel and one third of the next."""
    index, weight = area_taps(3, 2)
    dense = np.zeros((2, 3))
    for taps, weights in zip(index, weight, strict=True):
        dense[[0, 1], taps] += weights
    assert np.allclose(dense, [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    screen = np.array([[30, 60, 90]], dtype=np.uint8)[..., None].repeat(3, axis=2)
    assert shrink_area(screen, area_taps(1, 1), area_taps(3, 2)).tolist() == [[[40, 80]]] * 3


def test_atari_without_sticky_actions_leaves_nothing_to_chance() -> None:
    game = make_branching(AtariConfig(game="Breakout", size=32))
    game.reset(3)
    play(game, [FIRE] + [RIGHT] * 9)
    saved, actions = game.save(), [LEFT] * 5 + [RIGHT] * 20
    expected = play(game, actions)
    play(game, [LEFT] * 10)
    for seed in range(3):
        game.restore(saved, seed)
        assert torch.equal(play(game, actions), expected)


@pytest.mark.parametrize("name", ["Assault", "Qbert"])
def test_nothing_stays_from_what_was_played_in_between(name: str) -> None:
    """Assault's resets remember the last episode; Qbert's leave something behind that its states do not hold."""
    config = AtariConfig(game=name, size=64, noop_max=0)
    game, other = make_branching(config), make_branching(config, sticky=False)
    actions = [1, 2, 3, 4, 5, 0] * 3
    starts = []
    for _ in range(3):
        start = game.reset(0)
        starts.append(torch.stack((start, *play(game, actions))))
        saved = game.save()
        expected = play(game, actions)
    assert torch.equal(starts[0], starts[1]) and torch.equal(starts[0], starts[2])
    game.reset(0)
    for fresh in (other, game):
        fresh.restore(saved, seed=0)
        assert torch.equal(play(fresh, actions), expected)


def test_which_atari_actions_stick_follows_from_the_seed() -> None:
    game = make_branching(AtariConfig(game="Breakout", size=64, sticky_actions=0.5))
    game.reset(0)
    play(game, [RIGHT] * 5)
    saved = game.save()

    def outcome(seed: int) -> bytes:
        game.restore(saved, seed)
        return play(game, [LEFT] * 3).numpy().tobytes()

    first = [outcome(seed) for seed in range(12)]
    assert [outcome(seed) for seed in range(12)] == first
    assert len(set(first)) >= 3


def test_the_atari_action_that_sticks_is_saved() -> None:
    """With probability 1 the action before the moment goes on for ever, whatever was done in between."""
    config = AtariConfig(game="Breakout", size=64, noop_max=0)
    game = make_branching(config)
    stuck = make_branching(AtariConfig(game="Breakout", size=64, noop_max=0, sticky_actions=1.0))
    game.reset(0)
    play(game, [RIGHT] * 2)
    saved = game.save()
    stuck.reset(0)
    play(stuck, [LEFT] * 5)
    stuck.restore(saved, seed=0)
    assert torch.equal(play(stuck, [LEFT] * 4), play(game, [RIGHT] * 4))
    game.restore(saved, seed=0)
    stuck.restore(saved, seed=0)
    assert not torch.equal(play(stuck, [LEFT] * 4), play(game, [LEFT] * 4))


def test_the_atari_time_limit_counts_from_the_start() -> None:
    game = make_branching(AtariConfig(game="Pong", size=16, max_episode_steps=7))
    game.reset(0)
    play(game, [0] * 4)
    saved = game.save()
    for seed in range(2):
        game.restore(saved, seed)
        assert [game.step(0).truncated for _ in range(3)] == [False, False, True]


def test_atari_episodes_start_at_different_times() -> None:
    game = make_branching(AtariConfig(game="Freeway", size=64, noop_max=30))
    starts = [game.reset(seed).numpy().tobytes() for seed in (*range(8), 0)]
    assert starts[0] == starts[8] and len(set(starts)) > 4
