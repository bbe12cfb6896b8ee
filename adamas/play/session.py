"""One player: what they ask for, who acts, at which pace, and what they are shown."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
from torch import Tensor

from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.play import messages
from adamas.play.messages import Moment, Settings, Who
from adamas.play.recording import Tape
from adamas.play.scene import Scene, Stage
from adamas.play.worlds import Dream
from adamas.rl.action_distribution import log_prob_and_entropy, sample_action

HOLD = 1.0  # seconds that the last frame of an episode stays


class Session:
    """One player. Only the engine's thread may touch it.

    Attributes:
        scene: the worlds shown.
        settings: how they run.
        due: when the next step is, by ``time.perf_counter``; infinity while paused.
        fresh: there is something to show that no step brought about.
        action: of the last step, (``*spec.shape``); None after a beginning.
    """

    def __init__(
        self, stage: Stage, show: Callable[[Moment], None], tell: Callable[[dict[str, Any]], None]
    ) -> None:
        """A player who gets moments through ``show`` and hears of anything else through ``tell``."""
        self._stage = stage
        self._show, self._tell = show, tell
        self.settings = stage.settings
        self.scene = Scene(stage)
        self._tape = Tape(stage.recordings, tell)
        self._who: Who = "agent"
        self._pressed = messages.Action(None)
        self._paused = self._single = False
        self._times: deque[float] = deque(maxlen=60)  # of the last moments
        self._frame = 0
        self._begun()

    # --- what the player asks for ------------------------------------------------------------------------------

    def obey(self, request: messages.Request) -> None:
        """Do what the player asks for, or tell them why not."""
        try:
            self._obey(request)
        except UserError as error:
            self._tell({"type": "notice", "text": str(error)})

    def _obey(self, request: messages.Request) -> None:
        training = self.settings.training
        match request:
            case messages.Action():
                self._pressed = request
            case messages.Control(who):
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
            case messages.Look(view):
                self._rearrange(lambda: self.scene.look(view, training))
            case messages.Change():
                self._change(request.apply(self.settings))
            case messages.Record(on):
                self.fresh = True
                self._tape.switch(on, self.scene.worlds)

    def _change(self, settings: Settings) -> None:
        trained = self._stage.agent.config.world_model.sampler
        self._stage.agent.world_model.with_sampler(settings.sampler(trained))  # refuses what it cannot do
        other_game = settings.training != self.settings.training
        self.settings, self.fresh = settings, True
        self._schedule()
        if other_game:
            self._rearrange(lambda: self.scene.change_game(settings.training))

    def _rearrange(self, change: Callable[[], None]) -> None:
        """Change the worlds; what is recorded of them is cut there."""
        self._tape.stop(self.scene.worlds)
        try:
            change()
        finally:
            self._begun()

    def _begun(self) -> None:
        """The worlds are others than before: show them, and go on from there at the usual pace."""
        self.action: Tensor | None = None
        self.fresh = True
        self._single = False
        self._schedule()
        self._tape.start({name: world for name, world in self.scene.worlds.items() if not world.over})

    def _schedule(self) -> None:
        """Steps of players at the same pace fall on the same moments, so that they are computed together."""
        now, pace = time.perf_counter(), self.settings.fps
        if self._single:
            self.due = now
        else:
            self.due = float("inf") if self._paused else (int(now * pace) + 1) / pace

    # --- how it goes on ----------------------------------------------------------------------------------------

    def choose(self) -> Tensor | None:
        """The action of the step that is due; None if the episode is over, and begins anew instead."""
        if self.scene.main.over:
            self._rearrange(lambda: self.scene.restart(self.settings.training))
        elif self._who == "agent":
            temperature = self.settings.temperature
            spec, generator = self._stage.agent.action_spec, self._stage.generator
            self.action = sample_action(spec, self._logits, generator, temperature)[0].cpu()
        else:
            moves, pressed = self._stage.moves, self._pressed.action
            self.action = moves.actions[moves.rest if pressed is None else pressed]
        return self.action

    @property
    def action_taken(self) -> Tensor:
        """:attr:`action`, of a step that is being taken.

        Raises:
            RuntimeError: none was chosen.
        """
        if self.action is None:
            raise RuntimeError("choose an action before the step")
        return self.action

    def step(self, dream_step: Callable[[Dream], None] | None) -> None:
        """Take :attr:`action`; ``dream_step`` as in :meth:`Scene.steps`."""
        action = self.action_taken
        for name, world, before in self.scene.steps(action, dream_step):
            self._tape.add(name, before, action, world)

    def show(self, now: float, logits: Tensor, value: Tensor, speed: dict[str, float]) -> None:
        """Show where things stand, and say when the next step is.

        Args:
            now: time of ``time.perf_counter``.
            logits: (1, A) of the agent, for the frame shown.
            value: (1,).
            speed: of the batched step: its milliseconds ``ms``, and how many ``players`` shared it.
        """
        self._logits = logits.float()
        if not self.fresh:
            pause = HOLD if self.scene.main.over else 1 / self.settings.fps
            self.due = float("inf") if self._paused else max(self.due + pause, now)
            self._single = False
        self.fresh = False
        self._times.append(now)
        self._frame += 1
        header, images = self._describe(value)
        seconds = now - self._times[0]
        fps = (len(self._times) - 1) / seconds if seconds > 0 else 0.0
        self._show(
            Moment({**header, "speed": {"fps": round(fps, 1), **speed}}, [_picture(x) for x in images])
        )

    def _describe(self, value: Tensor) -> tuple[dict[str, Any], list[Tensor]]:
        """The description of what is shown, and its pictures, (C, H, W) uint8 each."""
        scene, moves, spec = self.scene, self._stage.moves, self._stage.agent.action_spec
        probabilities = self._logits[0].softmax(dim=-1).tolist() if spec.is_discrete else []
        _, entropy = log_prob_and_entropy(spec, self._logits, moves.actions[:1].to(self._logits.device))
        pictures = {name: world.obs for name, world in scene.worlds.items()}
        header: dict[str, Any] = {name: world.describe() for name, world in scene.worlds.items()}
        if scene.dream is not None and scene.game is not None:
            difference = (scene.dream.obs.float() - scene.game.obs.float()).abs().mean()
            header["difference"] = round(float(difference), 2)
        if scene.dream is not None and self.settings.strip:
            path = [to_pixels(point).cpu() for point in scene.dream.path]
            pictures.update({f"noise {i}": frame for i, frame in enumerate(path)})
        header |= {
            "frame": self._frame,
            "ack": self._pressed.seq,
            "view": scene.view,
            "control": self._who,
            "paused": self._paused,
            "recording": self._tape.on,
            "settings": vars(self.settings),
            "images": list(pictures),
            "action": None if self.action is None else moves.number(self.action),
            "policy": {
                "probabilities": probabilities,
                "value": float(value[0]),
                "entropy": float(entropy[0]),
            },
        }
        return header, list(pictures.values())

    def close(self) -> None:
        """The player has left."""
        self._tape.stop(self.scene.worlds)
        self.scene.close()


def _picture(obs: Tensor) -> np.ndarray:
    """(C, H, W) uint8, grey or colour, to (H, W, 3)."""
    return np.ascontiguousarray(obs.expand(3, -1, -1).permute(1, 2, 0).numpy())
