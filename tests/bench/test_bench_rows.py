"""Every row of the benchmark does its work, for every kind of run."""

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from adamas.bench.compare import plain
from adamas.bench.contents import STAND_INS, StandIn, agent_config, outline, stand_in_note, with_recordings
from adamas.bench.flops import count_flops
from adamas.bench.workloads import rows_of, small_run
from adamas.core.errors import UserError
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs.config import GymnasiumConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import PRESETS, paper, preset
from adamas.training.config import Config
from adamas.training.source import on_recordings


def test_the_plain_way_differs_in_nothing_but_how_it_computes() -> None:
    config = replace(preset("quickstart"), seed=3)
    slow = plain(config)
    assert slow.num_shards == 1
    assert slow.runtime.memory_format == "contiguous"
    assert slow.runtime.allocator == "default"
    assert slow.runtime.threads is None
    assert replace(slow, num_shards=config.num_shards, runtime=config.runtime) == config


def test_operations_of_a_convolution_are_counted() -> None:
    conv, x = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.zeros(2, 3, 8, 8)
    assert count_flops(lambda: conv(x)) == 2 * (2 * 8 * 8) * 5 * (3 * 3 * 3)


class Lever(gymnasium.Env[Any, Any]):
    """A game with a lever, of episodes that never end."""

    observation_space = Box(0, 255, (16, 16, 3), np.uint8)
    action_space = Box(-2.0, 2.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((16, 16, 3), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.full((16, 16, 3), 9, np.uint8), float(action[0]), False, False, {}


gymnasium.register("AdamasBenchLever-v0", lambda **options: Lever(**options))


def tiny(kind: str) -> Config:
    """The debug preset, as a run of another kind."""
    config = preset("debug")
    match kind:
        case "game":
            return config
        case "no world model":
            return replace(config, imagination="off")
        case "vector actions":
            return replace(config, env=GymnasiumConfig(game="AdamasBenchLever-v0", size=16))
        case "recordings":
            return on_recordings(config, "cars")
        case "two stages, no labels":
            upsampler = UpsamplerConfig(
                network=FrameNetworkConfig(
                    context_length=1, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
                ),
                factor=2,
                sampler=SamplerConfig(num_steps=1),
            )
            config = on_recordings(config, "doom")
            model, training = paper.parts(config)
            model = replace(model, reward_end=None, upsampler=upsampler)
            training = replace(training, reward_end=None, upsampler=training.denoiser)
            return replace(config, world_model=model, training=training)
    raise ValueError(kind)


@pytest.fixture
def small_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up recordings of small frames."""
    for name, known in STAND_INS.items():
        monkeypatch.setitem(STAND_INS, name, StandIn((3, 16, 24), known.action_spec))


DREAMS = {
    "denoiser forward, batch 1",
    "denoiser forward, batch 32",
    "dream step, batch 1",
    "dream step, batch 32",
    "denoiser update",
    "replay draw",
    "quickstart epoch",
}
JUDGES = {"reward-end forward, batch 1", "reward-end forward, batch 32", "reward-end update"}
PLAYS = JUDGES | {"actor-critic update", "environment step"}
ENLARGES = {"upsampler forward, batch 1", "upsampler forward, batch 32", "upsampler update"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("game", DREAMS | PLAYS),
        ("vector actions", DREAMS | PLAYS),
        ("no world model", {"model-free update", "environment step", "quickstart epoch"}),
        ("recordings", DREAMS | JUDGES),
        ("two stages, no labels", DREAMS | ENLARGES),
    ],
)
def test_every_row_of_every_kind_of_run_does_its_work(
    kind: str, names: set[str], small_stand_ins: None, tmp_path: Path
) -> None:
    config = tiny(kind)
    rows = rows_of(config, outline(agent_config(config)))
    assert set(rows) == names
    with closing(small_run(config, tmp_path / "run")) as trainer:
        for name, row in rows.items():
            if name != "quickstart epoch" or kind == "game":  # of another preset, so the same for every kind
                work = row.work(trainer)
                work.do()
                assert work.units >= 1


@pytest.mark.parametrize("name", [name for name in PRESETS if preset(name).data])
def test_presets_on_recordings_have_stand_ins_of_their_shape(name: str) -> None:
    """Without a folder of that name, which nobody has where tests run."""
    config = preset(name)
    agent = agent_config(config)
    expected = {
        "static": ((3, 64, 64), (), torch.int64),
        "static-small": ((3, 32, 32), (), torch.int64),
        "vizdoom": ((3, 120, 160), (), torch.int64),
        "driving": ((3, 96, 96), (3,), torch.float32),
        "csgo": ((3, 150, 280), (51,), torch.float32),
    }
    assert (agent.obs_shape, agent.actions.shape, agent.actions.dtype) == expected[name]
    assert re.match(
        rf"no recordings in {config.data}: made-up frames of \d+x\d+ with ", stand_in_note(config)
    )


def test_recordings_at_hand_are_used(tmp_path: Path) -> None:
    config = tiny("recordings")
    made_up = with_recordings(replace(config, data="recordings"), tmp_path / "mine")
    assert agent_config(made_up).obs_shape == (3, 64, 64)
    assert with_recordings(made_up, tmp_path / "other") is made_up
    assert stand_in_note(made_up) == ""
    with pytest.raises(UserError, match="there are no recordings in nowhere; name their folder with `data`"):
        agent_config(replace(config, data="nowhere"))
