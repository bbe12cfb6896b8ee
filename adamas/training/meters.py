"""Averages of what updates report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from adamas.core.distributed import ALONE, Group


class Meter:
    """Sums metrics over updates, on their device; reads them once at the end."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add one update's metrics."""
        self.count += 1
        for name, value in metrics.items():
            value = value.detach().double() if value.device.type != "mps" else value.detach()
            # A resumed run has its sums on the CPU at first, perhaps in float64, which not every device knows.
            self.sums[name] = self.sums[name].to(value) + value if name in self.sums else value

    def averages(self) -> dict[str, float]:
        """Mean of every scalar; precision and recall per class of every ``*_confusion`` matrix."""
        result: dict[str, float] = {}
        for name, total in self.sums.items():
            if name.endswith("_confusion"):
                result |= precision_recall(total, name.removesuffix("_confusion"))
            else:
                result[name] = float(total) / self.count
        return result

    def state_dict(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"count": self.count, "sums": dict(self.sums)}

    def load_state_dict(self, state: Mapping[str, object]) -> None:
        """Continue from a checkpoint."""
        self.count = state["count"]  # type: ignore[assignment]
        self.sums = dict(state["sums"])  # type: ignore[call-overload]


def mean_of_shards(
    shards: Sequence[Mapping[str, Tensor]], shares: Sequence[float], group: Group = ALONE
) -> dict[str, Tensor]:
    """Metrics of a batch from those of its shards, here and in the other processes of the group.

    Counts are averaged like everything else. Only their ratios are used, and with equal shards these stay the same.

    Args:
        shards: the metrics of each shard of this process.
        shares: of the batch's samples that are in each of them; those of all processes sum to 1.
        group: the processes.
    """
    means = {
        name: torch.stack([shard[name] * share for shard, share in zip(shards, shares, strict=True)]).sum(
            dim=0
        )
        for name in shards[0]
    }
    group.sum_(list(means.values()))
    return means


def precision_recall(confusion: Tensor, name: str) -> dict[str, float]:
    """Precision and recall of every class that occurs or is predicted; rows true, columns predicted.

    Classes of three are named by reward sign (``-1``, ``0``, ``+1``), of two by ``no`` and ``yes``.
    """
    labels = ("-1", "0", "+1") if len(confusion) == 3 else ("no", "yes")
    true, predicted, right = confusion.sum(1), confusion.sum(0), confusion.diagonal()
    result = {}
    for i, label in enumerate(labels):
        if predicted[i] > 0:
            result[f"{name}_precision[{label}]"] = float(right[i] / predicted[i])
        if true[i] > 0:
            result[f"{name}_recall[{label}]"] = float(right[i] / true[i])
    return result
