"""How far dreams drift from the true continuation of the same frames under the same actions, step by step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from adamas.core.types import Batch
from adamas.dreaming.continuation import Continuation
from adamas.fidelity.distances import exact, mse, psnr, ssim
from adamas.fidelity.results import RewardsAndEnds, StepMeans
from adamas.nn.lpips import Lpips

NUM_RESAMPLES = 2_000
BATCH = 256  # frames compared at a time, because each needs 80 times its memory while it is compared
OTHER_ACTIONS, STILL, BASELINE = "other actions", "still frame", "baseline"
"""Names of the baselines: :func:`under_other_actions`, :func:`still`, and the dreams of another agent."""


def still(dreams: Continuation, windows: Batch, length: int) -> Continuation:
    """The baseline in which nothing moves: ``dreams`` with the last context frame in place of every dreamt frame."""
    last = windows.obs[:, length - 1 : length].to(dreams.obs.device)
    return replace(dreams, obs=last.expand_as(dreams.obs))


def under_other_actions(windows: Batch, length: int) -> Batch:
    """Windows whose actions after the first L frames are those of the previous window, as if they were not known.

    At each step, the previous window is the last one before whose episode goes on there; for the first of them it is
    the last of all. If only one episode goes on, its window keeps its own action.

    Args:
        windows: B windows.
        length: L.
    """
    action = windows.action.clone()
    for step in range(length - 1, action.shape[1]):
        going_on = windows.transition_mask[:, step].nonzero()[:, 0]
        action[going_on, step] = windows.action[going_on.roll(1), step]
    return replace(windows, action=action)


def distances_by_step(dreams: Continuation, lpips: Lpips | None) -> dict[str, np.ndarray]:
    """Distances between the frames of dreams and the true frames, (B, T) each; nan after the true end.

    Args:
        dreams: B dreams of T steps.
        lpips: the network of the perceptual distance, if it is to be measured.

    Returns:
        By name: ``mse`` in [0, 1], ``psnr`` in dB, ``ssim``, ``exact`` (1 where no pixel is wrong, 0 elsewhere) and
        ``lpips``.
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


def means(values: np.ndarray, episode: np.ndarray, seed: int) -> StepMeans:
    """Average over dreams at each step, with a 95 % bootstrap interval that resamples whole episodes.

    Windows of the same episode are not independent, so an episode is drawn with all of its windows. A step that windows
    of fewer than two episodes reach has no interval, because one episode says nothing about the spread of episodes.

    Args:
        values: (B, T), nan where there is nothing to compare.
        episode: (B,), the episode from which each row comes.
        seed: of the resampling.
    """
    _, which = np.unique(episode, return_inverse=True)
    rng = np.random.default_rng(seed)
    num_episodes = which.max() + 1
    draws = rng.multinomial(num_episodes, np.full(num_episodes, 1 / num_episodes), size=NUM_RESAMPLES)
    weight = draws[:, which].astype(float)  # (R, B)
    # The mean in float32 could lie outside of the interval.
    values = values.astype(float)
    known = ~np.isnan(values)
    count = weight @ known  # (R, T)
    with np.errstate(invalid="ignore"):  # 0 / 0 where a resample has no values
        resampled = (weight @ np.where(known, values, 0)) / count
    num_dreams = known.sum(axis=0).tolist()
    mean: list[float | None] = []
    low: list[float | None] = []
    high: list[float | None] = []
    for t, num in enumerate(num_dreams):
        ends: list[float | None] = [None, None]
        if len(np.unique(which[known[:, t]])) > 1:
            ends = np.quantile(resampled[count[:, t] > 0, t], [0.025, 0.975]).tolist()
        mean.append(float(values[known[:, t], t].mean()) if num else None)
        low.append(ends[0])
        high.append(ends[1])
    return StepMeans(mean, low, high, num_dreams)


def rewards_and_ends(dreams: Continuation) -> RewardsAndEnds:
    """Compare the rewards and ends of dreams with those of the game, over all steps before the true ends.

    A reward rate is the share of steps with a reward other than 0 here, unlike that of :func:`dream_error`.
    """
    alive = dreams.mask
    rewards = _rates(dreams.reward[alive], dreams.true_reward[alive])
    ends = _rates(dreams.terminated[alive].float(), dreams.true_terminated[alive].float())
    return RewardsAndEnds(
        steps=float(alive.sum()),
        reward_rate=rewards.dreamt,
        true_reward_rate=rewards.true,
        reward_precision=rewards.precision,
        reward_recall=rewards.recall,
        end_rate=ends.dreamt,
        true_end_rate=ends.true,
        end_precision=ends.precision,
        end_recall=ends.recall,
    )


class _Rates(NamedTuple):
    """How often something happens in dreams and in the game, and how often both agree."""

    dreamt: float
    true: float
    precision: float | None
    recall: float | None


def _rates(dreamt: Tensor, true: Tensor) -> _Rates:
    """Compute the rates over (N,) steps, where 0 means that nothing happens."""
    hits = float(((dreamt == true) & (true != 0)).sum())
    predicted, real = float((dreamt != 0).sum()), float((true != 0).sum())
    return _Rates(
        dreamt=predicted / len(true),
        true=real / len(true),
        precision=hits / predicted if predicted else None,
        recall=hits / real if real else None,
    )


def dream_error(dreams: Continuation) -> dict[str, float]:
    """The numbers that a run logs at every evaluation.

    ``*_1`` is measured on the next frame, and ``*_T`` on the frame after T steps. Rates are per step before the true
    end. A reward rate is the mean sign of the reward here, unlike that of :func:`rewards_and_ends`.
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
