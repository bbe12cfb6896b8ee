"""Everything a finished run shows of itself, gathered in its ``results`` folder."""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from adamas.agent import Agent
from adamas.core.errors import require
from adamas.dreaming.continuation import Continuation, longest_dream
from adamas.dreaming.films import agent_and_dream
from adamas.envs.config import EnvConfig
from adamas.evaluation.results import write_results
from adamas.media.pictures import SLOW_FPS, fitting_scale, save_pair, strip
from adamas.report.run_plots import save_plots

FPS = 15  # what Atari shows at a frame skip of 4
NUM_STEPS = 100  # of the agent's film


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
    """Write scores, pictures and plots of a run to ``run_dir/results``.

    ``scores.json`` is never overwritten (a later one gets a number); pictures and plots are. Without
    Matplotlib there are no plots, and a warning says how to get them.

    Args:
        run_dir: the run's folder, with its ``metrics``.
        agent: the agent, on ``device``.
        env_config: its game.
        scores: what :func:`~adamas.evaluation.results.evaluate_agent` returned.
        heldout: dreams beside their true continuation, to be shown as well.
        device: where the agent computes.
        seed: of the episode that is shown.
        dreams: whether the agent has learnt to dream, and is shown doing it.

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
        paths += save_dreams(folder, heldout)
    if importlib.util.find_spec("matplotlib") is None:
        warnings.warn(f"no plots were drawn: {require('matplotlib', 'report')}", stacklevel=2)
        return paths
    return paths + save_plots(run_dir, scores, folder)


def save_dreams(folder: Path, heldout: Continuation) -> list[Path]:
    """The held-out dream that keeps up with the truth for longest, beside it: a film and a strip, in ``folder``.

    Returns:
        The files written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    real, dream = longest_dream(heldout)
    save_pair(folder / "dream.gif", real, dream, SLOW_FPS)
    scale = max(1, fitting_scale(real.shape[-2]) // 2)
    strip(folder / "dream.png", [("real", real), ("dream", dream)], scale)
    return [folder / "dream.gif", folder / "dream.png"]
