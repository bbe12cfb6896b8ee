"""Films of dreams: an agent's dream beside its real episode."""

from __future__ import annotations

from contextlib import closing

import torch
from torch import Tensor

from adamas.agent import Agent, check_fits
from adamas.core.protocols import Policy, VectorEnv
from adamas.core.seeding import derive_seed
from adamas.core.types import single_context
from adamas.dreaming.imagination import Imagination
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.media.pictures import hold_last
from adamas.rl.rollout import OnHost, rollout, start


def agent_and_dream(
    agent: Agent,
    env_config: EnvConfig,
    *,
    seed: int,
    num_steps: int,
    temperature: float = 1.0,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The agent playing a real episode and, from the same first L frames on, its own dream.

    Args:
        agent: the agent, on ``device``.
        env_config: the game.
        seed: everything random follows from it, on the same machine.
        num_steps: steps after the first L frames, at most.
        temperature: of the policy; 0 is greedy.
        device: where the agent computes.

    Returns:
        The real and the dreamt frames, (L + num_steps, C, H, W) each. Where an episode ends before, its last
        frame stays.

    Raises:
        UserError: an environment the agent was not trained for.
    """
    length = agent.world_model.context_length
    generator = torch.Generator().manual_seed(derive_seed(seed, "pictures", "real"))
    with closing(make_env(env_config, 1, derive_seed(seed, "pictures", "env"), training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, "the agent")
        policy = OnHost(agent.actor_critic, device)
        real, action = play_episode(policy, env, length + num_steps - 1, generator, temperature)
    # The last frame of an episode is left out: nothing happens after it.
    known = min(length, len(action))
    context = single_context(real[:known], action[: known - 1], length).to(device)
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "pictures", "dream"))
    imagination = Imagination(
        agent.world_model,
        lambda _: context,
        num_envs=1,
        horizon=num_steps,
        obs_shape=agent.config.obs_shape,
        action_spec=agent.action_spec,
        generator=generator,
    )
    dream, _ = play_episode(agent.actor_critic, imagination, num_steps, generator, temperature)
    before = context.obs[0, context.mask[0]][:-1]  # the dream's first frame is the last of its context
    dream = torch.cat((before, dream)).cpu()
    return hold_last(real, length + num_steps), hold_last(dream, length + num_steps)


@torch.no_grad()
def play_episode(
    policy: Policy, env: VectorEnv, num_steps: int, generator: torch.Generator, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One episode in the first environment, or as much of it as ``num_steps`` steps hold.

    Returns:
        Its frames (T + 1, C, H, W), the last one included, and its actions (T,) or (T, K).
    """
    position = start(policy, env)
    frames, actions = [position.obs[0]], []
    for _ in range(num_steps):
        steps, position = rollout(policy, env, position, 1, generator, temperature)
        step = steps.steps[0]
        actions.append(steps.action[0, 0])
        frames.append(step.final_obs[0] if step.ended[0] else step.obs[0])
        if step.ended[0]:
            break
    return torch.stack(frames), torch.stack(actions)
