"""The one thread that computes: it steps the worlds of all players together."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from adamas.core import runtime
from adamas.diffusion.samplers import SamplerConfig
from adamas.play.messages import Moment, Request
from adamas.play.scene import Stage
from adamas.play.session import Session
from adamas.play.worlds import Dream

MAX_BATCH = 32  # players in one step
SMALL_FRAME = 32 * 32  # pixels


class Player(NamedTuple):
    """A player's address, for any thread: where moments go, and where everything else."""

    show: Callable[[Moment], None]
    tell: Callable[[dict[str, Any]], None]


class Engine:
    """Steps every player's worlds when they are due: one batch through the world model, one through the policy.

    :meth:`run` is the body of its thread. All other methods may be called from any thread.

    Args:
        stage: what all players share.
        cores: how many that thread computes on; None leaves it to PyTorch. The process's other threads had better
            compute on one: OpenMP lets threads that wait for work sleep at once, instead of a little later, as soon
            as there are more of them than cores, and waking them hundreds of times a step takes longer than the work.
    """

    def __init__(self, stage: Stage, cores: int | None = None) -> None:
        self._stage = stage
        self._cores = cores
        self._device = runtime.device_of(stage.agent)
        self._sessions: dict[Player, Session] = {}
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    # --- for any thread ----------------------------------------------------------------------------------------

    def join(self, player: Player) -> None:
        """A new player: their dream begins."""
        self._requests.put(partial(self._join, player))

    def request(self, player: Player, request: Request) -> None:
        """What a player asks for."""
        self._requests.put(partial(self._obey, player, request))

    def leave(self, player: Player) -> None:
        """A player is gone."""
        self._requests.put(partial(self._leave, player))

    def stop(self) -> None:
        """Let :meth:`run` return, once what was asked for before is done."""
        self._requests.put(None)

    @contextlib.contextmanager
    def running(self, on_fault: Callable[[], object]) -> Iterator[None]:
        """:meth:`run` in a thread, until the block is done.

        Args:
            on_fault: called from that thread if an error ends it; should let the block end.

        Raises:
            Exception: that error, after the block.
        """
        faults: list[BaseException] = []

        def compute() -> None:
            try:
                self.run()
            except BaseException as fault:
                faults.append(fault)
                on_fault()

        thread = threading.Thread(target=compute, name="engine")
        thread.start()
        try:
            yield
        finally:
            self.stop()
            thread.join()
        if faults:
            raise faults[0]

    # --- the engine's own thread -------------------------------------------------------------------------------

    def run(self) -> None:
        """Serve the players until :meth:`stop`."""
        _, height, width = self._stage.agent.config.obs_shape
        if height * width < SMALL_FRAME:
            # A second core would have less to do than it takes to wake it up.
            torch.set_num_threads(1)
        elif self._cores is not None:
            torch.set_num_threads(self._cores)
        try:
            while self._take_requests():
                self._advance()
        finally:
            for player in list(self._sessions):
                self._leave(player)

    def _take_requests(self) -> bool:
        """Do what is asked for; wait for it until a step is due. False: stop."""
        sessions = self._sessions.values()
        now = time.perf_counter()
        due = min((now if s.fresh else s.due for s in sessions), default=float("inf"))
        timeout = None if due == float("inf") else max(0.0, due - now)
        try:
            request = self._requests.get(timeout=timeout)
            while request is not None:
                request()
                request = self._requests.get_nowait()
        except queue.Empty:
            return True
        return False

    def _join(self, player: Player) -> None:
        self._sessions[player] = Session(self._stage, player.show, player.tell)

    def _obey(self, player: Player, request: Request) -> None:
        if player in self._sessions:  # it may have left in the meantime
            self._sessions[player].obey(request)

    def _leave(self, player: Player) -> None:
        session = self._sessions.pop(player, None)
        if session is not None:
            session.close()

    @torch.no_grad()
    def _advance(self) -> None:
        """One step of whoever is due, and a look at whatever changed without one."""
        began = time.perf_counter()
        due = [s for s in self._sessions.values() if s.due <= began and not s.fresh][:MAX_BATCH]
        moving = [session for session in due if session.choose() is not None]
        dream_steps = self._dream(moving)
        for session in moving:
            session.step(dream_steps.get(session))
        shown = [s for s in self._sessions.values() if s in moving or s.fresh]
        if not shown:
            return
        opinions = self._opinions(shown)
        now = time.perf_counter()
        speed = {"ms": round(1000 * (now - began), 1), "players": len(shown)}
        for session, (logits, value) in zip(shown, opinions, strict=True):
            session.show(now, logits, value, speed)

    def _dream(self, moving: Sequence[Session]) -> dict[Session, Callable[[Dream], None]]:
        """Step the dreams that go on, together where they draw frames alike; how each takes over its part."""
        trained = self._stage.agent.config.world_model.sampler
        alike: dict[SamplerConfig, list[tuple[Session, Dream]]] = defaultdict(list)
        for session in moving:
            dream = session.scene.dream
            if dream is not None and not dream.over:
                alike[session.settings.sampler(trained)].append((session, dream))
        parts: dict[Session, Callable[[Dream], None]] = {}
        for sampler, members in alike.items():
            states = [dream.state for _, dream in members]
            state = {name: torch.cat([s[name] for s in states]) for name in states[0]}
            action = torch.stack([session.action_taken for session, _ in members]).to(self._device)
            world_model = self._stage.agent.world_model.with_sampler(sampler)
            imagined = world_model.imagine(state, action, self._stage.generator)
            for row, (session, _) in enumerate(members):
                parts[session] = partial(
                    Dream.go_on, row=row, horizon=session.settings.horizon, imagined=imagined
                )
        return parts

    def _opinions(self, sessions: Sequence[Session]) -> list[tuple[Tensor, Tensor]]:
        """The agent's logits (1, A) and value (1,) for what each player sees."""
        obs = torch.stack([session.scene.obs for session in sessions]).to(self._device)
        states = zip(*(session.scene.memory for session in sessions), strict=True)
        output = self._stage.agent.actor_critic(obs, tuple(torch.cat(parts) for parts in states))
        for row, session in enumerate(sessions):
            session.scene.next_memory = tuple(part[row : row + 1] for part in output.state)
        return list(zip(output.logits.split(1), output.value.split(1), strict=True))
