"""Initial weights that a run takes from another agent, instead of random ones."""

from __future__ import annotations

from torch import nn

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.interop.load import load
from adamas.training.config import Config


def take_weights(agent: Agent, config: Config) -> list[str]:
    """Replace the agent's weights by those of the agent that ``config.init`` names.

    Args:
        agent: the agent to change, on the CPU.
        config: the run's configuration, with ``init`` set.

    Returns:
        The names of the parts whose weights were replaced.

    Raises:
        UserError: ``config.init`` is not an agent, or a part is missing or has other sizes.
    """
    ours, theirs = _parts(agent), _parts(load(str(config.init), "cpu"))
    names: list[str] = list(config.init_parts) or [name for name in ours if name in theirs]
    for name in names:
        for parts, where in ((ours, "this run"), (theirs, config.init)):
            if name not in parts:
                raise UserError(f"{where} has no {name}; leave it out of `init_parts`")
        _copy(ours[name], theirs[name], name, str(config.init))
    return names


def _parts(agent: Agent) -> dict[str, nn.Module]:
    """The modules of an agent, by name."""
    parts = {name: part.module for name, part in agent.world_model.components(horizon=1).items()}
    if agent.actor_critic is not None:
        parts["actor_critic"] = agent.actor_critic
    return parts


def _copy(target: nn.Module, source: nn.Module, part: str, where: str) -> None:
    """Copy all weights of a part.

    Raises:
        UserError: the two modules differ in a name or a size.
    """
    ours, theirs = (
        {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
        for module in (target, source)
    )
    for name in [*ours, *theirs]:
        if ours.get(name) != theirs.get(name):
            there, here = (f"{sizes[name]}" if name in sizes else "absent" for sizes in (theirs, ours))
            raise UserError(
                f"the {part} of {where} does not fit this run: {name} is {there} there and {here} here; choose the "
                "preset and options that it was trained with, or name other parts with `init_parts`"
            )
    target.load_state_dict(source.state_dict())
