"""Samplers on a denoiser known in closed form.

For data from N(0, s^2) the ideal denoiser is D(x; sigma) = x s^2 / (s^2 + sigma^2). The probability-flow ODE
dx / dsigma = (x - D) / sigma then has the solution x(sigma) ~ sqrt(s^2 + sigma^2).
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any, get_args

import pytest
import torch
from torch import Tensor

from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.diffusion.samplers import SAMPLERS, SamplerConfig, SamplerName, sample_path

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
    config = SamplerConfig(num_steps=2, method="heun", sigma_min=1.0, sigma_max=2.0)
    path = sample_path(lambda x, sigma: x / 2, torch.full((1, 1, 1, 1), 8.0), config)
    # slopes 2 at the start and 3 at the end of the step: 8 - 2.5; the last step to 0 is Euler's: 5.5 - 2.75.
    assert [x.item() for x in path] == pytest.approx([8, 5.5, 2.75])


def test_a_single_step_returns_the_estimate() -> None:
    noise = torch.randn(2, 3, 4, 4)
    for method in SAMPLERS:
        path = sample_path(ideal, noise, SamplerConfig(num_steps=1, method=method))
        assert len(path) == 2
        torch.testing.assert_close(path[1], ideal(noise, torch.tensor(5.0)))


@pytest.mark.parametrize(("method", "order"), [("euler", 1), ("heun", 2)])
def test_error_falls_with_the_order_of_the_method(method: SamplerName, order: int) -> None:
    errors = [error(replace(SCALED, num_steps=n, method=method)) for n in (20, 40, 80)]
    for coarse, fine in itertools.pairwise(errors):
        assert coarse / fine == pytest.approx(2**order, rel=0.25)


def test_heun_is_closer_than_euler_for_as_many_network_calls() -> None:
    calls = [0]

    def counting(x: Tensor, sigma: Tensor) -> Tensor:
        calls[0] += 1
        return ideal(x, sigma)

    sample_path(counting, torch.ones(1, 1, 1, 1), replace(SCALED, num_steps=20, method="heun"))
    assert calls == [39]  # two a step, but one for the last
    assert error(replace(SCALED, num_steps=20, method="heun")) < error(replace(SCALED, num_steps=39)) / 2


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


@pytest.mark.parametrize(("method", "tolerance"), [("euler", 0.06), ("heun", 0.02)])
def test_churn_keeps_the_distribution(method: SamplerName, tolerance: float) -> None:
    """From N(0, s^2 + sigma_max^2) to N(0, s^2), with a sixth of the noise renewed at every step."""
    generator = torch.Generator().manual_seed(0)
    config = SamplerConfig(num_steps=100, method=method, s_churn=17)
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
    with pytest.raises(
        UserError, match=r"`sampler.num_steps` is 0; it must be at least 1 and at most 10,000"
    ):
        SamplerConfig(num_steps=0)
    with pytest.raises(UserError, match=r"`sampler.method` is 'huen'; did you mean 'heun'"):
        SamplerConfig(method="huen")  # type: ignore[arg-type]
    with pytest.raises(UserError, match=r"`sampler.sigma_max` is 5.0; it must be at least 6.0"):
        SamplerConfig(sigma_min=6.0)


def test_every_name_has_its_sampler() -> None:
    assert tuple(SAMPLERS) == get_args(SamplerName)


@pytest.mark.parametrize(
    ("method", "churn", "end"),
    [
        ("euler", 0.0, "0x1.458c774581e12p-3 0x1.d6a0b23ee4b6bp-3 0x1.255870b666b0bp-2 0x1.425c7c81e0db4p-2"),
        ("euler", 2.0, "0x1.b4c16fad50778p-3 0x1.992c60011c686p-4 0x1.89f7ef405e422p-2 0x1.ef63b6c7e3f94p-2"),
        (
            "heun",
            0.0,
            "-0x1.33e40895b0bdap-2 -0x1.85cccd7e2ac51p-4 0x1.1b9c432f1bc9dp-4 0x1.362865c2df894p-3",
        ),
        (
            "heun",
            2.0,
            "-0x1.553b3a8245ad1p-3 -0x1.f00128f3f2dd7p-1 -0x1.fc56caac3fc93p-5 -0x1.2bce6768115ecp-4",
        ),
    ],
)
def test_samples_are_those_of_version_0_1_to_the_last_bit(
    method: SamplerName, churn: float, end: str
) -> None:
    start = torch.tensor([-1.5, -0.25, 0.75, 1.25], dtype=torch.float64).reshape(1, 1, 2, 2)
    config = SamplerConfig(num_steps=4, method=method, s_churn=churn, s_noise=1.1, s_tmin=0.01)
    path = sample_path(
        lambda x, sigma: x * 0.25 / (0.25 + sigma**2) + 0.1 * sigma,
        start,
        config,
        torch.Generator().manual_seed(3),
        centre=0.5,
    )
    assert " ".join(value.hex() for value in path[-1].flatten().tolist()) == end


@pytest.mark.parametrize(
    ("saved", "method"),
    [({"order": 1}, "euler"), ({"order": 2}, "heun"), ({"method": "heun"}, "heun"), ({}, "euler")],
)
def test_saved_orders_are_read_as_names(saved: dict[str, Any], method: str) -> None:
    assert from_dict(SamplerConfig, {"num_steps": 5, **saved}) == SamplerConfig(num_steps=5, method=method)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "saved", [{"order": 3}, {"order": [1]}, {"order": "two"}, {"order": 1, "method": "heun"}]
)
def test_orders_that_never_were_are_refused(saved: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=r"method|order"):
        from_dict(SamplerConfig, saved)
