"""Films of dreams, made from Python; what they show is tested with the command that makes them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import adamas
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.data.store import EpisodeStore
from adamas.dreaming.film_dreams import FilmOptions, film_dreams, game_for_dreams
from adamas.envs.config import MinAtarConfig
from adamas.media.films import save_film
from adamas.media.pictures import GAP, LABEL_HEIGHT

BREAKOUT = MinAtarConfig(game="breakout", size=10)


def test_a_film_of_a_run_from_its_dataset(dreamer: Path) -> None:
    agent, store = adamas.load("RUN", "cpu"), EpisodeStore.open("RUN/dataset/test")
    options = FilmOptions(steps=5, worlds=2, scale=1, denoising_steps=1)
    pictures = list(film_dreams(agent, store, options=options))
    assert len(pictures) == 6
    assert pictures[0].shape == (3, 10, 10 + GAP + 10) and pictures[0].dtype == torch.uint8
    again = list(film_dreams(agent, store, "agent", options))
    assert all(torch.equal(a, b) for a, b in zip(pictures, again, strict=True))
    assert (
        save_film(Path("film.gif"), film_dreams(agent, store, options=options), fps=15, scale=1)
        .stat()
        .st_size
    )


def test_a_film_beside_the_game_under_given_actions(agent: Agent) -> None:
    actions = torch.tensor([1, 2] * 4)
    with game_for_dreams(agent, BREAKOUT, seed=3) as game:
        options = FilmOptions(beside_real=True, seed=3, scale=1, denoising_steps=1)
        pictures = list(film_dreams(agent, game, actions, options))
    assert 2 <= len(pictures) <= 9, "as many steps as actions, unless the game ends"
    assert pictures[0].shape[1] == LABEL_HEIGHT + 10
    real, dream = pictures[0][:, LABEL_HEIGHT:, :10], pictures[0][:, LABEL_HEIGHT:, 10 + GAP : 20 + GAP]
    assert torch.equal(real, dream), "both start from the same frame"


def test_arguments_that_do_not_fit_are_refused_at_once(agent: Agent, dreamer: Path) -> None:
    store = EpisodeStore.open("RUN/dataset/test")
    with pytest.raises(UserError, match="`worlds` is 0; it must be at least 1 and at most 64"):
        FilmOptions(worlds=0)
    with pytest.raises(UserError, match="`steps` is 3, but there are 2 actions"):
        film_dreams(agent, store, torch.tensor([0, 1]), FilmOptions(steps=3))
    with pytest.raises(UserError, match="recorded episodes have their own actions"):
        film_dreams(agent, store, "random", FilmOptions(beside_real=True))
    with pytest.raises(UserError, match=r"bar was trained on frames of shape \(3, 10, 10\)"):  # noqa: SIM117
        with game_for_dreams(agent, MinAtarConfig(game="breakout", size=20), agent_name="bar"):
            pass
