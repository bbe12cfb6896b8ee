"""The worlds that a player sees: how they start, how the view changes, and how a dream forks from a game."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.errors import UserError
from adamas.core.protocols import Policy
from adamas.dreaming.starts import Starts
from adamas.play.controls import Moves
from adamas.play.messages import Settings, View
from adamas.play.recording import Recordings
from adamas.play.worlds import Dream, Game, MakeEnv, World
from adamas.rl.rollout import PolicyState, burn_in


@dataclass(frozen=True, kw_only=True)
class PlayContext:
    """Everything that all players share.

    Attributes:
        agent: the agent, whose world model dreams and whose policy plays.
        moves: the actions that a player can choose.
        starts: the source of the real frames that dreams start from.
        make_env: makes a real game; None if there is no game.
        recordings: the datasets for recorded episodes.
        settings: the settings of a new player.
        rng: random numbers for the starts of dreams.
        generator: random numbers for the agent's actions and for dreams, on the agent's device.
    """

    agent: Agent
    moves: Moves
    starts: Starts
    make_env: MakeEnv | None
    recordings: Recordings
    settings: Settings
    rng: np.random.Generator
    generator: torch.Generator

    @property
    def has_policy(self) -> bool:
        """Whether the agent has a policy. World models of recordings have none."""
        return self.agent.actor_critic is not None


class Scene:
    """A dream, a real game, or both under the same actions.

    Attributes:
        view: which of them is shown.
        dream, game: the worlds; None for a world that is not shown.
        memory: the state of :attr:`policy` before the current frame; empty without a policy.
        next_memory: the same after it, which the engine sets.
    """

    def __init__(self, shared: PlayContext) -> None:
        self._shared = shared
        self._env_game: Game | None = None  # kept while it is not shown, because games are slow to start
        self.view: View = "dream"
        self.dream: Dream | None = None
        self.game: Game | None = None
        self.memory: PolicyState = ()
        self.next_memory: PolicyState = ()
        self.restart(training=False)

    @property
    def worlds(self) -> dict[str, World]:
        """The worlds that are shown, by name."""
        both = {"dream": self.dream, "real": self.game}
        return {name: world for name, world in both.items() if world is not None}

    @property
    def main(self) -> World:
        """The world whose frames the agent acts on: the game if it is shown, else the dream."""
        return list(self.worlds.values())[-1]

    @property
    def obs(self) -> Tensor:
        """The frame that the agent acts on, (C, H, W) uint8."""
        return self.main.obs

    @property
    def seen(self) -> Tensor:
        """What the policy sees of that frame: the frame of a game, the features of a dream."""
        return self.dream.features if self.game is None and self.dream is not None else self.obs

    @property
    def policy(self) -> Policy | None:
        """Who acts: in a game the world model and the policy, in a dream the policy alone; None without a policy."""
        if not self._shared.has_policy:
            return None
        return self._shared.agent.policy if self.game is None else self._shared.agent.player

    def restart(self, training: bool) -> None:
        """Start a new episode in all worlds that are shown. ``training`` is described in ``messages.Settings``."""
        game = None
        if self.view != "dream":
            game = self._ready_game(training)
            game.begin()
        self.game, self.dream = game, None
        self.memory = () if self.policy is None else self.policy.initial_state(1)
        if self.view == "both" and game is not None:
            self._dream_from_game(game)
        elif game is None:
            context = self._shared.starts.draw(1, self._shared.rng)
            self.dream = Dream()
            self.dream.begin(context, self._shared.agent.world_model)
            if self.policy is not None:
                with torch.no_grad():
                    self.memory = burn_in(self.policy, self.dream.history)

    def change_view(self, view: View, training: bool) -> None:
        """Show other worlds. From "both", the world that stays continues; otherwise new episodes start.

        Raises:
            UserError: there is no real game.
        """
        if view != "dream":
            self._ready_game(training)
        old, self.view = self.view, view
        if old == view:
            return
        if old == "both" and view == "dream":
            if self._shared.has_policy:
                self.memory = self._shared.agent.player.own_state(self.memory)
            self.game = None
        elif old == "both":
            self.dream = None
        else:
            self.restart(training)

    def fork(self) -> None:
        """Start a new dream from the last frames of the game, and show both.

        Raises:
            UserError: there is no game, or its episode is over.
        """
        if self.game is None:
            raise UserError("there is no game beside the dream to fork; look at the game first")
        if self.game.over:
            raise UserError("the game is over; reset it, then fork it")
        self.view = "both"
        self._dream_from_game(self.game)

    def change_game(self, training: bool) -> None:
        """Replace the real game: ``training`` selects the rules of training, otherwise those of evaluation."""
        if self._env_game is not None:
            self._env_game.close()
            self._env_game = None
        if self.game is not None:
            self.restart(training)

    def steps(
        self, action: Tensor, dream_step: Callable[[Dream], None] | None
    ) -> Iterator[tuple[str, World, Tensor]]:
        """Take an action in all worlds whose episode is not over.

        Args:
            action: (``*spec.shape``).
            dream_step: moves the dream to its next frame; None if the dream is over or not shown.

        Yields:
            The name of each world, the world after the step, and the frame before it.
        """
        if self.policy is not None:
            taken = action[None].to(runtime.device_of(self._shared.agent))
            self.memory = self.policy.remember(self.next_memory, taken)
        if self.dream is not None and dream_step is not None:
            before = self.dream.obs
            dream_step(self.dream)
            yield "dream", self.dream, before
        if self.game is not None and not self.game.over:
            before = self.game.obs
            self.game.go_on(action)
            yield "real", self.game, before

    def close(self) -> None:
        """Close the game."""
        if self._env_game is not None:
            self._env_game.close()

    def _dream_from_game(self, game: Game) -> None:
        self.dream = Dream()
        self.dream.begin(game.context(), self._shared.agent.world_model)

    def _ready_game(self, training: bool) -> Game:
        if self._env_game is None:
            if self._shared.make_env is None:
                raise UserError("there is no real game here; look at the dream")
            env = self._shared.make_env(training)
            self._env_game = Game(env, self._shared.agent.world_model.context_length)
        return self._env_game
