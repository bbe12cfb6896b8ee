"""Presets that differ from ``ablation`` in one choice of the paper's, at a size that a CPU compares in minutes.

``benchmarks/ablations.py`` trains their denoisers on the same data; docs/ablations.md says what came out. Choices of
the sampler need no preset, since any model can be asked to draw in another way.
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
        # Half of quickstart's rate, which was chosen for its own noise.
        denoiser=ComponentTraining(OptimizerConfig(2e-3, 1e-2), 32, 1_500, 75, average_decay=0.997),
    )


def _but(**changes: object) -> Callable[[], Config]:
    """``ablation`` with other fields of its denoiser."""

    def config() -> Config:
        base = ablation()
        denoiser = replace(base.world_model.denoiser, **changes)  # type: ignore[arg-type]
        return replace(base, world_model=replace(base.world_model, denoiser=denoiser))

    return config


def _context(length: int) -> Callable[[], Config]:
    return _but(network=replace(ablation().world_model.denoiser.network, context_length=length))


ABLATIONS: Mapping[str, Callable[[], Config]] = {
    "ablation": ablation,
    "ablation-no-offset": _but(sigma_offset=0.0),
    "ablation-ddpm": _but(diffusion="ddpm"),
    "ablation-ddpm-no-offset": _but(diffusion="ddpm", sigma_offset=0.0),
    "ablation-context-2": _context(2),
    "ablation-context-8": _context(8),
    "ablation-cross-attention": _but(
        network=replace(ablation().world_model.denoiser.network, context="cross_attention")
    ),
    "ablation-one-target": _but(num_autoregressive_steps=0),
    "ablation-four-targets": _but(num_autoregressive_steps=3),
    "ablation-not-quantised": _but(quantise=False),
}
