"""A small agent with random weights, and its dreams in PyTorch."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.types import Batch
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig
from adamas.world_models.diamond.world import DiamondConfig
from tests.helpers.tiny_agent import fill_zeros

L = 2
SHAPE = (3, 6, 8)
# Not cut down to levels, so that whole dreams can be compared closely.
CONFIG = AgentConfig(
    obs_shape=SHAPE,
    actions=ActionSpec.discrete(("noop", "fire", "right", "left", "leftfire")),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=L, cond_channels=8, depths=(1,), channels=(4,), attn_depths=(False,)
            ),
            quantise=False,
        ),
        reward_end=RewardEndConfig(
            lstm_dim=6, cond_channels=4, depths=(1,), channels=(4,), attn_depths=(False,)
        ),
        sampler=SamplerConfig(num_steps=2),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=5, channels=(4,), down=(True,)),
)


def make_agent(config: AgentConfig) -> Agent:
    """Random weights, also where training starts from zeros. Its dreams hardly ever end."""
    torch.manual_seed(0)
    agent = Agent(config).eval()
    fill_zeros(agent, std=0.3)
    head: Any = agent.reward_end.head
    first, last = head[0], head[2]
    nn.init.constant_(first.bias, 5)
    nn.init.constant_(last.weight[3], 0.3)  # it goes on
    nn.init.constant_(last.weight[4], -0.3)  # it ends
    return agent


@torch.no_grad()
def dream(agent: Agent, context: Batch, actions: list[int]) -> SimpleNamespace:
    """A dream in PyTorch: at each step the noise that it began with, its frame, and what came of it."""
    model, generator = agent.world_model, Generator().manual_seed(1)
    state, _ = model.start(context)
    lstm = agent.policy.initial_state(1)
    for t in range(L):
        output = agent.policy(context.obs[:, t], lstm)
        lstm = output.state
    steps: dict[str, list[Any]] = {
        name: [] for name in ("noise", "frame", "reward", "end", "logits", "value")
    }
    for action in actions:
        same = Generator()
        same.set_state(generator.get_state())
        steps["noise"].append(torch.randn((1, *SHAPE), generator=same))
        state, imagined, details = model.imagine_in_detail(state, torch.tensor([action]), generator)
        output = agent.policy(imagined.features, lstm)
        lstm = output.state
        for name, value in (
            ("frame", details.path[-1]),
            ("reward", details.logits_reward),
            ("end", details.logits_end),
            ("logits", output.logits),
            ("value", output.value),
        ):
            steps[name].append(value)
    return SimpleNamespace(**{name: torch.stack(values).numpy() for name, values in steps.items()})


def read_contexts(site: Path) -> Batch:
    """The contexts of a page, as its format says."""
    data, k = (site / "contexts.bin").read_bytes(), 32
    actions = np.frombuffer(data, "<i4", k * (L - 1)).reshape(k, L - 1).astype(np.int64)
    obs = np.frombuffer(data, np.uint8, offset=actions.size * 4).reshape(k, L, *SHAPE).copy()
    none = torch.zeros(k, L - 1, dtype=torch.bool)
    return Batch(
        obs=torch.from_numpy(obs),
        action=torch.from_numpy(actions),
        reward=none.float(),
        terminated=none,
        truncated=none,
        mask=torch.ones(k, L, dtype=torch.bool),
    )


def close(a: Any, b: Any, tolerance: float = 1e-4) -> bool:
    return bool(np.abs(np.asarray(a) - np.asarray(b)).max() < tolerance)
