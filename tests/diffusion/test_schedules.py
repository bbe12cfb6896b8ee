"""Noise levels along a sampling path."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.diffusion.schedules import karras_sigmas

if TYPE_CHECKING:
    from tests.conftest import LoadReference


@pytest.mark.parametrize("num_steps", [1, 3, 10])
def test_grid_as_recorded(reference: LoadReference, num_steps: int) -> None:
    _, _, io = reference("edm_denoiser")
    torch.testing.assert_close(karras_sigmas(num_steps, 2e-3, 5.0, 7), io[f"sigmas_steps{num_steps}"])


def test_grid_by_hand() -> None:
    # rho = 1 is evenly spaced; rho = 2 is evenly spaced in square roots: 2, 1.5, 1.
    assert karras_sigmas(3, 1.0, 4.0, 1).tolist() == [4, 2.5, 1, 0]
    assert karras_sigmas(3, 1.0, 4.0, 2).tolist() == [4, 2.25, 1, 0]
    assert karras_sigmas(1, 1.0, 4.0, 7).tolist() == pytest.approx([4, 0])


@settings(deadline=None)
@given(
    num_steps=st.integers(2, 40),
    sigma_min=st.floats(1e-3, 1.0),
    ratio=st.floats(1.5, 1e3),
    rho=st.floats(1.0, 10.0),
)
def test_grid_falls_from_the_highest_level_to_the_lowest_and_then_to_zero(
    num_steps: int, sigma_min: float, ratio: float, rho: float
) -> None:
    sigmas = karras_sigmas(num_steps, sigma_min, sigma_min * ratio, rho)
    assert sigmas.shape == (num_steps + 1,)
    assert (sigmas.diff() < 0).all()
    expected = torch.tensor([sigma_min * ratio, sigma_min, 0.0])
    torch.testing.assert_close(sigmas[[0, -2, -1]], expected, rtol=1e-3, atol=0)
