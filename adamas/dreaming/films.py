"""Films for reports: an agent's dream beside its real episode, and the longest of many dreams."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import torch
from torch import Tensor

from adamas.agent import Agent, check_fits
from adamas.core.protocols import Policy, VectorEnv
from adamas.core.seeding import derive_seed
from adamas.core.types import single_context
from adamas.dreaming.continuation import Continuation, longest_dream
from adamas.dreaming.imagination import Imagination
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.media.pictures import SLOW_FPS, fitting_scale, hold_last, save_pair, save_strip
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
    """Play a real episode with the agent and, from the same first L frames on, one of its dreams.

    Args:
        agent: the agent, on ``device``.
        env_config: the game.
        seed: everything random follows from it, on the same machine.
        num_steps: largest number of steps after the first L frames.
        temperature: of the policy; 0 is greedy.
        device: where the agent computes.

    Returns:
        The real and the dreamt frames, (L + num_steps, C, H, W) uint8 each. After the end of an episode its last
        frame is repeated.

    Raises:
        UserError: the agent has no policy, or was not trained for this game.
    """
    length = agent.world_model.context_length
    generator = torch.Generator().manual_seed(derive_seed(seed, "pictures", "real"))
    with closing(make_env(env_config, 1, derive_seed(seed, "pictures", "env"), training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, "the agent")
        policy = OnHost(agent.player, device)
        real, action = play_episode(policy, env, length + num_steps - 1, generator, temperature)
    # The last frame of an episode cannot be part of the context, because nothing happens after it.
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
        for_people=True,
    )
    dream, _ = play_episode(agent.policy, imagination, num_steps, generator, temperature)
    before = context.obs[0, context.mask[0]][:-1]  # the dream's first frame is the last of its context
    dream = torch.cat((before, dream)).cpu()
    return hold_last(real, length + num_steps), hold_last(dream, length + num_steps)


@torch.no_grad()
def play_episode(
    policy: Policy, env: VectorEnv, num_steps: int, generator: torch.Generator, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """Play one episode in the first environment, of at most ``num_steps`` steps.

    Returns:
        The T + 1 frames of the episode, (T + 1, C, H, W), and its T actions, (T,) or (T, D).
    """
    position, first = start(policy, env)
    frames, actions = [first[0]], []
    for _ in range(num_steps):
        steps, position = rollout(policy, env, position, 1, generator, temperature)
        step = steps.steps[0]
        actions.append(steps.action[0, 0])
        frames.append(step.final_shown[0] if step.ended[0] else step.shown[0])
        if step.ended[0]:
            break
    return torch.stack(frames), torch.stack(actions)


def save_longest_dream(folder: Path, dreams: Continuation) -> list[Path]:
    """Save the dream that goes on longest together with its real episode, as a film and as a strip of frames.

    Args:
        folder: where; it is made if need be, and files of an earlier dream are replaced.
        dreams: dreams beside the true continuation of the same frames.

    Returns:
        The files: ``dream.gif`` and ``dream.png``.
    """
    film, frames = folder / "dream.gif", folder / "dream.png"
    real, dream = longest_dream(dreams)
    save_pair(film, real, dream, SLOW_FPS)
    save_strip(frames, [("real", real), ("dream", dream)], max(1, fitting_scale(real.shape[-2]) // 2))
    return [film, frames]
