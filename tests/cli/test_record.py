"""``adamas data record``: whoever plays, what happened is in the dataset."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamas import cli
from adamas.core.config import load_config, to_dict
from adamas.core.errors import Interrupted
from adamas.data import EpisodeStore
from adamas.data.recording import Recording, only_writer
from adamas.envs import make_env
from adamas.envs.config import MinAtarConfig
from adamas.training.config import Config
from tests.helpers.game_parts import game_of

BREAKOUT = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"]
EXAMPLES = Path(__file__).parents[2] / "examples"
PLAYER = """
import numpy as np

def always_left(frames):
    assert frames.shape == (2, 3, 10, 10) and frames.dtype == np.uint8
    return np.full(2, 1)

def too_few(frames):
    return np.ones(1)

def too_far(frames):
    return np.full(2, 7)

def a_number(frames):
    return 1

def a_column(frames):
    return np.ones((2, 1))
"""


@pytest.fixture
def player(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module called player_of_breakout, in the working folder."""
    pytest.importorskip("minatar")
    (tmp_path / "player_of_breakout.py").write_text(PLAYER)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)


def actions(folder: str) -> np.ndarray:
    return np.concatenate([episode.action for episode in EpisodeStore.open(folder)])


@pytest.mark.usefixtures("player")
def test_a_function_of_ones_own() -> None:
    words = [*BREAKOUT, "--steps", "200", "--num-envs", "2", "--policy", "player_of_breakout:always_left"]
    cli.run(["data", "record", "left", *words])
    assert EpisodeStore.open("left").num_steps == 200 and set(actions("left").tolist()) == {1}
    cli.run(["data", "record", "mixed", *words, "--epsilon", "0.5"])
    assert 0.5 < (actions("mixed") == 1).mean() < 0.83  # a third of the random half is 1 as well
    assert set(actions("mixed").tolist()) == {0, 1, 2}


@pytest.mark.usefixtures("player")
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "--policy rondom",
            "--policy is 'rondom'; give random, keyboard or MODULE:FUNCTION, or let an agent",
        ),
        ("--policy agent", "or let an agent play with --agent RUN"),
        ("--policy random --agent nowhere", "--agent and --policy both say who plays; leave one of them out"),
        ("--agent nowhere", "nowhere"),
        ("--agent", "data record --agent needs a run folder, a checkpoint folder or a published .pt file"),
        ("--agent=", "data record --agent needs a run folder, a checkpoint folder or a published .pt file"),
        ("--policy nowhere:play", "there is no nowhere:play (No module named 'nowhere')"),
        ("--policy player_of_breakout:win", "there is no player_of_breakout:win"),
        ("--policy player_of_breakout:too_few", "player_of_breakout:too_few: gave 1 for 2 frames"),
        ("--policy player_of_breakout:a_number", "player_of_breakout:a_number: gave 1 for 2 frames"),
        ("--policy player_of_breakout:a_column", "a_column: gave shape (2, 1), expected (2,)"),
        ("--policy player_of_breakout:too_far", "too_far: action is 7; it must be a whole number in [0, 2]"),
        ("--policy random --epsilon 2", "--epsilon is 2.0; it must be at least 0 and at most 1"),
        (
            "--policy keyboard",
            "stdin is not a terminal; run adamas data record --policy keyboard in one, or let",
        ),
    ],
)
def test_mistakes_leave_nothing_behind(complaint: Callable[..., str], words: str, message: str) -> None:
    assert message in complaint("data", "record", "new", *BREAKOUT, "--num-envs", "2", *words.split())
    assert not Path("new").exists()


def test_an_agent_plays_as_in_its_run(dreamer: Path) -> None:
    """It plays the same game, and as many games at the same time."""
    words = ["--agent", str(dreamer), "--steps", "60", "--seed", "3", "--epsilon", "0.1", "--device", "cpu"]
    num_envs = game_of(load_config(dreamer / "config.yaml", Config)).collection.num_envs
    for folder, given in (
        ("own", []),
        ("same", ["--num-envs", f"{num_envs}"]),
        ("more", ["--num-envs", "5"]),
    ):
        cli.run(["data", "record", folder, *words, *given])
    frames = {name: Path(name, "frames.bin").read_bytes() for name in ("own", "same", "more")}
    assert frames["own"] == frames["same"] != frames["more"]
    assert EpisodeStore.open("own").game == to_dict(
        MinAtarConfig(game="breakout", size=10, max_episode_steps=50)
    )


