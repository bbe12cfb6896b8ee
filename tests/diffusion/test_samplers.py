"""Samplers on a denoiser known in closed form.

For data from N(0, s^2) the ideal denoiser is D(x; sigma) = x s^2 / (s^2 + sigma^2). The probability-flow ODE
dx / dsigma = (x - D) / sigma then has the solution x(sigma) ~ sqrt(s^2 + sigma^2).
"""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from adamas.core.errors import UserError
from adamas.diffusion.samplers import SamplerConfig, sample_path

S = 0.5
SCALED = SamplerConfig(scale_initial_noise=True)


def ideal(x: Tensor, sigma: Tensor) -> Tensor:
    return x * S**2 / (S**2 + sigma**2)


def error(config: SamplerConfig) -> float:
    """Distance of the end of the path from the ODE's solution, relative to it."""
    noise = torch.ones(1, 1, 1, 1, dtype=torch.float64)
    truth = config.sigma_max * S / (S**2 + config.sigma_max**2) ** 0.5
    return float((sample_path(ideal, noise, config)[-1] - truth).abs() / truth)


def test_euler_by_hand() -> None:
    config = SamplerConfig(num_steps=2, sigma_min=1.0, sigma_max=2.0)
    path = sample_path(lambda x, sigma: x / 2, torch.full((1, 1, 1, 1), 8.0), config)
    # slope (8 - 4) / 2 = 2, so 8 - 1 * 2 = 6; then slope 3, so 6 - 1 * 3 = 3.
    assert [x.item() for x in path] == pytest.approx([8, 6, 3])


def test_heun_by_hand() -> None:
    config = SamplerConfig(num_steps=2, order=2, sigma_min=1.0, sigma_max=2.0)
    path = sample_path(lambda x, sigma: x / 2, torch.full((1, 1, 1, 1), 8.0), config)
    # slopes 2 at the start and 3 at the end of the step: 8 - 2.5; the last step to 0 is Euler's: 5.5 - 2.75.
    assert [x.item() for x in path] == pytest.approx([8, 5.5, 2.75])


def test_a_single_step_returns_the_estimate() -> None:
    noise = torch.randn(2, 3, 4, 4)
    for order in (1, 2):
        path = sample_path(ideal, noise, SamplerConfig(num_steps=1, order=order))
        assert len(path) == 2
        torch.testing.assert_close(path[1], ideal(noise, torch.tensor(5.0)))


@pytest.mark.parametrize("order", [1, 2])
def test_error_falls_with_the_order_of_the_method(order: int) -> None:
    errors = [error(replace(SCALED, num_steps=n, order=order)) for n in (20, 40, 80)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.25)


def test_heun_is_closer_than_euler_for_as_many_network_calls() -> None:
    calls = [0]

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls[0] += 1
        return ideal(x, sigma)

    sample_path(counting, torch.ones(1, 1, 1, 1), replace(SCALED, num_steps=20, order=2))
    assert calls == [39]  # two a step, but one for the last
    assert error(replace(SCALED, num_steps=20, order=2)) < error(replace(SCALED, num_steps=39)) / 2


def test_network_is_called_at_the_grid_s_levels() -> None:
    seen: list[float] = []

    def watching(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(sigma.item())
        return ideal(x, sigma)

    sample_path(
        watching, torch.ones(1, 1, 1, 1), SamplerConfig(num_steps=3, sigma_min=1.0, sigma_max=4.0, rho=1)
    )
    assert seen == pytest.approx([4, 2.5, 1])


def test_start_is_scaled_only_on_request() -> None:
    noise = torch.randn(1, 1, 2, 2)
    assert torch.equal(sample_path(ideal, noise, SamplerConfig())[0], noise)
    assert torch.equal(sample_path(ideal, noise, SCALED)[0], noise * 5)


def test_start_lies_around_the_centre() -> None:
    noise, centre = torch.randn(1, 1, 2, 2), torch.full((1, 1, 2, 2), 3.0)
    assert torch.equal(sample_path(ideal, noise, SCALED, centre=centre)[0], 3 + 5 * noise)
    moved = sample_path(lambda x, sigma: 3 + ideal(x - 3, sigma), noise, SCALED, centre=centre)
    torch.testing.assert_close(moved[-1], 3 + sample_path(ideal, noise, SCALED)[-1])


@pytest.mark.parametrize(("order", "tolerance"), [(1, 0.06), (2, 0.02)])
def test_churn_keeps_the_distribution(order: int, tolerance: float) -> None:
    """From N(0, s^2 + sigma_max^2) to N(0, s^2), with a sixth of the noise renewed at every step."""
    generator = torch.Generator().manual_seed(0)
    config = SamplerConfig(100, order, s_churn=17)
    start = torch.randn(20_000, 1, 1, 1, generator=generator) * (S**2 + 25) ** 0.5
    end = sample_path(ideal, start, config, generator)[-1]
    assert end.std().item() == pytest.approx(S, rel=tolerance)
    assert abs(end.mean().item()) < 0.02
    without = sample_path(ideal, start, replace(config, s_churn=0.0))[-1]
    correlation = torch.corrcoef(torch.stack((start, end, without)).flatten(1))[0]
    assert correlation[1] < 0.3 and correlation[2] > 0.999  # churn forgets where it started


def test_churn_draws_from_the_generator_within_its_window_only() -> None:
    noise = torch.randn(1, 1, 2, 2)

    def run(config: SamplerConfig) -> tuple[Tensor, bool]:
        generator = torch.Generator().manual_seed(0)
        before = generator.get_state()
        return sample_path(ideal, noise, config, generator)[-1], torch.equal(before, generator.get_state())

    plain, untouched = run(SamplerConfig())
    assert untouched
    churned, untouched = run(SamplerConfig(s_churn=1.0))
    assert not untouched and not torch.equal(plain, churned)
    assert torch.equal(churned, run(SamplerConfig(s_churn=1.0))[0])
    outside, untouched = run(SamplerConfig(s_churn=1.0, s_tmin=6.0))
    assert untouched and torch.equal(plain, outside)


def test_churned_network_is_called_at_the_raised_level() -> None:
    seen: list[float] = []

    def watching(x: Tensor, sigma: Tensor) -> Tensor:
        seen.append(sigma.item())
        return ideal(x, sigma)

    config = SamplerConfig(num_steps=2, sigma_min=1.0, sigma_max=4.0, s_churn=99.0)  # more than allowed
    sample_path(watching, torch.ones(1, 1, 1, 1), config, torch.Generator().manual_seed(0))
    assert seen == pytest.approx([4 * 2**0.5, 2**0.5])


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(UserError, match="got 0 and 1"):
        SamplerConfig(num_steps=0)
    with pytest.raises(UserError, match="order 1 or 2, got 3 and 3"):
        SamplerConfig(order=3)
    with pytest.raises(UserError, match="0 < sigma_min <= sigma_max"):
        SamplerConfig(sigma_min=6.0)
