"""The model card of an uploaded run says what is known, and nothing else."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from adamas import cli
from adamas.agent import Agent, AgentConfig
from adamas.commands.push import model_card, read_scores, scores_file
from adamas.core.actions import ActionSpec, Axis
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from adamas.core.errors import UserError
from adamas.interop.load import load
from tests.helpers.hub_stand_in import StandIn
from tests.helpers.pushed_run import CONFIG, SCORES, score

VECTOR = ActionSpec(buttons=("fire", "jump"), axes=(Axis("steer"),))


def vector_run(run: Path) -> Path:
    """A run of an agent with two buttons and an axis."""
    agent_config = AgentConfig(
        obs_shape=(3, 10, 10),
        actions=VECTOR,
        world_model=CONFIG.world_model,
        actor_critic=CONFIG.actor_critic,
    )
    config = {"agent": to_dict(agent_config), "run": to_dict(CONFIG)}
    save_checkpoint(run / "checkpoints", 1, Agent(agent_config).state_dict(), config, {})
    save_config(run / "config.yaml", CONFIG)
    return run


def test_vector_actions_are_described(hub: StandIn, tmp_path: Path) -> None:
    (tmp_path / "vector").mkdir()
    run = vector_run(tmp_path / "vector")
    (run / "metrics").mkdir()
    for name in ("metrics", "timing"):
        (run / "metrics" / f"{name}.jsonl").touch()
    cli.run(["push", str(run), "hf://me/driver", "--yes"])
    card = hub.repos["me/driver"].head["README.md"].decode()
    assert "| actions | actions of 3 numbers (fire, jump, steer) |" in card
    assert load("hf://me/driver", "cpu").action_spec == VECTOR


@pytest.mark.parametrize("protocol", [None, {}, {"env": 3}, {"env": {}, "actions": "sampled"}])
def test_scores_that_cannot_be_shown_are_not_uploaded(hub: StandIn, run_dir: Path, protocol: object) -> None:
    (run_dir / "results").mkdir()
    scores = {name: value for name, value in SCORES.items() if name != "protocol"}
    if protocol is not None:
        scores["protocol"] = protocol
    (run_dir / "results" / "scores.json").write_text(json.dumps(scores))
    with pytest.raises(UserError, match=r"the scores in .*results are damaged \("):
        cli.run(["push", str(run_dir), "hf://me/breakout", "--yes"])
    assert not hub.repos


def head(card: str) -> dict[str, object]:
    """The YAML of a model card."""
    return yaml.safe_load(card.split("---\n")[1])


def test_the_model_card_says_what_is_known(hub: StandIn, run_dir: Path) -> None:
    score(run_dir)
    cli.run(["push", str(run_dir), "hf://me/breakout", "--yes", "--licence", "cc-by-4.0"])
    card = hub.repos["me/breakout"].head["README.md"].decode()
    assert head(card) == {
        "license": "cc-by-4.0",
        "library_name": "adamas",
        "tags": ["reinforcement-learning", "world-model", "diffusion", "minatar", "breakout"],
    }
    assert "| agent | 1.50 | [0.50, 2.50] | 3 |\n| random policy | 0.25 | [-0.75, 1.25] | 3 |\n" in card
    assert "size 10, max_episode_steps 50, sticky_actions 0.1.\n" in card
    assert "Actions sampled at temperature 0.5, seed 7.\n" in card
    assert 'agent = adamas.load("hf://me/breakout")\n' in card
    assert "| actions | noop, left, right |" in card and "| seed | 3 |" in card
    assert "| steps of the real game | 12,345 |" in card and "[config.yaml](config.yaml)" in card
    assert "learnt in its dreams alone" in card


def test_a_single_episode_has_no_interval(run_dir: Path) -> None:
    score(run_dir)
    file = run_dir / "results" / "scores.json"
    final = read_scores(file)
    alone = replace(final.agent, returns=[1.5], lengths=[9], mean_interval_95=None)
    card = model_card("hf://me/x", load(run_dir, "cpu"), CONFIG, replace(final, agent=alone), "mit")
    assert "| agent | 1.50 | none | 1 |\n| random policy | 0.25 | [-0.75, 1.25] | 3 |\n" in card


def test_what_is_not_known_is_not_said(hub: StandIn, run_dir: Path) -> None:
    cli.run(["push", str(run_dir), "hf://me/breakout", "--yes"])
    files = hub.repos["me/breakout"].head
    assert list(files) == ["agent.safetensors", "config.yaml", "README.md"]
    card = files["README.md"].decode()
    assert "This agent was uploaded without scores in the real game." in card
    assert "mean return" not in card and "steps of the real game |" not in card
    free = model_card("hf://me/x", load(run_dir, "cpu"), replace(CONFIG, imagination="off"), None, "mit")
    assert "dreams" not in free and "was never trained" in free


def test_scores_are_those_of_the_checkpoint(run_dir: Path) -> None:
    first, last = sorted((run_dir / "checkpoints").glob("step-*"))
    assert scores_file(last) is None
    score(run_dir)
    score(run_dir, "scores-2.json", mean=4.0)
    newest = scores_file(last)
    assert newest == run_dir / "results" / "scores-2.json" and read_scores(newest).agent.mean == 4.0
    assert scores_file(first) is None
    alone = run_dir.parent / "alone"
    shutil.copytree(last, alone)
    assert scores_file(alone) is None
