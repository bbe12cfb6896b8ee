"""Both rules by which a policy learns, in runs: from dreams, from the real game, in shards, and resumed."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from adamas.core.config import from_dict, to_dict, with_value
from adamas.core.errors import Interrupted, UserError
from adamas.rl import ppo
from adamas.rl.learner import LearnerConfig
from adamas.rl.part_training import PolicyTraining
from adamas.rl.ppo import Ppo, PpoConfig
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.trainer import Trainer
from adamas.training.update_phases import PolicyPhase
from tests.helpers.tiny_config import differing, finish, tiny_config


def with_ppo(config: Config, **fields: Any) -> Config:
    """The same run, in which the policy learns by PPO from the same number of rollouts."""
    learner = PpoConfig(num_epochs=2, num_minibatches=2)
    return with_value(config, "training.actor_critic.learner", replace(learner, **fields))


def learner_of(trainer: Trainer) -> Ppo:
    phase = trainer.phases["actor_critic"]
    assert isinstance(phase, PolicyPhase) and isinstance(phase.learner, Ppo)
    return phase.learner


def played(config: Config, run_dir: Path) -> Trainer:
    """The trainer of a new run that has real steps to dream from."""
    trainer = new_run(config, run_dir, quiet=True)
    trainer.phases["collect"].begin(0)
    for _ in range(2):
        trainer.phases["collect"].update()
    return trainer


def test_every_rule_has_a_learner() -> None:
    assert LearnerConfig.kinds == {"reinforce": ReinforceConfig, "ppo": PpoConfig}


def test_settings_of_older_runs_are_those_of_reinforce() -> None:
    old = to_dict(PolicyTraining())
    del old["learner"]
    old["loss"] = {"gamma": 0.5, "lambda_": 0.9, "entropy_weight": 0.0, "value_weight": 2.0}
    assert from_dict(PolicyTraining, old).learner == ReinforceConfig(
        gamma=0.5, lambda_=0.9, entropy_weight=0.0, value_weight=2.0
    )


def test_every_sequence_is_in_one_minibatch_of_every_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = played(with_ppo(tiny_config(), num_epochs=3), tmp_path / "run")
    seen: list[list[int]] = []
    loss = ppo.ppo_loss

    def spy(policy: Any, rollout: Any, targets: Any, rows: Tensor, config: PpoConfig) -> Any:
        seen.append(rows.tolist())
        return loss(policy, rollout, targets, rows, config)

    monkeypatch.setattr("adamas.rl.ppo.ppo_loss", spy)
    trainer.phases["actor_critic"].update()
    num_dreams = trainer.config.training.actor_critic.num_dreams  # type: ignore[union-attr]
    epochs = [seen[i] + seen[i + 1] for i in range(0, 6, 2)]
    assert len(seen) == 6 == learner_of(trainer).optimizer.num_updates
    assert all(sorted(rows) == list(range(num_dreams)) for rows in epochs)
    assert len({tuple(rows) for rows in epochs}) == 3  # in another order each time
    trainer.close()


def test_a_rollout_is_not_differentiated_while_it_is_computed(tmp_path: Path) -> None:
    trainer = played(with_ppo(tiny_config()), tmp_path / "run")
    phase: Any = trainer.phases["actor_critic"]
    [dreams] = phase.dreams
    act, graphs = dreams.rollout, []

    def spy(num_steps: int) -> object:
        rollout = act(num_steps)
        graphs.append(rollout.logits.requires_grad)
        return rollout

    dreams.rollout = spy
    phase.update()
    trainer.close()
    assert graphs == [False]


@pytest.mark.parametrize(("imagination", "num_shards"), [("on", 2), ("off", 1)])
def test_ppo_is_resumed_bit_for_bit(tmp_path: Path, imagination: Any, num_shards: int) -> None:
    config = replace(with_ppo(tiny_config()), imagination=imagination, num_shards=num_shards)
    whole = new_run(config, tmp_path / "whole", quiet=True)
    before = {name: weight.clone() for name, weight in whole.agent.policy.state_dict().items()}
    expected = finish(whole)
    assert all(
        not torch.equal(weight, before[name]) for name, weight in whole.agent.policy.named_parameters()
    )
    trainer = new_run(config, tmp_path / "run", quiet=True)
    phase: Any = trainer.phases["collect" if imagination == "off" else "actor_critic"]
    update, left = phase.update, iter(range(2, -1, -1))

    def stop_after_the_third() -> object:
        metrics = update()
        if next(left, -1) == 0:
            os.kill(os.getpid(), signal.SIGINT)
        return metrics

    phase.update = stop_after_the_third
    with pytest.raises(Interrupted):
        trainer.run()
    trainer.close()
    assert not differing(expected, finish(resume_run(tmp_path / "run", quiet=True)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"num_shards": 2},
            r"`training.actor_critic.num_dreams` is 4; it must be at least 6, one for each minibatch",
        ),
        ({"imagination": "off"}, r"`collection.num_envs` is 2; it must be at least 3"),
    ],
)
def test_a_shard_needs_a_sequence_for_every_minibatch(changes: dict[str, Any], message: str) -> None:
    config = with_value(with_ppo(tiny_config()), "training.actor_critic.learner.num_minibatches", 3)
    with pytest.raises(UserError, match=message):
        replace(config, **changes)
