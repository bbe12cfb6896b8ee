"""Shapes, masks and the two doors between pixels and model range."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
import torch

from adamas.core.types import Batch, EnvStep, Episode, SegmentSpec, single_context, to_model_range, to_pixels


def make_batch() -> Batch:
    """Two segments of two transitions; the second segment ends after one, so its third frame is padding."""
    return Batch(
        obs=torch.arange(2 * 3 * 1 * 2 * 2, dtype=torch.uint8).reshape(2, 3, 1, 2, 2),
        action=torch.tensor([[1, 2], [3, 0]]),
        reward=torch.tensor([[0.0, 1.0], [2.0, 0.0]]),
        terminated=torch.tensor([[False, False], [True, False]]),
        truncated=torch.zeros(2, 2, dtype=torch.bool),
        mask=torch.tensor([[True, True, True], [True, True, False]]),
    )


def test_every_pixel_survives_the_round_trip() -> None:
    pixels = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    x = to_model_range(pixels)
    assert x.dtype == torch.float32
    assert x.min() == -1 and x.max() == 1
    assert torch.equal(to_pixels(x), pixels)
    for dtype in (torch.bfloat16, torch.float16):  # bf16 steps of 1/256 near 1 still reach the right pixel
        assert (to_pixels(x.to(dtype)).int() - pixels.int()).abs().max() <= 1


def test_model_range_by_hand() -> None:
    x = to_model_range(torch.tensor([[[0, 51, 102, 255]]], dtype=torch.uint8))
    torch.testing.assert_close(x, torch.tensor([[[-1.0, -0.6, -0.2, 1.0]]]))


def test_pixels_are_rounded_and_clamped() -> None:
    x = torch.tensor([-7.0, -1.0, -1 + 0.9 / 127.5, -1 + 0.4 / 127.5, 0.99, 1.0, 7.0])
    assert to_pixels(x).tolist() == [0, 0, 1, 0, 254, 255, 255]


def test_frames_outside_the_mask_become_mid_grey() -> None:
    obs = torch.full((2, 3, 1, 2, 2), 255, dtype=torch.uint8)
    mask = torch.tensor([[True, False, True], [False, True, True]])
    x = to_model_range(obs, mask)
    assert torch.equal(x[:, :, 0, 0, 0], mask.float())
    assert torch.equal(x, to_model_range(obs) * mask.float()[..., None, None, None])


def test_model_range_leaves_its_input_alone() -> None:
    obs = torch.full((1, 2, 2), 9, dtype=torch.uint8)
    to_model_range(obs)
    assert (obs == 9).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.int8, torch.bool])
def test_only_bytes_are_pixels(dtype: torch.dtype) -> None:
    with pytest.raises(TypeError, match=f"pixels must be uint8, got {dtype}"):
        to_model_range(torch.zeros(1, 2, 2, dtype=dtype))


def test_a_transition_is_real_where_both_its_frames_are() -> None:
    assert make_batch().transition_mask.tolist() == [[True, True], [True, False]]
    front_padded = torch.tensor([[False, True, True], [False, False, True]])
    batch = make_batch()
    batch = Batch(
        obs=batch.obs,
        action=batch.action,
        reward=batch.reward,
        terminated=batch.terminated,
        truncated=batch.truncated,
        mask=front_padded,
    )
    assert batch.transition_mask.tolist() == [[False, True], [False, False]]


def test_indexing_selects_segments_in_every_field() -> None:
    batch = make_batch()
    for part in (batch[1:], batch[torch.tensor([1])]):
        for field in fields(Batch):
            assert torch.equal(getattr(part, field.name), getattr(batch, field.name)[1:]), field.name


def test_moving_a_batch_moves_every_field() -> None:
    moved = make_batch().to("meta")
    for field in fields(Batch):
        assert getattr(moved, field.name).device.type == "meta", field.name
        assert getattr(moved, field.name).dtype == getattr(make_batch(), field.name).dtype, field.name


def test_an_environment_ends_for_either_reason() -> None:
    terminated = torch.tensor([True, False, True, False])
    truncated = torch.tensor([False, True, True, False])
    step = EnvStep(
        obs=torch.zeros(4, 1, 2, 2),
        reward=torch.zeros(4),
        terminated=terminated,
        truncated=truncated,
        final_obs=torch.zeros(3, 1, 2, 2),
    )
    assert step.ended.tolist() == [True, True, True, False]
    assert step.ended_index.tolist() == [0, 1, 2]
    assert step.history is None


@pytest.mark.parametrize("seed", range(5))
def test_indices_of_ended_environments_come_in_order(seed: int) -> None:
    terminated, truncated = torch.rand(2, 40, generator=torch.Generator().manual_seed(seed)) < 0.2
    expected = (terminated | truncated).nonzero()[:, 0]
    final_obs = torch.zeros(len(expected), 1, 2, 2)
    step = EnvStep(
        obs=torch.zeros(40, 1, 2, 2),
        reward=torch.zeros(40),
        terminated=terminated,
        truncated=truncated,
        final_obs=final_obs,
    )
    assert torch.equal(step.ended_index, expected)


def test_a_batch_is_split_into_parts_of_any_size() -> None:
    batch = make_batch()
    parts = batch.split([1, 1])
    assert len(parts) == 2
    for field in fields(Batch):
        for i, part in enumerate(parts):
            assert torch.equal(getattr(part, field.name), getattr(batch, field.name)[i : i + 1]), field.name


def test_the_length_of_an_episode_counts_transitions() -> None:
    ends = np.zeros(3, dtype=bool)
    obs = np.zeros((4, 1, 2, 2), dtype=np.uint8)
    assert len(Episode(obs, np.zeros(3, dtype=np.int64), np.zeros(3, dtype=np.float32), ends, ends)) == 3


def test_segments_stay_within_the_episode_unless_asked() -> None:
    assert SegmentSpec(5) == SegmentSpec(num_frames=5, past_end=False, final_frame=True)


def test_a_single_context_by_hand() -> None:
    frames = torch.arange(10, 14, dtype=torch.uint8)[:, None, None, None]  # 4 frames, 3 actions
    long = single_context(frames, torch.tensor([1, 2, 3]), 4)
    assert long.obs.flatten().tolist() == [10, 11, 12, 13] and long.mask.all()
    assert long.action.tolist() == [[1, 2, 3]]
    short = single_context(frames[:3], torch.tensor([1, 2]), 4)
    assert short.obs.flatten().tolist() == [0, 10, 11, 12]
    assert short.mask.tolist() == [[False, True, True, True]]
    assert short.action.tolist() == [[0, 1, 2]]
    first = single_context(frames[:1], torch.zeros(0, 2), 3)  # vector actions, none taken yet
    assert first.action.tolist() == [[[0, 0], [0, 0]]] and first.mask.tolist() == [[False, False, True]]


def test_batches_are_concatenated_in_order() -> None:
    batch = make_batch()
    together = Batch.concatenate([batch[:1], batch[1:]])
    assert all(torch.equal(getattr(together, f.name), getattr(batch, f.name)) for f in fields(Batch))
