"""The ``results`` folder of a finished run: its scores, films and plots."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adamas.agent import Agent
from adamas.core.errors import require
from adamas.dreaming.continuation import Continuation
from adamas.dreaming.films import agent_and_dream, save_longest_dream
from adamas.envs.config import EnvConfig
from adamas.evaluation.results import write_results
from adamas.media.pictures import save_pair
from adamas.report.run_plots import save_plots

FPS = 15  # Atari's own rate at a frame skip of 4
NUM_STEPS = 100  # steps in the film of the agent


def write_report(
    run_dir: Path,
    agent: Agent,
    env_config: EnvConfig,
    scores: Mapping[str, Any],
    heldout: Continuation | None,
    device: torch.device,
    seed: int,
    dreams: bool = True,
) -> list[Path]:
    """Write the scores, films and plots of a run to ``run_dir/results``.

    An existing ``scores.json`` is kept, and the new one gets a number. Films and plots are replaced. Without
    Matplotlib no plots are drawn, and a warning says how to install it.

    Args:
        run_dir: folder of the run, with its ``metrics``.
        agent: the agent, on ``device``.
        env_config: the game of the agent.
        scores: what :func:`~adamas.evaluation.results.evaluate_agent` returned.
        heldout: dreams beside the true continuation of held-out frames, of which the longest is filmed. None: no film.
        device: where the agent computes.
        seed: seed of the episode in the film of the agent.
        dreams: whether to film the agent beside its dream; false for an agent without a trained world model.

    Returns:
        The files written.

    Raises:
        UserError: the run has no metrics, or the folder cannot be written.
    """
    folder = run_dir / "results"
    paths = [write_results(folder / "scores.json", scores)]
    temperature = scores["protocol"]["temperature"]
    if dreams:
        real, dream = agent_and_dream(
            agent, env_config, seed=seed, num_steps=NUM_STEPS, temperature=temperature, device=device
        )
        save_pair(folder / "agent.gif", real, dream, FPS)
        paths.append(folder / "agent.gif")
    if heldout is not None:
        paths += save_longest_dream(folder, heldout)
    if importlib.util.find_spec("matplotlib") is None:
        warnings.warn(f"no plots were drawn: {require('matplotlib', 'report')}", stacklevel=2)
        return paths
    return paths + save_plots(run_dir, scores, folder)
