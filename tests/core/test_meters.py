"""Averages over updates."""

from __future__ import annotations

import io

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.meters import Meter, precision_recall


def test_averages_by_hand() -> None:
    meter = Meter()
    meter.add({"loss": torch.tensor(1.0), "norm": torch.tensor(4.0)})
    meter.add({"loss": torch.tensor(2.0), "norm": torch.tensor(0.0)})
    assert meter.averages() == {"loss": 1.5, "norm": 2.0}
    assert meter.count == 2


@given(st.lists(st.floats(-1e3, 1e3, width=32), min_size=1, max_size=30), st.data())
def test_a_meter_goes_on_from_its_state(values: list[float], data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(values)))
    whole, first, second = Meter(), Meter(), Meter()
    for value in values:
        whole.add({"x": torch.tensor(value)})
    for value in values[:cut]:
        first.add({"x": torch.tensor(value)})
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second.load_state_dict(torch.load(file, weights_only=True))
    for value in values[cut:]:
        second.add({"x": torch.tensor(value)})
    assert second.averages() == whole.averages()
    assert whole.averages()["x"] == pytest.approx(sum(values) / len(values), abs=1e-6)


def test_float32_sums_do_not_lose_small_terms() -> None:
    meter = Meter()
    meter.add({"x": torch.tensor(1e8)})
    for _ in range(7):
        meter.add({"x": torch.tensor(1.0)})
    assert meter.averages()["x"] == (1e8 + 7) / 8


def test_a_meter_keeps_no_graph_and_no_alias() -> None:
    value = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    meter = Meter()
    meter.add({"x": value})
    meter.add({"x": value})
    assert not meter.sums["x"].requires_grad
    assert value.item() == 1.0


def test_precision_and_recall_by_hand() -> None:
    confusion = torch.tensor([[0, 0, 0], [0, 6, 2], [0, 1, 1]])  # rows true, columns predicted
    assert precision_recall(confusion, "reward") == {
        "reward_precision[0]": pytest.approx(6 / 7),
        "reward_recall[0]": 6 / 8,
        "reward_precision[+1]": pytest.approx(1 / 3),
        "reward_recall[+1]": 1 / 2,
    }


def test_confusion_matrices_are_summed_over_updates() -> None:
    meter = Meter()
    meter.add({"end_confusion": torch.tensor([[3, 0], [1, 0]])})
    meter.add({"end_confusion": torch.tensor([[3, 2], [0, 2]])})
    assert meter.averages() == {
        "end_precision[no]": pytest.approx(6 / 7),
        "end_recall[no]": 6 / 8,
        "end_precision[yes]": 2 / 4,
        "end_recall[yes]": pytest.approx(2 / 3),
    }
