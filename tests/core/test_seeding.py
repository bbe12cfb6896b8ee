"""Random draws."""

from __future__ import annotations

import pytest
import torch
from torch import Generator

from adamas.core.seeding import sample_categorical


def test_draw_follows_the_probabilities() -> None:
    logits = torch.tensor([0.5, 0.3, 0.2]).log().expand(20_000, 3)
    frequency = sample_categorical(logits, Generator().manual_seed(0)).bincount() / 20_000
    torch.testing.assert_close(frequency, torch.tensor([0.5, 0.3, 0.2]), atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(1, 2), (4, 3), (128, 6), (32, 18)])
def test_draw_draws_as_pytorch_does(shape: tuple[int, int]) -> None:
    logits = torch.randn(shape, generator=Generator().manual_seed(1))
    ours, theirs = Generator().manual_seed(2), Generator().manual_seed(2)
    expected = torch.multinomial(logits.softmax(-1), 1, generator=theirs)[:, 0]
    assert torch.equal(sample_categorical(logits, ours), expected)
    assert torch.equal(ours.get_state(), theirs.get_state())


def test_what_is_impossible_is_never_drawn() -> None:
    logits = torch.tensor([0.0, -torch.inf, 0.0]).expand(5_000, 3)
    assert not (sample_categorical(logits, Generator().manual_seed(0)) == 1).any()
