"""Every command with an agent that presses buttons and moves levers, in frames that are not square."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, MultiBinary

import adamas
from adamas import cli
from adamas.data import EpisodeStore
from adamas.dreaming.starts import RecordedStarts
from adamas.envs.config import GymnasiumConfig
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.export.onnx import describe_actions, export_model
from adamas.play.controls import Moves
from adamas.play.dataset_api import DatasetApi
from adamas.play.engine import Engine, Player
from adamas.play.messages import Action, ChangeView, Control, Pause, Record, Request, Settings, Step
from adamas.play.recording import Recordings
from adamas.play.scene import PlayContext
from adamas.play.server_messages import ViewUpdate, header_json

GAME = "AdamasLever-v0"


class Lever(gymnasium.Env[Any, Any]):
    """A light that the lever moves while the brake is off; 20 steps."""

    observation_space = Box(0, 255, (8, 12, 3), np.uint8)
    action_space = Dict(brake=MultiBinary(1), lever=Box(-2.0, 2.0, (1,)))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(0, 11)), 0
        return self.picture(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        if not action["brake"][0]:
            self.place = float(np.clip(self.place + action["lever"][0], 0, 11))
        self.steps += 1
        return self.picture(), float(self.place > 6), False, self.steps == 20, {}

    def picture(self) -> Any:
        picture = np.zeros((8, 12, 3), np.uint8)
        picture[:, round(self.place)] = 255
        return picture


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    gymnasium.register(GAME, entry_point=lambda **options: Lever(**options))
    run_dir = tmp_path_factory.mktemp("lever") / "run"
    choice = ["--env.suite", "gymnasium", "--env.game", GAME, "--env.size", "8", "--env.width", "12"]
    cli.run(["train", "debug", *choice, "--run-dir", str(run_dir), "--quiet"])
    yield run_dir
    del gymnasium.registry[GAME]


def test_training_and_its_datasets(run: Path) -> None:
    agent = adamas.load(run, "cpu")
    assert agent.config.obs_shape == (3, 8, 12)
    assert (agent.action_spec.buttons, [axis.name for axis in agent.action_spec.axes]) == (
        ("brake/0",),
        ["lever/0"],
    )
    store = EpisodeStore.open(run / "dataset" / "train")
    action = np.concatenate([episode.action for episode in store])
    assert store.action_spec == agent.action_spec and action.shape == (store.num_transitions, 2)
    assert set(action[:, 0].tolist()) == {0.0, 1.0} and np.ptp(action[:, 1]) > 1
    assert (run / "results" / "agent.gif").is_file()


def test_acting_in_five_lines(run: Path) -> None:
    agent = adamas.load(run, "cpu")
    frame = np.zeros((3, 8, 12), np.uint8)
    action, state = agent.act(frame)
    assert isinstance(action, np.ndarray) and agent.action_spec.problem(action) == ""
    several, _ = agent.act(np.stack([frame] * 3))
    assert isinstance(several, np.ndarray) and several.shape == (3, 2)
    assert agent.act(frame, state, temperature=0)[0].shape == (2,)  # type: ignore[union-attr]


def test_evaluating_recording_and_filming(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["evaluate", str(run), "--episodes", "2"])
    assert "random policy" in capsys.readouterr().out
    cli.run(["data", "record", "recorded", "--agent", str(run), "--steps", "40"])
    assert EpisodeStore.open(tmp_path / "recorded").action_spec == adamas.load(run, "cpu").action_spec
    cli.run(["dream", str(run), "--out", "film.gif", "--steps", "4", "--beside-real"])
    assert (tmp_path / "film.gif").is_file()


def test_playing(run: Path, tmp_path: Path) -> None:
    """A player makes moves, what the agent does is told in words, and both worlds get the same."""
    agent = adamas.load(run, "cpu")
    spec, moves = agent.action_spec, Moves(agent.action_spec)
    assert moves.names == ("noop", "fire", "right", "rightfire", "left", "leftfire")

    def game(training: bool) -> RealVectorEnv:
        return make_env(GymnasiumConfig(game=GAME, size=8, width=12), 1, 7, training)

    recordings = Recordings(tmp_path, agent.config.obs_shape, spec)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    starts = RecordedStarts(EpisodeStore.open(run / "dataset" / "train"), agent)
    engine = Engine(
        PlayContext(
            agent=agent,
            moves=moves,
            starts=starts,
            make_env=game,
            recordings=recordings,
            settings=Settings(denoising_steps=1),
            rng=rng,
            generator=generator,
        )
    )
    updates: list[ViewUpdate] = []
    player = Player(updates.append, lambda note: None)
    engine.join(player)

    def ask(*requests: Request) -> dict[str, Any]:
        for request in requests:
            engine.request(player, request)
        engine._take_requests()
        engine._advance()
        return header_json(updates[-1].header)

    ask(ChangeView("both"), Pause(True), Record(True))
    agents = ask(Step())
    assert "lever/0 " in agents["action"] and agents["policy"]["probabilities"] == []
    assert -5 < agents["policy"]["entropy"] < 5
    ask(Control("human"), Action(moves.names.index("leftfire"), 1))
    assert ask(Step())["action"] == moves.names.index("leftfire")
    ask(Record(False))
    dream, real = (EpisodeStore.open(tmp_path / name).episode(0).action for name in ("dream", "real"))
    assert (dream == real[: len(dream)]).all() and real[1].tolist() == [1.0, -2.0]  # a dream may end early
    assert agents["action"].endswith(f"lever/0 {real[0, 1]:.2f}")
    told = DatasetApi({"played-real": tmp_path / "real"}, 15.0).episode("played-real", 0)["actions"]
    assert told == [agents["action"], moves.names.index("leftfire")]
    recordings.close()


def test_exporting(run: Path, tmp_path: Path) -> None:
    """Models are compared with PyTorch as they are written; here, that every entry of an action matters."""
    onnxruntime = pytest.importorskip("onnxruntime")
    agent = adamas.load(run, "cpu")
    assert export_model(agent, "reward_end", tmp_path) < 1e-4
    session = onnxruntime.InferenceSession(str(tmp_path / "reward_end.onnx"))
    inputs = {x.name: np.ones([2, *x.shape[1:]], np.float32) for x in session.get_inputs()}
    for entry in (None, 0, 1):
        inputs["action"] = np.zeros((2, 2), np.float32)
        if entry is not None:
            inputs["action"][1, entry] = 1
        hidden = session.run(["next_hidden"], inputs)[0]
        assert np.array_equal(hidden[0], hidden[1]) == (entry is None), entry
    assert describe_actions(agent.action_spec) == {
        "choices": [],
        "buttons": ["brake/0"],
        "axes": [{"name": "lever/0", "low": -2.0, "high": 2.0}],
        "log_std": [math.log(0.1), 0.5],
    }


@pytest.mark.parametrize("command", ["export web --out there", "fidelity"])
def test_what_still_wants_one_choice_says_so(
    run: Path, command: str, complaint: Callable[..., str], tmp_path: Path
) -> None:
    words = command.replace("there", str(tmp_path / "there")).split()
    position = 2 if words[0] == "export" else 1
    said = complaint(*words[:position], run, *words[position:])
    assert "one choice among several" in said and "brake/0, lever/0" in said
