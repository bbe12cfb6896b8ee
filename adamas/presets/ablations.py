"""Ablation presets: each differs from ``ablation`` in one design choice of the paper, and trains on a CPU in minutes.

``benchmarks/ablations.py`` trains their denoisers on the same data, and docs/ablations.md has the results. Samplers
need no ablation presets, because every model can be sampled with any sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from adamas.diffusion.denoiser import DenoiserConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.presets.minatar import quickstart
from adamas.training.config import ComponentTraining, Config
from adamas.training.optim import OptimizerConfig


def ablation() -> Config:
    """``quickstart`` with the noise, the targets and the sampler of the paper."""
    config = quickstart()
    return replace(
        config,
        world_model=replace(
            config.world_model,
            denoiser=DenoiserConfig(config.world_model.denoiser.network),
            sampler=SamplerConfig(),
        ),
        # Half the learning rate of quickstart, which was tuned for quickstart's noise levels.
        denoiser=ComponentTraining(OptimizerConfig(2e-3, 1e-2), 32, 1_500, 75, average_decay=0.997),
    )


def _with(**changes: object) -> Callable[[], Config]:
    """Make a preset: ``ablation`` with changed fields of its denoiser."""

    def config() -> Config:
        base = ablation()
        denoiser = replace(base.world_model.denoiser, **changes)  # type: ignore[arg-type]
        return replace(base, world_model=replace(base.world_model, denoiser=denoiser))

    return config


def _context(length: int) -> Callable[[], Config]:
    return _with(network=replace(ablation().world_model.denoiser.network, context_length=length))


ABLATIONS: Mapping[str, Callable[[], Config]] = {
    "ablation": ablation,
    "ablation-no-offset": _with(sigma_offset=0.0),
    "ablation-ddpm": _with(diffusion="ddpm"),
    "ablation-ddpm-no-offset": _with(diffusion="ddpm", sigma_offset=0.0),
    "ablation-context-2": _context(2),
    "ablation-context-8": _context(8),
    "ablation-cross-attention": _with(
        network=replace(ablation().world_model.denoiser.network, context="cross_attention")
    ),
    "ablation-one-target": _with(num_autoregressive_steps=0),
    "ablation-four-targets": _with(num_autoregressive_steps=3),
    "ablation-not-quantised": _with(quantise=False),
}