def test_the_keyboard_plays_and_records(tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    pytest.importorskip("textual")
    from adamas.play.keyboard import Keyboard

    env = make_env(MinAtarConfig(game="breakout", size=10, max_episode_steps=6), 1, 0, training=True)
    store = EpisodeStore.create(tmp_path / "mine", env.obs_shape, env.action_spec)

    async def main() -> None:
        app = Keyboard(env, store, fps=1_000)
        async with app.run_test(size=(60, 24)) as pilot:
            await pilot.pause(0.05)
            assert store.num_steps == 0  # until a key is pressed
            await pilot.press("right")
            while store.num_steps < 8:
                await pilot.pause(0.01)
            await pilot.press("q")

    asyncio.run(main())
    first = next(iter(EpisodeStore.open(tmp_path / "mine")))  # what is over is committed
    again = make_env(MinAtarConfig(game="breakout", size=10, max_episode_steps=6), 1, 0, training=True)
    frames = [again.reset().obs[0]]
    assert first.truncated.tolist() == [False] * 5 + [True] and first.action[0] == 2
    for action in first.action.tolist():
        step = again.step(torch.tensor([action]))
        frames.append(step.final_obs[0] if step.ended else step.obs[0])
    assert np.array_equal(first.obs, torch.stack(frames).numpy())


def test_the_driver_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    drive: Any = __import__("follow_road").drive
    frames = np.zeros((3, 3, 64, 64), np.uint8)
    frames[:, 1, :56] = 200  # grass
    for frame, shift in zip(frames, (-1, 0, 1), strict=True):
        for row in range(20, 56):  # a road that bends ahead
            centre = 32 + shift * (42 - row) // 2 if row < 42 else 32
            frame[:, row, centre - 6 : centre + 6] = 100
    frames[1, :, 56:, 8:10] = 255  # at full speed
    steer, gas, brake = drive(frames).T
    assert steer[0] < -0.1 < steer[1] < 0.1 < steer[2]
    assert gas[0] > 0 == brake[0] and gas[1] == 0 < brake[1]


def test_the_race_track(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("Box2D")
    monkeypatch.syspath_prepend(EXAMPLES)
    game = ["--env.suite", "gymnasium", "--env.game", "CarRacing-v3", "--env.size", "48"]
    words = ["--steps", "40", "--num-envs", "1", "--policy", "follow_road:drive"]
    cli.run(["data", "record", str(tmp_path / "cars"), *game, *words])
    (episode,) = EpisodeStore.open(tmp_path / "cars")
    assert episode.obs.shape == (40, 3, 48, 48) and episode.action.shape == (39, 3)
    assert episode.reward.sum() > 0  # it has driven over tiles


def test_a_game_whose_package_is_missing(
    complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    for module in [name for name in sys.modules if name.startswith("gymnasium.envs.box2d")]:
        monkeypatch.delitem(sys.modules, module)
    line = complaint("data", "record", "x", "--env.suite", "gymnasium", "--env.game", "CarRacing-v3")
    assert (
        line
        == "box2d, which CarRacing-v3 needs, is not installed; install it with: pip install 'adamas[box2d]'"
    )


def recorded(folder: str) -> list[tuple[bytes, ...]]:
    return [(e.obs.tobytes(), e.action.tobytes(), e.reward.tobytes()) for e in EpisodeStore.open(folder)]


@pytest.mark.usefixtures("player")
def test_a_recording_is_added_to(complaint: Callable[..., str]) -> None:
    words = ["data", "record", "mine", *BREAKOUT, "--num-envs", "2", "--steps"]
    cli.run([*words, "100", "--append"])  # the first one is no other
    first = recorded("mine")
    line = complaint(*words, "100")
    assert line == (
        f"mine holds 100 steps in {len(first)} episodes already; add to them with --append (--steps says how many "
        "more), or choose another folder"
    )
    cli.run([*words, "60", "--append"])
    both = recorded("mine")
    assert EpisodeStore.open("mine").num_steps == 160 and both[: len(first)] == first
    assert len({*both}) == len(both)  # it does not play the same again
    cli.run(["data", "validate", "mine"])
    other = ["data", "record", "mine", "--append", *BREAKOUT[:-1]]
    assert "something else (--env.size 10 there, 12 here)" in complaint(*other, "12")
    assert recorded("mine") == both


@pytest.mark.usefixtures("player")
def test_two_recordings_do_not_mix(complaint: Callable[..., str]) -> None:
    words = ["data", "record", "mine", *BREAKOUT, "--num-envs", "2", "--steps", "60"]
    cli.run(words)
    with only_writer(EpisodeStore.open("mine")):
        assert complaint(*words, "--append").startswith("another process records into mine; wait for it")
    cli.run([*words, "--append"])
    assert EpisodeStore.open("mine").num_steps == 120


@pytest.mark.usefixtures("player")
def test_an_interrupted_recording_keeps_what_there_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add, steps = Recording.add, list[int]()

    def interrupted(self: Recording, *arguments: Any) -> None:
        if len(steps) == 50:
            raise KeyboardInterrupt
        steps.append(0)
        add(self, *arguments)

    monkeypatch.setattr(Recording, "add", interrupted)
    with pytest.raises(Interrupted, match=r"interrupted; 40 steps are in mine; add more with .* --append"):
        cli.run(["data", "record", "mine", *BREAKOUT, "--num-envs", "1", "--steps", "100"])
    assert EpisodeStore.open("mine").num_steps == 40
    cli.run(["data", "validate", "mine"])


def test_an_agent_that_is_killed_loses_a_chunk(dreamer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is committed whenever an episode ends, seen at the moment before a kill."""
    seen = []
    commit = EpisodeStore.commit

    def counted(self: EpisodeStore) -> None:
        commit(self)
        seen.append((self.num_steps, EpisodeStore.open(self.folder).num_steps))

    monkeypatch.setattr(EpisodeStore, "commit", counted)
    monkeypatch.setattr("adamas.data.recording.COMMIT_SECONDS", 1e9)
    cli.run(
        [
            "data",
            "record",
            "mine",
            "--agent",
            str(dreamer),
            "--steps",
            "600",
            "--num-envs",
            "2",
            "--device",
            "cpu",
        ]
    )
    ended = np.flatnonzero(EpisodeStore.open("mine").view.rows["final"])
    assert len(ended) >= 3 and len(seen) >= 3
    assert [steps for steps, _ in seen] == [committed for _, committed in seen]
    assert all(steps % 40 == 0 for steps, _ in seen)  # after chunks of 20 steps of two games
    assert seen[0][0] <= ended[0] + 40
