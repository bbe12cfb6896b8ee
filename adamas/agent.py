"""An agent: a world model and the policy that learnt in it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast, overload

import numpy as np
import torch
from torch import Tensor, nn

from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.core.kinds import first
from adamas.data.store import EpisodeStore
from adamas.diffusion.denoiser import Denoiser
from adamas.rl.action_distribution import sample_action
from adamas.rl.policy import PolicyConfig, PolicyNetwork
from adamas.world_models import registry  # noqa: F401  # makes all kinds known
from adamas.world_models.base import WorldModelConfig
from adamas.world_models.player import Player

ActState = tuple[Tensor, ...]


@dataclass(frozen=True, kw_only=True)
class AgentConfig:
    """Everything needed to build an agent before its weights are loaded."""

    obs_shape: tuple[int, int, int]
    """(C, H, W) of a frame."""
    actions: ActionSpec
    world_model: WorldModelConfig = field(default_factory=lambda: first(WorldModelConfig))
    actor_critic: PolicyConfig | None = field(default_factory=lambda: first(PolicyConfig))
    """The policy. None if there is none, because the world model was trained on recordings."""

    @classmethod
    def from_checkpoint(cls, data: Mapping[str, Any]) -> AgentConfig:
        """The agent of a checkpoint.

        Before version 0.2, a checkpoint stored the names of actions in place of an action space, and runs on recordings
        saved a policy that was never trained. Such a policy is left out.

        Args:
            data: the checkpoint's configuration: ``agent`` holds the agent's, and ``run``, if present, the run's, both
                as :func:`~adamas.core.config.to_dict` makes them.

        Raises:
            UserError: ``data`` does not describe an agent.
        """
        agent, run = data.get("agent"), data.get("run")
        if isinstance(agent, Mapping) and isinstance(agent.get("actions"), list):
            agent = {**agent, "actions": {"choices": [{"options": agent["actions"]}]}}
        if isinstance(agent, Mapping) and isinstance(run, Mapping) and run.get("data") is not None:
            agent = {**agent, "actor_critic": None}
        return from_dict(cls, agent, "agent")  # type: ignore[arg-type]  # None is refused

    def own_weights(self, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors of a checkpoint without those of a policy that the agent does not have.

        Before version 0.2, runs on recordings saved a policy as well.
        """
        dropped = "actor_critic." if self.actor_critic is None else ()
        return {name: tensor for name, tensor in tensors.items() if not name.startswith(dropped)}


