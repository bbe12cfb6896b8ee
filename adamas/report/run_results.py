"""The ``results`` folder of a finished run: its scores, films and plots."""

from __future__ import annotations

from pathlib import Path

import torch

from adamas.agent import Agent
from adamas.dreaming.continuation import Continuation
from adamas.dreaming.films import agent_and_dream, save_longest_dream
from adamas.evaluation.result_file import write_evaluation
from adamas.evaluation.results import Evaluation
from adamas.media.pictures import save_pair
from adamas.media.plots import can_plot
from adamas.report.run_plots import save_plots

FPS = 15  # Atari's own rate at a frame skip of 4
NUM_STEPS = 100  # steps in the film of the agent


def write_report(
    run_dir: Path,
    agent: Agent,
    final: Evaluation,
    *,
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
        final: the evaluation of the final agent.
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
    paths = [write_evaluation(folder / "scores.json", final)]
    protocol = final.protocol
    if dreams:
        real, dream = agent_and_dream(
            agent,
            protocol.env,
            seed=seed,
            num_steps=NUM_STEPS,
            temperature=protocol.temperature,
            device=device,
        )
        save_pair(folder / "agent.gif", real, dream, FPS)
        paths.append(folder / "agent.gif")
    if heldout is not None:
        paths += save_longest_dream(folder, heldout)
    return paths + save_plots(run_dir, final, folder) if can_plot() else paths
