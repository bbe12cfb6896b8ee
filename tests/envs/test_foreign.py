"""Other people's environments: each of their mistakes in one line, and what can be understood is taken."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiDiscrete

from adamas.core.errors import UserError
from adamas.core.protocols import VectorEnv
from adamas.envs import RealVectorEnv, gymnasium_pixels, make_env, minatar
from adamas.envs.config import GymnasiumConfig, MinAtarConfig, read_env
from adamas.envs.rewind import make_branching
from adamas.evaluation.protocol import RandomPolicy, play_episodes

FRAME = np.full((32, 32, 3), 100, np.uint8)
GAME = "AdamasStrange-v0"


class Strange(gymnasium.Env[Any, Any]):
    """Its answers are what it is told to answer; after ``length`` steps it is over."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = Box(0, 255, FRAME.shape, np.uint8)
    action_space: Any = Discrete(2)

    def __init__(
        self,
        reset: Any = (FRAME, {}),
        step: Any = (FRAME, 0.0, False, False, {}),
        length: int | None = None,
        colour: int = 100,
    ) -> None:
        self.answers, self.length, self.colour = (reset, step), length, colour
        self.taken: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.taken = []
        return self._answer(0)

    def step(self, action: Any) -> Any:
        self.taken.append(action)
        if self.length is not None:
            return FRAME // 100 * self.colour, 1.0, len(self.taken) >= self.length, False, {}
        return self._answer(1)

    def _answer(self, which: int) -> Any:
        answer = self.answers[which]
        return answer() if callable(answer) else answer


class Unseeded(Strange):
    """Its reset takes no seed."""

    def reset(self) -> Any:  # type: ignore[override]
        return FRAME, {}


Make = Callable[..., RealVectorEnv]


@pytest.fixture
def make() -> Iterator[Make]:
    """An environment of ``GAME``, made of a class with options."""

    def register(kind: Any = Strange, limit: int | None = 99, config: Any = None, **kwargs: Any) -> Any:
        gymnasium.registry.pop(GAME, None)
        gymnasium.register(GAME, kind, max_episode_steps=limit, kwargs=kwargs)
        return make_env(GymnasiumConfig(game=GAME, size=4, **config or {}), 2, 0, training=True)

    yield register
    gymnasium.registry.pop(GAME, None)


def fail() -> Any:
    raise ValueError("the wheel\ncame off")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            FRAME,
            r"reset\(\) of .* returned an array of shape \(32, 32, 3\); Gymnasium's reset returns obs and a dict",
        ),
        ((FRAME, None), r"reset\(\) of .* returned a tuple of 2"),
        (fail, r"reset\(\) raised ValueError: the wheel came off \(.*test_foreign.py, line \d+\)$"),
    ],
    ids=["obs-only", "no-info", "raises"],
)
def test_a_wrong_reset(make: Make, answer: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        make(reset=answer)


def test_a_reset_without_a_seed(make: Make) -> None:
    with pytest.raises(
        UserError, match=r"reset\(\) of AdamasStrange-v0 takes no seed, .* add the keyword seed"
    ):
        make(Unseeded)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (
            (FRAME, np.nan, False, False, {}),
            "step 2 of an episode gave the reward nan; a reward must be finite",
        ),
        ((FRAME, -np.inf, False, False, {}), "gave the reward -inf"),
        ((FRAME, 1e39, False, False, {}), r"gave the reward 1e\+39; a reward must be finite \(in float32\)"),
        (
            (FRAME, np.zeros(2), False, False, {}),
            r"gave the reward an array of shape \(2,\); a reward is one number",
        ),
        ((FRAME, None, False, False, {}), r"gave the reward None \(NoneType\)"),
        ((FRAME, "1", False, False, {}), r"gave the reward 1 \(str\)"),
        ((FRAME, 0.0, None, False, {}), "gave None .NoneType. for terminated; it must be True or False"),
        ((FRAME, 0.0, False, np.zeros(2), {}), "for truncated"),
        ((FRAME, 0.0, 0.5, False, {}), "gave 0.5 .float. for terminated"),
        (
            (FRAME[0], 0.0, False, False, {}),
            r"observation of .* has the shape \(32, 3\), but its space says \(32, 32, 3\); correct",
        ),
        (
            fail,
            r"step 2 of an episode raised ValueError: the wheel came off \(.*test_foreign.py, line \d+\)$",
        ),
    ],
    ids=[
        *["nan", "inf", "overflow", "two", "none", "text", "no-flag", "two-flags", "half-flag", "frame"],
        "raises",
    ],
)
def test_a_wrong_step(make: Make, answer: Any, message: str) -> None:
    answers = iter([(FRAME, 0.0, False, False, {})] * 2 + [answer] * 2)  # of two environments each

    def step() -> Any:
        answer = next(answers)
        return answer() if callable(answer) else answer

    env = make(step=step)
    env.reset()
    env.step(torch.zeros(2, dtype=torch.int64))
    with pytest.raises(UserError, match=message) as caught:
        env.step(torch.zeros(2, dtype=torch.int64))
    assert GAME in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("limit", [None, 9])
