"""The world model: its state is all there is, and a step is a frame drawn, then judged."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from adamas.core.actions import ActionSpec
from adamas.core.seeding import sample_categorical
from adamas.core.types import Batch, to_model_range, to_pixels
from adamas.diffusion.denoiser import sample
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.world_models.diamond.world import Diamond, DiamondConfig
from tests.helpers.tensors import seeded
from tests.helpers.tiny_agent import fill_zeros, tiny_network, tiny_reward_end

L = 3
CONFIG = DiamondConfig(
    denoiser=EdmConfig(network=tiny_network(L, cond_channels=12, levels=2)),
    reward_end=tiny_reward_end(levels=2, segment_length=9),
)


@pytest.fixture
def diamond() -> Diamond:
    torch.manual_seed(0)
    diamond = Diamond(CONFIG, (3, 8, 8), ActionSpec.numbered(4))
    fill_zeros(diamond)
    return diamond


def make_context(batch_size: int = 2) -> Batch:
    generator = seeded(5)
    nothing = torch.zeros(batch_size, L - 1, dtype=torch.bool)
    mask = torch.ones(batch_size, L, dtype=torch.bool)
    mask[-1, 0] = False
    return Batch(
        obs=torch.randint(256, (batch_size, L, 3, 8, 8), generator=generator).to(torch.uint8),
        action=torch.randint(4, (batch_size, L - 1), generator=generator),
        reward=nothing.float(),
        terminated=nothing,
        truncated=nothing,
        mask=mask,
    )


def test_burn_in_runs_the_reward_end_model_over_the_context(diamond: Diamond) -> None:
    context = make_context()
    state, _ = diamond.start(context)
    frames = to_model_range(context.obs)
    frames[-1, 0] = 0  # padding is mid-grey
    assert torch.equal(state["obs"], frames) and torch.equal(state["action"], context.action)
    lstm = None
    assert diamond.reward_end is not None
    for t in range(L - 1):  # one transition at a time
        _, _, lstm = diamond.reward_end(
            frames[:, t : t + 1], context.action[:, t : t + 1], frames[:, t + 1 : t + 2], lstm
        )
    assert lstm is not None
    torch.testing.assert_close(state["hidden"], lstm[0])
    torch.testing.assert_close(state["cell"], lstm[1])
    assert state["hidden"].any()


def test_a_step_draws_a_frame_then_judges_the_transition(diamond: Diamond) -> None:
    state, action = diamond.start(make_context())[0], torch.tensor([3, 0])
    after, imagined = diamond.imagine(state, action, seeded())

    generator = seeded()
    actions = torch.cat((state["action"], action[:, None]), dim=1)
    frame = sample(diamond.denoiser, state["obs"], actions, CONFIG.sampler, generator=generator)
    lstm = (state["hidden"], state["cell"])
    assert diamond.reward_end is not None
    reward, end, lstm = diamond.reward_end(state["obs"][:, -1:], action[:, None], frame[:, None], lstm)
    torch.testing.assert_close(after["hidden"], lstm[0])
    torch.testing.assert_close(after["cell"], lstm[1])
    assert torch.equal(imagined.features, to_pixels(frame))
    assert torch.equal(imagined.reward, sample_categorical(reward[:, 0], generator) - 1.0)
    assert torch.equal(imagined.terminated, sample_categorical(end[:, 0], generator) == 1)
    # The window of frames and actions has moved on by one.
    assert torch.equal(after["obs"], torch.cat((state["obs"][:, 1:], frame[:, None]), dim=1))
    assert torch.equal(after["action"], actions[:, 1:])


def test_types_shapes_and_ranges(diamond: Diamond) -> None:
    state, generator = diamond.start(make_context())[0], seeded()
    rewards, ends = set(), set()
    for _ in range(20):
        state, (obs, reward, terminated, _) = diamond.imagine(state, torch.tensor([1, 2]), generator)
        assert obs.dtype == torch.uint8 and obs.shape == (2, 3, 8, 8)
        assert reward.dtype == torch.float32 and reward.shape == (2,)
        assert terminated.dtype == torch.bool and terminated.shape == (2,)
        assert {name: tuple(x.shape) for name, x in state.items()} == {
            "obs": (2, L, 3, 8, 8),
            "action": (2, L - 1),
            "hidden": (2, 8),
            "cell": (2, 8),
        }
        assert state["obs"].abs().max() <= 1 and not any(x.requires_grad for x in state.values())
        rewards |= set(reward.tolist())
        ends |= set(terminated.tolist())
    assert rewards == {-1.0, 0.0, 1.0} and ends == {False, True}


def test_a_step_depends_on_its_arguments_alone(diamond: Diamond) -> None:
    state, action = diamond.start(make_context())[0], torch.tensor([1, 2])
    before = {name: x.clone() for name, x in state.items()}
    after, imagined = diamond.imagine(state, action, seeded())
    diamond.imagine(after, action, seeded(3))  # another dream in between
    again, same = diamond.imagine(state, action, seeded())
    assert all(torch.equal(x, y) for x, y in zip(imagined[:3], same[:3], strict=True))
    assert all(torch.equal(after[name], again[name]) for name in after)
    assert all(torch.equal(state[name], before[name]) for name in before)
    _, other = diamond.imagine(state, action, seeded(1))
    assert not torch.equal(imagined.features, other.features)


def test_dreams_do_not_touch_each_other(diamond: Diamond) -> None:
    """Replacing the second dream of two leaves the first as it was."""
    state = diamond.start(make_context())[0]
    changed = {name: torch.cat((x[:1], x[:1])) for name, x in state.items()}
    after, _ = diamond.imagine(state, torch.tensor([1, 2]), seeded())
    other, _ = diamond.imagine(changed, torch.tensor([1, 3]), seeded())
    for name, x in after.items():
        torch.testing.assert_close(x[0], other[name][0], atol=2 / 255 + 1e-6, rtol=0)
    assert (after["obs"][1] - other["obs"][1]).abs().max() > 0.1


def test_components_in_the_order_of_training(diamond: Diamond) -> None:
    components = diamond.components(15)
    assert list(components) == ["denoiser", "reward_end"]
    assert components["denoiser"].module is diamond.denoiser
    assert components["denoiser"].segments.num_frames == L + 2
    assert not components["denoiser"].segments.past_end
    assert components["reward_end"].segments.num_frames == 9
    assert components["reward_end"].segments.past_end
    assert all(c.segments.final_frame for c in components.values())  # where ends show
    assert diamond.context_length == L
    assert {id(p) for c in components.values() for p in c.module.parameters()} == {
        id(p) for p in diamond.parameters()
    }


def test_final_frames_are_left_out_of_the_denoisers_targets_if_asked() -> None:
    config = replace(CONFIG, denoiser=replace(CONFIG.denoiser, final_frames=False))
    components = Diamond(config, (3, 8, 8), ActionSpec.numbered(4)).components(15)
    assert not components["denoiser"].segments.final_frame
    assert components["reward_end"].segments.final_frame


def test_another_sampler_shares_the_weights(diamond: Diamond) -> None:
    other = diamond.with_sampler(SamplerConfig(num_steps=1))
    state, action = diamond.start(make_context())[0], torch.tensor([0, 1])
    seen, _ = other.imagine(state, action, seeded())
    actions = torch.cat((state["action"], action[:, None]), dim=1)
    drawn = sample(diamond.denoiser, state["obs"], actions, SamplerConfig(num_steps=1), generator=seeded())
    assert torch.equal(seen["obs"][:, -1], drawn) and diamond.config == CONFIG
    assert other.denoiser is diamond.denoiser
