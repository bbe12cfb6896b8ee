"""Play a real game in a terminal and record it, without an agent. Actions may be of any kind."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key
from torch import Tensor

from adamas.core.errors import UserError
from adamas.data.recording import Recording
from adamas.data.store import EpisodeStore
from adamas.envs.vector import RealVectorEnv
from adamas.play.controls import Controls, Moves
from adamas.play.server_messages import WorldStatus
from adamas.play.terminal import KEYS, Pressed
from adamas.play.terminal_widgets import FAINT, Lines, Picture

HINT = "arrows, wasd, space, digits: act; the first key starts the game   q quit"


def record_keyboard(store: EpisodeStore, env: RealVectorEnv, fps: float) -> None:
    """Play in this terminal until the player quits. Every episode is saved as soon as it ends.

    Args:
        store: dataset to record into.
        env: a single game.
        fps: steps a second.

    Raises:
        UserError: the disk is full.
    """
    app = Keyboard(env, store, fps)
    with suppress(KeyboardInterrupt):
        app.run(mouse=False)
    if app.failure is not None:
        raise app.failure
    store.commit()
    if app.return_code:
        raise SystemExit(app.return_code)  # the app failed and has printed why


class Keyboard(App[None]):
    """The terminal application for recording.

    Attributes:
        failure: the error that stopped the recording.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,ctrl+c", "quit", priority=True)]
    CSS = "Picture { height: 1fr; } #line { height: 1; }"

    def __init__(self, env: RealVectorEnv, store: EpisodeStore, fps: float) -> None:
        super().__init__()
        self.failure: UserError | None = None
        self._env, self._fps = env, fps
        self._recording = Recording(store, 1)
        spec = env.action_spec
        self._moves = Moves(spec)
        self._pressed = Pressed(self._moves.names)
        self._controls = None if spec.is_discrete else Controls(spec)
        self._begun = False
        self._reward, self._return, self._age, self._over = 0.0, 0.0, 0, ""
        self._obs = env.reset().obs

    def compose(self) -> ComposeResult:
        """Create the picture of the game and a line about the keys."""
        yield from (Picture("game"), Lines("line"))

    def on_mount(self) -> None:
        """Show the first frame, and start the clock."""
        self.query_one("#line", Lines).put([(HINT, FAINT)])
        self._draw()
        self.set_interval(1 / self._fps, self._step)

    def on_key(self, event: Key) -> None:
        """Remember the key that was pressed."""
        key = KEYS.get(event.key.lower(), event.key.lower())
        self._begun |= self._pressed.press(key, time.monotonic())

    def _step(self) -> None:
        """Take a step and record it."""
        if not (self._begun and self.is_running):
            return
        action = self._action()[None]
        step = self._env.step(action)
        try:
            self._recording.add(self._obs, action, step)
            if step.ended.any():
                self._recording.store.commit()
        except UserError as error:
            self.failure = error
            self.exit()
            return
        if self._over:  # the current frame is the first one of the next episode
            self._return, self._age = 0.0, 0
        self._reward = float(step.reward)
        self._return += self._reward
        self._age += 1
        self._over = "ended" if step.terminated else "cut off" if step.truncated else ""
        self._obs = step.obs
        self._draw()

    def _action(self) -> Tensor:
        now = time.monotonic()
        if self._controls is None:
            pressed = self._pressed.action(now)
            return self._moves.actions[self._moves.rest if pressed is None else pressed]
        return self._controls.action(self._pressed.held(now))

    def _draw(self) -> None:
        world = WorldStatus(reward=self._reward, total=self._return, age=self._age, over=self._over)
        self.query_one("#game", Picture).show(world, self._obs[0].permute(1, 2, 0).numpy())
