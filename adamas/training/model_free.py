"""The model-free baseline: the same actor-critic and loss, trained on real steps alone."""

from __future__ import annotations

from typing import Any, Literal

from adamas.rl.actor_critic import ActorCritic
from adamas.rl.losses import actor_critic_loss
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig, GameParts, PolicyTraining
from adamas.training.optim import Optimizer
from adamas.training.phases import CollectPhase, Metrics, rates


class ModelFreePhase(CollectPhase):
    """Plays the real game and trains the policy once on every few steps, with the same update as in dreams."""

    def __init__(
        self, collector: Collector, collection: CollectionConfig, policy: ActorCritic, config: PolicyTraining
    ) -> None:
        super().__init__(collector, collection)
        self.chunk = config.steps_per_update
        self.loss = config.loss
        self.optimizer = Optimizer(policy, config.optimizer)

    def update(self) -> Metrics:
        """Collect one chunk of on-policy steps (without ``epsilon`` and ``temperature``), and learn from it."""
        steps = self.collector.collect(self.steps_due(), gradients=True)
        loss, metrics = actor_critic_loss(steps, self.loss)
        norm = self.optimizer.update(self.optimizer.gradient(loss))
        return {**metrics, **rates(steps.reward, steps.terminated, steps.truncated), "grad_norm": norm}

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {**super().state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state)
        self.optimizer.load_state_dict(state["optimizer"])


def collect_phase(
    imagination: Literal["on", "off"], collector: Collector, game: GameParts, policy: ActorCritic
) -> CollectPhase:
    """The phase that plays the game, in which the policy also learns if ``imagination`` is off."""
    if imagination == "off":
        return ModelFreePhase(collector, game.collection, policy, game.training)
    return CollectPhase(collector, game.collection)
