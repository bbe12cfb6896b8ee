"""The experiment of ``adamas fidelity``: compare dreams with recorded episodes, and with continuations played in the
game.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from adamas.agent import Agent, check_dataset_fits
from adamas.core import runtime
from adamas.core.checks import check_range
from adamas.core.errors import UserError
from adamas.core.files import Draft, blaming, creating_numbered
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.data.store import EpisodeStore
from adamas.dreaming.continuation import Continuation, continue_dreams
from adamas.dreaming.films import save_longest_dream
from adamas.dreaming.starts import with_actions_of
from adamas.dreaming.windows import draw_windows
from adamas.envs.config import EnvConfig
from adamas.evaluation.provenance import provenance
from adamas.fidelity.action_sensitivity import Sensitivity, confusion_plot
from adamas.fidelity.drift import BASELINE, OTHER_ACTIONS, STILL, still, under_other_actions
from adamas.fidelity.figures import drift_curves
from adamas.fidelity.measure import Measure, Measured
from adamas.fidelity.moment_measure import MomentMeasure
from adamas.fidelity.networks import Networks
from adamas.fidelity.result_file import write_result
from adamas.fidelity.results import DreamResults, FidelityProtocol, FidelityResult
from adamas.media.plots import can_plot, save_figure
from adamas.world_models.base import WorldModel

DREAMS = "dreams"
"""Name of the dreams of a world model without denoising steps."""


@dataclass(frozen=True, kw_only=True)
class FidelityOptions:
    """How much is measured."""

    horizon: int = 100
    """Steps of each dream, at least 1."""
    windows: int = 64
    """Number of dreams beside recorded episodes, at least 2. More of them make the intervals narrower."""
    moments: int = 8
    """Number of moments of the real game from which many continuations are played and dreamt, under the same actions
    (coverage) and under different actions (action sensitivity). 0 leaves this out, as it must be without a game."""
    draws: int = 64
    """Number of real continuations, and of dreams, of each moment, at least 1."""
    seed: int = 0
    """Seed of all random numbers, at least 0. The same seed measures the same on the same machine."""

    def __post_init__(self) -> None:
        check_range("horizon", self.horizon, least=1)
        check_range("windows", self.windows, least=2)
        check_range("moments", self.moments, least=0)
        check_range("draws", self.draws, least=1)
        check_range("seed", self.seed, least=0)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """Names for the protocol and for error messages.

    Attributes:
        agent: name of the agent.
        agent_commit: the commit of the repository on the hub from which the agent comes, if it does.
        baseline: name of the baseline.
    """

    agent: str = "the agent"
    agent_commit: str | None = None
    baseline: str = "the baseline"


def measure_fidelity(
    agent: Agent,
    dataset: EpisodeStore | Path | str,
    options: FidelityOptions | None = None,
    *,
    denoising_steps: Sequence[int] = (),
    env: EnvConfig | None = None,
    baseline: Agent | None = None,
    networks: Networks | None = None,
    out: Path | None = None,
    labels: Labels | None = None,
    progress: Callable[[str], None] = lambda line: None,
) -> FidelityResult:
    """Measure how faithful an agent's dreams are.

    Args:
        agent: the agent.
        dataset: episodes on which the world model was not trained, or the folder or URL of such a dataset.
        options: how much is measured; by default ``FidelityOptions()``.
        denoising_steps: numbers of denoising steps to compare; by default the agent's own number alone, if it has any.
        env: the game for what is measured in moments of it. None: nothing is.
        baseline: another agent, which dreams on from the same frames for comparison.
        networks: the networks that :func:`~adamas.fidelity.networks.load_networks` loads. None: neither LPIPS nor
            Frechet distances are measured.
        out: folder for results, plots and films. It is made before anything is measured, so that an error comes before
            minutes of work. If it exists, a number is added to its name. Without Matplotlib no plots are drawn, and a
            warning says how to install it. None: nothing is written.
        labels: names for the protocol and for error messages.
        progress: called with a line of text when a part is done.

    Raises:
        UserError: frames, actions or a game that do not fit the agent, no episode of sufficient length, or a folder
            that cannot be written.
    """
    options, labels = options or FidelityOptions(), labels or Labels()
    store = dataset if isinstance(dataset, EpisodeStore) else EpisodeStore.open(dataset)
    check_dataset_fits(store, agent.config.obs_shape, labels.agent)
    if baseline is not None:
        _check_baseline(baseline, agent, store, labels.baseline)
    with (
        _new_folder(out) as draft,
        contextlib.closing(
            _Experiment(agent, baseline, store, options, env, networks or Networks(), labels)
        ) as experiment,
    ):
        results = experiment.run(denoising_steps, progress)
        result = FidelityResult(experiment.protocol, results, provenance())
        if out is not None and draft is not None:
            with blaming(out):
                write_result(draft.path, result)
                experiment.draw(draft.path, results)
    return result if draft is None else replace(result, folder=draft.path)


class _Experiment:
    """Windows of a dataset and moments of a game, in which the dreams of an agent are measured."""

    def __init__(
        self,
        agent: Agent,
        baseline: Agent | None,
        store: EpisodeStore,
        options: FidelityOptions,
        env: EnvConfig | None,
        networks: Networks,
        labels: Labels,
    ) -> None:
        self.agent, self.baseline, self.seed = agent, baseline, options.seed
        self.length = agent.world_model.context_length
        rng = np.random.default_rng(derive_seed(options.seed, "windows"))
        drawn = draw_windows(store, options.windows, self.length, options.horizon, rng)
        source = str(store.folder)
        self.windows = with_actions_of(agent.action_spec, drawn.batch, source)
        self.other_windows = under_other_actions(self.windows, self.length)
        if baseline is not None:
            self.baseline_windows = with_actions_of(baseline.action_spec, drawn.batch, source)
        num_moments = 0 if env is None else options.moments
        self.moments: MomentMeasure | None = None
        if env is not None and num_moments:
            self.moments = MomentMeasure(agent, env, num_moments, options.draws, options.seed, labels.agent)
        self.measure = Measure(drawn.episode, networks, options.seed)
        # What is drawn, and the column of other actions, come from the first sampler.
        self.shown: Continuation | None = None
        self.shown_sensitivity: Sensitivity | None = None
        self.shown_others: Continuation | None = None
        self.protocol = FidelityProtocol(
            target=labels.agent,
            target_commit=labels.agent_commit,
            dataset=source,
            baseline=None if baseline is None else labels.baseline,
            windows=options.windows,
            episodes=len(np.unique(drawn.episode)),
            horizon=options.horizon,
            env=env,
            moments=num_moments,
            draws=options.draws,
            seed=options.seed,
        )

    def run(self, denoising_steps: Sequence[int], progress: Callable[[str], None]) -> dict[str, DreamResults]:
        """Measure the dreams of each sampler, then the baselines."""
        model = self.agent.world_model
        models = {f"N = {n}": model.with_denoising(n, None) for n in denoising_steps}
        if not models:
            models[DREAMS if model.sampler is None else f"N = {model.sampler.num_steps}"] = model
        dreams = {}
        for name, model in models.items():
            dreams[name] = self._measure_dreams(model)
            progress(f"{name}: measured")
        return self.measure.with_margins(dreams, self._measure_baselines())

    def close(self) -> None:
        """Close the games."""
        if self.moments is not None:
            self.moments.close()

    def _measure_dreams(self, model: WorldModel) -> Measured:
        dreams = self._dream(model, self.windows)
        others = self._dream(model, self.other_windows)
        self.shown, self.shown_others = self.shown or dreams, self.shown_others or others
        measured = self.measure.dreams(dreams, others)
        if self.moments is None:
            return measured
        moments, sensitivity = self.moments.measure(model)
        self.shown_sensitivity = self.shown_sensitivity or sensitivity
        return replace(measured, results=replace(measured.results, moments=moments))

    def _measure_baselines(self) -> dict[str, Measured]:
        assert self.shown is not None and self.shown_others is not None
        frames = {
            OTHER_ACTIONS: self.shown_others,
            STILL: still(self.shown, self.windows, self.length),
        }
        if self.baseline is not None:
            frames[BASELINE] = self._dream(self.baseline.world_model, self.baseline_windows)
        return {name: self.measure.baseline(continuation) for name, continuation in frames.items()}

    def _dream(self, model: WorldModel, windows: Batch) -> Continuation:
        device = runtime.device_of(model)
        generator = torch.Generator(device).manual_seed(derive_seed(self.seed, "dreams"))
        return continue_dreams(model, windows.to(device), generator)

    def draw(self, folder: Path, results: Mapping[str, DreamResults]) -> None:
        """Draw the film, the strip and, with Matplotlib, the plots, after :meth:`run`."""
        assert self.shown is not None
        save_longest_dream(folder, self.shown)
        if not can_plot():
            return
        save_figure(folder / "drift.png", drift_curves(results))
        if self.moments is not None and self.shown_sensitivity is not None:
            plot = confusion_plot(self.shown_sensitivity, self.moments.game.action_spec.names)
            save_figure(folder / "action_sensitivity.png", plot)


def _check_baseline(baseline: Agent, agent: Agent, store: EpisodeStore, name: str) -> None:
    check_dataset_fits(store, baseline.config.obs_shape, name)
    lengths = baseline.world_model.context_length, agent.world_model.context_length
    if lengths[0] != lengths[1]:
        raise UserError(
            f"{name} dreams on from {lengths[0]} frames, the agent from {lengths[1]}; choose another baseline"
        )


@contextlib.contextmanager
def _new_folder(path: Path | None) -> Iterator[Draft | None]:
    """Make the folder of the results, which gets its name when the block ends; None if nothing is to be written."""
    if path is None:
        yield None
        return
    with contextlib.ExitStack() as stack:
        with blaming(path):
            draft = stack.enter_context(creating_numbered(path, folder=True))
        yield draft
        with blaming(path):
            stack.close()
