"""The parts of agents and of configurations whose world model is of the paper's kind."""

from __future__ import annotations

from adamas.agent import Agent, AgentConfig
from adamas.rl.actor_critic import ActorCritic, ActorCriticConfig
from adamas.training.config import Config
from adamas.world_models.diamond.training import DiamondTraining
from adamas.world_models.diamond.world import Diamond, DiamondConfig


def world_model(agent: Agent) -> Diamond:
    model = agent.world_model
    assert isinstance(model, Diamond)
    return model


def model_config(config: Config | AgentConfig) -> DiamondConfig:
    assert isinstance(config.world_model, DiamondConfig)
    return config.world_model


def policy_config(config: Config | AgentConfig) -> ActorCriticConfig:
    assert isinstance(config.actor_critic, ActorCriticConfig)
    return config.actor_critic


def training(config: Config) -> DiamondTraining:
    assert isinstance(config.training, DiamondTraining)
    return config.training


def policy(agent: Agent) -> ActorCritic:
    assert isinstance(agent.policy, ActorCritic)
    return agent.policy
