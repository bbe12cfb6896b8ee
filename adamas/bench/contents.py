"""The agent and the phases of a run, derived from its configuration without starting it.

Presets for recordings can be timed and planned without recordings, on synthetic frames of noise. The duration of an
update depends on the size of frames and the kind of actions, not on their content.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec, Axis
from adamas.data.importing.csgo import CSGO_BUTTONS, FRAME
from adamas.data.locations import is_url
from adamas.data.store import NEW, EpisodeStore
from adamas.envs.make import make_env
from adamas.training.config import Config
from adamas.training.source import agent_for, playing, recorded

NUM_FRAMES = 100  # frames of a synthetic episode; more than a segment of any preset has
TRAIN_EPISODES = 4


class StandIn(NamedTuple):
    """The format of synthetic recordings: (C, H, W) of a frame, and the action space."""

    obs_shape: tuple[int, int, int]
    action_spec: ActionSpec


STAND_INS: Mapping[str, StandIn] = {
    # Preset static: the frame size it is meant for, and the 18 actions of an Atari joystick.
    "recordings": StandIn((3, 64, 64), ActionSpec.numbered(18)),
    # Preset static-small: the same, smaller.
    "small-recordings": StandIn((3, 32, 32), ActionSpec.numbered(18)),
    # Preset vizdoom: My Way Home as recorded in docs/scenes.md, 120x160, with six actions including noop.
    "doom": StandIn((3, 120, 160), ActionSpec.numbered(6)),
    # Preset driving: Gymnasium's CarRacing.
    "cars": StandIn((3, 96, 96), ActionSpec(axes=(Axis("steer"), Axis("gas", 0.0), Axis("brake", 0.0)))),
    # Preset csgo: the public recordings.
    "csgo": StandIn((FRAME[2], *FRAME[:2]), ActionSpec(buttons=CSGO_BUTTONS)),
}
"""Formats by the folder of recordings that a preset names (``Config.data``)."""


def stand_in(config: Config) -> StandIn | None:
    """The format of synthetic recordings for a run; None if it plays a game, has recordings, or they are unknown."""
    if config.data is None or is_url(config.data) or Path(config.data).is_dir():
        return None
    return STAND_INS.get(config.data)


def stand_in_note(config: Config) -> str:
    """One line that says that a run uses synthetic recordings; "" if it does not."""
    made_up = stand_in(config)
    if made_up is None:
        return ""
    (_, height, width), spec = made_up
    actions = f"{spec.num_actions} actions" if spec.is_discrete else f"actions of {spec.size} numbers"
    return (
        f"no recordings in {config.data}: made-up frames of {height}x{width} with {actions} are used instead; "
        "name yours with `data`"
    )


def agent_config(config: Config) -> AgentConfig:
    """The configuration of a run's agent.

    Raises:
        UserError: if the game cannot be made, or its recordings do not exist and their format is unknown.
    """
    made_up = stand_in(config)
    if made_up is not None:
        return agent_for(config, *made_up)
    if (game := config.game_parts) is None:
        return recorded(config)[1]
    with closing(make_env(game.env, 1, 0, training=True)) as env:
        return playing(config, env)


def outline(config: AgentConfig) -> Agent:
    """The agent with the shapes of its tensors and without their values, which takes no memory."""
    with torch.device("meta"):
        return Agent(config)


def phases(config: Config, agent: Agent) -> tuple[str, ...]:
    """The names of the trainer's phases that train something in a run, in order."""
    if config.imagination == "off":
        return ("collect",)
    policy = () if config.game_parts is None else ("actor_critic",)
    return (*agent.world_model.components(config.horizon), *policy)


def with_recordings(config: Config, folder: Path) -> Config:
    """Write synthetic recordings to a new folder, if ``config`` needs them (:func:`stand_in`), and use that folder."""
    made_up = stand_in(config)
    if made_up is None:
        return config
    rng = np.random.default_rng(0)
    for name, num_episodes in (("train", TRAIN_EPISODES), ("test", 1)):
        store = EpisodeStore.create(folder / name, *made_up)
        for _ in range(num_episodes):
            _make_up(store, rng)
        store.commit()
    return replace(config, data=str(folder))


def _make_up(store: EpisodeStore, rng: np.random.Generator) -> None:
    """Append an episode of noise with constant actions, some rewards, and a terminated last step."""
    spec = store.action_spec
    assert spec is not None
    episode = np.array([NEW])
    action = np.zeros((1, *spec.shape), np.float32 if spec.shape else np.int64)
    for t in range(NUM_FRAMES - 1):
        last = np.array([t == NUM_FRAMES - 2])
        frame = rng.integers(256, size=(1, *store.obs_shape), dtype=np.uint8)
        reward = np.array([t % 3 - 1], np.float32)
        episode = store.append(episode, frame, action, reward, last, np.array([False]))
    store.append_final(episode, rng.integers(256, size=(1, *store.obs_shape), dtype=np.uint8))
