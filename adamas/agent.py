"""An agent: a world model and the policy that learnt in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import overload

import numpy as np
import torch
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.core.types import ActionSpec
from adamas.diffusion.denoiser import Denoiser
from adamas.rl.actor_critic import ActorCritic, ActorCriticConfig, sample_action
from adamas.world_models.diamond import Diamond, DiamondConfig
from adamas.world_models.reward_end import RewardEndModel

ActState = tuple[Tensor, ...]


@dataclass(frozen=True)
class AgentConfig:
    """Everything needed to build an agent before its weights are loaded."""

    obs_shape: tuple[int, int, int]
    """(C, H, W) of a frame."""
    actions: tuple[str, ...]
    """Names of the discrete actions."""
    world_model: DiamondConfig = field(default_factory=DiamondConfig)
    actor_critic: ActorCriticConfig = field(default_factory=ActorCriticConfig)


class Agent(nn.Module):
    """World model and actor-critic, built for one game's frames and actions."""

    def __init__(self, config: AgentConfig) -> None:
        super().__init__()
        self.config = config
        num_actions = len(config.actions)
        self.world_model = Diamond(config.world_model, config.obs_shape, num_actions)
        self.actor_critic = ActorCritic(config.actor_critic, config.obs_shape, num_actions)

    @property
    def denoiser(self) -> Denoiser:
        """Draws the next frame."""
        return self.world_model.denoiser

    @property
    def reward_end(self) -> RewardEndModel:
        """Judges transitions."""
        return self.world_model.reward_end

    @property
    def action_spec(self) -> ActionSpec:
        """What the agent may do."""
        return ActionSpec(len(self.config.actions), self.config.actions)

    @overload
    def act(
        self, obs: np.ndarray, state: ActState | None = None, temperature: float = 1.0
    ) -> tuple[int | np.ndarray, ActState]: ...

    @overload
    def act(
        self, obs: Tensor, state: ActState | None = None, temperature: float = 1.0
    ) -> tuple[Tensor, ActState]: ...

    @torch.no_grad()
    def act(
        self, obs: np.ndarray | Tensor, state: ActState | None = None, temperature: float = 1.0
    ) -> tuple[int | np.ndarray | Tensor, ActState]:
        """Choose an action.

        Args:
            obs: one frame (C, H, W) or several (B, C, H, W), uint8.
            state: what the last call returned; None at the start of an episode.
            temperature: of the policy; 0 takes the most likely action.

        Returns:
            The action (an int for a single NumPy frame, otherwise (B,) of the kind given), and the state to
            pass with the next frame.

        Raises:
            UserError: frames of another shape or dtype than the agent was trained on.
        """
        frames = torch.as_tensor(obs)
        single = frames.ndim == 3
        frames = frames[None] if single else frames
        if frames.dtype != torch.uint8 or frames.shape[1:] != self.config.obs_shape:
            raise UserError(
                f"the agent sees uint8 frames of shape {tuple(self.config.obs_shape)}, "
                f"got {frames.dtype} {tuple(frames.shape[1:])}; use the environment it was trained on"
            )
        frames = frames.to(self.actor_critic.actor_linear.weight.device)
        if state is None:
            state = self.actor_critic.initial_state(len(frames))
        output = self.actor_critic(frames, state)
        action = sample_action(output.logits, _act_generator(frames.device), temperature)
        if isinstance(obs, Tensor):
            return (action[0] if single else action), output.state
        return (int(action[0]) if single else action.cpu().numpy()), output.state


def _act_generator(device: torch.device) -> torch.Generator:
    """PyTorch's global generator, which ``torch.manual_seed`` seeds."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


def check_fits(agent: AgentConfig, obs_shape: tuple[int, int, int], spec: ActionSpec, what: str) -> None:
    """Refuse an environment that an agent was not trained for.

    Raises:
        UserError: another frame shape or another number of actions.
    """
    if tuple(agent.obs_shape) != tuple(obs_shape):
        raise UserError(
            f"{what} was trained on frames of shape {tuple(agent.obs_shape)}, but the environment gives "
            f"{tuple(obs_shape)}; set --env.size to {agent.obs_shape[-1]}, or choose its own environment"
        )
    if len(agent.actions) != spec.num_actions:
        raise UserError(
            f"{what} has {len(agent.actions)} actions ({', '.join(agent.actions)}), but the environment has "
            f"{spec.num_actions} ({', '.join(spec.names)}); choose the game it was trained on"
        )
