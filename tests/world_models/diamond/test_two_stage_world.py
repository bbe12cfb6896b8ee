"""A world model of two stages: small frames are dreamt, full ones drawn from them and shown."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import nn

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch, to_model_range, to_pixels
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.world_models.diamond.world import Diamond, DiamondConfig
from tests.helpers.tensors import seeded
from tests.helpers.tiny_agent import fill_zeros, tiny_network, tiny_reward_end

L = 3
SECOND = UpsamplerConfig(
    network=tiny_network(cond_channels=8, levels=2),
    factor=2,
    sampler=SamplerConfig(num_steps=2),
)
CONFIG = DiamondConfig(
    denoiser=EdmConfig(network=tiny_network(L, cond_channels=12, levels=2)),
    reward_end=None,
    upsampler=SECOND,
)
SPEC = ActionSpec(buttons=("left", "right"))


def make(config: DiamondConfig = CONFIG) -> Diamond:
    torch.manual_seed(0)
    model = Diamond(config, (3, 12, 20), SPEC)
    fill_zeros(model)
    return model


def make_batch(num_frames: int, batch_size: int = 2) -> Batch:
    generator, shape = seeded(5), (batch_size, num_frames - 1)
    mask = torch.ones(batch_size, num_frames, dtype=torch.bool)
    mask[-1, 0] = False
    return Batch(
        obs=torch.randint(256, (batch_size, num_frames, 3, 12, 20), generator=generator).byte(),
        action=torch.randint(2, (*shape, 2), generator=generator).float(),
        reward=torch.zeros(shape),
        terminated=torch.zeros(shape).bool(),
        truncated=torch.zeros(shape).bool(),
        mask=mask,
    )


def test_a_dream_begins_with_small_frames_and_the_last_full_ones() -> None:
    model, context = make(), make_batch(L)
    state, _ = model.start(context)
    assert state.keys() == {"obs", "full", "action"}
    assert model.upsampler is not None
    small = to_model_range(model.upsampler.shrink(context.obs), context.mask)
    assert state["obs"].shape == (2, L, 3, 6, 10) and torch.equal(state["obs"], small)
    assert torch.equal(state["full"], to_model_range(context.obs)[:, 1:])  # the upsampler sees two
    assert not state["obs"][-1, 0].any()  # padding


def test_a_step_draws_a_small_frame_then_the_full_one() -> None:
    model = make()
    assert model.upsampler is not None
    state, action = model.start(make_batch(L))[0], torch.tensor([[1.0, 0], [0, 1]])
    after, imagined, details = model.imagine_in_detail(state, action, seeded())

    generator = seeded()
    actions = torch.cat((state["action"], action[:, None]), dim=1)
    small = sample(model.denoiser, state["obs"], actions, CONFIG.sampler, generator=generator)
    full = model.upsampler.sample(state["full"], small, SECOND.sampler, generator=generator)
    assert torch.equal(details.path[-1], small) and len(details.path) == CONFIG.sampler.num_steps + 1
    assert torch.equal(imagined.features, to_pixels(full)) and imagined.features.shape == (2, 3, 12, 20)
    assert torch.equal(after["obs"], torch.cat((state["obs"][:, 1:], small[:, None]), dim=1))
    assert torch.equal(after["full"], torch.stack((state["full"][:, 1], full), dim=1))
    assert torch.equal(after["action"], actions[:, 1:])
    assert after.keys() == state.keys()


def test_without_a_reward_end_model_nothing_is_gained_and_nothing_ends() -> None:
    model = make()
    _, imagined, details = model.imagine_in_detail(model.start(make_batch(L))[0], torch.zeros(2, 2), seeded())
    assert imagined.reward.dtype == torch.float32 and not imagined.reward.any()
    assert imagined.terminated.dtype == torch.bool and not imagined.terminated.any()
    assert details.logits_reward is None and details.logits_end is None
    assert list(model.components(15)) == ["denoiser", "upsampler"]


def test_the_reward_end_model_judges_small_frames() -> None:
    judge = tiny_reward_end(levels=2, segment_length=5)
    model = make(replace(CONFIG, reward_end=judge))
    assert model.reward_end is not None and model.reward_end.lstm.input_size == 8 * 3 * 5
    state = model.start(make_batch(L))[0]
    assert state.keys() == {"obs", "full", "action", "hidden", "cell"}
    after, _, details = model.imagine_in_detail(state, torch.zeros(2, 2), seeded())
    assert details.logits_reward is not None and details.logits_reward.shape == (2, 3)
    assert not torch.equal(after["hidden"], state["hidden"])
    assert list(model.components(15)) == ["denoiser", "reward_end", "upsampler"]


def test_each_part_learns_from_frames_of_its_size() -> None:
    judge = tiny_reward_end(levels=2, segment_length=5)
    model = make(replace(CONFIG, reward_end=judge))
    sizes: dict[str, set[tuple[int, ...]]] = {}
    for name, part in model.components(15).items():
        first = next(m for m in part.module.modules() if isinstance(m, nn.Conv2d))
        first.register_forward_pre_hook(
            lambda _, args, name=name: sizes.setdefault(name, set()).add(args[0].shape[-2:])
        )
        loss, _ = part.loss(make_batch(part.segments.num_frames), seeded())
        loss.backward()
        assert all(p.grad is not None for p in part.module.parameters())
    assert sizes == {"denoiser": {(6, 10)}, "reward_end": {(6, 10)}, "upsampler": {(12, 20)}}


def test_what_does_not_fit_together_is_refused() -> None:
    with pytest.raises(
        UserError, match=r"`upsampler.factor` is 5, which does not divide frames of 12x20; choose"
    ):
        make(replace(CONFIG, upsampler=replace(SECOND, factor=5)))
    long = replace(SECOND, network=replace(SECOND.network, context_length=4))
    with pytest.raises(
        UserError,
        match=r"`upsampler.network.context_length` is 4, but dreams start from 3 frames; use 3 or less",
    ):
        replace(CONFIG, upsampler=long)
    with pytest.raises(UserError, match=r"`sampler.s_cond` is 0.1, but the network is not conditioned"):
        replace(CONFIG, upsampler=replace(SECOND, sampler=SamplerConfig(s_cond=0.1)))
