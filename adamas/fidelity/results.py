"""What :func:`~adamas.fidelity.run.measure_fidelity` finds, as dataclasses.

Numbers that could not be measured are None: the mean of no values, a precision without predictions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from adamas.envs.config import EnvConfig
from adamas.evaluation.provenance import Provenance


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % bootstrap interval; all None if there was nothing to average.

    ``low`` and ``high`` are also None if there was a single value, which says nothing about the spread.
    """

    mean: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True)
class StepMeans:
    """Means over dreams at each of T steps, with their 95 % intervals, and the number of dreams in each mean.

    A step that dreams of fewer than two episodes reach has no interval.
    """

    mean: list[float | None]
    low: list[float | None]
    high: list[float | None]
    dreams: list[int]

    def at(self, step: int) -> Estimate:
        """The mean at a step, counted from 1."""
        return Estimate(self.mean[step - 1], self.low[step - 1], self.high[step - 1])


@dataclass(frozen=True, kw_only=True)
class RewardsAndEnds:
    """How the rewards and ends of dreams agree with those of the game, over ``steps`` steps before the true ends.

    The reward rate is the share of steps with a reward other than 0, and the end rate that of steps that end. Precision
    and recall count rewards of the right sign, and ends, at exactly the right step.
    """

    steps: float
    reward_rate: float
    true_reward_rate: float
    reward_precision: float | None
    reward_recall: float | None
    end_rate: float
    true_end_rate: float
    end_precision: float | None
    end_recall: float | None


@dataclass(frozen=True)
class FrechetDistances:
    """Frechet distances to real frames of other episodes: of the dreams, and of the game's own frames."""

    dream: float | None
    game: float | None


@dataclass(frozen=True)
class DreamAndGame:
    """The same estimate for dreams and for a second set of real continuations, which shows the best possible value."""

    dream: Estimate
    game: Estimate


@dataclass(frozen=True)
class Outcomes:
    """How dreams of the same moment agree with its real continuations after some steps.

    Attributes:
        modes: mean number of different real outcomes.
        coverage: see :class:`~adamas.fidelity.coverage.Agreement`, as for the following ones.
        precision: share of dreams that show a real outcome.
        total_variation: distance between the frequencies of the outcomes.
        energy: energy distance.
    """

    modes: float
    coverage: DreamAndGame
    precision: DreamAndGame
    total_variation: DreamAndGame
    energy: DreamAndGame


@dataclass(frozen=True)
class ActionEffects:
    """By name of the action, how large its effect is, see :class:`~adamas.fidelity.action_sensitivity.Sensitivity`."""

    dream: dict[str, float]
    game: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class ActionSensitivity:
    """What actions change in dreams, as estimates over the moments in which they change something in the game.

    Attributes:
        steps: number of steps for which each action was held.
        decisive: share of moments in which actions change something in the game.
        accuracy: share of actions whose dreamt frame is nearest to the true frame of the same action.
        chance: accuracy of a dream that shows the true frame of a random action.
        correlation: between the effects of actions in the dream and in the game, in [-1, 1].
        told_apart: share of action pairs whose two dreamt frames fit their true frames better than exchanged.
        change: sizes of the effects.
        confusion: (A, A), how often the dream of the row's action is nearest to the true frame of the column's.
        perfect_confusion: (A, A), the same for a perfect dream.
        pairs: ``told_apart`` by the names of two actions.
    """

    steps: int
    decisive: float
    accuracy: Estimate
    chance: Estimate
    correlation: Estimate
    told_apart: Estimate
    change: ActionEffects
    confusion: list[list[float]] | None
    perfect_confusion: list[list[float]] | None
    pairs: dict[str, Estimate]


@dataclass(frozen=True)
class MomentResults:
    """What was measured in moments of the real game.

    Attributes:
        outcomes: by number of steps after the moment.
        action_sensitivity: one step after the moment.
    """

    outcomes: dict[int, Outcomes]
    action_sensitivity: ActionSensitivity


@dataclass(frozen=True)
class DreamResults:
    """What was measured of dreams with one sampler, or of a baseline, which has distances alone.

    Attributes:
        distances: distances to the true frames by name: mse, psnr, ssim, exact, lpips.
        rewards_and_ends: None for a baseline.
        frechet: Frechet distances by name of the features.
        margin: by name of a baseline, how much larger its mse is; for other actions, that of the same dreams under
            them. None for a baseline.
        moments: None for a baseline, and where nothing was measured in the game.
    """

    distances: dict[str, StepMeans]
    rewards_and_ends: RewardsAndEnds | None = None
    frechet: dict[str, FrechetDistances] = field(default_factory=dict)
    margin: dict[str, StepMeans] | None = None
    moments: MomentResults | None = None


@dataclass(frozen=True, kw_only=True)
class FidelityProtocol:
    """How the results were measured: the arguments of :func:`~adamas.fidelity.run.measure_fidelity`.

    Attributes:
        episodes: number of different episodes from which the windows come.
    """

    target: str
    target_commit: str | None
    dataset: str
    baseline: str | None
    windows: int
    episodes: int
    horizon: int
    env: EnvConfig | None
    moments: int
    draws: int
    seed: int


@dataclass(frozen=True)
class FidelityResult:
    """All that was found out about an agent's dreams.

    Attributes:
        protocol: how.
        dreams: by name of the sampler, such as "N = 3", then the baselines by their names. The dreams under other
            actions among them are those of the first sampler.
        provenance: the code and the machine.
        folder: where the results were written, if they were.
    """

    protocol: FidelityProtocol
    dreams: dict[str, DreamResults]
    provenance: Provenance
    folder: Path | None = None
