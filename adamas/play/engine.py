"""The engine: a single thread that steps the worlds of all players, in batches."""

from __future__ import annotations

import contextlib
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from adamas.core import runtime
from adamas.play.messages import Request
from adamas.play.scene import PlayContext
from adamas.play.server_messages import Note, ViewUpdate
from adamas.play.session import Session
from adamas.play.worlds import Dream, DreamSteps

MAX_BATCH = 32  # players in one step
SMALL_FRAME = 32 * 32  # pixels


class Player(NamedTuple):
    """The callbacks of a player: ``show`` receives updates, ``notify`` all other messages. Any thread may call them."""

    show: Callable[[ViewUpdate], None]
    notify: Callable[[Note], None]


class Engine:
    """Steps each player's worlds when they are due, with one batch for the world model and one for the policy.

    :meth:`run` is the body of the engine's thread. All other methods may be called from any thread.

    Args:
        shared: everything that all players share.
        cores: number of cores for the engine's thread; None leaves the choice to PyTorch. All other threads of the
            process should compute on one core. If OpenMP has more threads than there are cores, waiting threads go to
            sleep immediately, and waking them hundreds of times a step takes longer than the work itself.
    """

    def __init__(self, shared: PlayContext, cores: int | None = None) -> None:
        self._shared = shared
        self._cores = cores
        self._device = runtime.device_of(shared.agent)
        self._sessions: dict[Player, Session] = {}
        self._requests: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()

    # --- for any thread ----------------------------------------------------------------------------------------

    def join(self, player: Player) -> None:
        """Add a player and start their dream."""
        self._requests.put(partial(self._join, player))

    def request(self, player: Player, request: Request) -> None:
        """Queue a request of a player."""
        self._requests.put(partial(self._handle, player, request))

    def leave(self, player: Player) -> None:
        """Remove a player."""
        self._requests.put(partial(self._leave, player))

    def stop(self) -> None:
        """Let :meth:`run` return once the requests before this call are done."""
        self._requests.put(None)

    @contextlib.contextmanager
    def running(self, on_fault: Callable[[], object]) -> Iterator[None]:
        """Run :meth:`run` in a thread until the ``with`` block ends.

        Args:
            on_fault: called from the thread if an error stops it. It should make the block end.

        Raises:
            Exception: the error that stopped the thread, raised after the block.
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
        """Step the worlds and answer requests until :meth:`stop` is called."""
        _, height, width = self._shared.agent.config.obs_shape
        if height * width < SMALL_FRAME:
            # Waking a second core takes longer than the work it would do on such small frames.
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
        """Handle requests, and wait for them until the next step is due. Returns False if the engine should stop."""
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
        self._sessions[player] = Session(self._shared, player.show, player.notify)

    def _handle(self, player: Player, request: Request) -> None:
        if player in self._sessions:  # unless the player has left in the meantime
            self._sessions[player].handle(request)

    def _leave(self, player: Player) -> None:
        session = self._sessions.pop(player, None)
        if session is not None:
            session.close()

    @torch.no_grad()
    def _advance(self) -> None:
        """Step all sessions that are due, then show those and the ones that a request has changed."""
        began = time.perf_counter()
        due = [s for s in self._sessions.values() if s.due <= began and not s.fresh]
        due.sort(key=lambda session: session.due)  # whoever has waited longest comes first
        moving = [session for session in due[:MAX_BATCH] if session.choose() is not None]
        dream_steps = self._dream(moving)
        for session in moving:
            session.step(dream_steps.get(session))
        shown = [s for s in self._sessions.values() if s in moving or s.fresh]
        if not shown:
            return
        outputs = self._policy_outputs(shown)
        now = time.perf_counter()
        milliseconds = round(1000 * (now - began), 1)
        for session, output in zip(shown, outputs, strict=True):
            session.show(now, output, milliseconds, len(shown))

    def _dream(self, moving: Sequence[Session]) -> dict[Session, Callable[[Dream], None]]:
        """Step the running dreams, in one batch per sampler. Each session gets a function that applies its result."""
        alike: dict[tuple[int, str], list[tuple[Session, Dream]]] = defaultdict(list)
        for session in moving:
            dream, settings = session.scene.dream, session.settings
            if dream is not None and not dream.over:
                alike[settings.denoising_steps, settings.method].append((session, dream))
        parts: dict[Session, Callable[[Dream], None]] = {}
        for members in alike.values():
            states = [dream.state for _, dream in members]
            state = {name: torch.cat([s[name] for s in states]) for name in states[0]}
            action = torch.stack([session.action_taken for session, _ in members]).to(self._device)
            world_model = members[0][0].settings.world_model(self._shared.agent.world_model)
            state, imagined, details = world_model.imagine_in_detail(state, action, self._shared.generator)
            steps = DreamSteps(state, imagined, details, world_model.decode(state).cpu())
            for row, (session, _) in enumerate(members):
                parts[session] = partial(Dream.go_on, row=row, horizon=session.settings.horizon, steps=steps)
        return parts

    def _policy_outputs(self, sessions: Sequence[Session]) -> list[tuple[Tensor, Tensor] | None]:
        """The policy's logits (1, A) and value (1,) for the frame of each player; None without a policy.

        Those who see a game, and those who see a dream, make a batch each.
        """
        outputs: dict[Session, tuple[Tensor, Tensor]] = {}
        in_game = [session for session in sessions if session.scene.game is not None]
        in_dream = [session for session in sessions if session.scene.game is None]
        for members in filter(None, (in_game, in_dream)):
            if (policy := members[0].scene.policy) is None:
                continue
            obs = torch.stack([session.scene.seen for session in members]).to(self._device)
            states = zip(*(session.scene.memory for session in members), strict=True)
            output = policy(obs, tuple(torch.cat(parts) for parts in states))
            for row, session in enumerate(members):
                session.scene.next_memory = tuple(part[row : row + 1] for part in output.state)
                outputs[session] = output.logits[row : row + 1], output.value[row : row + 1]
        return [outputs.get(session) for session in sessions]
