"""The operations of a frame follow the sampler."""

from __future__ import annotations

from dataclasses import replace

import pytest

from adamas.agent import AgentConfig
from adamas.bench.flops import run_flops
from adamas.core.actions import ActionSpec
from adamas.diffusion.samplers import SamplerName
from adamas.presets import paper, preset


@pytest.mark.parametrize(("method", "calls"), [("euler", 4), ("heun", 7)])
def test_a_frame_costs_as_many_network_calls_as_its_sampler_makes(method: SamplerName, calls: int) -> None:
    def frame(num_steps: int, method: SamplerName) -> int:
        config = preset("debug")
        model, _ = paper.parts(config)
        sampler = replace(model.sampler, num_steps=num_steps, method=method, s_churn=1.0)
        config = replace(config, world_model=replace(model, sampler=sampler))
        actions = ActionSpec.discrete(("noop", "fire"))
        agent = AgentConfig(
            obs_shape=(3, 16, 16),
            actions=actions,
            world_model=config.world_model,
            actor_critic=config.actor_critic,
        )
        return int(run_flops(config, agent).dream_step)

    one, two = frame(1, "euler"), frame(2, "euler")
    assert frame(4, method) - one == (calls - 1) * (two - one)