class Agent(nn.Module):
    """World model and actor-critic, built for one game's frames and actions.

    Attributes:
        config: what it was built from.
        world_model: the networks that dream.
        actor_critic: the policy; None if the world model was trained on recordings. :attr:`policy` is never None.
    """

    def __init__(self, config: AgentConfig) -> None:
        super().__init__()
        self.config = config
        self.world_model = config.world_model.build(config.obs_shape, config.actions)
        self.actor_critic = (
            None
            if config.actor_critic is None
            else config.actor_critic.build(config.world_model.feature_shape(config.obs_shape), config.actions)
        )

    @property
    def denoiser(self) -> Denoiser:
        """The denoiser, which draws the next frame.

        Raises:
            UserError: its world model has none.
        """
        return cast(Denoiser, self._part("denoiser"))

    @property
    def reward_end(self) -> nn.Module:
        """The reward/end model, which judges transitions.

        Raises:
            UserError: its world model has no such part.
        """
        if not self.world_model.predicts_rewards:
            raise UserError(
                "this world model predicts neither rewards nor ends: what it learnt from has none; choose another one"
            )
        return self._part("reward_end")

    def _part(self, name: str) -> nn.Module:
        part = getattr(self.world_model, name, None)
        if not isinstance(part, nn.Module):
            raise UserError(
                f"a world model of the kind {self.config.world_model.kind} has no {name}; choose another agent"
            )
        return part

    @property
    def player(self) -> Player:
        """The world model and the actor-critic, which together choose actions in a real game.

        Raises:
            UserError: the agent has no policy.
        """
        return Player(self.world_model, self.policy)

    @property
    def policy(self) -> PolicyNetwork:
        """The actor-critic, which chooses actions.

        Raises:
            UserError: the agent has no policy.
        """
        if self.actor_critic is None:
            raise UserError(
                "this agent has no policy: its world model was trained on recordings; choose an agent that learnt in a "
                "game, or let someone else act"
            )
        return self.actor_critic

    @property
    def action_spec(self) -> ActionSpec:
        """What the agent may do."""
        return self.config.actions

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
            obs: one frame (C, H, W) or several (B, C, H, W), uint8. Channels may also come last, as in the frames of
                :func:`adamas.make_dream` and :func:`adamas.make_env`.
            state: the state that the last call returned; None at the start of an episode.
            temperature: temperature of the policy; 0 takes the most probable action.

        Returns:
            The action, and the state to pass with the next frame. For a single NumPy frame it is an int, or (D,)
            where actions are vectors; otherwise (B,) or (B, D), of the kind given.

        Raises:
            UserError: frames of another shape or dtype than the agent was trained on, or it has no policy.
        """
        player = self.player
        frames = torch.as_tensor(obs)
        single = frames.ndim == 3
        frames = frames[None] if single else frames
        channels, height, width = self.config.obs_shape
        if frames.shape[1:] == (height, width, channels) != self.config.obs_shape:
            frames = frames.permute(0, 3, 1, 2)
        if frames.dtype != torch.uint8 or frames.shape[1:] != self.config.obs_shape:
            raise UserError(
                f"the agent sees uint8 frames of shape {tuple(self.config.obs_shape)}, "
                f"got {frames.dtype} {tuple(frames.shape[1:])}; use the environment it was trained on"
            )
        frames = frames.to(runtime.device_of(self))
        if state is None:
            state = player.initial_state(len(frames))
        output = player(frames, state)
        action = sample_action(self.action_spec, output.logits, _act_generator(frames.device), temperature)
        state = player.remember(output.state, action)
        if isinstance(obs, Tensor):
            return (action[0] if single else action), state
        numbers = action.cpu().numpy()
        if single:
            return (int(numbers[0]) if self.action_spec.is_discrete else numbers[0]), state
        return numbers, state


def _act_generator(device: torch.device) -> torch.Generator:
    """PyTorch's global generator, which ``torch.manual_seed`` seeds."""
    if device.type == "cuda":
        return torch.cuda.default_generators[device.index or 0]
    if device.type == "mps":
        return torch.mps._get_default_mps_generator()
    return torch.default_generator


def check_fits(agent: AgentConfig, obs_shape: tuple[int, int, int], spec: ActionSpec, what: str) -> None:
    """Check that an environment has the frames and the actions that an agent was trained for.

    Args:
        agent: configuration of the agent.
        obs_shape: (C, H, W) of the environment's frames.
        spec: the environment's actions. Their names may differ from the agent's.
        what: name of the agent, for error messages.

    Raises:
        UserError: frames of another shape, or other actions.
    """
    if tuple(agent.obs_shape) != tuple(obs_shape):
        _, height, width = agent.obs_shape
        options = f"`env.size` to {height}" + (f" and `env.width` to {width}" if width != height else "")
        raise UserError(
            f"{what} was trained on frames of shape {tuple(agent.obs_shape)}, but the environment gives "
            f"{tuple(obs_shape)}; set {options}, or choose the environment it was trained on"
        )
    if agent.actions.kind != spec.kind:
        raise UserError(
            f"{what} has {agent.actions}, but the environment has {spec}; choose the environment it was trained on"
        )


def check_dataset_fits(
    store: EpisodeStore, obs_shape: tuple[int, int, int], what: str, spec: ActionSpec | None = None
) -> None:
    """Check that a dataset has the frames, and if asked the actions, that an agent was trained for.

    Args:
        store: the dataset.
        obs_shape: (C, H, W) of the frames that the agent sees.
        what: name of the agent, for error messages.
        spec: the agent's actions, if the dataset will be extended and must therefore hold the same ones. None accepts
            any, because actions that are read are checked one by one.

    Raises:
        UserError: frames of another shape, or other actions.
    """
    if tuple(store.obs_shape) != tuple(obs_shape):
        raise UserError(
            f"{store.folder} holds frames of shape {tuple(store.obs_shape)}, but {what} sees {tuple(obs_shape)}; "
            "choose another dataset"
        )
    if spec is None:
        return
    known = store.action_spec  # None in datasets of one discrete action whose options have no names
    if not (spec.is_discrete if known is None else known.kind == spec.kind):
        raise UserError(
            f"{store.folder} holds other actions than {what} has ({spec}); choose another dataset"
        )