def test_a_step_of_the_old_kind(make: Make, limit: int | None) -> None:
    env = make(step=(FRAME, 0.0, False, {}), limit=limit)
    env.reset()
    with pytest.raises(
        UserError, match=r"to unpack .*step\(\) 5|returned a tuple of 4; Gymnasium's step returns obs"
    ):
        env.step(torch.zeros(2, dtype=torch.int64))


@pytest.mark.parametrize(
    ("reward", "flag"),
    [
        (np.array([0.5]), np.array([True])),
        (np.array(0.5), np.array(True)),
        (np.float64(0.5), np.True_),
        (torch.tensor(0.5), torch.tensor(True)),
        (0.5, 1),
    ],
    ids=["one", "array", "numpy", "torch", "int"],
)
def test_one_number_in_any_form_is_taken(make: Make, reward: Any, flag: Any) -> None:
    env = make(step=(FRAME, reward, flag, flag, {}))
    env.reset()
    step = env.step(torch.zeros(2, dtype=torch.int64))
    assert step.reward.tolist() == [0.5, 0.5] and step.reward.dtype == torch.float32
    assert step.terminated.tolist() == step.truncated.tolist() == [True, True]


def test_frames_whose_size_changes(make: Make) -> None:
    sizes = iter([64, 32, 16, 8, 5, 7])

    def reset() -> Any:
        size = next(sizes)
        return np.full((size, size, 3), size, np.uint8), {}

    env = make(reset=reset, step=lambda: (np.full((9, 3, 3), 200, np.uint8), 0.0, False, False, {}))
    first = env.reset().obs  # after one reset each to try
    assert first.shape == (2, 3, 4, 4) and first[:, 0, 0, 0].tolist() == [16, 8]
    assert env.step(torch.zeros(2, dtype=torch.int64)).obs.unique().tolist() == [200]


def test_keyword_arguments(make: Make) -> None:
    env = make(config={"kwargs": '{"length": 3, "colour": 7}'}, length=5, colour=9)
    env.reset()
    steps = [env.step(torch.zeros(2, dtype=torch.int64)) for _ in range(3)]
    assert [bool(step.terminated[0]) for step in steps] == [False, False, True]
    assert steps[0].obs.unique().tolist() == [7]
    with pytest.raises(
        UserError, match=r"AdamasStrange-v0 cannot be made: .*unexpected keyword argument 'wheels'"
    ):
        make(config={"kwargs": '{"wheels": 4}'})
    with pytest.raises(
        UserError, match="kwargs cannot set disable_env_checker, render_mode, which Adamas sets"
    ):
        make(config={"kwargs": '{"render_mode": 4, "disable_env_checker": true}'})


