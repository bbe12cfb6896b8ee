"""Configurations that cannot be are refused by name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adamas.core.config import with_value
from adamas.core.errors import UserError
from adamas.envs.config import AtariConfig
from adamas.presets import preset
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.training.config import CollectionConfig, Config, EvaluationConfig
from tests.helpers.diamond import model_config, training
from tests.helpers.game_parts import game_of


@pytest.mark.parametrize(
    ("part", "values"),
    [
        (Config, {"seed": -1}),
        (Config, {"final_epochs": -1}),
        (Config, {"checkpoint_minutes": -0.1}),
        (ComponentTraining, {"batch_size": 0}),
        (ComponentTraining, {"updates_per_epoch": -1}),
        (ComponentTraining, {"average_decay": 1.0}),
        (PolicyTraining, {"num_dreams": 0}),
        (Config, {"horizon": 0}),
        (PolicyTraining, {"steps_per_update": 0}),
        (CollectionConfig, {"num_envs": 0}),
        (CollectionConfig, {"steps_per_epoch": 0}),
        (CollectionConfig, {"first_steps": 0}),
        (CollectionConfig, {"first_steps": 10_001}),
        (CollectionConfig, {"total_steps": 9_999}),
        (CollectionConfig, {"epsilon": 1.1}),
        (CollectionConfig, {"epsilon": float("nan")}),
        (CollectionConfig, {"temperature": -1.0}),
        (CollectionConfig, {"temperature": float("inf")}),
        (EvaluationConfig, {"temperature": float("nan")}),
        (EvaluationConfig, {"every_epochs": 0}),
        (EvaluationConfig, {"episodes": 0}),
        (EvaluationConfig, {"final_episodes": 0}),
        (EvaluationConfig, {"heldout_steps": 0}),
    ],
)
def test_impossible_values_are_refused_by_name(part: type, values: dict[str, float]) -> None:
    with pytest.raises(UserError, match=next(iter(values))) as error:
        part(**values)
    assert "\n" not in str(error.value)


def test_impossible_combinations_are_refused() -> None:
    config = preset("atari100k")
    with pytest.raises(
        UserError, match=r"frames of 7x7 pixels are too small for 4 levels of the denoiser; .* least 8"
    ):
        replace(config, env=AtariConfig(size=7))
    denoiser = model_config(config).denoiser
    network = replace(denoiser.network, context_length=1)
    model = replace(model_config(config), denoiser=replace(denoiser, network=network))
    with pytest.raises(UserError, match="context_length` is 1; it must be at least 2"):
        replace(config, world_model=model)


def test_shards_need_a_sample_each_and_need_not_divide_the_batch() -> None:
    paper = preset("atari100k")
    assert training(paper).denoiser.batch_size == game_of(paper).training.num_dreams == 32
    assert replace(paper, num_shards=10).num_shards == 10
    message = r"`training.denoiser.batch_size` is 32; it must be at least `num_shards`, 33"
    with pytest.raises(UserError, match=message):
        replace(paper, num_shards=33)
    dreams = with_value(paper, "training.actor_critic.num_dreams", 8)
    message = r"`training.actor_critic.num_dreams` is 8; it must be at least `num_shards`, 10"
    with pytest.raises(UserError, match=message):
        replace(dreams, num_shards=10)
