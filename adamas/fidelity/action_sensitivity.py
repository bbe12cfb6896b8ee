"""Whether dreams obey: what every action changes in the next frames, in the game and in dreams."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Generator, Tensor

from adamas.core.protocols import WorldModel
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.envs.rewind import BranchingGame
from adamas.fidelity.distances import mse
from adamas.fidelity.moments import Moment, dream_on, play_on
from adamas.media.plots import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MAX_LABELLED = 9  # actions whose numbers fit into the cells of a plot
MAX_LABEL = 40  # letters of their names that fit below it


@dataclass(frozen=True)
class Sensitivity:
    """What each of A actions changes, in K moments.

    A change is the frame under an action minus the mean of the frames under all actions; its size is the root
    of the mean squared change of pixels as fractions of 255. Where the game does the same whatever the action
    (``decisive`` is false), there is nothing to obey: ``accuracy``, ``chance`` and ``correlation`` are then nan,
    and the confusion matrices leave the moment out.

    Attributes:
        horizon: steps for which the action was held.
        decisive: (K,) bool, whether the game's frames under some two actions differ.
        game_change: (K, A), sizes of the changes in the game.
        dream_change: (K, A), in the dream.
        looks_like: (K, A, A), to which action's true frame the dreamt frame under the action of the row is nearest
            (mean squared error). Actions whose true frames are equally near share the 1 equally.
        perfect: (K, A, A), the same for the true frames themselves, as for a perfect dream: it shows which actions
            do the same.
        accuracy: (K,), share of actions whose dreamt frame looks like their own true frame, whichever of the actions
            that do the same is asked for.
        chance: (K,), what a dream gets that shows the true frame of an action drawn at random.
        told_apart: (K, A, A), whether the dreamt frames under two actions are, as a pair, nearer to their own true
            frames than exchanged: 1, 0, or 0.5 where it makes no difference, as by chance. nan where the true frames
            are the same. Unlike ``looks_like`` it does not mind what both dreams have in common, such as a blur.
        correlation: (K,), between all values of the game's and of the dream's changes, in [-1, 1]; 0 for a dream
            in which the action changes nothing.
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
        """(A, A): mean of ``looks_like`` over the decisive moments; rows add up to 1. nan if there are none."""
        return _mean(self.looks_like[self.decisive])

    @property
    def perfect_confusion(self) -> np.ndarray:
        """(A, A): mean of ``perfect`` over the decisive moments, to compare ``confusion`` with."""
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
    """Hold every action for ``horizon`` steps from every moment, in the game and in one dream each.

    Chance is the same for all actions of a moment: the game's seed, and the noise dreams are drawn from. The game
    must take every action (``make_branching(config, sticky=False)``), or its frames would be of other actions at
    times; moments may be of the one whose actions stick. A dream that draws fairly from a game whose actions stick
    cannot be right always: it repeats the last action as often as the game it has learnt does.

    Args:
        world_model: what dreams, on ``device``.
        game: takes every action.
        moments: K moments.
        horizon: steps.
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
        # A generator of its own for every action, of the same seed: their dreams differ by the action alone.
        generator = Generator(device).manual_seed(derive_seed(seed, "sensitivity", "dreams"))
        dreamt.append(dream_on(world_model, contexts, held, generator)[:, -1])
    return compare_actions(torch.stack(dreamt, dim=1), torch.stack(true, dim=1), horizon)


def compare_actions(dreamt: Tensor, true: Tensor, horizon: int) -> Sensitivity:
    """The measures, from the frames of K moments under A actions, (K, A, C, H, W) uint8 each."""
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
        horizon,
        decisive.numpy(),
        game_change.square().mean(dim=2).sqrt().numpy(),
        dream_change.square().mean(dim=2).sqrt().numpy(),
        looks_like.numpy(),
        perfect.numpy(),
        told_apart=_told_apart(error).masked_fill(same, torch.nan).numpy(),
        **{name: x.where(decisive, torch.nan).numpy() for name, x in of_moments.items()},
    )


def confusion_plot(result: Sensitivity, names: Sequence[str]) -> Figure:
    """What a perfect dream would be taken for, and what the dream is: a matrix each.

    Args:
        result: of A actions.
        names: theirs.

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
    """(K, A, C, H, W) uint8 to (K, A, CHW) float64: each frame less the mean over the actions, as fractions of 255."""
    pixels, num_actions = frames.flatten(2).int(), frames.shape[1]
    # In whole numbers, so that frames that are the same do not change by a rounding error.
    return (num_actions * pixels - pixels.sum(dim=1, keepdim=True)).double() / (255 * num_actions)


def _errors(frames: Tensor, true: Tensor) -> Tensor:
    """(K, A, A): mean squared error between the frame of the row's action and the true one of the column's."""
    return torch.stack([mse(frames, one[:, None]) for one in true.unbind(1)], dim=2)


def _nearest(error: Tensor) -> Tensor:
    """(K, A, A) bool: whether no action's true frame is nearer to the frame of the row than that of the column."""
    return error == error.amin(dim=2, keepdim=True)


def _told_apart(error: Tensor) -> Tensor:
    """(K, A, A): 1 where two frames fit their own true frames better than each other's, 0 where worse, 0.5 between."""
    own = error.diagonal(dim1=1, dim2=2)
    kept, exchanged = own[:, :, None] + own[:, None, :], error + error.mT
    return ((exchanged - kept).sign() + 1) / 2


def _mean(matrices: np.ndarray) -> np.ndarray:
    return matrices.mean(axis=0) if len(matrices) else np.full(matrices.shape[1:], np.nan)
