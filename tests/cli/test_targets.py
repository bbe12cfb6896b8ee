"""What commands call the agents that they are given, and which game a published file is of."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adamas import cli
from adamas.agent import Agent, AgentConfig
from adamas.commands.common import find_target
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict, with_value
from adamas.core.errors import UserError
from adamas.diffusion.edm import EdmConfig
from adamas.envs.config import MinAtarConfig
from adamas.interop.published import save_published
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import preset
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig
from tests.helpers.game_parts import game_of
from tests.helpers.hub_stand_in import StandIn, connect, stand_in

PONG = AgentConfig(
    obs_shape=(3, 64, 64),
    actions=ActionSpec.discrete(tuple("012345")),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=2, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            )
        ),
        reward_end=RewardEndConfig(
            lstm_dim=8, cond_channels=8, depths=(1,) * 4, channels=(8,) * 4, attn_depths=(False,) * 4
        ),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,) * 4, down=(True,) * 4),
)
SHORT = ["--env.max-episode-steps", "5", "--episodes", "1", "--num-envs", "1", "--device", "cpu"]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[StandIn]:
    with stand_in() as (hub, _):
        connect(monkeypatch, hub.endpoint, tmp_path / "home", token=None)
        monkeypatch.chdir(tmp_path)
        yield hub


@pytest.fixture
def pong(tmp_path: Path) -> bytes:
    """A file in the published format, of an agent for Pong."""
    with torch.random.fork_rng(devices=[]):
        save_published(Agent(PONG), tmp_path / "any.pt")
    return (tmp_path / "any.pt").read_bytes()


def written(name: str) -> Any:
    return json.loads(Path(name).read_text())


def test_scores_of_a_published_agent_on_the_hub(
    hub: StandIn, pong: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    repo, word = (
        hub.add("eloialonso/diamond", {"atari_100k/models/Pong.pt": pong}),
        "hf://eloialonso/diamond/Pong",
    )
    cli.run(["evaluate", word, *SHORT])
    scores, commit = written("diamond-Pong-evaluation.json"), next(iter(repo.commits))
    assert (scores["target"], scores["target_commit"]) == (word, commit)
    assert scores["protocol"]["env"]["game"] == "Pong" and scores["agent"]["lengths"] == [5]
    assert capsys.readouterr().out.endswith("  diamond-Pong-evaluation.json\n")
    for place, name in (("atari_100k/models/Pong.pt", "diamond-Pong"), (f"pong@{commit}", "diamond-pong")):
        target, config, _ = find_target([f"hf://eloialonso/diamond/{place}"], "evaluate")
        assert (target.name, target.commit, game_of(config).env.game) == (name, commit, "Pong")


def test_scores_of_checkpoints_on_the_hub(hub: StandIn, tmp_path: Path) -> None:
    pytest.importorskip("minatar")
    run = replace(preset("debug"), env=MinAtarConfig(game="breakout", size=10))
    config = AgentConfig(
        obs_shape=(3, 10, 10),
        actions=ActionSpec.discrete(("noop", "left", "right")),
        world_model=run.world_model,
        actor_critic=run.actor_critic,
    )
    described = {"agent": to_dict(config), "run": to_dict(run)}
    with torch.random.fork_rng(devices=[]):
        path = save_checkpoint(tmp_path / "checkpoints", 1, Agent(config).state_dict(), described, {})
    files = {name: (path / name).read_bytes() for name in ("agent.safetensors", "config.yaml")}
    hub.add("me/breakout.v2", files | {f"small/run.1/{name}": content for name, content in files.items()})
    for word, name in (
        ("hf://me/breakout.v2", "breakout.v2"),
        ("hf://me/breakout.v2/small/run.1/", "breakout.v2-run.1"),
    ):
        cli.run(["evaluate", word, *SHORT])
        assert written(f"{name}-evaluation.json")["target"] == word
        assert written(f"{name}-evaluation.json")["protocol"]["env"]["game"] == "breakout"
    with pytest.raises(UserError, match=r"^hf://me/breakout.v2 has no held-out episodes"):
        cli.run(["fidelity", "hf://me/breakout.v2"])
    with pytest.raises(UserError, match=r"^hf://me/breakout.v2 was trained on frames of shape \(3, 10, 10\)"):
        cli.run(["data", "record", "data", "--agent", "hf://me/breakout.v2", "--env.size", "16"])
    with pytest.raises(UserError, match=r"adamas export published hf://me/breakout.v2 --help"):
        cli.run(["export", "published", "hf://me/breakout.v2"])


def test_scores_of_a_file_here(pong: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("games").mkdir()
    Path("games", "Pong.pt").write_bytes(pong)
    cli.run(["evaluate", "games/Pong.pt", *SHORT])
    scores = written("Pong-evaluation.json")
    assert (scores["target"], scores["target_commit"]) == ("games/Pong.pt", None)
    assert scores["protocol"]["env"]["game"] == "Pong"
    with pytest.raises(UserError, match=r"^games/Pong.pt has 6 actions .* but the environment has 18"):
        cli.run(["evaluate", "games/Pong.pt", "--env.game", "Boxing", *SHORT])


@pytest.mark.parametrize(
    ("name", "game"),
    [
        ("MsPacman.pt", "MsPacman"),
        ("ms_pacman.pt", "ms_pacman"),
        ("Qbert.pt", "Qbert"),
        ("agent.pt", "Breakout"),
        ("Pong-2.pt", "Breakout"),
    ],
)
def test_the_game_that_a_file_is_named_after(name: str, game: str) -> None:
    target, config, rest = find_target([f"folder/{name}", "--seed", "1"], "evaluate")
    assert config == with_value(preset("atari100k"), "env.game", game)
    assert (target.path, target.name, target.commit) == (Path("folder", name), Path(name).stem, None)
    assert str(target) == f"folder/{name}" and rest == ["--seed", "1"] and not target.is_run


def test_the_working_folder_has_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine" / "checkpoints").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "mine")
    target, _, _ = find_target(["."], "evaluate")
    assert target.name == "mine" and target.is_run
