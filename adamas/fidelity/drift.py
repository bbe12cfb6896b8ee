"""How dreams drift from the true continuation of the same frames under the same actions, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from adamas.core.types import Batch
from adamas.dreaming.continuation import Continuation
from adamas.fidelity.distances import exact, mse, psnr, ssim
from adamas.fidelity.lpips import Lpips

NUM_RESAMPLES = 2_000
BATCH = 256  # frames compared at a time: on the way each needs 80 times its memory
OTHER_ACTIONS, STILL, BASELINE = "other actions", "still frame", "baseline"
"""What the baselines are called: :func:`under_other_actions`, :func:`still`, and another agent's dreams."""


def still(dreams: Continuation, windows: Batch, length: int) -> Continuation:
    """What ``dreams`` would be if nothing ever moved: the last frame of context, again and again."""
    last = windows.obs[:, length - 1 : length].to(dreams.obs.device)
    return replace(dreams, obs=last.expand_as(dreams.obs))


def under_other_actions(windows: Batch, length: int) -> Batch:
    """The same windows, to be dreamt on from L frames under the actions of another one: as if nobody knew them."""
    known, to_come = windows.action[:, : length - 1], windows.action[:, length - 1 :]
    return replace(windows, action=torch.cat((known, to_come.roll(1, dims=0)), dim=1))


def distances(dreams: Continuation, lpips: Lpips | None) -> dict[str, np.ndarray]:
    """Of every dream, how far each of its frames is from the true one, (B, T); nan after the true end.

    ``mse`` in [0, 1], ``psnr`` in dB, ``ssim``, ``exact`` (share of frames without a wrong pixel) and, given the
    network, ``lpips``.
    """
    compare: dict[str, Callable[[Tensor, Tensor], Tensor]]
    compare = {"mse": mse, "psnr": psnr, "ssim": ssim, "exact": exact}
    if lpips is not None:
        compare["lpips"] = lpips
    frames = dreams.obs[dreams.mask].cpu(), dreams.true_obs[dreams.mask].cpu()  # (K, C, H, W) each
    pairs = list(zip(*(torch.split(x, BATCH) for x in frames), strict=True))
    return {
        name: _placed(torch.cat([distance(*pair) for pair in pairs]), dreams.mask.cpu())
        for name, distance in compare.items()
    }


def _placed(values: Tensor, mask: Tensor) -> np.ndarray:
    placed = torch.full(mask.shape, torch.nan)
    placed[mask] = values.float()
    return placed.numpy()


def means(values: np.ndarray, episode: np.ndarray, seed: int) -> dict[str, list[float | None]]:
    """Mean over dreams at every step, and its 95 % interval by resampling episodes.

    Windows of one episode share their luck, so whole episodes are drawn, each with all of its windows.

    Args:
        values: (B, T), nan where there is nothing to compare.
        episode: (B,), which episode each row comes from.
        seed: of the resampling.

    Returns:
        ``mean``, ``low``, ``high`` and ``dreams`` (how many are left), T values each; None where none is left.
    """
    _, which = np.unique(episode, return_inverse=True)
    rng = np.random.default_rng(seed)
    num_episodes = which.max() + 1
    draws = rng.multinomial(num_episodes, np.full(num_episodes, 1 / num_episodes), size=NUM_RESAMPLES)
    weight = draws[:, which].astype(float)  # (R, B)
    known = ~np.isnan(values)
    count = weight @ known  # (R, T)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has nothing left
        resampled = (weight @ np.where(known, values, 0)) / count
    left = known.sum(axis=0)
    result: dict[str, list[float | None]] = {"mean": [], "low": [], "high": [], "dreams": left.tolist()}
    for t in range(values.shape[1]):
        found = resampled[count[:, t] > 0, t]
        ends = np.quantile(found, [0.025, 0.975]) if left[t] else (None, None)
        result["mean"].append(float(values[known[:, t], t].mean()) if left[t] else None)
        for name, end in zip(("low", "high"), ends, strict=True):
            result[name].append(None if end is None else float(end))
    return result


def agreement(dreams: Continuation) -> dict[str, float | None]:
    """How the dreams' rewards and ends compare with the game's, over all steps before the true end.

    Rates are per step; precision and recall count rewards of the right sign, and ends, at exactly the step where
    the game has them. None where there is nothing to count.
    """
    alive = dreams.mask
    result: dict[str, float | None] = {"steps": float(alive.sum())}
    for name, dreamt, true in (
        ("reward", dreams.reward[alive], dreams.true_reward[alive]),
        ("end", dreams.terminated[alive].float(), dreams.true_terminated[alive].float()),
    ):
        hits = float(((dreamt == true) & (true != 0)).sum())
        said, there = float((dreamt != 0).sum()), float((true != 0).sum())
        result |= {
            f"{name}_rate": said / len(true),
            f"true_{name}_rate": there / len(true),
            f"{name}_precision": hits / said if said else None,
            f"{name}_recall": hits / there if there else None,
        }
    return result


def dream_error(dreams: Continuation) -> dict[str, float]:
    """The numbers a run logs at every evaluation.

    ``*_1`` is the next frame, ``*_T`` the frame T steps on; rates are per step that was still alive in the game.
    """
    horizon = dreams.mask.shape[1]
    result = {}
    for step in (1, horizon):
        alive = dreams.mask[:, step - 1]
        if alive.any():
            pair = dreams.obs[alive, step - 1], dreams.true_obs[alive, step - 1]
            result[f"psnr_{step}"] = float(psnr(*pair).mean())
            result[f"exact_{step}"] = float(exact(*pair).float().mean())
    alive = dreams.mask
    result["dream_reward_rate"] = float(dreams.reward[alive].mean())
    result["real_reward_rate"] = float(dreams.true_reward[alive].mean())
    result["dream_end_rate"] = float(dreams.terminated[alive].float().mean())
    result["real_end_rate"] = float(dreams.true_terminated[alive].float().mean())
    return result
