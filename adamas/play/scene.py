"""Which worlds a player sees, how they begin, and how one becomes the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.errors import UserError
from adamas.core.types import History
from adamas.dreaming.starts import Starts
from adamas.play.controls import Moves
from adamas.play.messages import Settings, View
from adamas.play.recording import Recordings
from adamas.play.worlds import Dream, Game, MakeEnv, World
from adamas.rl.rollout import PolicyState, burn_in


@dataclass(frozen=True)
class Stage:
    """What all players share.

    Attributes:
        agent: its world model dreams, its policy plays.
        moves: what a player can do.
        starts: where dreams start.
        make_env: makes a real game; None where there is none.
        recordings: where episodes go; None if nothing can be recorded.
        settings: of a new player.
        rng: draws the starts of dreams.
        generator: draws the agent's actions and all that is random in dreams; on the agent's device.
    """

    agent: Agent
    moves: Moves
    starts: Starts
    make_env: MakeEnv | None
    recordings: Recordings | None
    settings: Settings
    rng: np.random.Generator
    generator: torch.Generator


class Scene:
    """A dream, a real game, or both under the same actions.

    Attributes:
        view: which.
        dream, game: the worlds shown; None for the one that is not.
        memory: the agent's recurrent state before the frame shown.
        next_memory: after it; the engine says.
    """

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._env_game: Game | None = None  # kept while it is not shown: games are slow to start
        self.view: View = "dream"
        self.dream: Dream | None = None
        self.game: Game | None = None
        self.memory: PolicyState = ()
        self.next_memory: PolicyState = ()
        self.restart(training=False)

    @property
    def worlds(self) -> dict[str, World]:
        """The worlds shown, by name."""
        both = {"dream": self.dream, "real": self.game}
        return {name: world for name, world in both.items() if world is not None}

    @property
    def main(self) -> World:
        """The world in which the agent sees and acts: the game, where there is one."""
        return list(self.worlds.values())[-1]

    @property
    def obs(self) -> Tensor:
        """The frame in which the agent acts, (C, H, W) uint8."""
        return self.main.obs

    def restart(self, training: bool) -> None:
        """Begin anew in all worlds shown; ``training`` as in :class:`~adamas.play.messages.Settings`."""
        game = None
        if self.view != "dream":
            game = self._ready_game(training)
            game.begin()
        self.game, self.dream = game, None
        policy = self._stage.agent.actor_critic
        self.memory = policy.initial_state(1)
        if self.view == "both" and game is not None:
            self._dream_from_game(game)
        elif game is None:
            context = self._stage.starts.draw(1, self._stage.rng)
            self.dream = Dream()
            self.dream.begin(context, self._stage.agent.world_model)
            context = context.to(runtime.device_of(self._stage.agent))
            with torch.no_grad():
                self.memory = burn_in(policy, History(context.obs[:, :-1], context.mask[:, :-1]))

    def look(self, view: View, training: bool) -> None:
        """Show other worlds. Of two, one goes on alone; otherwise they begin anew.

        Raises:
            UserError: there is no real game.
        """
        if view != "dream":
            self._ready_game(training)
        old, self.view = self.view, view
        if old == view:
            return
        if old == "both":
            self.dream, self.game = (self.dream, None) if view == "dream" else (None, self.game)
        else:
            self.restart(training)

    def fork(self) -> None:
        """Let a dream go on from the last frames of the game, beside it.

        Raises:
            UserError: there is no game, or it is over.
        """
        if self.game is None:
            raise UserError("there is no game beside the dream to fork; look at the game first")
        if self.game.over:
            raise UserError("the game is over; reset it, then fork it")
        self.view = "both"
        self._dream_from_game(self.game)

    def change_game(self, training: bool) -> None:
        """Replace the real game by one as agents train in it, or as they are scored in it."""
        if self._env_game is not None:
            self._env_game.close()
            self._env_game = None
        if self.game is not None:
            self.restart(training)

    def steps(
        self, action: Tensor, dream_step: Callable[[Dream], None] | None
    ) -> Iterator[tuple[str, World, Tensor]]:
        """Take an action in the worlds that go on: what each is called, how it stands, and the frame before.

        Args:
            action: (``*spec.shape``).
            dream_step: brings the dream to its next frame; None where it does not go on.
        """
        self.memory = self.next_memory
        if self.dream is not None and dream_step is not None:
            before = self.dream.obs
            dream_step(self.dream)
            yield "dream", self.dream, before
        if self.game is not None and not self.game.over:
            before = self.game.obs
            self.game.go_on(action)
            yield "real", self.game, before

    def close(self) -> None:
        """Release the game."""
        if self._env_game is not None:
            self._env_game.close()

    def _dream_from_game(self, game: Game) -> None:
        self.dream = Dream()
        self.dream.begin(game.context(), self._stage.agent.world_model)

    def _ready_game(self, training: bool) -> Game:
        if self._env_game is None:
            if self._stage.make_env is None:
                raise UserError("there is no real game here; look at the dream")
            env = self._stage.make_env(training)
            self._env_game = Game(env, self._stage.agent.world_model.context_length)
        return self._env_game
