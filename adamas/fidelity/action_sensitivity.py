"""Action sensitivity: what each action changes in the next frames, in the game and in dreams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.envs.rewind import BranchingGame
from adamas.fidelity.distances import mse
from adamas.fidelity.moments import Moment, dream_on, play_on
from adamas.media.plots import new_figure
from adamas.world_models.base import WorldModel

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LABELLED = 9  # most actions with which numbers fit into the cells of a plot
MAX_LABEL = 40  # most letters of all action names that fit below a plot


@dataclass(frozen=True, kw_only=True)
class Sensitivity:
    """The effects of A actions in K moments.

    The effect of an action is its frame minus the mean of the frames under all actions. The size of an effect is the
    root mean square over pixels, as fractions of 255. A moment is decisive if the frames of the game differ between
    some actions. In other moments there is nothing to measure: ``accuracy``, ``chance`` and ``correlation`` are nan,
    and the confusion matrices leave them out.

    Attributes:
        horizon: number of steps for which each action was held.
        decisive: (K,) bool, whether the moment is decisive.
        game_change: (K, A), sizes of the effects in the game.
        dream_change: (K, A), sizes of the effects in the dream.
        looks_like: (K, A, A), row i is 1 at the action whose true frame is nearest to the dreamt frame of action i (by
            mean squared error), and 0 elsewhere. Actions whose true frames are equally near share the 1 equally.
        perfect: (K, A, A), ``looks_like`` of a perfect dream, whose frames are the true frames. It shows which actions
            have the same effect.
        accuracy: (K,), share of actions whose dreamt frame is nearest to their own true frame. An action also counts as
            right if its dreamt frame is nearest to the equal true frame of another action.
        chance: (K,), accuracy of a dream that shows the true frame of a random action.
        told_apart: (K, A, A), for each pair of actions 1 if their dreamt frames differ less, in sum, from their own
            true frames than from each other's, 0 if they differ more, 0.5 if equally; nan where the true frames are
            equal. Errors that both dreams share, such as a blur, do not matter here as they do in ``looks_like``.
        correlation: (K,), correlation between all values of the effects in the game and in the dream, in [-1, 1]. It
            is 0 for a dream in which actions change nothing.
    """

    horizon: int
    decisive: np.ndarray
    game_change: np.ndarray
    dream_change: np.ndarray
    looks_like: np.ndarray
    perfect: np.ndarray
    accuracy: np.ndarray
    chance: np.ndarray
    correlation: np.ndarray
    told_apart: np.ndarray

    @property
    def confusion(self) -> np.ndarray:
        """(A, A): mean of ``looks_like`` over the decisive moments; rows add up to 1. nan if there is none."""
        return _mean(self.looks_like[self.decisive])

    @property
    def perfect_confusion(self) -> np.ndarray:
        """(A, A): mean of ``perfect`` over the decisive moments, the best that ``confusion`` can be."""
        return _mean(self.perfect[self.decisive])


def measure_sensitivity(
    world_model: WorldModel,
    game: BranchingGame,
    moments: Sequence[Moment],
    *,
    horizon: int = 1,
    seed: int = 0,
    device: torch.device | str = "cpu",
) -> Sensitivity:
    """Hold each action for ``horizon`` steps from each moment, once in the game and once in a dream.

    All actions of a moment share the game's seed and the noise from which dreams are drawn, so that only the action
    differs. The game must not have sticky actions (``make_branching(config, sticky=False)``), because it would
    sometimes take the previous action instead of the given one; the moments may come from a game with sticky actions.
    A world model that learnt from sticky actions cannot reach an accuracy of 1: its dreams repeat the last action as
    often as the game.

    Args:
        world_model: the world model, on ``device``.
        game: the game without sticky actions.
        moments: K moments.
        horizon: number of steps.
        seed: everything random follows from it.
        device: where the world model computes.
    """
    seeds = np.random.default_rng(derive_seed(seed, "sensitivity")).integers(2**31, size=len(moments))
    contexts = Batch.concatenate([moment.context for moment in moments])
    true, dreamt = [], []
    for action in range(game.action_spec.num_actions):
        held = torch.full((len(moments), horizon), action)
        pairs = zip(moments, seeds.tolist(), strict=True)
        true.append(torch.stack([play_on(game, moment, held[0], one)[-1] for moment, one in pairs]))
        # The same seed for each action, so that dreams differ by the action alone.
        generator = Generator(device).manual_seed(derive_seed(seed, "sensitivity", "dreams"))
        dreamt.append(dream_on(world_model, contexts, held, generator)[:, -1])
    return compare_actions(torch.stack(dreamt, dim=1), torch.stack(true, dim=1), horizon)


def compare_actions(dreamt: Tensor, true: Tensor, horizon: int) -> Sensitivity:
    """Compare dreamt and true frames of K moments under A actions, (K, A, C, H, W) uint8 each."""
    game_change, dream_change = _change(true), _change(dreamt)  # (K, A, CHW)
    error = _errors(dreamt, true)  # (K, A, A)
    same, near = _nearest(_errors(true, true)), _nearest(error)
    perfect, looks_like = (x.double() / x.sum(dim=2, keepdim=True) for x in (same, near))
    decisive = ~same.all(dim=2).all(dim=1)
    norm = game_change.square().sum(dim=(1, 2)) * dream_change.square().sum(dim=(1, 2))
    of_moments = {
        "accuracy": (looks_like * same).sum(dim=2).mean(dim=1),
        "chance": same.double().mean(dim=(1, 2)),
        "correlation": (game_change * dream_change).sum(dim=(1, 2)) / norm.sqrt().clamp(min=1e-12),
    }
    return Sensitivity(
        horizon=horizon,
        decisive=decisive.numpy(),
        game_change=game_change.square().mean(dim=2).sqrt().numpy(),
        dream_change=dream_change.square().mean(dim=2).sqrt().numpy(),
        looks_like=looks_like.numpy(),
        perfect=perfect.numpy(),
        told_apart=_told_apart(error).masked_fill(same, torch.nan).numpy(),
        **{name: x.where(decisive, torch.nan).numpy() for name, x in of_moments.items()},
    )


def confusion_plot(result: Sensitivity, names: Sequence[str]) -> Figure:
    """Plot the confusion matrices of a perfect dream and of the measured dream.

    Args:
        result: the action sensitivity for A actions.
        names: names of the A actions.

    Raises:
        UserError: Matplotlib is not installed.
    """
    figure, axes = new_figure(1, 2, height=3 + 0.15 * len(names))
    matrices = {"a perfect dream": result.perfect_confusion, "this dream": result.confusion}
    for ax, (title, matrix) in zip(axes, matrices.items(), strict=True):
        image = ax.imshow(matrix, cmap="Blues", vmin=0, vmax=1)
        ax.set_xticks(range(len(names)), names, rotation=90 if sum(map(len, names)) > MAX_LABEL else 0)
        ax.set_yticks(range(len(names)), names)
        ax.set(title=title, xlabel="looks like", ylabel="action")
        ax.grid(False)
        if len(names) <= MAX_LABELLED:
            for (row, column), share in np.ndenumerate(matrix):
                ink = "white" if share > 0.5 else "black"
                ax.text(column, row, f"{share:.2f}", ha="center", va="center", color=ink)
    figure.colorbar(image, ax=axes, label="share of moments")
    return figure


def _change(frames: Tensor) -> Tensor:
    """Effects (K, A, CHW) float64 of frames (K, A, C, H, W) uint8: frame minus mean over actions, fractions of 255."""
    pixels, num_actions = frames.flatten(2).int(), frames.shape[1]
    # The differences are integers, so that equal frames have exactly no effect.
    return (num_actions * pixels - pixels.sum(dim=1, keepdim=True)).double() / (255 * num_actions)


def _errors(frames: Tensor, true: Tensor) -> Tensor:
    """(K, A, A): mean squared error between the row's frame and the column's true frame."""
    return torch.stack([mse(frames, one[:, None]) for one in true.unbind(1)], dim=2)


def _nearest(error: Tensor) -> Tensor:
    """(K, A, A) bool: whether the column's true frame is the nearest to the row's frame, or one of the nearest."""
    return error == error.amin(dim=2, keepdim=True)


def _told_apart(error: Tensor) -> Tensor:
    """(K, A, A): 1 where two frames are nearer to their own true frames than exchanged, 0 where further, else 0.5."""
    own = error.diagonal(dim1=1, dim2=2)
    kept, exchanged = own[:, :, None] + own[:, None, :], error + error.mT
    return ((exchanged - kept).sign() + 1) / 2


def _mean(matrices: np.ndarray) -> np.ndarray:
    return matrices.mean(axis=0) if len(matrices) else np.full(matrices.shape[1:], np.nan)
