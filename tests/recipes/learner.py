"""Example of a learner: behaviour cloning of the best half of the dreams (the cross-entropy method's idea).

In every rollout, the sequences with the largest rewards count as examples, and their actions become more likely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from adamas.core.meters import mean_of_shards
from adamas.core.seeding import Streams
from adamas.core.workers import Workers
from adamas.nn.optim import Gradient, OptimizerConfig
from adamas.rl.action_distribution import log_prob_and_entropy
from adamas.rl.learner import Act, Learner, LearnerConfig, Metrics
from adamas.rl.policy import PolicyNetwork


@dataclass(frozen=True, kw_only=True)
class EliteConfig(LearnerConfig):
    """Imitate the sequences with the largest rewards."""

    rule: Literal["elite"] = "elite"
    """Rule by which the policy learns."""
    share: float = 0.5
    """Share of the sequences that are imitated, above 0 and at most 1. 1 imitates all."""

    def make(
        self, policy: PolicyNetwork, optimizer: OptimizerConfig, workers: Workers, streams: Streams
    ) -> Elite:
        """Make the learner."""
        return Elite(policy, self, optimizer, workers, streams)


class Elite(Learner):
    """Makes the actions of the best sequences more likely."""

    config: EliteConfig

    def update(self, act: Sequence[Act], shares: Sequence[float]) -> Metrics:
        """Each shard imitates its own best sequences."""

        def differentiate(act: Act, share: float) -> tuple[Gradient, Metrics]:
            rollout = act()
            total = rollout.reward.sum(dim=1)  # (B,)
            best = total.topk(max(1, round(self.config.share * len(total)))).indices
            log_prob, _ = log_prob_and_entropy(rollout.action_spec, rollout.logits, rollout.action)
            loss = -log_prob[best].mean()
            metrics = {"loss": loss.detach(), "reward": total[best].mean()}
            return self.optimizer.gradient(loss, share), metrics

        gradients, metrics = zip(*self.workers.map(differentiate, act, shares), strict=True)
        norm = self.optimizer.update(*gradients)
        return {**mean_of_shards(metrics, shares, self.workers.group), "grad_norm": norm}
