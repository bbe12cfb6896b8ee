"""The evaluation phase: scores the agent in the real game, and compares its dreams with held-out episodes."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.core.seeding import derive_seed
from adamas.data.store import EpisodeStore
from adamas.data.windows import draw_uniformly
from adamas.dreaming.continuation import Continuation, continue_dreams, longest_dream
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.protocol import play_episodes
from adamas.fidelity.drift import dream_error
from adamas.media.pictures import SLOW_FPS, save_pair
from adamas.rl.learner import Metrics
from adamas.rl.rollout import OnHost
from adamas.training.collect import Collector
from adamas.training.config import Config
from adamas.training.phases import Phase


class EvaluationPhase(Phase):
    """Evaluates the agent and changes nothing that training depends on. Its seeds depend on run seed and epoch."""

    def __init__(
        self,
        agent: Agent,
        store: EpisodeStore,
        heldout: Collector | None,
        config: Config,
        run_dir: Path,
        device: torch.device,
    ) -> None:
        """``store`` holds the held-out episodes. ``heldout`` collects more of them; None if there is no game."""
        self.agent = agent
        self.store = store
        self.heldout = heldout
        self.config = config
        self.run_dir = run_dir
        self.device = device
        self.stop: threading.Event | None = None  # when set, scoring the agent ends early
        self._epoch = 0

    def planned(self, epoch: int) -> int:
        """One unit of work every ``every_epochs`` epochs, and none in the others."""
        return int(epoch > 0 and epoch % self.config.evaluation.every_epochs == 0)

    def begin(self, epoch: int) -> None:
        """Remember the epoch."""
        self._epoch = epoch

    def update(self) -> Metrics:
        """Score the agent, collect held-out steps, and compare dreams with them.

        Raises:
            Stopped: scoring the agent was ended early, and nothing has changed.
        """
        numbers: dict[str, float] = {}
        if (game := self.config.game_parts) is not None:
            numbers |= self._score(game.env)
        if self.config.imagination == "on":
            if self.heldout is not None:
                num_steps = self.config.evaluation.heldout_steps
                # A comparison needs a transition whose next frame is stored, so collect at least two steps.
                self.heldout.collect(max(2, -(-num_steps // self.heldout.env.num_envs)))
            numbers |= self._compare_dreams()
        return {name: torch.tensor(value) for name, value in numbers.items()}

    def _score(self, game: EnvConfig) -> dict[str, float]:
        """Score the agent in the real game."""
        policy = OnHost(self.agent.player, self.device)
        config = self.config.evaluation
        generator = torch.Generator().manual_seed(self._seed("score"))
        env = make_env(game, config.num_envs, self._seed("score"), training=False)
        with closing(env):
            episodes = play_episodes(policy, env, config.episodes, generator, config.temperature, self.stop)
        return {
            "return": float(np.mean([e.total_reward for e in episodes])),
            "length": float(np.mean([e.length for e in episodes])),
        }

    def _compare_dreams(self) -> dict[str, float]:
        """Compare dreams with the held-out episodes, and save a film of the longest dream."""
        dreams = self.dreams()
        video = self.run_dir / "videos" / f"dream-epoch-{self._epoch:04d}.gif"
        save_pair(video, *longest_dream(dreams), SLOW_FPS)
        return dream_error(dreams)

    def dreams(self) -> Continuation:
        """Dream from windows drawn uniformly from all steps held out so far.

        Raises:
            UserError: there are no held-out steps, because the run has not been evaluated yet.
        """
        model, config, store = self.agent.world_model, self.config, self.store
        transitions = store.lengths - 1  # (E,)
        if not store.num_transitions:
            raise UserError("nothing is held out yet; evaluate first, or lower `evaluation.every_epochs`")
        rng = np.random.default_rng(self._seed("windows"))
        # The first dreamt frame is t + 1.
        episode, t = draw_uniformly(transitions, config.evaluation.heldout_windows, rng)
        start, num_frames = t - (model.context_length - 1), model.context_length + config.horizon
        windows = store.read(episode, start, num_frames).to(self.device)
        generator = torch.Generator(self.device).manual_seed(self._seed("dreams"))
        return continue_dreams(model, windows, generator)

    def _seed(self, name: str) -> int:
        return derive_seed(self.config.seed, "evaluation", self._epoch, name)

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        heldout = None if self.heldout is None else self.heldout.state_dict()
        return {"heldout": heldout, "epoch": self._epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        if self.heldout is not None:
            self.heldout.load_state_dict(state["heldout"])
        self._epoch = state["epoch"]
