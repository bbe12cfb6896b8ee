"""Floating-point operations of the three kinds of updates, from the sizes in a configuration.

A multiply-add counts as two operations; only convolutions, matrix products and recurrent layers count. Going
backward through a network takes twice the operations of going forward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from adamas.agent import Agent
from adamas.diffusion.samplers import SamplerConfig
from adamas.training.config import Config

TRAINING = 3  # forward once, backward for two


def count_flops(work: Callable[[], object]) -> int:
    """Operations of one call, which is made; those of recurrent layers on a CPU, and of other threads, are not seen."""
    with FlopCounterMode(display=False) as counter:
        work()
    return int(counter.get_total_flops())


def update_flops(config: Config, agent: Agent) -> Mapping[str, float]:
    """Operations of one update of ``denoiser``, ``reward_end`` and ``actor_critic``.

    Args:
        config: of the run.
        agent: one of the run's sizes, on the CPU.
    """
    denoiser, reward_end, policy = _frame_flops(agent)
    length = agent.world_model.context_length
    targets = config.denoiser.batch_size * (1 + config.world_model.denoiser.num_autoregressive_steps)
    segments = agent.world_model.components(config.policy.horizon)["reward_end"].segments
    transitions = config.reward_end.batch_size * (segments.num_frames - 1)
    sampler, training = config.world_model.sampler, config.policy
    calls = sampler.num_steps if sampler.order == 1 else 2 * sampler.num_steps - 1
    # A dream that has reached its horizon is burnt in anew; ends before it are not foreseen here.
    burn_in = (length - 1) / training.horizon * (reward_end + policy)
    step = calls * denoiser + reward_end + TRAINING * policy + burn_in
    return {
        "denoiser": TRAINING * targets * denoiser,
        "reward_end": TRAINING * transitions * reward_end,
        "actor_critic": training.num_dreams * (training.steps_per_update * step + policy),
    }


@torch.no_grad()
def _frame_flops(agent: Agent) -> tuple[int, int, int]:
    """Going forward once: the denoiser on a frame, the reward/end model on a transition, the policy on a frame."""
    model, policy = agent.world_model, agent.actor_critic
    length = model.context_length
    frames = torch.zeros((1, length, *agent.config.obs_shape))
    action = torch.zeros((1, length), dtype=torch.int64)
    lstm = agent.reward_end.lstm
    return (
        count_flops(lambda: model.denoiser.path(frames[:, 0], frames, action, SamplerConfig(num_steps=1))),
        count_flops(lambda: agent.reward_end(frames[:, :1], action[:, :1], frames[:, :1]))
        + _lstm_flops(lstm),
        count_flops(lambda: policy(frames[:, 0].byte(), policy.initial_state(1))),
    )


def _lstm_flops(lstm: nn.LSTM) -> int:
    """One step of one sequence: four gates from the input and the state."""
    return 2 * 4 * lstm.hidden_size * (lstm.input_size + lstm.hidden_size)
