"""What a run consists of, told from its configuration without starting it.

Presets for recordings are timed and planned without any recordings at hand: on made-up frames of noise. How long an
update takes depends on the size of the frames and the kind of actions, not on what is seen.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from adamas.agent import AgentConfig
from adamas.core.actions import ActionSpec, Axis
from adamas.data.importing.csgo import CSGO_BUTTONS, FRAME
from adamas.data.locations import is_url
from adamas.data.store import NEW, EpisodeStore
from adamas.envs.make import make_env
from adamas.training.config import Config
from adamas.training.source import playing, recorded

NUM_FRAMES = 100  # of a made-up episode: more than any preset's segment has
TRAIN_EPISODES = 4


class StandIn(NamedTuple):
    """What made-up recordings look like: (C, H, W) of a frame, and the actions."""

    obs_shape: tuple[int, int, int]
    action_spec: ActionSpec


STAND_INS: Mapping[str, StandIn] = {
    # static: frames of the size it is meant for, and the 18 actions of an Atari joystick.
    "recordings": StandIn((3, 64, 64), ActionSpec.numbered(18)),
    # vizdoom: My Way Home as docs/scenes.md records it: 120x160, and six actions with the one that does nothing.
    "doom": StandIn((3, 120, 160), ActionSpec.numbered(6)),
    # driving: Gymnasium's CarRacing.
    "cars": StandIn((3, 96, 96), ActionSpec(axes=(Axis("steer"), Axis("gas", 0.0), Axis("brake", 0.0)))),
    # csgo: the public recordings.
    "csgo": StandIn((FRAME[2], *FRAME[:2]), ActionSpec(buttons=CSGO_BUTTONS)),
}
"""By the folder that a preset names (``Config.data``)."""


def stand_in(config: Config) -> StandIn | None:
    """What is made up for a run; None where it plays a game, has its recordings at hand, or nobody knows theirs."""
    if config.data is None or is_url(config.data) or Path(config.data).is_dir():
        return None
    return STAND_INS.get(config.data)


def stand_in_note(config: Config) -> str:
    """One line that says what is made up for a run; empty if nothing is."""
    made_up = stand_in(config)
    if made_up is None:
        return ""
    (_, height, width), spec = made_up
    actions = f"{spec.num_actions} actions" if spec.is_discrete else f"actions of {spec.size} numbers"
    return (
        f"no recordings in {config.data}: made-up frames of {height}x{width} with {actions} stand in for them; "
        "name yours with --data"
    )


def agent_config(config: Config) -> AgentConfig:
    """The sizes of a run's agent.

    Raises:
        UserError: the game cannot be made, or there are no such recordings and nothing that stands in for them.
    """
    made_up = stand_in(config)
    if made_up is not None:
        return AgentConfig(*made_up, config.world_model, config.actor_critic)
    if config.data is not None:
        return recorded(config)[1]
    with closing(make_env(config.env, 1, 0, training=True)) as env:
        return playing(config, env)


def phases(config: Config, agent: AgentConfig) -> tuple[str, ...]:
    """The phases of a run that train something, in their order, by the names that the trainer knows them by."""
    if config.imagination == "off":
        return ("collect",)
    model = agent.world_model
    there = {
        "denoiser": True,
        "reward_end": model.reward_end is not None,
        "upsampler": model.upsampler is not None,
        "actor_critic": config.data is None,
    }
    return tuple(name for name in there if there[name])


def with_recordings(config: Config, folder: Path) -> Config:
    """``config`` on made-up recordings in a new folder, if it needs them (:func:`stand_in`)."""
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
    """One episode of noise: the same action throughout, rewards now and then, and a true end."""
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
