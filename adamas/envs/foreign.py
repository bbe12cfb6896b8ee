"""Calls to third-party environments, with their errors and invalid results turned into one-line messages."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import gymnasium
import numpy as np

from adamas.core.errors import UserError, not_installed

LARGEST = float(np.finfo(np.float32).max)


EXTRAS = {"box2d": "box2d", "shimmy": "dm-control"}
"""A word in Gymnasium's error message about a missing package -> the extra of adamas that installs the package."""


@contextmanager
def reporting_errors_of(game: str, what: str) -> Iterator[None]:
    """Turn any exception that an environment raises into a UserError.

    Args:
        game: name of the environment, for the message.
        what: name of the called function, for the message.
    """
    try:
        yield
    except UserError:
        raise
    except (gymnasium.error.DependencyNotInstalled, ModuleNotFoundError) as error:
        reason = _one_line(error)
        for word, extra in EXTRAS.items():
            if word in reason.lower():
                raise not_installed(f"{word}, which {game} needs,", extra) from error
        if isinstance(error, ModuleNotFoundError):
            reason = reason.partition(". Environment registration")[0]  # without Gymnasium's advice
            reason += "; install it, or put its folder into PYTHONPATH"
        raise UserError(f"{game} cannot be made: {reason}") from error
    except Exception as error:  # third-party code may raise anything
        reason = _one_line(error) or "no message"
        place = traceback.extract_tb(error.__traceback__)[-1]
        if "wrappers" in place.filename and "to unpack" in reason:  # Gymnasium's wrapper got too few values
            reason += "; reset() must return 2 values and step() 5"
        raise UserError(
            f"{game}: {what} raised {type(error).__name__}: {reason} ({place.filename}, line {place.lineno})"
        ) from error


def start_episode(env: gymnasium.Env[Any, Any], seed: int, game: str) -> Any:
    """Reset an environment, and return the first observation.

    Raises:
        UserError: if ``reset`` takes no seed, raises, or does not return what Gymnasium demands.
    """
    parameters = inspect.signature(env.unwrapped.reset).parameters.values()
    if not any(p.name == "seed" or p.kind is p.VAR_KEYWORD for p in parameters):
        raise UserError(
            f"reset() of {game} takes no seed, but runs need it to be resumed; add the keyword seed to it and "
            "call super().reset(seed=seed)"
        )
    with reporting_errors_of(game, "reset()"):
        answer = env.reset(seed=seed)
    if not (isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Mapping)):
        raise UserError(
            f"reset() of {game} returned {_describe(answer)}; Gymnasium's reset returns obs and a dictionary"
        )
    return answer[0]


def take_step(
    env: gymnasium.Env[Any, Any], action: Any, game: str, number: int
) -> tuple[Any, float, bool, bool]:
    """Step an environment, and return its observation, reward, terminated and truncated.

    Args:
        env: the environment.
        action: an element of its action space.
        game: its name, for error messages.
        number: number of the step in its episode, from 1.

    Raises:
        UserError: if ``step`` raises, does not return what Gymnasium demands, or returns a reward that is not finite.
    """
    with reporting_errors_of(game, f"step {number} of an episode"):
        answer = env.step(action)
    where = f"{game}: step {number} of an episode"
    if not (isinstance(answer, tuple) and len(answer) == 5):
        raise UserError(
            f"{where} returned {_describe(answer)}; Gymnasium's step returns obs, reward, terminated, truncated, info"
        )
    obs, reward, terminated, truncated, _ = answer
    return (
        obs,
        _reward(reward, where),
        _flag(terminated, "terminated", where),
        _flag(truncated, "truncated", where),
    )


def _reward(value: Any, where: str) -> float:
    number = _single(value)
    if number is None or number.dtype.kind not in "buif":
        raise UserError(f"{where} gave the reward {_describe(value)}; a reward is one number")
    if not abs(float(number)) <= LARGEST:
        raise UserError(f"{where} gave the reward {float(number)}; a reward must be finite (in float32)")
    return float(number)


def _flag(value: Any, name: str, where: str) -> bool:
    flag = _single(value)
    if flag is None or flag.dtype.kind not in "bui" or int(flag) not in (0, 1):
        raise UserError(f"{where} gave {_describe(value)} for {name}; it must be True or False")
    return bool(flag)


def _single(value: Any) -> np.ndarray | None:
    """Convert a number, or an array of one number, to shape (); None if it is something else."""
    try:
        array = np.asarray(value)
    except (TypeError, ValueError, RuntimeError):  # such as a ragged list, or a tensor with gradients
        return None
    return array.reshape(()) if array.size == 1 else None


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _describe(value: Any) -> str:
    """Describe a value in a few words."""
    if isinstance(value, tuple):
        return f"a tuple of {len(value)}"
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    return f"{str(value)[:60]} ({type(value).__name__})"
