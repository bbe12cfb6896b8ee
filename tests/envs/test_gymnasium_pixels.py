"""Gymnasium environments by id: semantics equal to Gymnasium's own vector environment."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, MultiBinary, Text

from adamas.core.errors import UserError
from adamas.core.pixels import shrink
from adamas.envs import make_env, trust
from adamas.envs.config import GymnasiumConfig
from adamas.presets import preset
from tests.helpers.game_parts import game_of

HEIGHT, WIDTH = 8, 12


class Walk(gymnasium.Env[Any, Any]):
    """A walk on a line from 0, by -1, 0 or 1 a step. At -5 and 5 it is over; the colour shows where it is."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, render_mode: str | None = None, pixels: bool = True) -> None:
        self.render_mode = render_mode
        self.action_space = Discrete(3, start=-1)
        image = Box(0, 255, (HEIGHT, WIDTH, 3), np.uint8)
        self.pixels = pixels
        self.observation_space = image if pixels else Dict(position=Discrete(11, start=-5))

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = 0
        return self._observe(), {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position += action
        return self._observe(), 0.5 * self.position, abs(self.position) == 5, False, {}

    def render(self) -> Any:
        return np.full((HEIGHT, WIDTH, 3), 20 * (self.position + 5), np.uint8)

    def _observe(self) -> Any:
        return self.render() if self.pixels else {"position": self.position}


class Blind(Walk):
    """Neither observes nor renders pixels."""

    metadata = {"render_modes": ["human"]}  # noqa: RUF012


class Needy(Walk):
    """Needs a package that is not there."""

    def render(self) -> Any:
        raise gymnasium.error.DependencyNotInstalled(
            "nopackage is not installed, run `pip install nopackage`"
        )


class Sung(Walk):
    """Actions that are texts."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = Text(3)


class Steered(Walk):
    """As fast as one likes, if the brake is off."""

    def __init__(self, render_mode: str | None = None) -> None:
        super().__init__(render_mode)
        self.action_space = Dict(brake=MultiBinary(1), speed=Box(-1, 1, (1,)))

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        return super().step(0 if action["brake"][0] else float(action["speed"][0]))  # type: ignore[arg-type]


WALKS: dict[str, tuple[Any, dict[str, Any]]] = {
    "AdamasWalk-v0": (Walk, {}),
    "AdamasWalkRendered-v0": (Walk, {"pixels": False}),
    "AdamasBlind-v0": (Blind, {"pixels": False}),
    "AdamasNeedy-v0": (Needy, {"pixels": False}),
    "AdamasSteered-v0": (Steered, {}),
    "AdamasSung-v0": (Sung, {}),
}
for name, (walk, options) in WALKS.items():
    gymnasium.register(name, walk, max_episode_steps=9, kwargs=options)


@pytest.mark.parametrize("game", ["AdamasWalk-v0", "AdamasWalkRendered-v0"])
def test_steps_equal_those_of_gymnasiums_vector_env(game: str) -> None:
    num_envs = 3
    env = make_env(GymnasiumConfig(game=game, size=4), num_envs, seed=0, training=True)
    reference = gymnasium.vector.SyncVectorEnv(
        [lambda: gymnasium.make("AdamasWalk-v0")] * num_envs,
        autoreset_mode=gymnasium.vector.AutoresetMode.SAME_STEP,
    )

    def pixels(frames: Any) -> torch.Tensor:
        return torch.from_numpy(shrink(np.stack(list(frames)), 4, 4))

    assert env.action_spec.names == ("0", "1", "2")
    assert torch.equal(env.reset().obs, pixels(reference.reset()[0]))
    rng = np.random.default_rng(0)
    kinds = set()
    for _ in range(150):
        action = np.minimum(rng.integers(0, 4, num_envs), 2)  # drifts up, so that both kinds of end occur
        step = env.step(torch.from_numpy(action))
        obs, reward, terminated, truncated, info = reference.step(action - 1)
        assert torch.equal(step.obs, pixels(obs))
        assert step.reward.tolist() == reward.tolist()
        assert step.terminated.tolist() == terminated.tolist()
        assert step.truncated.tolist() == truncated.tolist()
        ended = terminated | truncated
        assert len(step.final_obs) == ended.sum()
        if ended.any():
            assert torch.equal(step.final_obs, pixels(info["final_obs"][ended]))
        kinds.add((int(ended.sum()), bool(terminated.any()), bool(truncated.any())))
    assert {k[0] for k in kinds} >= {0, 1, 2} and {k[1:] for k in kinds} >= {(True, False), (False, True)}
    env.close()
    reference.close()


@pytest.mark.parametrize(("limit", "expected"), [(None, 9), (4, 4), (20, 20)])
def test_time_limit(limit: int | None, expected: int) -> None:
    config = GymnasiumConfig(game="AdamasWalk-v0", size=4, max_episode_steps=limit)
    env = make_env(config, 1, seed=0, training=True)
    env.reset()
    truncated = [env.step(torch.tensor([1])).truncated.item() for _ in range(expected)]
    assert truncated == [False] * (expected - 1) + [True]


def test_shrink_takes_the_mean_and_rounds() -> None:
    frame = np.zeros((1, 4, 4, 3), np.uint8)
    frame[0, :2, :2, 0] = [[0, 1], [2, 4]]  # mean 1.75
    frame[0, 2:, 2:, 2] = 255
    small = shrink(frame, 2, 2)
    assert small.shape == (1, 3, 2, 2)
    assert small[0].tolist() == [[[2, 0], [0, 0]], [[0, 0], [0, 0]], [[0, 0], [0, 255]]]


def test_shrink_to_the_same_size_changes_nothing() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 3), dtype=np.uint8)
    assert np.array_equal(shrink(frames, 6, 6), frames.transpose(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("game", "message"),
    [
        ("AdamasWalj-v0", "unknown Gymnasium id 'AdamasWalj-v0'; did you mean 'AdamasWalk-v0'"),
        ("AdamasBlind-v0", "neither observes nor renders RGB pixels"),
        ("AdamasNeedy-v0", "AdamasNeedy-v0 cannot be made: nopackage is not installed"),
        ("AdamasSung-v0", "the action space Text.* is not supported; wrap"),
        (
            "no_such_module:Walk-v0",
            "cannot be made: No module named 'no_such_module'; install it, or put its folder into PYTHONPATH$",
        ),
    ],
)
def test_unusable_environments(game: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust, "_named", {"no_such_module:Walk-v0"})
    with pytest.raises(UserError, match=message):
        make_env(GymnasiumConfig(game=game, size=4), 1, seed=0, training=True)


def test_actions_of_several_parts_and_resuming_with_them() -> None:
    config = GymnasiumConfig(game="AdamasSteered-v0", size=4)
    env = make_env(config, 2, 0, training=True)
    assert (env.action_spec.buttons, [a.name for a in env.action_spec.axes]) == (("brake/0",), ["speed/0"])
    env.reset()
    env.step(torch.tensor([[0.0, 0.5], [1.0, 0.5]]))
    step = env.step(torch.tensor([[0.0, 1.0], [0.0, -1.0]]))
    assert step.reward.tolist() == [0.75, -0.5]
    again = make_env(config, 2, 1, training=True)
    reset = again.restore(env.snapshot())
    assert reset is not None and torch.equal(reset.obs, step.obs)
    assert again.step(torch.zeros(2, 2)).reward.tolist() == [0.75, -0.5]
    for wrong in ([[0.0, 1.5]] * 2, [[0.5, 0.0]] * 2, [[0.0, 0.0]]):
        with pytest.raises(ValueError, match=r"speed/0 is 1.5|brake/0 is 0.5|expected 2 actions"):
            env.step(torch.tensor(wrong))


@pytest.mark.parametrize(
    ("name", "package", "ends"),
    [
        ("car-racing", "Box2D", [(-1, 1), (0, 1), (0, 1)]),
        ("cartpole", "shimmy", [(-1, 1)]),
    ],
)
def test_continuous_control_goes_on_where_it_was(
    name: str, package: str, ends: list[tuple[int, int]]
) -> None:
    pytest.importorskip(package)
    config = replace(game_of(preset(name)).env, max_episode_steps=4)
    env, again = (make_env(config, 1, seed, training=True) for seed in (0, 1))
    assert [(axis.low, axis.high) for axis in env.action_spec.axes] == ends
    action = torch.tensor([[high for _, high in ends]], dtype=torch.float32)
    first = env.reset().obs
    steps = [env.step(action) for _ in range(6)]  # the last in the second episode
    assert first.shape == (1, 3, 32, 32) and first.float().std() > 5
    assert [bool(step.truncated) for step in steps] == [False] * 3 + [True] + [False] * 2
    reset = again.restore(env.snapshot())
    assert reset is not None and torch.equal(reset.obs, steps[-1].obs)
    assert torch.equal(again.step(action).obs, env.step(action).obs)
    for one in (env, again):
        one.close()


def test_shimmy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shimmy", None)
    with pytest.raises(
        UserError, match=r"^shimmy, which .* needs, is not installed; .*'adamas\[dm-control\]'$"
    ):
        make_env(game_of(preset("cartpole")).env, 1, seed=0, training=True)
