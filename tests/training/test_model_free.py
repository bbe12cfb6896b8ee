"""The control without a world model learns from its real steps, and from nothing else."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adamas import cli
from adamas.core.distributed import Group
from adamas.core.errors import Interrupted, UserError
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.model_free import ModelFreePhase
from adamas.training.trainer import Trainer
from tests.helpers.tiny_config import differing, finish, tiny_config


def config() -> Config:
    return replace(tiny_config(), imagination="off")


def collect(trainer: Trainer) -> ModelFreePhase:
    """What plays, and learns from it."""
    assert isinstance(trainer.collect, ModelFreePhase)
    return trainer.collect


def test_the_policy_learns_from_every_real_step_once(tmp_path: Path) -> None:
    trainer = new_run(config(), tmp_path / "run", quiet=True)
    before = {name: weight.clone() for name, weight in trainer.agent.state_dict().items()}
    trainer.run()
    trainer.close()
    changed = {
        name.split(".")[0]
        for name, weight in trainer.agent.state_dict().items()
        if not torch.equal(weight, before[name])
    }
    assert changed == {"actor_critic"}
    # 160 real steps of 2 environments; an update takes 5 of each
    assert (trainer.real_steps, collect(trainer).learner.optimizer.num_updates) == (160, 16)
    assert list(trainer.phases) == ["collect", "evaluate"]
    evaluation = [
        r for r in (tmp_path / "run/metrics/metrics.jsonl").read_text().splitlines() if "evaluate" in r
    ]
    assert len(evaluation) == 2 and all('"return"' in r and "psnr" not in r for r in evaluation)


def test_stopped_and_resumed(tmp_path: Path) -> None:
    expected = finish(new_run(config(), tmp_path / "whole", quiet=True))
    trainer = new_run(config(), tmp_path / "run", quiet=True)
    for _ in range(6):
        update = collect(trainer).update

        def stop(update=update):  # type: ignore[no-untyped-def]
            os.kill(os.getpid(), signal.SIGINT)
            return update()

        collect(trainer).update = stop  # type: ignore[method-assign]
        with pytest.raises(Interrupted):
            trainer.run()
        trainer.close()
        trainer = resume_run(tmp_path / "run", quiet=True)
    assert differing(expected, finish(trainer)) == []


def test_gradients_are_those_of_the_loss_on_the_steps_taken(tmp_path: Path) -> None:
    trainer = new_run(config(), tmp_path / "run", quiet=True)
    collect(trainer).begin(0)
    steps = collect(trainer).collector.collect(3, gradients=True)
    assert steps.value.requires_grad and steps.logits.requires_grad
    assert not steps.value_bootstrap.requires_grad
    assert not collect(trainer).collector.collect(3).value.requires_grad
    trainer.close()


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = tmp_path / "run"
    env = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"]
    cli.run(["train", "debug", *env, "--imagination", "off", "--run-dir", str(run_dir)])
    assert "random policy" in capsys.readouterr().out
    assert (run_dir / "results/scores.json").is_file()
    assert not (run_dir / "results/agent.gif").exists()  # its dreams mean nothing


def test_several_processes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="`imagination` is off, which works in one process only"):
        new_run(config(), tmp_path / "run", quiet=True, group=Group(0, 2))
