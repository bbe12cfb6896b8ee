from __future__ import annotations

import shutil
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamas.core.errors import UserError
from adamas.envs import make_env, trust
from adamas.envs.config import VizdoomConfig
from adamas.envs.rewind import make_branching
from adamas.envs.vizdoom import scenario_id

pytest.importorskip("vizdoom")
CONFIG = VizdoomConfig(game="my_way_home", size=30, width=40, max_episode_steps=12)


@pytest.mark.parametrize("game", ["my_way_home", "MyWayHome", "VizdoomMyWayHome-v1"])
def test_scenarios_are_written_in_any_way(game: str) -> None:
    assert scenario_id(game) == "VizdoomMyWayHome-v1"


def test_an_unknown_scenario() -> None:
    with pytest.raises(UserError, match=r"unknown ViZDoom scenario 'my_way_hom'; did you mean 'mywayhome'"):
        scenario_id("my_way_hom")


def test_turning_turns_and_a_snapshot_goes_on_alike() -> None:
    env = make_env(CONFIG, 2, 0, training=True)
    names = env.action_spec.names
    assert set(names) == {"noop", "turn_left", "turn_right", "move_forward", "move_left", "move_right"}
    first = env.reset().obs
    assert first.shape == (2, 3, 30, 40) and first.float().std() > 10
    step = env.step(torch.tensor([names.index("noop"), names.index("turn_left")]))
    for _ in range(3):
        step = env.step(torch.tensor([names.index("noop"), names.index("turn_left")]))
    change = (step.obs.float() - first.float()).abs().mean(dim=(1, 2, 3))
    assert change[1] > 3 * change[0]
    again = make_env(CONFIG, 2, 1, training=True)
    reset = again.restore(env.snapshot())
    assert reset is not None and torch.equal(reset.obs, step.obs)
    action = torch.tensor([names.index("move_forward"), names.index("turn_right")])
    assert torch.equal(again.step(action).obs, env.step(action).obs)
    for one in (env, again):
        one.close()


def test_nothing_is_left_in_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(make_env(CONFIG, 1, 0, training=True)) as env:
        env.reset()
        for _ in range(13):  # into a second episode
            env.step(torch.zeros(1, dtype=torch.int64))
    assert not list(tmp_path.iterdir())
    with pytest.raises(UserError):
        make_env(replace(CONFIG, frames="observation", frames_key="nothing"), 1, 0, training=True)
    assert not list(tmp_path.iterdir())


def test_several_buttons_at_once() -> None:
    env = make_env(
        VizdoomConfig(game="VizdoomMyWayHome-MultiBinary-v1", size=15, width=20), 1, 0, training=True
    )
    assert (env.action_spec.is_discrete, len(env.action_spec.buttons)) == (False, 5)
    env.reset()
    assert env.step(torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0]])).obs.shape == (1, 3, 15, 20)
    env.close()


def test_it_goes_back_to_a_moment() -> None:
    with closing(make_branching(CONFIG, sticky=False)) as game:
        game.reset(3)
        for action in (3, 3, 4, 4):
            game.step(action)
        moment = game.save()
        first = [game.step(action).obs for action in (5, 5, 3)]
        game.reset(4)
        game.restore(moment, seed=9)
        again = [game.step(action).obs for action in (5, 5, 3)]
        game.restore(moment, seed=9)
        other = [game.step(action).obs for action in (4, 4, 3)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])


OWN = """doom_scenario_path = {scenario}
doom_map = map01
screen_resolution = RES_160X120
screen_format = RGB24
available_buttons = {{ TURN_LEFT TURN_RIGHT ATTACK }}
episode_timeout = {timeout}
mode = PLAYER
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A scenario of one's own, which the command line names."""
    import vizdoom

    file = tmp_path / "mine.cfg"
    shutil.copy(Path(vizdoom.scenarios_path) / "basic.wad", tmp_path)
    file.write_text(OWN.format(scenario="basic.wad", timeout=10))
    monkeypatch.setattr(trust, "_named", {str(file), "missing.cfg"})
    monkeypatch.chdir(tmp_path)
    return file


def test_a_scenario_of_ones_own(own: Path) -> None:
    config = VizdoomConfig(game=str(own), size=15, width=20)
    with closing(make_env(config, 1, 0, training=True)) as env:
        assert env.action_spec.names == ("noop", "attack", "turn_right", "turn_left")
        assert env.reset().obs.float().std() > 10
        ends = [bool(env.step(torch.zeros(1, dtype=torch.int64)).truncated) for _ in range(3)]
        assert ends == [False, False, True]  # 10 frames, four to a step
    at_once = VizdoomConfig(game=str(own), size=15, width=20, kwargs='{"max_buttons_pressed": 2}')
    with closing(make_env(at_once, 1, 0, training=True)) as env:
        assert "turn_right+attack" in env.action_spec.names and len(env.action_spec.names) == 7
    assert sorted(path.name for path in own.parent.iterdir()) == ["basic.wad", "mine.cfg"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("doom_map map01\n", "mine.cfg has lines that ViZDoom does not understand; correct them there"),
        ("available_buttons = { FLY }\n", "mine.cfg has lines that ViZDoom does not understand"),
        (
            OWN.format(scenario="nowhere.wad", timeout=10),
            "mine.cfg: reset.. raised FileDoesNotExistException: .*nowhere.wad",
        ),
    ],
)
def test_a_scenario_of_ones_own_that_is_wrong(own: Path, content: str, message: str) -> None:
    own.write_text(content)
    with pytest.raises(UserError, match=message) as refused:
        make_env(VizdoomConfig(game=str(own)), 1, 0, training=True)
    assert "\n" not in str(refused.value)


def test_a_scenario_of_ones_own_that_is_missing(own: Path) -> None:
    with pytest.raises(
        UserError, match=rf"there is no file {own.parent}/missing.cfg; `env.game` is a scenario"
    ):
        make_env(VizdoomConfig(game="missing.cfg"), 1, 0, training=True)


def test_a_frame_skip_among_keyword_arguments() -> None:
    with pytest.raises(UserError, match=r"`env.kwargs` cannot set frame_skip, which Adamas sets itself"):
        make_env(VizdoomConfig(game="basic", kwargs='{"frame_skip": 2}'), 1, 0, training=True)
