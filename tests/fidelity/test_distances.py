"""Pixel distances: by hand, by another implementation, and where frames are smaller than the window."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from adamas.fidelity.distances import EXACT_TOLERANCE, exact, mse, psnr, ssim


def pattern(channels: int, height: int, width: int) -> tuple[Tensor, Tensor, Tensor]:
    """A textured frame, the same with errors of up to 30 levels, and the same moved by a pixel: (C, H, W)."""
    k, y, x = np.meshgrid(np.arange(channels), np.arange(height), np.arange(width), indexing="ij")
    frame = (7 * x * y + 11 * x + 3 * y * k + 40 * k) % 256
    noisy = (frame + (13 * x + 5 * y + 7 * k) % 61 - 30).clip(0, 255)
    frames = (frame, noisy, np.roll(frame, 1, axis=-1))
    a, b, c = (torch.from_numpy(values.astype(np.uint8)) for values in frames)
    return a, b, c


def flat(level: int, height: int = 16, width: int = 16) -> Tensor:
    return torch.full((1, height, width), level, dtype=torch.uint8)


def test_mse_is_in_units_of_the_full_range() -> None:
    a = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    b = a.clone()
    b[0] = 255
    b[1, 0, 0, 0] = 51  # a fifth of the range in a quarter of the pixels
    assert mse(a, b).tolist() == pytest.approx([1, 0.04 / 4])
    assert mse(b, a).tolist() == pytest.approx([1, 0.04 / 4])  # unsigned bytes do not wrap around


@pytest.mark.parametrize(
    ("shape", "noisy", "moved"),
    [
        ((3, 64, 64), 0.9722765948693687, -0.11647258637083104),
        ((1, 16, 16), 0.9713445990056075, -0.11076678299334258),
        ((3, 11, 20), 0.9721638843643193, 0.12274760182710527),
    ],
)
def test_ssim_is_that_of_scikit_image(shape: tuple[int, int, int], noisy: float, moved: float) -> None:
    """From scikit-image 0.26.0, which leaves out the same borders:

    structural_similarity(a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False,
    data_range=255, channel_axis=0).
    """
    a, b, c = pattern(*shape)
    assert float(ssim(a, b)) == pytest.approx(noisy, abs=1e-6)
    assert float(ssim(a, c)) == pytest.approx(moved, abs=1e-6)


def test_ssim_of_flat_frames_compares_their_brightness() -> None:
    """Without variance only the first factor is left: (2 a b + C1) / (a^2 + b^2 + C1), C1 = 2.55^2."""
    expected = (2 * 200 * 100 + 6.5025) / (200**2 + 100**2 + 6.5025)
    assert float(ssim(flat(200), flat(100))) == pytest.approx(expected, abs=1e-6)
    assert float(ssim(flat(255), flat(255))) == 1


@pytest.mark.parametrize(("height", "width", "window"), [(10, 10, 9), (10, 40, 9), (4, 5, 3), (1, 1, 1)])
def test_ssim_of_small_frames_takes_the_largest_odd_window(height: int, width: int, window: int) -> None:
    """The definition, position by position, in float64."""
    a, b, _ = pattern(1, height, width)
    x, y = a[0].numpy().astype(float), b[0].numpy().astype(float)
    offsets = np.arange(window) - window // 2
    weights = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 1.5**2))
    weights /= weights.sum()
    values = []
    for i in range(height - window + 1):
        for j in range(width - window + 1):
            p, q = x[i : i + window, j : j + window], y[i : i + window, j : j + window]
            m, n = (weights * p).sum(), (weights * q).sum()
            variances = (weights * (p - m) ** 2).sum() + (weights * (q - n) ** 2).sum()
            covariance = (weights * (p - m) * (q - n)).sum()
            first = (2 * m * n + 6.5025) / (m * m + n * n + 6.5025)
            values.append(first * (2 * covariance + 58.5225) / (variances + 58.5225))
    assert float(ssim(a, b)) == pytest.approx(np.mean(values), abs=1e-6)


def test_shapes_are_those_of_the_leading_dimensions() -> None:
    a, b, c = pattern(3, 12, 12)
    frames, others = torch.stack((a, b, c, a, b, c)).view(2, 3, 3, 12, 12), b.expand(2, 3, 3, 12, 12)
    for function in (mse, ssim):
        one = [float(function(frame, b)) for frame in (a, b, c)]
        assert function(frames, others).shape == (2, 3)
        assert function(frames, others).flatten().tolist() == pytest.approx(2 * one, abs=1e-6)


def test_frames_of_different_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in shape"):
        ssim(flat(0), flat(0, width=17))


def test_psnr_by_hand() -> None:
    true = torch.zeros(3, 1, 2, 2, dtype=torch.uint8)
    obs = true.clone()
    obs[1] = 51  # a fifth of the range
    obs[2, 0, 0, 0] = 255  # one value of four: a mean squared error of a quarter
    expected = torch.tensor([60, 20 * math.log10(5), 10 * math.log10(4)])
    torch.testing.assert_close(psnr(obs, true), expected)
    torch.testing.assert_close(psnr(true, obs), expected)


@given(st.integers(0, 255), st.integers(0, 255), st.integers(0, 11))
def test_exact_tolerates_so_much_in_every_value(true: int, dreamt: int, place: int) -> None:
    true_obs = torch.full((2, 3, 2, 2), true, dtype=torch.uint8)
    obs = true_obs.clone()
    obs[1].view(-1)[place] = dreamt
    assert exact(obs, true_obs).tolist() == [True, abs(true - dreamt) <= EXACT_TOLERANCE]
