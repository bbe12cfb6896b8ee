"""Ablation presets: each differs from ``ablation`` in one design choice of the paper, and trains on a CPU in minutes.

``benchmarks/ablations.py`` trains their denoisers on the same data, and docs/ablations.md has the results. Samplers
need no ablation presets, because every model can be sampled with any sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from adamas.diffusion.ddpm import DdpmConfig
from adamas.presets import paper
from adamas.presets.minatar import quickstart
from adamas.training.config import Config


def ablation() -> Config:
    """``quickstart`` with the noise, the targets and the sampler of the paper."""
    config = quickstart()
    return replace(
        config,
        world_model=replace(
            config.world_model,
            denoiser=replace(paper.DENOISER, network=config.world_model.denoiser.network),
            sampler=paper.SAMPLER,
        ),
        training=replace(
            config.training,
            denoiser=replace(
                config.training.denoiser,
                # Half the learning rate of quickstart, which was tuned for quickstart's noise levels.
                optimizer=replace(paper.OPTIMIZER, lr=2e-3),
                first_epoch_updates=1_500,
            ),
        ),
    )


def _with(**changes: object) -> Callable[[], Config]:
    """Make a preset: ``ablation`` with changed fields of its denoiser."""

    def config() -> Config:
        base = ablation()
        denoiser = replace(base.world_model.denoiser, **changes)  # type: ignore[arg-type]
        return replace(base, world_model=replace(base.world_model, denoiser=denoiser))

    return config


def _ddpm(sigma_offset: float) -> Callable[[], Config]:
    """``ablation`` with a DDPM denoiser."""

    def config() -> Config:
        base = ablation()
        edm = base.world_model.denoiser
        denoiser = DdpmConfig(
            network=edm.network,
            sigma_offset=sigma_offset,
            num_autoregressive_steps=edm.num_autoregressive_steps,
            quantise=edm.quantise,
            final_frames=edm.final_frames,
        )
        return replace(base, world_model=replace(base.world_model, denoiser=denoiser))

    return config


def _context(length: int) -> Callable[[], Config]:
    return _with(network=replace(ablation().world_model.denoiser.network, context_length=length))


ABLATIONS: Mapping[str, Callable[[], Config]] = {
    "ablation": ablation,
    "ablation-no-offset": _with(sigma_offset=0.0),
    "ablation-ddpm": _ddpm(sigma_offset=0.3),
    "ablation-ddpm-no-offset": _ddpm(sigma_offset=0.0),
    "ablation-context-2": _context(2),
    "ablation-context-8": _context(8),
    "ablation-cross-attention": _with(
        network=replace(ablation().world_model.denoiser.network, context="cross_attention")
    ),
    "ablation-one-target": _with(num_autoregressive_steps=0),
    "ablation-four-targets": _with(num_autoregressive_steps=3),
    "ablation-not-quantised": _with(quantise=False),
}