@pytest.mark.parametrize("kwargs", ["", "[1]", "{a: 1}", '{"a": NaN}', "1" * 5000, "[" * 9999, "null"])
def test_keyword_arguments_that_are_not_json(kwargs: str) -> None:
    with pytest.raises(
        UserError, match=r"^env.kwargs is .*; it must be a JSON object, such as '\{\"domain_rando"
    ):
        GymnasiumConfig(game=GAME, kwargs=kwargs)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"suite": "atari", "kwargs": '{"a": 1}'}, "unknown configuration key 'kwargs'"),
        ({"suite": "minatar", "frames": "render"}, "unknown configuration key 'frames'"),
        ({"suite": "minatar", "frames_key": "a"}, "unknown configuration key 'frames_key'"),
        ({"suite": "gymnasium", "frames_key": "a", "frames": "render"}, "leave one out"),
        (
            {"suite": "gymnasium", "game": "x\nadamas: fine"},
            r"^env.game is 'x\\nadamas: fine'; a name has no",
        ),
    ],
)
def test_options_that_do_not_fit(config: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_env(config)


def test_an_evaluation_ends_where_episodes_do_not(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_pixels, "MAX_STEPS", 50)
    env: VectorEnv = make(limit=None, step=(FRAME, 1.0, False, False, {}))
    policy, generator = RandomPolicy(env.action_spec), torch.Generator()
    with pytest.warns(
        UserWarning, match=f"an episode of {GAME} was cut off after 50 steps; env.max_episode_st"
    ):
        assert play_episodes(policy, env, 4, generator) == [(50.0, 50)] * 4
    own = make(limit=None, config={"max_episode_steps": 60}, step=(FRAME, 1.0, False, False, {}))
    assert play_episodes(policy, own, 2, generator) == [(60.0, 60)] * 2  # and not a word
    registered = make(limit=70, step=(FRAME, 1.0, False, False, {}))
    assert play_episodes(policy, registered, 2, generator) == [(70.0, 70)] * 2


def test_what_is_kept_of_an_endless_episode_is_bounded(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gymnasium_pixels, "MAX_STEPS", 5)
    env = make(limit=None)
    env.reset()
    with pytest.warns(UserWarning, match="cut off"):
        kept = [
            max(map(len, (env.step(torch.zeros(2, dtype=torch.int64)), env.snapshot())[1]["actions"]))
            for _ in range(12)
        ]
    assert kept == [1, 2, 3, 4, 0] * 2 + [1, 2]


def test_minatar_has_a_limit_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("minatar")
    assert make_env(MinAtarConfig(game="breakout", size=10), 1, 0, True)._max_steps == 27_000  # type: ignore[attr-defined]
    monkeypatch.setattr(minatar, "MAX_STEPS", 2)
    env = make_env(MinAtarConfig(game="breakout", size=10), 1, 0, training=True)
    env.reset()
    assert not env.step(torch.zeros(1, dtype=torch.int64)).truncated
    with pytest.warns(UserWarning, match="an episode of breakout was cut off after 2 steps"):
        assert env.step(torch.zeros(1, dtype=torch.int64)).truncated


def test_a_game_that_goes_back_is_checked_as_well(make: Make) -> None:
    make(step=(FRAME, np.nan, False, False, {}))
    game = make_branching(GymnasiumConfig(game=GAME, size=4))
    game.reset(0)
    with pytest.raises(UserError, match="step 1 of an episode gave the reward nan"):
        game.step(0)


class Offset(Strange):
    """Actions of unusual types, counted from unusual numbers."""

    action_space = Dict(
        a=Discrete(3, start=-1),
        b=MultiDiscrete([2, 3], dtype=np.int8, start=[5, 7]),
        c=Box(0, 9, (1,), np.uint8),
        d=Box(-1, 1, (1,), np.float64),
    )

    def step(self, action: Any) -> Any:
        assert self.action_space.contains(action), action
        return FRAME, float(action["a"] + action["b"].sum() + action["c"][0]), False, False, {}


def test_actions_of_odd_types_from_odd_numbers(make: Make) -> None:
    env = make(Offset)
    env.reset()
    lowest, highest = [0, 0, 0, 0, -1], [2, 1, 2, 9, 1]
    step = env.step(torch.tensor([lowest, highest], dtype=torch.float32))
    assert step.reward.tolist() == [-1 + 5 + 7, 1 + 6 + 9 + 9]
    between = torch.tensor([[0, 0, 0, 4.6, 0], [0, 0, 0, 4.4, 0]])
    assert env.step(between).reward.tolist() == [-1 + 12 + 5, -1 + 12 + 4]  # rounded, not cut


class Huge(Strange):
    """A choice of very many."""

    action_space = Discrete(2**40)


class Boundless(Strange):
    """A lever without ends, whatever its space says."""

    action_space = Box(np.finfo(np.float32).min, np.finfo(np.float32).max, (1,), np.float32)


def test_actions_that_nobody_can_learn(make: Make) -> None:
    began = time.monotonic()
    with pytest.raises(
        UserError, match="action is a choice of 1,099,511,627,776; at most 10,000 are supported"
    ):
        make(Huge)
    with pytest.raises(UserError, match=r"action space Box.* is not supported; wrap"):
        make(Boundless)
    assert time.monotonic() - began < 5
