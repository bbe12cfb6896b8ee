"""What an agent's ONNX models compute: each of its networks on a single step, with its state passed in and out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Generator, Tensor, nn

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.core.types import to_model_range
from adamas.diffusion.denoiser import to_levels
from adamas.diffusion.edm import EdmDenoiser
from adamas.rl.action_distribution import num_parameters, sample_action
from adamas.rl.actor_critic import ActorCritic
from adamas.world_models.diamond.reward_end import RewardEndModel
from adamas.world_models.diamond.world import Diamond


class Parts(NamedTuple):
    """The parts of an agent that can be exported."""

    world_model: Diamond
    denoiser: EdmDenoiser
    reward_end: RewardEndModel
    policy: ActorCritic


def parts_of(agent: Agent) -> Parts:
    """The parts of an agent, each of the only kind that can be exported.

    Raises:
        UserError: a part is missing, or it is of another kind.
    """
    model, kind = agent.world_model, agent.config.world_model.kind
    if not isinstance(model, Diamond):
        raise UserError(
            f"only diffusion world models (kind diamond) can be exported, and this agent's is of the kind {kind}; "
            "choose another agent"
        )
    if model.reward_end is None:
        raise UserError(
            "the world model predicts neither rewards nor ends and cannot be exported; choose one that does"
        )
    if not isinstance(model.denoiser, EdmDenoiser):
        raise UserError("only EDM denoisers can be exported, and this agent has a DDPM one; train with edm")
    if not isinstance(agent.policy, ActorCritic):
        raise UserError(
            "only policies of the kind residual can be exported, and this agent has another one; choose another agent"
        )
    return Parts(model, model.denoiser, model.reward_end, agent.policy)


class DenoiseStep(nn.Module):
    """What the sampler calls: from a noisy frame to the clean one that the model sees in it.

    Where the agent cuts frames down to 256 levels, the second output is the frame before that. The smallest difference
    makes a value jump to the next level, so it is by the second that implementations are compared.
    """

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.denoiser = parts_of(agent).denoiser
        self.outputs = ("denoised", "estimate") if self.denoiser.config.quantise else ("denoised",)

    def forward(
        self, noisy: Tensor, sigma: Tensor, prev_obs: Tensor, prev_action: Tensor
    ) -> tuple[Tensor, ...]:
        """(B, C, H, W), (B,), (B, L, C, H, W), (B, L) or (B, L, K) -> one or two times (B, C, H, W)."""
        # Not denoise(): it asks for the length of the batch, which the exporter would then fix.
        cond, origin = self.denoiser.conditioners(sigma), self.denoiser.origin(prev_obs)
        noisy = noisy - origin
        scaled = prev_obs / self.denoiser.config.sigma_data
        output = self.denoiser.inner_model(noisy * cond.c_in, cond.c_noise, scaled, prev_action)
        estimate = origin + cond.c_skip * noisy + cond.c_out * output
        return (to_levels(estimate), estimate) if self.denoiser.config.quantise else (estimate,)


class JudgeStep(nn.Module):
    """The reward/end model on one transition."""

    outputs = ("logits_reward", "logits_end", "next_hidden", "next_cell")

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.model = parts_of(agent).reward_end

    def forward(
        self, obs: Tensor, action: Tensor, next_obs: Tensor, hidden: Tensor, cell: Tensor
    ) -> tuple[Tensor, ...]:
        """(B, C, H, W), (B,) or (B, K), (B, C, H, W), twice (B, lstm_dim) -> (B, 3), (B, 2), twice (B, lstm_dim)."""
        reward, end, state = self.model(obs[:, None], action[:, None], next_obs[:, None], (hidden, cell))
        return reward[:, 0], end[:, 0], *state


class ActStep(nn.Module):
    """The actor-critic. It sees pixels, as it does everywhere: a dream's frames are rounded before it looks at them."""

    outputs = ("logits", "value", "next_hidden", "next_cell")

    def __init__(self, agent: Agent) -> None:
        super().__init__()
        self.model = parts_of(agent).policy

    def forward(self, obs: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, ...]:
        """(B, C, H, W) uint8, twice (B, lstm_dim) -> (B, P), (B,), twice (B, lstm_dim)."""
        logits, value, state = self.model(obs, (hidden, cell))
        return logits, value, *state


Step = DenoiseStep | JudgeStep | ActStep
MODELS: Mapping[str, Callable[[Agent], Step]] = {
    "denoiser": DenoiseStep,
    "reward_end": JudgeStep,
    "actor_critic": ActStep,
}
"""How each model is made of an agent; its file is called after it."""


def draw_inputs(
    agent: Agent, frames: Tensor, sigma: float, generator: Generator
) -> dict[str, dict[str, Tensor]]:
    """Inputs of each model by name, such as a dream has.

    Args:
        agent: for its sizes.
        frames: (B, L, C, H, W) uint8.
        sigma: noise level.
        generator: source of the noise, the actions and the recurrent states.
    """
    b, length = frames.shape[:2]
    obs = to_model_range(frames)
    parts = parts_of(agent)
    dims = parts.reward_end.config.lstm_dim, parts.policy.config.lstm_dim
    judge, act = (
        {name: torch.rand(b, dim, generator=generator) * 2 - 1 for name in ("hidden", "cell")} for dim in dims
    )
    spec = agent.action_spec
    undecided = torch.zeros(b * length, num_parameters(spec))
    actions = sample_action(spec, undecided, generator).view(b, length, *spec.shape)
    noise = torch.randn(obs[:, -1].shape, generator=generator)
    return {
        "denoiser": {
            "noisy": obs[:, -1] + sigma * noise,
            "sigma": torch.full((b,), sigma),
            "prev_obs": obs,
            "prev_action": actions,
        },
        "reward_end": {"obs": obs[:, 0], "action": actions[:, -1], "next_obs": obs[:, -1], **judge},
        "actor_critic": {"obs": frames[:, -1], **act},
    }


class PaddedConv(nn.Module):
    """A convolution that gets channels of zeros besides its own, up to a multiple of four.

    onnxruntime's WebGPU (1.30) computes something else where there are 6, 9 or 15, as in the first layers here.
    """

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.padding = (0, 0, 0, 0, 0, -conv.in_channels % 4)
        self.conv = conv
        conv.weight = nn.Parameter(F.pad(conv.weight, self.padding))

    def forward(self, x: Tensor) -> Tensor:
        """(B, in_channels, H, W) -> what the convolution makes of it."""
        return self.conv(F.pad(x, self.padding))


def pad_channels(module: nn.Module) -> None:
    """Put a :class:`PaddedConv` in the place of every convolution that needs one."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and child.in_channels > 4 and child.in_channels % 4:
            setattr(module, name, PaddedConv(child))
        else:
            pad_channels(child)
