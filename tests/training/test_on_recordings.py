"""A run on recordings has no game, collects nothing and trains no policy, whatever preset it starts from."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import adamas
from adamas import cli
from adamas.agent import Agent, AgentConfig
from adamas.commands.train import parse_start
from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict, to_dict, with_value
from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore
from adamas.envs.config import MinAtarConfig
from adamas.presets import PRESETS, preset
from adamas.training.build import new_run
from adamas.training.config import Config, EvaluationConfig
from adamas.training.source import on_recordings
from tests.helpers.game_parts import game_of

SPEC = ActionSpec.numbered(3)


def record(folder: Path, num_episodes: int, seed: int) -> None:
    """Episodes of 8 frames of 16x16 pixels, with a reward and an end."""
    rng = np.random.default_rng(seed)
    store = EpisodeStore.create(folder, (3, 16, 16), SPEC)
    for _ in range(num_episodes):
        number = np.array([NEW])
        for t in range(7):
            frame = rng.integers(256, size=(1, 3, 16, 16), dtype=np.uint8)
            last = np.array([t == 6])
            number = store.append(number, frame, rng.integers(3, size=1), last * 1.0, last, last & False)
        store.append_final(number, frame)
    store.commit()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    for seed, name in enumerate(("train", "test")):
        record(tmp_path / "mine" / name, 3, seed)
    return tmp_path / "mine"


def has_parts_of_a_game(config: Config) -> bool:
    parts = (config.env, config.collection, config.actor_critic, config.training.actor_critic)
    assert len({part is None for part in parts}) == 1
    return config.env is not None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_the_parts_of_a_game_or_recordings(name: str) -> None:
    config = preset(name)
    assert has_parts_of_a_game(config) == (config.data is None) == (config.game_parts is not None)


@pytest.mark.parametrize("name", ["debug", "atari100k", "quickstart-long", "static"])
def test_every_preset_takes_recordings(name: str) -> None:
    config = parse_start(name, ["--data", "mine", "--num-shards", "2"]).config
    assert config.data == "mine" and not has_parts_of_a_game(config)
    assert (config.num_shards, config.horizon) == (2, preset(name).horizon)
    assert config.world_model == preset(name).world_model
    assert parse_start(name, ["--data=mine", "--num-shards", "2"]).config == config


def test_epochs_are_those_of_the_game_where_a_preset_has_no_final_ones() -> None:
    assert on_recordings(preset("quickstart"), "mine").final_epochs == 15  # 45,000 steps, 3,000 in each
    assert on_recordings(preset("quickstart-long"), "mine").final_epochs == 6
    assert on_recordings(preset("static"), "mine").final_epochs == 10
    with pytest.raises(UserError, match="`final_epochs` is 0, and a run on recordings has no other epochs"):
        new_run(replace(preset("static"), final_epochs=0), Path("nowhere"), quiet=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("static --env.game pong", "--env.game is for runs that play a game, .*; choose a preset for games"),
        (
            "static --env.suite minatar",
            "--env.suite is for runs that play a game, .*; choose a preset for games",
        ),
        ("debug --data mine --env.game pong", ".*from recordings; leave out --data or --env.game"),
        ("debug --collection.epsilon 0 --data mine", ".*; leave out --data or --collection.epsilon"),
        ("debug --data mine --actor-critic.lstm-dim 8", ".*; leave out --data or --actor-critic.lstm-dim"),
        (
            "static --training.actor-critic.num-dreams 8",
            "--training.actor-critic.num-dreams is for runs that",
        ),
        ("static --data None", "a run needs a game or recordings; set `env`, or name recordings with --data"),
        (
            "debug --data mine --imagination off",
            "--imagination is off, which trains on a game alone; leave out --data",
        ),
    ],
)
def test_options_of_a_game_are_refused(words: str, message: str) -> None:
    with pytest.raises(UserError, match=f"^{message}"):
        cli.run(["train", *words.split()])


def test_a_suite_plays_games() -> None:
    with pytest.raises(UserError, match=r"^static learns from recordings, and a suite plays games"):
        cli.run(["suite", "static"])


@pytest.mark.parametrize(
    ("config", "key", "message"),
    [
        ("debug", "collection", "`collection` is None, but a run that plays a game needs it"),
        ("debug", "actor_critic", "`actor_critic` is None, but"),
        ("debug", "training.actor_critic", "`training.actor_critic` is None, but"),
        ("debug", "env", "a run needs a game or recordings; set `env`, or"),
        (
            "debug",
            "training.reward_end",
            "only one of `world_model.reward_end` and `training.reward_end` is None",
        ),
        ("debug", "world_model.reward_end", "only one of `world_model.reward_end` and"),
        (
            "vizdoom",
            "training.upsampler",
            "only one of `world_model.upsampler` and `training.upsampler` is None",
        ),
    ],
)
def test_parts_that_are_missing(config: str, key: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        with_value(preset(config), key, None)


def test_parts_that_are_too_many() -> None:
    for part in ("collection", "actor_critic"):
        with pytest.raises(
            UserError, match=f"`{part}` is for runs that play a game, and `data` names recordings"
        ):
            replace(preset("static"), **{part: getattr(preset("debug"), part)})
    with pytest.raises(UserError, match=r"`collection` is for runs .*on_recordings turns a run in a game"):
        replace(preset("debug"), data="mine")
    game = game_of(preset("debug"))
    assert replace(preset("static"), env=game.env).env == game.env  # the game that was recorded


def test_configurations_survive_a_file() -> None:
    config = on_recordings(preset("debug"), "mine")
    assert from_dict(Config, to_dict(config)) == config
    assert to_dict(config)["collection"] is None and to_dict(config)["training"]["actor_critic"] is None


def test_an_agent_of_recordings_has_no_policy(recordings: Path, tmp_path: Path) -> None:
    config = on_recordings(preset("debug"), str(recordings))
    config = replace(config, final_epochs=1, evaluation=EvaluationConfig(every_epochs=1, heldout_windows=2))
    with closing(new_run(config, tmp_path / "run", quiet=True)) as trainer:
        assert list(trainer.phases) == ["denoiser", "reward_end", "evaluate"]
        trainer.run()
    agent = adamas.load(tmp_path / "run", "cpu")
    assert agent.actor_critic is None and agent.config.actor_critic is None
    assert not any(name.startswith("actor_critic") for name in agent.state_dict())
    with pytest.raises(
        UserError, match="this agent has no policy: its world model was trained on recordings"
    ):
        agent.act(np.zeros((3, 16, 16), np.uint8))
    dreams = adamas.make_dream(agent, recordings / "test", num_envs=2, horizon=3)
    dreams.reset(seed=0)
    assert dreams.step(np.array([0, 1]))[0].shape == (2, 16, 16, 3)
    dreams.close()


def test_the_world_model_begins_as_that_of_an_agent_with_a_policy(tmp_path: Path) -> None:
    """The weights of the policy are drawn last, so those of the world model do not depend on it."""
    agents = []
    for name in ("debug", "on recordings"):
        config = preset("debug") if name == "debug" else on_recordings(preset("debug"), "mine")
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            parts = config.world_model, config.actor_critic
            agents.append(
                Agent(
                    AgentConfig(
                        obs_shape=(3, 16, 16), actions=SPEC, world_model=parts[0], actor_critic=parts[1]
                    )
                )
            )
    game, recorded = (agent.state_dict() for agent in agents)
    assert {name.split(".")[0] for name in game.keys() - recorded.keys()} == {"actor_critic"}
    assert all(torch.equal(tensor, game[name]) for name, tensor in recorded.items())


@pytest.mark.parametrize(
    "words",
    [
        "evaluate RUN",
        "dream RUN --out film.gif",
        "export published RUN --out agent.pt",
        "fidelity RUN --moments 1",
        "data record data --agent RUN",
    ],
)
def test_what_needs_a_policy_says_so(
    words: str, recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with closing(
        new_run(on_recordings(preset("debug"), str(recordings)), tmp_path / "run", quiet=True)
    ) as trainer:
        trainer.save()
    with pytest.raises(
        UserError, match=r"^this agent has no policy: .*; choose an agent that learnt in a game"
    ):
        cli.run([word.replace("RUN", "run") for word in words.split()])
    assert not any(Path(name).exists() for name in ("film.gif", "data", "agent.pt", "results"))


def test_random_actions_need_no_policy(recordings: Path, tmp_path: Path) -> None:
    with closing(
        new_run(on_recordings(preset("debug"), str(recordings)), tmp_path / "run", quiet=True)
    ) as trainer:
        trainer.save()
    out = tmp_path / "film.gif"
    cli.run(
        [
            "dream",
            str(tmp_path / "run"),
            "--out",
            str(out),
            "--policy",
            "random",
            "--steps",
            "3",
            "--device",
            "cpu",
        ]
    )
    assert out.is_file()


def test_a_game_that_is_named_is_taken_for_recordings_that_name_none(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("minatar")
    with closing(
        new_run(on_recordings(preset("debug"), str(recordings)), tmp_path / "run", quiet=True)
    ) as trainer:
        trainer.save()
        assert trainer.config.env is None
    run = str(tmp_path / "run")
    game = MinAtarConfig(game="breakout", size=16)
    words = ["--env.suite", game.suite, "--env.game", game.game, "--env.size", str(game.size)]
    with pytest.raises(UserError, match="this agent has no policy"):  # not: there is no option --env.game
        cli.run(["evaluate", run, *words])
