"""Averages of the metrics that updates return."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from adamas.core.distributed import ALONE, Group


class Meter:
    """Sums metrics over updates on their device, and reads the sums once at the end."""

    def __init__(self) -> None:
        self.count = 0
        self.sums: dict[str, Tensor] = {}

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Add one update's metrics."""
        self.count += 1
        for name, value in metrics.items():
            value = value.detach().double() if value.device.type != "mps" else value.detach()
            # A resumed run loads its sums on the CPU, perhaps in float64, which some devices do not support.
            self.sums[name] = self.sums[name].to(value) + value if name in self.sums else value

    def averages(self) -> dict[str, float]:
        """The mean of every scalar, and the precision and recall per class of every ``*_confusion`` matrix."""
        result: dict[str, float] = {}
        for name, total in self.sums.items():
            if name.endswith("_confusion"):
                result |= precision_recall(total, name.removesuffix("_confusion"))
            else:
                result[name] = float(total) / self.count
        return result

    def state_dict(self) -> dict[str, Any]:
        """The state for a checkpoint."""
        return {"count": self.count, "sums": dict(self.sums)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.count = state["count"]
        self.sums = dict(state["sums"])


def mean_of_shards(
    shards: Sequence[Mapping[str, Tensor]], shares: Sequence[float], group: Group = ALONE
) -> dict[str, Tensor]:
    """Compute the metrics of a batch from those of its shards, with an all-reduce over the processes of the group.

    Confusion counts are averaged too. Only their ratios are used, and these stay the same if shards have equal sizes.

    Args:
        shards: the metrics of each shard of this process.
        shares: each shard's share of the samples of the batch; the shares in all processes sum to 1.
        group: the processes that share the batch.
    """
    means = {
        name: torch.stack([shard[name] * share for shard, share in zip(shards, shares, strict=True)]).sum(
            dim=0
        )
        for name in shards[0]
    }
    group.all_reduce(list(means.values()))
    return means


def precision_recall(confusion: Tensor, name: str) -> dict[str, float]:
    """Precision of every class that is predicted, and recall of every class that occurs.

    Rows of ``confusion`` are true classes, columns predicted ones. Three classes are named ``-1``, ``0`` and ``+1``
    (reward signs), two classes ``no`` and ``yes``.
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
