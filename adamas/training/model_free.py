"""The model-free baseline: the same actor-critic and learner, trained on real steps alone."""

from __future__ import annotations

from typing import Any, Literal

from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.rl.learner import Learner, Metrics
from adamas.rl.policy import PolicyNetwork
from adamas.training.collect import Collector
from adamas.training.config import CollectionConfig, GameParts
from adamas.training.phases import CollectPhase


class ModelFreePhase(CollectPhase):
    """Plays the real game, and trains the policy on every few steps in the same way as in dreams."""

    def __init__(
        self, collector: Collector, collection: CollectionConfig, learner: Learner, steps_per_update: int
    ) -> None:
        super().__init__(collector, collection)
        self.chunk = steps_per_update
        self.learner = learner

    def update(self) -> Metrics:
        """Collect one chunk of on-policy steps (without ``epsilon`` and ``temperature``), and learn from it."""
        return self.learner.update([lambda: self.collector.collect(self.steps_due(), gradients=True)], [1.0])

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {**super().state_dict(), **self.learner.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        super().load_state_dict(state)
        self.learner.load_state_dict(state)


def collect_phase(
    imagination: Literal["on", "off"],
    collector: Collector,
    game: GameParts,
    policy: PolicyNetwork,
    streams: Streams,
) -> CollectPhase:
    """The phase that plays the game, in which the policy also learns if ``imagination`` is off."""
    if imagination == "off":
        training = game.training
        learner = training.learner.make(policy, training.optimizer, Workers(num_shards=1), streams)
        return ModelFreePhase(collector, game.collection, learner, training.steps_per_update)
    return CollectPhase(collector, game.collection)
