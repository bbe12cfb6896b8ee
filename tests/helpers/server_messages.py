"""Messages of the server about the tiny agent of the tests."""

from __future__ import annotations

from adamas.play.messages import Settings
from adamas.play.server_messages import DreamStatus, Header, Hello, PolicyStatus, Speed

HELLO = Hello(
    title="tiny",
    game="breakout (minatar)",
    has_policy=True,
    has_rewards=True,
    height=10,
    width=10,
    actions=("noop", "left", "right"),
    views=("dream", "both", "real"),
    why_no_real="",
    samplers=("euler", "heun"),
    limits={"fps": (1, 60)},
)

DREAM = DreamStatus(
    reward=1.0,
    total=3.0,
    age=17,
    over="",
    reward_probabilities=[0.0, 0.75, 0.25],
    end_probability=0.02,
)

HEADER = Header(
    dream=DREAM,
    real=None,
    difference=None,
    frame=17,
    ack=0,
    view="dream",
    control="agent",
    paused=False,
    recording=True,
    settings=Settings(),
    images=["dream"],
    action=2,
    policy=PolicyStatus(probabilities=[0.5, 0.0, 0.5], value=-0.25, entropy=0.6931),
    speed=Speed(fps=14.9, ms=8.2, players=1),
)
"""The agent has moved to the right in a dream that is recorded."""
