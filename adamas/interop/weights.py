"""Weights of agents: reading them from published files without running code, and putting them into an agent."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from adamas.agent import Agent, AgentConfig
from adamas.core.errors import UserError
from adamas.core.files import check_regular
from adamas.world_models.base import IncompleteError
from adamas.world_models.tensor_names import Tensors


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a published file without running code from it. Raises UserError if it is not such a file."""
    try:
        check_regular(path)
        content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # arbitrary bytes make an unpickler raise almost anything
        raise UserError(
            f"{path} is not a published checkpoint (a state dict, *.pt); choose such a file"
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(name, str) and isinstance(tensor, Tensor) for name, tensor in content.items()
    ):
        raise UserError(f"{path} is not a published checkpoint (a flat state dict); choose such a file")
    for name, tensor in content.items():
        if not _is_plain(tensor):
            raise UserError(
                f"{path} is not a published checkpoint ({name[:80]!r} is not a plain tensor); choose another"
            )
    return content


def _is_plain(tensor: Tensor) -> bool:
    """Whether a tensor is dense and on the CPU, with memory of its own for every value (no expanded tensor)."""
    if (
        tensor.layout is not torch.strided
        or tensor.is_nested
        or tensor.is_quantized
        or tensor.device.type != "cpu"
    ):
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


@contextmanager
def must_hold_agent(source: str) -> Iterator[None]:
    """Raise UserError if an agent cannot be inferred in the block, because the tensors of a file are not those of one.

    Args:
        source: name of the file, for error messages.
    """
    try:
        yield
    except IncompleteError as error:
        raise UserError(f"{source} {error}") from error
    except KeyError as error:
        raise UserError(
            f"{source} does not hold an agent: no tensor is named {error}; get the file again"
        ) from error
    except (ValueError, TypeError, IndexError, ZeroDivisionError, UserError) as error:
        raise UserError(
            f"{source} does not hold an agent: its shapes do not fit together ({error}); get the file again"
        ) from error


def build(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """Build an agent with the given weights, in evaluation mode. Does not change the global random state.

    Args:
        config: the configuration of the agent.
        tensors: the weights, named as in the agent's state dict.
        source: where the weights come from, for error messages.

    Raises:
        UserError: if tensors are missing or unexpected, or have another shape or dtype than those of ``config``.
    """
    check_weights(without_weights(config, tensors, source), tensors, source)
    with torch.random.fork_rng(devices=[]):  # the random initial weights are replaced at once
        agent = Agent(config)
    agent.load_state_dict(tensors)
    return agent.eval()


def without_weights(config: AgentConfig, tensors: Tensors, source: str) -> Agent:
    """Build an agent on the meta device, without memory for weights, to check ``tensors`` before allocating any.

    Raises:
        UserError: if an agent of these sizes cannot be built, or has more blocks of layers than there are tensors.
    """
    if (blocks := config.world_model.num_blocks) > len(tensors):
        raise UserError(
            f"{source} does not hold an agent: its configuration describes {blocks:,} blocks of layers, and there are "
            f"{len(tensors):,} tensors; get the file again"
        )
    try:
        with torch.device("meta"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # PyTorch warns about tensors without elements
            return Agent(config)
    except (
        RuntimeError,
        ValueError,
        TypeError,
        IndexError,
        AssertionError,
        ArithmeticError,
        MemoryError,
    ) as error:
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise UserError(
            f"{source} does not hold an agent: an agent of these sizes cannot be built ({reason}); get the file again"
        ) from error


def check_weights(agent: Agent, tensors: Tensors, source: str) -> None:
    """Compare the names, shapes and dtypes of ``tensors`` with the weights of an agent.

    Args:
        agent: the agent that the tensors are meant for, which may be without weights.
        tensors: named as in the agent's state dict.
        source: where the tensors come from, for error messages.

    Raises:
        UserError: if tensors are missing or unexpected, or have another shape or dtype than the agent's.
    """
    expected = agent.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unexpected" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} {tensors[name].dtype} instead of {tuple(t.shape)} {t.dtype}"
        for name, t in expected.items()
        if name in tensors and (tensors[name].shape, tensors[name].dtype) != (t.shape, t.dtype)
    ]
    if problems:
        more = f" (and {len(problems) - 1} more like it)" if len(problems) > 1 else ""
        raise UserError(f"{source} does not hold an agent: {problems[0]}{more}; get the file again")
