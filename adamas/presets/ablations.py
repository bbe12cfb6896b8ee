"""Ablation presets: each differs from ``ablation`` in one design choice of the paper, and trains on a CPU in minutes.

``benchmarks/ablations.py`` trains their denoisers on the same data, and docs/ablations.md has the results. Samplers
need no ablation presets, because every model can be sampled with any sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from adamas.diffusion.ddpm import DdpmConfig
from adamas.presets import paper
from adamas.presets.minatar import quickstart
from adamas.training.config import Config


def ablation() -> Config:
    """``quickstart`` with the noise, the targets and the sampler of the paper."""
    config = quickstart()
    model, training = paper.parts(config)
    return replace(
        config,
        world_model=replace(
            model,
            denoiser=replace(paper.DENOISER, network=model.denoiser.network),
            sampler=paper.SAMPLER,
        ),
        training=replace(
            training,
            denoiser=replace(
                training.denoiser,
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
        model, _ = paper.parts(base)
        denoiser = replace(model.denoiser, **changes)  # type: ignore[arg-type]
        return replace(base, world_model=replace(model, denoiser=denoiser))

    return config


def _ddpm(sigma_offset: float) -> Callable[[], Config]:
    """``ablation`` with a DDPM denoiser."""

    def config() -> Config:
        base = ablation()
        model, _ = paper.parts(base)
        edm = model.denoiser
        denoiser = DdpmConfig(
            network=edm.network,
            sigma_offset=sigma_offset,
            num_autoregressive_steps=edm.num_autoregressive_steps,
            quantise=edm.quantise,
            final_frames=edm.final_frames,
        )
        return replace(base, world_model=replace(model, denoiser=denoiser))

    return config


def _network(**changes: Any) -> Callable[[], Config]:
    """Make a preset: ``ablation`` with changed fields of its denoiser's network."""
    model, _ = paper.parts(ablation())
    return _with(network=replace(model.denoiser.network, **changes))


ABLATIONS: Mapping[str, Callable[[], Config]] = {
    "ablation": ablation,
    "ablation-no-offset": _with(sigma_offset=0.0),
    "ablation-ddpm": _ddpm(sigma_offset=0.3),
    "ablation-ddpm-no-offset": _ddpm(sigma_offset=0.0),
    "ablation-context-2": _network(context_length=2),
    "ablation-context-8": _network(context_length=8),
    "ablation-cross-attention": _network(context="cross_attention"),
    "ablation-one-target": _with(num_autoregressive_steps=0),
    "ablation-four-targets": _with(num_autoregressive_steps=3),
    "ablation-not-quantised": _with(quantise=False),
}
