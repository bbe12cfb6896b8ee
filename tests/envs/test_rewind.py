"""Going back to a moment: the frames of the usual environments, and chance that follows from the seed alone."""

from __future__ import annotations

import sys
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Discrete
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.pixels import area_taps, shrink_area
from adamas.envs import EnvConfig, make_env
from adamas.envs.config import AtariConfig, GymnasiumConfig, MinAtarConfig
from adamas.envs.minatar import PALETTES
from adamas.envs.rewind import BranchingGame, make_branching

FIRE, RIGHT, LEFT = 1, 2, 3  # of Breakout on Atari


def compare_with_make_env(config: EnvConfig, num_steps: int, action: int | None = None) -> tuple[bool, bool]:
    """Play both, at random or always ``action``, and assert that they are equal: how the last step ended."""
    env, game = make_env(config, 1, seed=0, training=False), make_branching(config)
    assert env.action_spec == game.action_spec
    rng = np.random.default_rng(0)
    first = env.reset().obs[0]
    assert torch.equal(game.reset(env.snapshot()["seeds"][0]), first)
    frames = {first.numpy().tobytes()}
    for t in range(num_steps):
        taken = int(rng.integers(env.action_spec.num_actions)) if action is None else action
        expected, step = env.step(torch.tensor([taken])), game.step(taken)
        frame = expected.final_obs[0] if expected.ended[0] else expected.obs[0]
        assert torch.equal(step.obs, frame), f"step {t}"
        assert step.reward == expected.reward.item()
        assert (step.terminated, step.truncated) == (expected.terminated.item(), expected.truncated.item())
        frames.add(frame.numpy().tobytes())
        if expected.ended[0]:
            break
    assert len(frames) > 1, "nothing happened: the comparison is worth little"
    env.close()
    game.close()
    return step.terminated, step.truncated


def play(game: BranchingGame, actions: list[int]) -> Tensor:
    return torch.stack([game.step(action).obs for action in actions])


# --- Atari -------------------------------------------------------------------------------------------------


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


# --- MinAtar -----------------------------------------------------------------------------------------------


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


# --- Gymnasium, and mistakes -------------------------------------------------------------------------------


class Drift(gymnasium.Env[Any, Any]):
    """A shade of grey that goes up by the action and by chance. ``hidden`` may be what cannot be copied."""

    observation_space = Box(0, 255, (4, 4, 3), np.uint8)
    action_space = Discrete(2)
    render_mode = None

    def __init__(self, hidden: Any = None) -> None:
        self.hidden = hidden

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.level = 0
        return self._frame(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.level += int(action) + 10 * int(self.np_random.integers(3))
        return self._frame(), float(action), False, False, {}

    def _frame(self) -> Any:
        return np.full((4, 4, 3), self.level, np.uint8)


class Pickled(Drift, gymnasium.utils.EzPickle):
    """A copy of it would be a new one."""

    def __init__(self) -> None:
        gymnasium.utils.EzPickle.__init__(self)
        super().__init__()


gymnasium.register("AdamasDrift-v0", lambda **options: Drift(**options), max_episode_steps=6)
gymnasium.register("AdamasPickled-v0", lambda **options: Pickled(**options))
gymnasium.register("AdamasFrozen-v0", lambda **options: Drift(hidden=sys, **options))


def test_gymnasium_goes_back() -> None:
    config = GymnasiumConfig(game="AdamasDrift-v0", size=2)
    compare_with_make_env(config, 6)
    game = make_branching(config, sticky=False)
    game.reset(0)
    before = int(play(game, [1, 1, 0])[-1, 0, 0, 0])
    saved = game.save()
    futures = []
    for seed in (*range(8), 0):
        game.restore(saved, seed)
        steps = [game.step(1) for _ in range(3)]
        assert [step.truncated for step in steps] == [False, False, True]
        futures.append([int(step.obs[0, 0, 0]) - before for step in steps])
    assert futures[0] == futures[8] and len({tuple(future) for future in futures}) > 3
    assert all(level % 10 == t + 1 for future in futures for t, level in enumerate(future))
    game.close()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (
            GymnasiumConfig(game="AdamasPickled-v0", size=2),
            "AdamasPickled-v0 cannot be saved .* start a new episode",
        ),
        (GymnasiumConfig(game="AdamasFrozen-v0", size=2), "cannot be saved .* 'module' object; use a game"),
        (AtariConfig(game="Pong", size=161), "env.size is 161; frames larger than 160"),
        (AtariConfig(game="Pongg"), "unknown Atari game 'Pongg'; did you mean 'Pong'"),
    ],
)
def test_games_that_cannot_be_made(config: EnvConfig, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_branching(config)
