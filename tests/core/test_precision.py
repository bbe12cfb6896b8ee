"""How networks are computed changes their numbers by no more than it must."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from adamas.core import runtime
from adamas.core.actions import ActionSpec
from adamas.core.runtime import RuntimeConfig
from adamas.nn.unet import FrameNetwork, FrameNetworkConfig
from adamas.rl.actor_critic import ActorCritic, ActorCriticConfig
from adamas.world_models.diamond.reward_end import RewardEndConfig, RewardEndModel
from tests.helpers.runtimes import CPU, use


def outputs(config: RuntimeConfig) -> dict[str, Tensor]:
    """What each of the three networks makes of the same input, with weights that are nowhere zero."""
    torch.manual_seed(0)
    frames = torch.randn(2, 4, 3, 16, 16)
    pixels, action = torch.randint(256, (2, 3, 16, 16), dtype=torch.uint8), torch.randint(3, (2, 4))
    denoiser = FrameNetwork(
        FrameNetworkConfig(
            context_length=4, cond_channels=16, depths=(1, 1), channels=(16, 16), attn_depths=(False, False)
        ),
        3,
        ActionSpec.numbered(3),
    )
    judge = RewardEndModel(
        RewardEndConfig(
            lstm_dim=32, cond_channels=16, depths=(1, 1), channels=(16, 16), attn_depths=(False, False)
        ),
        (3, 16, 16),
        ActionSpec.numbered(3),
    )
    policy = ActorCritic(
        ActorCriticConfig(lstm_dim=32, channels=(16, 16), down=(True, True)),
        (3, 16, 16),
        ActionSpec.numbered(3),
    )
    for module in (denoiser, judge, policy):
        for parameter in module.parameters():
            nn.init.normal_(parameter, std=0.1)
        runtime.place(module, config, CPU)
    logits_reward, logits_end, _ = judge(frames[:, :-1], action[:, :3], frames[:, 1:])
    policy_output = policy(pixels, policy.initial_state(2))
    return {
        "frame": denoiser(frames[:, 0], torch.zeros(2), frames, action),
        "reward": logits_reward,
        "end": logits_end,
        "logits": policy_output.logits,
        "value": policy_output.value,
    }


def relative_error(a: Tensor, b: Tensor) -> float:
    return float(((a - b).norm() / b.norm()).detach())


def test_order_in_memory_changes_nothing() -> None:
    exact = outputs(use(precision="fp32", memory_format="contiguous"))
    for name, tensor in outputs(use(precision="fp32", memory_format="channels_last")).items():
        assert relative_error(tensor, exact[name]) < 1e-5, name


def test_bf16_is_close_to_fp32_and_handed_on_as_fp32() -> None:
    exact = outputs(use(precision="fp32"))
    for name, tensor in outputs(use(precision="bf16")).items():
        assert tensor.dtype == torch.float32, name
        assert 1e-5 < relative_error(tensor, exact[name]) < 0.02, name  # it is bf16, and no worse


def test_gradients_of_bf16_networks_are_fp32() -> None:
    exact, close = (
        torch.autograd.grad(policy.sum(), parameters) for policy, parameters in (graph("fp32"), graph("bf16"))
    )
    for a, b in zip(close, exact, strict=True):
        assert a.dtype == torch.float32
        assert relative_error(a, b) < 0.05


def graph(precision: str) -> tuple[Tensor, list[nn.Parameter]]:
    use(precision=precision)
    torch.manual_seed(0)
    network = FrameNetwork(
        FrameNetworkConfig(
            context_length=4, cond_channels=16, depths=(1,), channels=(16,), attn_depths=(False,)
        ),
        3,
        ActionSpec.numbered(3),
    )
    nn.init.normal_(network.conv_out.weight, std=0.1)
    frames = torch.randn(2, 4, 3, 8, 8)
    out = network(frames[:, 0], torch.zeros(2), frames, torch.zeros(2, 4, dtype=torch.int64))
    weights: list[Any] = [network.conv_in.weight, network.conv_out.weight]
    return out.square(), weights
