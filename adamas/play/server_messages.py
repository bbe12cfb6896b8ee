"""The messages that the server sends to a player.

Notes are JSON. A view update is what the player sees after a step or a request: a header in JSON, and the images.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adamas.play.messages import Actor, Settings, View

# --- notes ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Hello:
    """The first message to every page: what the server and the agent can do.

    Attributes:
        title: name of the agent.
        game: the game or the recording that the agent was trained on.
        has_policy: whether there is a policy that can act.
        has_rewards: whether the world model predicts rewards and the ends of episodes.
        height: height of a frame in pixels.
        width: width of a frame in pixels.
        actions: names of the moves, which are the actions that a key can choose, in the order of their numbers.
        views: the views that can be shown.
        why_no_real: why there is no real game; empty if there is one.
        samplers: names of the samplers; empty if frames are not drawn in denoising steps.
        limits: the lowest and the highest value of settings, by name.
    """

    type: Literal["hello"] = "hello"
    title: str
    game: str
    has_policy: bool
    has_rewards: bool
    height: int
    width: int
    actions: Sequence[str]
    views: Sequence[View]
    why_no_real: str
    samplers: Sequence[str]
    limits: Mapping[str, tuple[float, float]]


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A sentence for the player, such as why a request is not possible."""

    type: Literal["notice"] = "notice"
    text: str


@dataclass(frozen=True, kw_only=True)
class Saved:
    """An episode was recorded: its number in a dataset, and the number of its steps."""

    type: Literal["saved"] = "saved"
    dataset: str
    episode: int
    steps: int


Note = Hello | Notice | Saved


def encode_note(note: Note) -> str:
    """Encode a note as JSON."""
    return json.dumps(asdict(note))


# --- view updates -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class WorldStatus:
    """The state of an episode.

    Attributes:
        reward: reward of the last step; None in the dream of a world model without rewards.
        total: the return so far; None in the same case.
        age: number of steps so far.
        over: why the episode has ended; empty while it continues.
    """

    reward: float | None
    total: float | None
    age: int
    over: str


@dataclass(frozen=True, kw_only=True)
class DreamStatus(WorldStatus):
    """The state of a dream, with the world model's prediction for the last step.

    Attributes:
        reward_probabilities: probabilities of the rewards -1, 0 and 1; None before the first step, or if the world
            model predicts none.
        end_probability: probability that the episode ends; None in the same cases.
    """

    reward_probabilities: list[float] | None
    end_probability: float | None


@dataclass(frozen=True, kw_only=True)
class PolicyStatus:
    """The output of the policy for the current frame.

    Attributes:
        probabilities: of the actions, by number; empty for a policy of action vectors.
        value: its estimate of the return.
        entropy: entropy of its distribution of actions, in nats.
    """

    probabilities: list[float]
    value: float
    entropy: float


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast the worlds run.

    Attributes:
        fps: updates per second.
        ms: milliseconds that the last step took, which computes all players' worlds as one batch.
        players: number of players in that batch.
    """

    fps: float
    ms: float
    players: int


@dataclass(frozen=True, kw_only=True)
class Header:
    """Everything about an update except its images.

    Attributes:
        dream: the dream; None if it is not shown.
        real: the real game; None if it is not shown.
        difference: mean absolute difference between the frames of both, in [0, 255]; None unless both are shown.
        frame: number of the update since the connection began.
        ack: number of the newest request that chose an action.
        view: which worlds are shown.
        control: who acts.
        paused: whether the worlds are paused.
        recording: whether episodes are recorded.
        settings: how the worlds run.
        images: names of the images.
        action: the last action: the number of a move, or words if no move equals it; None at the start of an episode.
        policy: the output of the policy; None without a policy.
        speed: how fast the worlds run.
    """

    dream: DreamStatus | None
    real: WorldStatus | None
    difference: float | None
    frame: int
    ack: int
    view: View
    control: Actor
    paused: bool
    recording: bool
    settings: Settings
    images: Sequence[str]
    action: int | str | None
    policy: PolicyStatus | None
    speed: Speed

    @property
    def worlds(self) -> dict[str, WorldStatus]:
        """The worlds that are shown, by name."""
        both = {"dream": self.dream, "real": self.real}
        return {name: world for name, world in both.items() if world is not None}


class ViewUpdate(NamedTuple):
    """One update of what a player sees: a header, and an image, (H, W, 3) uint8, for each name in its ``images``."""

    header: Header
    images: list[NDArray[np.uint8]]


def encode_update(update: ViewUpdate) -> bytes:
    """Encode an update: the length of the header (4 bytes, little-endian), the header as JSON, and the pixels."""
    header = json.dumps(header_json(update.header), allow_nan=False, separators=(",", ":")).encode()
    return b"".join((struct.pack("<I", len(header)), header, *(image.tobytes() for image in update.images)))


def header_json(header: Header) -> dict[str, Any]:
    """The header as the page reads it. Keys for what is not shown are left out, and ``total`` is called ``return``."""
    data = asdict(header)
    for name in ("dream", "real", "difference"):
        if data[name] is None:
            del data[name]
    for name in header.worlds:
        data[name]["return"] = data[name].pop("total")
    return data
