"""What :func:`~adamas.evaluation.evaluate.evaluate_agent` finds, as dataclasses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from adamas.envs.config import EnvConfig
from adamas.evaluation.provenance import Provenance


@dataclass(frozen=True, kw_only=True)
class Score:
    """Statistics of the returns of n episodes, and the episodes.

    Attributes:
        mean: mean of the returns.
        std: their standard deviation, dividing by n.
        median: their median.
        mean_interval_95: see :func:`~adamas.evaluation.evaluate.bootstrap_interval`; None for a single episode.
        mean_length: mean of the lengths.
        returns: undiscounted sum of the unclipped rewards of each episode, (n,).
        lengths: number of steps of each episode, (n,).

    Raises:
        ValueError: there are no episodes, or the mean, its interval or a return is not finite.
    """

    mean: float
    std: float
    median: float
    mean_interval_95: tuple[float, float] | None
    mean_length: float
    returns: list[float]
    lengths: list[int]

    def __post_init__(self) -> None:
        if not self.returns:
            raise ValueError("a score has no episodes")
        for value in (self.mean, *(self.mean_interval_95 or ()), *self.returns):
            if not math.isfinite(value):
                raise ValueError(f"a score is {value}")


@dataclass(frozen=True, kw_only=True)
class EvaluationProtocol:
    """How scores were measured: the arguments of :func:`~adamas.evaluation.evaluate.evaluate_agent`.

    Attributes:
        env: the game.
        training: whether the rules of training held, by which a lost life ends an episode.
        actions: whether the agent's actions were sampled, or the most likely ones.
        temperature: temperature of the agent's policy; 0 is greedy.
        episodes: number of episodes of each policy.
        num_envs: number of environments that were played in parallel.
        seed: seed of everything random.
        device: device on which the agent's network computed.
    """

    env: EnvConfig
    training: bool = False
    actions: Literal["sampled", "greedy"]
    temperature: float
    episodes: int
    num_envs: int
    seed: int
    device: str


@dataclass(frozen=True, kw_only=True)
class TrainingSummary:
    """The run at whose end an agent was scored.

    Attributes:
        config: its whole configuration as plain values.
        real_steps: steps of the real game that it took.
        seconds: duration of the training.
    """

    config: Mapping[str, Any]
    real_steps: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Scores of an agent, and of a random policy under the same protocol.

    Attributes:
        protocol: how they were measured.
        agent: the agent's score.
        random_policy: the random policy's score.
        provenance: the code and the machine.
        run: the run that trained the agent; None if it was scored by itself.
        target: the path or the address on the hub that named the agent; None if it was scored at the end of its run.
        target_commit: commit of the hub's repository; None if the agent is not from the hub.
    """

    protocol: EvaluationProtocol
    agent: Score
    random_policy: Score
    provenance: Provenance
    run: TrainingSummary | None = None
    target: str | None = None
    target_commit: str | None = None

    @property
    def scores(self) -> dict[str, Score]:
        """The scores by the name of the policy, for people."""
        return {"agent": self.agent, "random policy": self.random_policy}
