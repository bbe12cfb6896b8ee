"""The reward/end model against recorded values, and its loss by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
from torch import Generator, Tensor

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch
from adamas.nn.blocks import SelfAttention2d
from adamas.world_models.diamond.reward_end import RewardEndConfig, RewardEndModel, confusion
from tests.helpers.tiny_agent import fill_zeros

if TYPE_CHECKING:
    from tests.conftest import LoadReference, Reference

SMALL = RewardEndConfig(
    lstm_dim=8, cond_channels=8, depths=(1, 1), channels=(8, 8), attn_depths=(False, True), segment_length=4
)
Recorded = tuple[RewardEndModel, dict[str, Tensor]]


def close(x: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(x, expected, atol=1e-4, rtol=1e-4)


@pytest.fixture
def recorded(reference: LoadReference) -> Recorded:
    loaded: Reference = reference("reward_end")
    config = loaded.config
    model = RewardEndModel(
        RewardEndConfig(
            lstm_dim=config["lstm_dim"],
            cond_channels=config["cond_channels"],
            depths=tuple(config["depths"]),
            channels=tuple(config["channels"]),
            attn_depths=tuple(map(bool, config["attn_depths"])),
        ),
        (config["img_channels"], config["img_size"], config["img_size"]),
        ActionSpec.numbered(config["num_actions"]),
    )
    model.load_state_dict(loaded.weights)
    return model.requires_grad_(False), loaded.io


def test_logits_and_state_as_recorded(recorded: Recorded) -> None:
    model, io = recorded
    logits_reward, logits_end, (hidden, cell) = model(io["obs"][:, :-1], io["act"], io["obs"][:, 1:])
    close(logits_reward, io["logits_reward"])
    close(logits_end, io["logits_end"])
    close(hidden, io["hx"][0])
    close(cell, io["cx"][0])


@pytest.mark.parametrize("split", [1, 2, 4])
def test_a_sequence_in_two_parts_is_the_whole_sequence(recorded: Recorded, split: int) -> None:
    model, io = recorded
    obs, action, next_obs = io["obs"][:, :-1], io["act"], io["obs"][:, 1:]
    *first, state = model(obs[:, :split], action[:, :split], next_obs[:, :split])
    *second, (hidden, cell) = model(obs[:, split:], action[:, split:], next_obs[:, split:], state)
    close(torch.cat((first[0], second[0]), dim=1), io["logits_reward"])
    close(torch.cat((first[1], second[1]), dim=1), io["logits_end"])
    close(hidden, io["hx"][0])
    close(cell, io["cx"][0])


def test_both_frames_their_order_and_the_action_matter(recorded: Recorded) -> None:
    model, io = recorded
    obs, action, next_obs = io["obs"][:, :1], io["act"][:, :1], io["obs"][:, 1:2]
    logits = model(obs, action, next_obs)[0]
    others = [(next_obs, action, obs), (obs, (action + 1) % 6, next_obs), (obs, action, obs)]
    assert all((model(*arguments)[0] - logits).abs().max() > 1e-3 for arguments in others)


def make_model() -> RewardEndModel:
    torch.manual_seed(0)
    model = RewardEndModel(SMALL, (3, 9, 7), ActionSpec.numbered(4))
    fill_zeros(model)
    return model


def make_batch() -> Batch:
    return Batch(
        obs=torch.randint(256, (2, 4, 3, 9, 7), generator=Generator().manual_seed(0)).to(torch.uint8),
        action=torch.tensor([[0, 1, 2], [3, 3, 0]]),
        reward=torch.tensor([[0.0, 5.0, -0.5], [1.0, 0.0, 0.0]]),
        terminated=torch.tensor([[False, False, False], [True, False, False]]),
        truncated=torch.zeros(2, 3, dtype=torch.bool),
        mask=torch.tensor([[True, True, True, True], [True, True, False, False]]),
    )


def test_loss_by_hand() -> None:
    model, batch = make_model(), make_batch()
    frames = torch.where(batch.mask[..., None, None, None], batch.obs / 127.5 - 1, 0)
    logits_reward, logits_end, _ = model(frames[:, :-1], batch.action, frames[:, 1:])
    reward, end = logits_reward.log_softmax(-1), logits_end.log_softmax(-1)
    # Classes: 0, +, - are 1, 2, 0 in the first sequence; the second has one real transition, + and an end.
    by_hand_reward = -(reward[0, 0, 1] + reward[0, 1, 2] + reward[0, 2, 0] + reward[1, 0, 2]) / 4
    by_hand_end = -(end[0, 0, 0] + end[0, 1, 0] + end[0, 2, 0] + end[1, 0, 1]) / 4
    loss, metrics = model.loss(batch, Generator())
    torch.testing.assert_close(loss, by_hand_reward + by_hand_end)
    torch.testing.assert_close(metrics["loss_reward"], by_hand_reward.detach())
    torch.testing.assert_close(metrics["loss_end"], by_hand_end.detach())
    assert metrics["reward_confusion"].sum() == metrics["end_confusion"].sum() == 4
    assert metrics["reward_confusion"].sum(dim=1).tolist() == [1, 1, 2]  # true -1, 0, +1
    assert metrics["end_confusion"].sum(dim=1).tolist() == [3, 1]
    loss.backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_what_lies_in_the_padding_does_not_matter() -> None:
    model, batch = make_model(), make_batch()
    obs, reward, terminated = batch.obs.clone(), batch.reward.clone(), batch.terminated.clone()
    obs[1, 2:] = 77
    reward[1, 1:] = -1
    terminated[1, 1:] = True
    loss, _ = model.loss(batch, Generator())
    other, _ = model.loss(replace(batch, obs=obs, reward=reward, terminated=terminated), Generator())
    assert torch.equal(loss, other)
    reward[1, 0] = -1
    other, _ = model.loss(replace(batch, reward=reward), Generator())
    assert not torch.equal(loss, other)


def test_confusion_by_hand() -> None:
    target = torch.tensor([[0, 1, 1, 1]])
    logits = torch.tensor([[[2.0, 1.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]]])  # predicts 0, 1, 0, 1
    mask = torch.tensor([[True, True, True, False]])
    assert confusion(target, logits, mask).tolist() == [[1, 0], [1, 1]]


def test_attention_is_where_it_was_asked_for_and_always_at_the_end() -> None:
    modules = make_model().encoder.named_modules()
    where = {name.split(".")[1] for name, m in modules if isinstance(m, SelfAttention2d)}
    assert where == {"1", "2"}


def test_size_of_the_paper_s_model() -> None:
    with torch.device("meta"):
        model = RewardEndModel(RewardEndConfig(), (3, 64, 64), ActionSpec.numbered(4))
    assert sum(p.numel() for p in model.parameters()) == 5_900_864
    assert model.lstm.input_size == 32 * 8 * 8


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="one entry per level, got 2, 1 and 2"):
        replace(SMALL, channels=(8,))
    with pytest.raises(UserError, match=r"`reward_end.segment_length` is 1; it must be at least 2"):
        replace(SMALL, segment_length=1)
