"""A loss that is not finite stops the run, with all that led to it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamas.core.checkpoint import find_checkpoint
from adamas.core.types import Batch
from adamas.nn.optim import NonFiniteLossError
from adamas.training.build import new_run
from adamas.training.config import Config
from adamas.training.update_phases import ComponentPhase
from tests.helpers.diamond import training
from tests.helpers.tiny_config import differing, flat, tiny_config


def exploding(component: str) -> Config:
    config = tiny_config()
    training = getattr(config.training, component)
    optimizer = replace(training.optimizer, lr=1e30, warmup_updates=0)
    changed = replace(training, optimizer=optimizer)
    return replace(config, training=replace(config.training, **{component: changed}))


@pytest.mark.parametrize("component", ["denoiser", "reward_end"])
def test_nan_stops_the_run_with_all_that_led_to_it(tmp_path: Path, component: str) -> None:
    trainer = new_run(exploding(component), tmp_path / "run", quiet=True)
    with pytest.raises(NonFiniteLossError, match=rf"{component}, epoch 1: the loss is \S+ and .*batch in "):
        trainer.run()
    phase = trainer.phases[component]
    assert isinstance(phase, ComponentPhase)
    checkpoint = find_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint.step == trainer.clock.step
    state = checkpoint.trainer_state()
    saved = state["phases"][component]
    assert saved["optimizer"]["num_updates"] == phase.optimizer.num_updates == state["clock"]["done"] >= 1
    live = flat("", dict(phase.component.module.state_dict()))
    weights = saved["module"] or {
        name.removeprefix(f"world_model.{component}."): tensor
        for name, tensor in checkpoint.agent_weights().items()
    }
    assert differing(live, {k: v for k, v in flat("", dict(weights)).items() if k in live}) == []
    assert all(tensor.isfinite().all() for tensor in phase.component.module.state_dict().values())

    content = torch.load(tmp_path / "run" / "failed-batch.pt", weights_only=True)
    batch = Batch(**content)
    assert len(batch.obs) == training(trainer.config).denoiser.batch_size
    loss, _ = phase.component.loss(batch, torch.Generator().manual_seed(0))
    assert not loss.isfinite()  # enough to find the cause
    trainer.close()


def test_nan_that_nobody_asked_about_stops_the_run_at_the_next_record(tmp_path: Path) -> None:
    trainer = new_run(exploding("denoiser"), tmp_path / "run", quiet=True)
    phase = trainer.phases["denoiser"]
    assert isinstance(phase, ComponentPhase)
    phase.optimizer._raise_at_once = False  # as on a GPU
    with pytest.raises(NonFiniteLossError, match="denoiser, epoch 1: the loss or its gradient is not finite"):
        trainer.run()
    assert all(tensor.isfinite().all() for tensor in phase.component.module.state_dict().values())
    saved = find_checkpoint(tmp_path / "run" / "checkpoints").trainer_state()["phases"]["denoiser"][
        "optimizer"
    ]
    assert 1 <= saved["num_updates"] < trainer.clock.done
    trainer.close()


def test_nan_of_the_policy_stops_the_run(tmp_path: Path) -> None:
    trainer = new_run(exploding("actor_critic"), tmp_path / "run", quiet=True)
    with pytest.raises(NonFiniteLossError, match="actor_critic, epoch 1: the loss is"):
        trainer.run()
    assert find_checkpoint(tmp_path / "run" / "checkpoints").step == trainer.clock.step
    trainer.close()
