"""Rows of the table of results."""

from __future__ import annotations

from dataclasses import replace

from adamas.fidelity.figures import results_table, table_rows
from adamas.fidelity.results import DreamResults, FrechetDistances, RewardsAndEnds, StepMeans

MEANS = StepMeans(mean=[0.5, None], low=[0.25, None], high=[0.75, None], dreams=[12, 0])
DREAMS = DreamResults(
    {"mse": MEANS},
    RewardsAndEnds(
        steps=12.0,
        reward_rate=0.5,
        true_reward_rate=0.25,
        reward_precision=None,
        reward_recall=1.0,
        end_rate=0.0,
        true_end_rate=0.0,
        end_precision=None,
        end_recall=None,
    ),
    {"Frechet AlexNet": FrechetDistances(dream=3.0, game=1.5)},
)


def test_rows_of_the_table() -> None:
    still = DreamResults({"mse": MEANS})
    rows = dict(table_rows({"N = 1": DREAMS, "still frame": still}))
    margin = {"still frame": StepMeans([0.2], [0.1], [0.3], [12])}
    closer = "steps (of 1) with lower mse than still frame"
    assert closer not in rows
    found = {"N = 1": replace(DREAMS, margin=margin), "still frame": still}
    assert dict(table_rows(found))[closer] == ["1", ""]
    assert rows["mse, step 1"] == ["0.5 \\[0.25, 0.75]"] * 2 and "mse, step 2" not in rows
    assert rows["Frechet AlexNet (the game's own: 1.5)"] == ["3", ""]
    assert rows["non-zero reward rate (the game's own: 0.25)"] == ["0.5", ""]
    assert rows["reward recall"] == ["1", ""]


def test_rows_without_numbers_are_left_out() -> None:
    found = {"N = 1": DREAMS, "still frame": DreamResults({"mse": MEANS})}
    labels = list(results_table(found).columns[0].cells)
    assert "reward recall" in labels
    assert "reward precision" not in labels and "end precision" not in labels
