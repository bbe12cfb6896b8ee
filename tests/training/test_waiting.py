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

from adamas.bench.workloads import small_run
from adamas.core.actions import ActionSpec, Axis
from adamas.presets import preset
from adamas.rl.action_distribution import num_parameters, sample_action
from adamas.training.trainer import Trainer
from adamas.training.update_phases import PolicyPhase
from tests.helpers.game_parts import game_of

WAITS = {"aten::_local_scalar_dense", "aten::nonzero", "aten::is_nonzero", "aten::masked_select"}
BY_MASK = {"aten::index", "aten::index_put", "aten::index_put_"}  # look for what is true in a mask


class Waits(TorchDispatchMode):
    """Counts the operations that a program waits for."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.name().partition(".")[0]
        masked = name in BY_MASK and any(i is not None and i.dtype == torch.bool for i in args[1])
        if name in WAITS or masked:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


@pytest.fixture(scope="module")
def trainer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Trainer]:
    with closing(small_run(preset("debug"), tmp_path_factory.mktemp("waiting") / "run")) as trainer:
        yield trainer


def waits_of_an_update(trainer: Trainer, phase: str, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    learn: Any = trainer.phases[phase]
    owner = learn.learner if isinstance(learn, PolicyPhase) else learn
    monkeypatch.setattr(owner.optimizer, "_raise_at_once", False)
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
        assert len(x[x > 0]) == 3
        x[x > 0] = 2.0
        assert x[torch.tensor([0, 2])].shape == (2,)  # of known size
    assert sum(waits.counts.values()) == 5


@pytest.mark.parametrize("phase", ["denoiser", "reward_end"])
def test_an_update_of_the_world_model_waits_for_nothing(
    trainer: Trainer, phase: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not waits_of_an_update(trainer, phase, monkeypatch)


def test_an_update_of_the_policy_waits_once_a_step_to_learn_which_dreams_ended(
    trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = game_of(trainer.config).training
    assert config.steps_per_update >= trainer.config.horizon  # so that dreams end in every update
    waits = waits_of_an_update(trainer, "actor_critic", monkeypatch)
    assert waits == {"aten::nonzero": config.steps_per_update}


@pytest.mark.parametrize("spec", [ActionSpec.numbered(3), ActionSpec(axes=(Axis("a", -2.0, 0.5), Axis("b")))])
def test_drawing_an_action_uploads_no_numbers(spec: ActionSpec) -> None:
    """A list of numbers that becomes a tensor on a GPU is copied there, and the program waits for it."""
    made: list[str] = []

    class Made(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            made.append(func.name().partition(".")[0])
            return func(*args, **(kwargs or {}))

    with Made():
        torch.tensor([1.0, 2.0])
        assert "aten::lift_fresh" in made
        made.clear()
        sample_action(spec, torch.zeros(2, num_parameters(spec)), torch.Generator().manual_seed(0))
    assert made and "aten::lift_fresh" not in made
