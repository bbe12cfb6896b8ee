"""MinAtar: drawing, seeding, limits."""

from __future__ import annotations

import itertools
import logging
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.core.errors import UserError
from adamas.envs import make_env
from adamas.envs.config import MinAtarConfig
from adamas.envs.minatar import BLACK, PALETTES, MinAtarEnvs, enlarge, import_environment, paint

minatar = pytest.importorskip("minatar")


def make(game: str = "breakout", num_envs: int = 1, seed: int = 0, **options: object) -> MinAtarEnvs:
    config = MinAtarConfig(game=game, **{"size": 10, **options})  # type: ignore[arg-type]
    env = make_env(config, num_envs, seed, training=True)
    assert isinstance(env, MinAtarEnvs)
    return env


@pytest.mark.parametrize("game", PALETTES)
def test_palette_has_a_colour_of_its_own_for_every_channel(game: str) -> None:
    assert set(PALETTES[game]) == set(import_environment()(game).env.channels)
    colours = [BLACK, *PALETTES[game].values()]
    for a, b in itertools.combinations(colours, 2):
        assert max(abs(x - y) for x, y in zip(a, b, strict=True)) >= 127, (a, b)


def test_breakout_colours_are_far_apart() -> None:
    palette = PALETTES["breakout"]
    for a, b in itertools.combinations([BLACK, palette["ball"], palette["trail"], palette["brick"]], 2):
        assert sum(abs(x - y) for x, y in zip(a, b, strict=True)) >= 2 * 255, (a, b)
    assert list(palette)[-1] == "ball", "nothing may hide the ball"


def test_first_frame_of_breakout() -> None:
    env = make()
    frame = env.reset().obs[0]
    palette = {name: torch.tensor(colour) for name, colour in PALETTES["breakout"].items()}
    ball_x = 0 if torch.equal(frame[:, 3, 0].long(), palette["ball"]) else 9
    expected = torch.zeros(3, 10, 10, dtype=torch.int64)
    expected[:, 1:4, :] = palette["brick"][:, None, None]
    expected[:, 9, 4] = palette["paddle"]
    expected[:, 3, ball_x] = palette["ball"]  # over a brick and its own trail
    assert torch.equal(frame.long(), expected)


def test_paint_draws_later_channels_over_earlier_ones() -> None:
    state = np.array([[[[True, True], [True, False]], [[False, True], [False, False]]]])  # (1, 2, 2, 2)
    colours = np.array([[1, 2, 3], [10, 20, 30], [40, 50, 60]], dtype=np.uint8)
    assert paint(state, colours)[0].tolist() == [
        [[40, 10], [40, 1]],
        [[50, 20], [50, 2]],
        [[60, 30], [60, 3]],
    ]


@given(st.integers(10, 90))
@settings(max_examples=30, deadline=None)
def test_enlarge_repeats_pixels_and_centres_them(size: int) -> None:
    frames = np.random.default_rng(size).integers(1, 256, (2, 3, 10, 10), dtype=np.uint8)
    large = enlarge(frames, size)
    factor, first = size // 10, (size % 10) // 2
    assert large.shape == (2, 3, size, size)
    for y, x in [(0, 0), (4, 7), (9, 9)]:
        cell = large[:, :, first + y * factor :, first + x * factor :][:, :, :factor, :factor]
        assert (cell == frames[:, :, y, x, None, None]).all()
    assert (large != 0).sum() == frames.size * factor**2, "the margin is black"


@pytest.mark.parametrize(
    ("game", "names"),
    [
        ("Breakout", ("noop", "left", "right")),
        ("Space_Invaders", ("noop", "left", "right", "fire")),
        ("SpaceInvaders", ("noop", "left", "right", "fire")),
        ("freeway", ("noop", "up", "down")),
        ("seaquest", ("noop", "left", "up", "right", "down", "fire")),
    ],
)
def test_minimal_actions(game: str, names: tuple[str, ...]) -> None:
    assert make(game).action_spec.names == names


def test_actions_move_the_paddle() -> None:
    env = make(sticky_actions=0.0)
    env.reset()
    paddle = torch.tensor(PALETTES["breakout"]["paddle"])[:, None]
    for action, position in [(0, 4), (2, 5), (1, 4), (1, 3)]:
        bottom = env.step(torch.tensor([action])).obs[0, :, 9].long()  # (3, 10)
        assert (bottom == paddle).all(0).nonzero().flatten().tolist() == [position]


@pytest.mark.parametrize("game", PALETTES)
def test_an_episode_depends_on_its_seed_alone(game: str) -> None:
    """Also for what MinAtar carries over from the episode before: the action that may stick."""
    fresh, used = make(game, sticky_actions=0.5), make(game, sticky_actions=0.5)
    used.reset()
    last = used.action_spec.num_actions - 1
    for _ in range(40):
        used.step(torch.tensor([last]))
    everywhere = np.array([True])
    for seed in range(5):
        first = [env._reset_envs(everywhere, np.array([seed])) for env in (fresh, used)]
        assert np.array_equal(first[0], first[1])
        for action in np.random.default_rng(seed).integers(0, last + 1, (60, 1)):
            a, b = (env._step_envs(action, everywhere) for env in (fresh, used))
            assert np.array_equal(a.obs, b.obs) and a.reward == b.reward and a.terminated == b.terminated
            if a.terminated:
                break
        used._step_envs(np.array([last]), everywhere)


def test_time_limit_truncates_each_environment_by_its_own_clock() -> None:
    limit = 12
    env = make(num_envs=4, max_episode_steps=limit)
    env.reset()
    age = torch.zeros(4)
    generator = torch.Generator().manual_seed(1)
    seen = torch.zeros(2, dtype=torch.int64)
    for _ in range(200):
        step = env.step(torch.randint(3, (4,), generator=generator))
        age += 1
        assert torch.equal(step.truncated, age == limit)
        age[step.ended] = 0
        seen += torch.stack([step.terminated.sum(), step.truncated.sum()])
    assert (seen > 0).all(), "both kinds of end should occur"


def test_no_time_limit_by_default() -> None:
    env = make("freeway")  # a game that cannot be lost: it stops by itself, after 2,500 steps
    env.reset()
    steps = [env.step(torch.tensor([0])) for _ in range(2600)]
    ends = [(t + 1, s.terminated.item(), s.truncated.item()) for t, s in enumerate(steps) if s.ended]
    assert ends == [(2501, True, False)]


def test_bad_configurations() -> None:
    with pytest.raises(UserError, match="unknown MinAtar game 'brekout'; did you mean 'breakout'"):
        make("brekout")
    with pytest.raises(UserError, match=r"`env\.size` is 9; it must be at least 10"):
        make(size=9)


def test_missing_minatar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    with pytest.raises(
        UserError, match=r"minatar is not installed; install it with: pip install 'adamas\[minatar\]'"
    ):
        make()


@pytest.mark.parametrize("installed", [True, False])
def test_minatar_is_imported_without_seaborn_and_without_a_word(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, installed: bool
) -> None:
    for name in [n for n in sys.modules if n.split(".")[0] in ("minatar", "seaborn")]:
        monkeypatch.delitem(sys.modules, name)
    if not installed:
        monkeypatch.setitem(sys.modules, "seaborn", None)
    import_environment()
    assert ("seaborn" in sys.modules) != installed  # what was hidden can be imported again
    assert caplog.records == []
    logging.warning("something about seaborn")
    assert len(caplog.records) == 1, "warnings of others come through"
