"""What is measured in moments of the real game, from which many continuations are played and dreamt."""

from __future__ import annotations

from contextlib import ExitStack, closing

from adamas.agent import Agent, check_fits
from adamas.core import runtime
from adamas.core.seeding import derive_seed
from adamas.envs.config import EnvConfig
from adamas.envs.rewind import make_branching
from adamas.fidelity.action_sensitivity import Sensitivity, measure_sensitivity
from adamas.fidelity.coverage import compare_outcomes
from adamas.fidelity.moments import find_moments
from adamas.fidelity.results import MomentResults
from adamas.fidelity.summary import summarise_outcomes, summarise_sensitivity
from adamas.rl.rollout import OnHost
from adamas.world_models.base import WorldModel


class MomentMeasure:
    """Moments of the real game, in which the coverage and the action sensitivity of dreams are measured."""

    def __init__(
        self,
        agent: Agent,
        env_config: EnvConfig,
        count: int,
        draws: int,
        seed: int,
        agent_name: str = "the agent",
    ) -> None:
        """Find moments of a game that the agent plays.

        Args:
            agent: the agent.
            env_config: the game.
            count: number of moments.
            draws: number of real continuations, and of dreams, of each moment.
            seed: everything random follows from it.
            agent_name: name of the agent, for error messages.

        Raises:
            UserError: the agent has no policy or was not trained for this game, its episodes are too short, or the
                game cannot be put back to an earlier moment.
        """
        self.draws, self.seed = draws, seed
        self.device = runtime.device_of(agent)
        with ExitStack() as games:
            self.game = games.enter_context(closing(make_branching(env_config)))
            check_fits(agent.config, env_config.obs_shape, self.game.action_spec, agent_name)
            # Sticky actions would blame a dream for the effect of another action.
            self.game_without_sticky_actions = games.enter_context(
                closing(make_branching(env_config, sticky=False))
            )
            policy = OnHost(agent.player, self.device)
            self.moments = find_moments(self.game, policy, agent.world_model.context_length, count, seed)
            self._games = games.pop_all()

    def close(self) -> None:
        """Close the games."""
        self._games.close()

    def measure(self, model: WorldModel) -> tuple[MomentResults, Sensitivity]:
        """Measure dreams of the agent's world model, or of a copy with another sampler.

        Returns:
            The results, and the action sensitivity in full.
        """
        bootstrap = derive_seed(self.seed, "bootstrap")
        outcomes = compare_outcomes(
            model, self.game, self.moments, num_draws=self.draws, seed=self.seed, device=self.device
        )
        sensitivity = measure_sensitivity(
            model, self.game_without_sticky_actions, self.moments, seed=self.seed, device=self.device
        )
        names = self.game.action_spec.names
        results = MomentResults(
            summarise_outcomes(outcomes, bootstrap), summarise_sensitivity(sensitivity, names, bootstrap)
        )
        return results, sensitivity
