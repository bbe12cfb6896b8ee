"""Counting of the floating-point operations (FLOPs) of a run, from the sizes in its configuration.

A multiply-add counts as two operations. Only convolutions, matrix products, attention and recurrent layers count. A
backward pass takes twice the operations of a forward pass. Networks are built from fake tensors, which have shapes but
no values, so that counting takes seconds and no memory for models of any size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch._subclasses import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from adamas.agent import Agent, AgentConfig
from adamas.bench.contents import phases
from adamas.diffusion.denoiser import FrameDiffusionConfig
from adamas.diffusion.samplers import SamplerConfig, sample_path
from adamas.training.config import Config

TRAINING = 3  # cost of a forward and a backward pass, in forward passes


@dataclass(frozen=True)
class Flops:
    """Numbers of floating-point operations in a run.

    Attributes:
        denoiser: of one forward pass for one frame (in two-stage models, for one small frame).
        dream_step: of one step of one dream: the policy if there is one, the next frame, its reward and end, the
            upsampler.
        updates: of one update, by phase.
    """

    denoiser: float
    dream_step: float
    updates: Mapping[str, float]


def count_flops(work: Callable[[], object]) -> int:
    """Call ``work`` and count its operations. Recurrent layers on a CPU and other threads are not counted."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def run_flops(config: Config, agent: AgentConfig) -> Flops:
    """Count the operations of a run of ``config``, for an agent of the sizes in ``agent``.

    Networks must not have been compiled in this process, because compilers do not support fake tensors.
    """
    denoiser, reward_end, policy, upsampler = _frame_flops(agent)
    parts, training, game = config.world_model, config.training, config.game_parts
    frame = _calls(parts.sampler) * denoiser + reward_end + policy
    if parts.upsampler is not None:
        frame += _calls(parts.upsampler.sampler) * upsampler
    of_segment = {
        "denoiser": _targets(parts.denoiser) * denoiser,
        "reward_end": (parts.sequence_length(config.horizon) - 1) * reward_end,
        "upsampler": _targets(parts.upsampler) * upsampler,
    }
    names = phases(config, agent)
    known: dict[str, float] = {
        name: TRAINING * training.component(name).batch_size * of_segment[name]
        for name in names
        if name in of_segment
    }
    if game is not None:
        # A dream that reaches its horizon restarts with a burn-in. Earlier ends cannot be predicted and are left out.
        burn_in = (parts.denoiser.network.context_length - 1) / config.horizon * (reward_end + policy)
        imagined = game.training.steps_per_update * (frame + (TRAINING - 1) * policy + burn_in)
        real_steps = game.collection.num_envs * game.training.steps_per_update
        known["actor_critic"] = game.training.num_dreams * (imagined + policy)
        # In runs without a world model, the policy learns from real steps.
        known["collect"] = TRAINING * real_steps * policy
    return Flops(denoiser, frame, {name: known[name] for name in names})


def _calls(sampler: SamplerConfig) -> int:
    """Number of calls of the network for one frame, counted while a tiny frame is drawn."""
    levels: list[Tensor] = []

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        levels.append(sigma)
        return x

    sample_path(denoise, torch.zeros(1, 1, 1, 1), replace(sampler, s_churn=0.0))
    return len(levels)


def _targets(config: FrameDiffusionConfig | None) -> int:
    """Number of target frames in a segment of a denoiser or an upsampler."""
    return 0 if config is None else 1 + config.num_autoregressive_steps


@torch.no_grad()
def _frame_flops(config: AgentConfig) -> tuple[int, int, int, int]:
    """Count the operations of one forward pass of each network.

    Returns:
        Operations of the denoiser per frame, the reward/end model per transition, the policy and upsampler per frame;
        0 for a network that the agent does not have.
    """
    spec, obs_shape = config.actions, config.obs_shape
    small_shape = config.world_model.small_shape(obs_shape)
    length = config.world_model.denoiser.network.context_length
    one = SamplerConfig(num_steps=1)
    with FakeTensorMode(allow_non_fake_inputs=True):
        agent = Agent(config)
        frames = torch.zeros((1, length, *small_shape))
        action = torch.zeros((1, length, *spec.shape), dtype=spec.dtype)
        full = torch.zeros((1, *obs_shape))
    model, policy = agent.world_model, agent.actor_critic
    denoiser = count_flops(lambda: model.denoiser.path(frames[:, 0], frames, action, one))
    seen = judged = upsampled = 0
    if policy is not None:
        seen = count_flops(lambda: policy(full.byte(), policy.initial_state(1)))
    if (judge := model.reward_end) is not None:
        pair = torch.cat((frames[:, 0], frames[:, 1]), dim=1)
        judged = count_flops(lambda: judge.encoder(pair, judge.act_emb(action[:, 0])))
        judged += _lstm_flops(judge.lstm) + count_flops(
            lambda: judge.head(pair.new_zeros(1, judge.lstm.hidden_size))
        )
    if (upsampler := model.upsampler) is not None:
        past = upsampler.config.network.context_length
        known = full[:, None].expand(1, past + 1, *obs_shape)  # past frames, and the enlarged small frame
        upsampled = count_flops(lambda: upsampler.path(full, known, None, one))
    return denoiser, judged, seen, upsampled


def _lstm_flops(lstm: nn.LSTM) -> int:
    """Operations of one LSTM step of one sequence: four gates, each from the input and the state."""
    return 2 * 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)
