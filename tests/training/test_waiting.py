"""The program gives work to the device without waiting for results.

Counted on the CPU: an operation that hands a number to Python, or whose result's size depends on numbers, makes
the program wait on a device that computes behind its back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from adamas.bench.rows import small_run
from adamas.presets import preset
from adamas.training.trainer import Trainer

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}


class Waits(TorchDispatchMode):
    """Counts the operations that a program waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.name().partition(".")[0] in WAITS:
            self.counts[func.name()] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    with closing(small_run(preset("debug"), tmp_path_factory.mktemp("waiting") / "run")) as trainer:
        yield trainer


def waits_of_an_update(trainer: Trainer, phase: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    learn = trainer.phases[phase]
    monkeypatch.setattr(learn.optimizer, "_ask", False)  # type: ignore[attr-defined]
    learn.begin(1)
    learn.update()
    with Waits() as waits:
        learn.update()
    return waits.counts


def test_the_counter_counts() -> None:
    with Waits() as waits:
        x = torch.ones(3)
        assert x.sum().item() == 3
        assert len(x.nonzero()) == 3
        assert (x > 0).all()
    assert sum(waits.counts.values()) == 3


@pytest.mark.parametrize("phase", ["denoiser", "reward_end"])
def test_an_update_of_the_world_model_waits_for_nothing(
    trainer: Trainer, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not waits_of_an_update(trainer, phase, monkeypatch)


def test_an_update_of_the_policy_waits_only_to_learn_which_dreams_ended(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits = waits_of_an_update(trainer, "actor_critic", monkeypatch)
    # Once a step for the dreams themselves, and again for the policy in the steps in which some ended.
    assert set(waits) == {"aten::nonzero"}
    steps = trainer.config.policy.steps_per_update
    assert steps <= waits["aten::nonzero"] <= 2 * steps
