"""The report of a run: every file is there, and Matplotlib is not needed for most."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from PIL import Image

from adamas.agent import Agent
from adamas.dreaming.continuation import Continuation
from adamas.envs.config import MinAtarConfig
from adamas.evaluation.evaluate import evaluate_agent
from adamas.evaluation.result_file import parse_evaluation
from adamas.evaluation.results import Evaluation
from adamas.report.run_results import write_report

CPU = torch.device("cpu")
BREAKOUT = MinAtarConfig(game="breakout", size=10)
PLOTS = ["learning_curve.png", "world_model.png", "dream_rates.png", "returns.png"]


@pytest.fixture
def scores(agent: Agent) -> Evaluation:
    return evaluate_agent(agent, BREAKOUT, episodes=2, num_envs=2, seed=0, device=CPU)


def heldout() -> Continuation:
    """Two dreams of four steps; the game of the first ended after two."""
    obs = torch.arange(2 * 4, dtype=torch.uint8).view(2, 4, 1, 1, 1).expand(2, 4, 3, 10, 10)
    zeros = torch.zeros(2, 4)
    mask = torch.tensor([[True, True, False, False], [True] * 4])
    return Continuation(
        obs=obs,
        true_obs=100 + obs,
        reward=zeros,
        true_reward=zeros,
        terminated=zeros.bool(),
        true_terminated=zeros.bool(),
        mask=mask,
    )


def test_a_report_is_complete(run_dir: Path, agent: Agent, scores: Evaluation) -> None:
    paths = write_report(run_dir, agent, scores, heldout=heldout(), device=CPU, seed=0)
    assert [p.name for p in paths] == ["scores.json", "agent.gif", "dream.gif", "dream.png", *PLOTS]
    assert sorted(paths) == sorted((run_dir / "results").iterdir())
    assert parse_evaluation(paths[0].read_bytes()) == scores
    with Image.open(paths[1]) as film:
        assert film.height >= 160 and film.n_frames > 4
    with Image.open(paths[2]) as film:
        assert film.n_frames == 4, "the longest continuation is shown"
        shown = film.convert("RGB")
    assert shown.getpixel((10, shown.height - 10)) == (104,) * 3, "what happened is on the left"
    assert shown.getpixel((shown.width - 10, shown.height - 10)) == (4,) * 3


def test_without_matplotlib_there_are_scores_and_films(
    run_dir: Path, agent: Agent, scores: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"no plots.*pip install 'adamas\[report\]'"):
        paths = write_report(run_dir, agent, scores, heldout=None, device=CPU, seed=0)
    assert [p.name for p in paths] == ["scores.json", "agent.gif"]
    assert all(path.stat().st_size > 0 for path in paths)
