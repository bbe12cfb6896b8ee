"""Presets name every number: none is silently the default of a dataclass."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

import adamas.presets
from adamas.core.kinds import tag_of
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs.config import AtariConfig, GymnasiumConfig, MinAtarConfig, VizdoomConfig
from adamas.nn.optim import OptimizerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.rl.part_training import ComponentTraining, PolicyTraining
from adamas.rl.plain_actor_critic import PlainActorCriticConfig
from adamas.rl.ppo import PpoConfig
from adamas.rl.reinforce import ReinforceConfig
from adamas.training.config import CollectionConfig, Config, EvaluationConfig
from adamas.world_models.diamond import published_numbers
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import DiamondConfig
from adamas.world_models.iris.autoencoder import AutoencoderConfig
from adamas.world_models.iris.dynamics import DynamicsConfig
from adamas.world_models.iris.patches import PatchAutoencoderConfig
from adamas.world_models.iris.tokenizer import TokenizerConfig
from adamas.world_models.iris.training import IrisTraining
from adamas.world_models.iris.transformer import TransformerConfig
from adamas.world_models.iris.world import IrisConfig

PARTS = (
    FrameNetworkConfig,
    RewardEndConfig,
    SamplerConfig,
    OptimizerConfig,
    ComponentTraining,
    PolicyTraining,
    CollectionConfig,
    EvaluationConfig,
    TokenizerConfig,
    TransformerConfig,
    DynamicsConfig,
)
KINDS = (
    EdmConfig,
    DdpmConfig,
    UpsamplerConfig,
    AtariConfig,
    MinAtarConfig,
    VizdoomConfig,
    GymnasiumConfig,
    ReinforceConfig,
    PpoConfig,
    DiamondConfig,
    DiamondTraining,
    ActorCriticConfig,
    IrisConfig,
    AutoencoderConfig,
    PatchAutoencoderConfig,
    IrisTraining,
    PlainActorCriticConfig,
)
OF_THE_MACHINE = {"runtime", "checkpoint_minutes", "tensorboard", "wandb_project"}
OF_THE_RUN = {"seed", "data", "init", "init_parts"}
EXPECTED = {
    **{part.__name__: {field.name for field in fields(part)} for part in PARTS},
    **{kind.__name__: {field.name for field in fields(kind)} - {tag_of(kind)} for kind in KINDS},
    "Config": {field.name for field in fields(Config)} - OF_THE_MACHINE - OF_THE_RUN,
}
"""The fields that a preset must name, by dataclass. The kind of a thing is not a number."""
FILES = [
    *Path(inspect.getfile(adamas.presets)).parent.glob("*.py"),
    Path(inspect.getfile(published_numbers)),
]


def unnamed(source: str) -> Iterator[tuple[int, str, set[str]]]:
    """Line, dataclass and missing fields of every construction that leaves some to their defaults.

    Constructions from all fields of something else (``**vars(...)``) are taken to be complete.
    """
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in EXPECTED:
            given = {keyword.arg for keyword in node.keywords}
            if None not in given and (missing := EXPECTED[node.func.id] - given):
                yield node.lineno, node.func.id, missing


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_presets_name_every_number(file: Path) -> None:
    """What is made by ``replace`` of something complete is complete as well."""
    assert list(unnamed(file.read_text(encoding="utf-8"))) == []


def test_a_number_that_is_left_out_is_found() -> None:
    source = (
        "a = ActorCriticConfig(lstm_dim=4, channels=(8,), down=(True,))\nb = ActorCriticConfig(lstm_dim=4)\n"
    )
    assert list(unnamed(source)) == [(2, "ActorCriticConfig", {"channels", "down"})]
