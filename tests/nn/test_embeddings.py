"""Random Fourier features."""

from __future__ import annotations

import math

import pytest
import torch

from adamas.nn.embeddings import FourierFeatures


def test_features_by_hand() -> None:
    features = FourierFeatures(4)
    features.weight = torch.tensor([[0.25, 1.0]])
    y = features(torch.tensor([0.0, 1.0, 0.5]))
    half = math.sqrt(0.5)
    expected = torch.tensor([[1, 1, 0, 0], [0, 1, 1, 0], [half, -1, half, 0]])
    torch.testing.assert_close(y, expected, atol=1e-6, rtol=0)


def test_features_lie_on_circles_and_tell_noise_levels_apart() -> None:
    x = torch.linspace(-2, 1, 7)
    y = FourierFeatures(64)(x)  # (7, 64)
    torch.testing.assert_close(y[:, :32] ** 2 + y[:, 32:] ** 2, torch.ones(7, 32))
    assert torch.cdist(y, y).add(torch.eye(7) * 99).min() > 1


def test_frequencies_are_standard_normal_saved_and_not_trained() -> None:
    features = FourierFeatures(4000)
    assert abs(features.weight.mean()) < 0.1 and abs(features.weight.std() - 1) < 0.1
    assert list(features.state_dict()) == ["weight"]
    assert not list(features.parameters())


def test_an_odd_number_of_channels_is_refused() -> None:
    with pytest.raises(ValueError, match="even number of channels; 5 is odd"):
        FourierFeatures(5)
