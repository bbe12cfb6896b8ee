"""The session of one player: their requests, who acts, the pace, and the messages they receive."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

import numpy as np
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.play import messages
from adamas.play.messages import Actor, Settings
from adamas.play.recording import PlayerRecorder
from adamas.play.scene import PlayContext, Scene
from adamas.play.server_messages import Header, Note, Notice, PolicyStatus, Speed, ViewUpdate
from adamas.play.worlds import Dream
from adamas.rl.action_distribution import log_prob_and_entropy, sample_action

HOLD = 1.0  # seconds for which the last frame of an episode stays visible


class Session:
    """One player. Only the engine's thread may use it.

    Attributes:
        scene: the worlds that are shown.
        settings: how they run.
        due: time of the next step, in seconds of ``time.perf_counter``; infinity while paused.
        fresh: a request has changed something, so that an update must be sent without a step.
        action: the action of the last step, (``*spec.shape``); None at the start of an episode.
    """

    def __init__(
        self, shared: PlayContext, show: Callable[[ViewUpdate], None], notify: Callable[[Note], None]
    ) -> None:
        """Start a session. ``show`` receives its updates and ``notify`` all other messages."""
        self._shared = shared
        self._show, self._notify = show, notify
        self.settings = shared.settings
        self.scene = Scene(shared)
        self._recorder = PlayerRecorder(shared.recordings, notify)
        self._who: Actor = "agent" if shared.has_policy else "human"
        self._pressed = messages.Action(None)
        self._paused = self._single = False
        self._times: deque[float] = deque(maxlen=60)  # of the last updates
        self._frame = 0
        self._begun()

    # --- requests of the player --------------------------------------------------------------------------------

    def handle(self, request: messages.Request) -> None:
        """Carry out a request, or notify the player why it is not possible."""
        try:
            self._handle(request)
        except UserError as error:
            self._notify(Notice(text=str(error)))

    def _handle(self, request: messages.Request) -> None:
        training = self.settings.training
        match request:
            case messages.Action():
                self._pressed = request
            case messages.Control(who):
                if who == "agent" and not self._shared.has_policy:
                    raise UserError(
                        "this world model was trained on recordings and has no agent; play it yourself"
                    )
                self._who, self.fresh = who, True
            case messages.Pause(paused):
                self._paused, self.fresh = paused, True
                self._schedule()
            case messages.Step():
                self._single = self._paused
                self._schedule()
            case messages.Reset():
                self._rearrange(lambda: self.scene.restart(training))
            case messages.Fork():
                self._rearrange(self.scene.fork)
            case messages.ChangeView(view):
                self._rearrange(lambda: self.scene.change_view(view, training))
            case messages.ChangeSettings():
                self._change(request.apply(self.settings))
            case messages.Record(on):
                self.fresh = True
                self._recorder.switch(on, self.scene.worlds)

    def _change(self, settings: Settings) -> None:
        settings.world_model(self._shared.agent.world_model)  # may raise UserError
        other_game = settings.training != self.settings.training
        self.settings, self.fresh = settings, True
        self._schedule()
        if other_game:
            self._rearrange(lambda: self.scene.change_game(settings.training))

    def _rearrange(self, change: Callable[[], None]) -> None:
        """Change the worlds. Recorded episodes end at this point."""
        self._recorder.stop(self.scene.worlds)
        try:
            change()
        finally:
            self._begun()

    def _begun(self) -> None:
        """Show the new worlds, and continue with them at the usual pace."""
        self.action: Tensor | None = None
        self.fresh = True
        self._single = False
        self._schedule()
        self._recorder.start({name: world for name, world in self.scene.worlds.items() if not world.over})

    def _schedule(self) -> None:
        """Set the time of the next step. Players with the same pace step together, and so share a batch."""
        now, pace = time.perf_counter(), self.settings.fps
        if self._single:
            self.due = now
        else:
            self.due = float("inf") if self._paused else (int(now * pace) + 1) / pace

    # --- steps -------------------------------------------------------------------------------------------------

    def choose(self) -> Tensor | None:
        """Choose the action of the step that is due. If the episode is over, start a new one and return None."""
        if self.scene.main.over:
            self._rearrange(lambda: self.scene.restart(self.settings.training))
        elif self._who == "agent":
            temperature = self.settings.temperature
            spec, generator = self._shared.agent.action_spec, self._shared.generator
            self.action = sample_action(spec, self._logits, generator, temperature)[0].cpu()
        else:
            moves, pressed = self._shared.moves, self._pressed.action
            self.action = moves.actions[moves.rest if pressed is None else pressed]
        return self.action

    @property
    def action_taken(self) -> Tensor:
        """The action of the current step.

        Raises:
            RuntimeError: no action has been chosen.
        """
        if self.action is None:
            raise RuntimeError("choose an action before the step")
        return self.action

    def step(self, dream_step: Callable[[Dream], None] | None) -> None:
        """Take the chosen action. ``dream_step`` is described in :meth:`Scene.steps`."""
        action = self.action_taken
        for name, world, before in self.scene.steps(action, dream_step):
            self._recorder.add(name, before, action, world)

    def show(
        self, now: float, output: tuple[Tensor, Tensor] | None, milliseconds: float, players: int
    ) -> None:
        """Send an update to the player, and set the time of the next step.

        Args:
            now: seconds of ``time.perf_counter``.
            output: the policy's logits (1, A) and value (1,) for the current frame; None without a policy.
            milliseconds: duration of the batched step.
            players: number of players who shared it.
        """
        if output is not None:
            self._logits = output[0].float()
        if not self.fresh:
            pause = HOLD if self.scene.main.over else 1 / self.settings.fps
            self.due = float("inf") if self._paused else max(self.due + pause, now)
            self._single = False
        self.fresh = False
        self._times.append(now)
        self._frame += 1
        seconds = now - self._times[0]
        fps = (len(self._times) - 1) / seconds if seconds > 0 else 0.0
        pictures = self._pictures()
        header = Header(
            dream=None if self.scene.dream is None else self.scene.dream.status(),
            real=None if self.scene.game is None else self.scene.game.status(),
            difference=self._difference(),
            frame=self._frame,
            ack=self._pressed.seq,
            view=self.scene.view,
            control=self._who,
            paused=self._paused,
            recording=self._recorder.on,
            settings=self.settings,
            images=list(pictures),
            action=None if self.action is None else self._shared.moves.number(self.action),
            policy=None if output is None else self._policy_status(output[1]),
            speed=Speed(fps=round(fps, 1), ms=milliseconds, players=players),
        )
        self._show(ViewUpdate(header, [_picture(x) for x in pictures.values()]))

    def _pictures(self) -> dict[str, Tensor]:
        """The pictures of an update by name, (C, H, W) uint8 each."""
        pictures = {name: world.obs for name, world in self.scene.worlds.items()}
        if self.scene.dream is not None and self.settings.strip:
            path = [to_pixels(point).cpu() for point in self.scene.dream.path]
            pictures.update({f"noise {i}": frame for i, frame in enumerate(path)})
        return pictures

    def _difference(self) -> float | None:
        """Mean absolute difference between the frames of dream and game; None unless both are shown."""
        if self.scene.dream is None or self.scene.game is None:
            return None
        difference = (self.scene.dream.obs.float() - self.scene.game.obs.float()).abs().mean()
        return round(float(difference), 2)

    def _policy_status(self, value: Tensor) -> PolicyStatus:
        """What the policy says of the current frame. ``value`` is the policy's, (1,)."""
        spec = self._shared.agent.action_spec
        any_action = self._shared.moves.actions[:1].to(self._logits.device)
        _, entropy = log_prob_and_entropy(spec, self._logits, any_action)
        return PolicyStatus(
            probabilities=self._logits[0].softmax(dim=-1).tolist() if spec.is_discrete else [],
            value=float(value[0]),
            entropy=float(entropy[0]),
        )

    def close(self) -> None:
        """End the session of a player who has left."""
        self._recorder.stop(self.scene.worlds)
        self.scene.close()


def _picture(obs: Tensor) -> np.ndarray:
    """Convert a frame, (C, H, W) uint8 with one or three channels, to (H, W, 3)."""
    return np.ascontiguousarray(obs.expand(3, -1, -1).permute(1, 2, 0).numpy())
