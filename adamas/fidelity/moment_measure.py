"""What is measured in moments of the real game, from which many continuations are played and dreamt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.seeding import derive_seed
from adamas.diffusion.samplers import SamplerConfig
from adamas.envs.config import EnvConfig
from adamas.envs.rewind import make_branching
from adamas.fidelity.action_sensitivity import Sensitivity, confusion_plot, measure_sensitivity
from adamas.fidelity.coverage import compare_outcomes
from adamas.fidelity.moments import find_moments
from adamas.fidelity.summary import summarise_outcomes, summarise_sensitivity
from adamas.media.plots import save_figure
from adamas.rl.rollout import OnHost


class MomentMeasure:
    """Moments of the real game, and what is measured in them."""

    def __init__(self, agent: Agent, env_config: EnvConfig, count: int, draws: int, seed: int) -> None:
        """Find ``count`` moments of a game that ``agent`` plays; ``draws`` continuations are made of each."""
        self.model, self.draws, self.seed = agent.world_model, draws, seed
        self.device = runtime.device_of(agent)
        self.game = make_branching(env_config)
        # Where actions stick, a dream can't be blamed for what another action did.
        self.obeying = make_branching(env_config, sticky=False)
        policy = OnHost(agent.actor_critic, self.device)
        self.moments = find_moments(self.game, policy, self.model.context_length, count, seed)
        self.plotted: Sensitivity | None = None

    def measure(self, sampler: SamplerConfig) -> dict[str, Any]:
        """Outcomes, and obedience, of dreams that draw their frames this way."""
        model, bootstrap = self.model.with_sampler(sampler), derive_seed(self.seed, "bootstrap")
        outcomes = compare_outcomes(
            model, self.game, self.moments, num_draws=self.draws, seed=self.seed, device=self.device
        )
        obedience = measure_sensitivity(model, self.obeying, self.moments, seed=self.seed, device=self.device)
        self.plotted = self.plotted or obedience
        return {
            "outcomes": summarise_outcomes(outcomes, bootstrap),
            "obedience": summarise_sensitivity(obedience, self.game.action_spec.names, bootstrap),
        }

    def draw(self, path: Path) -> None:
        """What the first sampler's dreams make of every action, as PNG. Call :meth:`measure` before."""
        assert self.plotted is not None
        save_figure(path, confusion_plot(self.plotted, self.game.action_spec.names))
