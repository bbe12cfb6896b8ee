"""Weights that a run starts from, when they are not random: those of another agent."""

from __future__ import annotations

from torch import nn

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.interop.load import load
from adamas.training.config import Config


def take_weights(agent: Agent, config: Config) -> list[str]:
    """Put the weights that ``config.init`` names in the place of the agent's own.

    Args:
        agent: on the CPU.
        config: of the run; its ``init`` must be given.

    Returns:
        The names of the parts that were taken.

    Raises:
        UserError: there is no agent in ``config.init``, or a part is missing or of another size.
    """
    ours, theirs = _parts(agent), _parts(load(str(config.init), "cpu"))
    trained = [name for name in ours if config.data is None or name != "actor_critic"]
    names: list[str] = list(config.init_parts) or [name for name in trained if name in theirs]
    for name in names:
        for parts, where in ((ours, "this run"), (theirs, config.init)):
            if name not in parts:
                raise UserError(f"{where} has no {name}; leave it out of --init-parts")
        _copy(ours[name], theirs[name], name, str(config.init))
    return names


def _parts(agent: Agent) -> dict[str, nn.Module]:
    """What an agent consists of, by name."""
    parts = {name: getattr(agent.world_model, name) for name in ("denoiser", "reward_end", "upsampler")}
    parts["actor_critic"] = agent.actor_critic
    return {name: part for name, part in parts.items() if part is not None}


def _copy(target: nn.Module, source: nn.Module, part: str, where: str) -> None:
    """Copy all weights of a part, or refuse.

    Raises:
        UserError: they differ in a name or a size.
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
                "preset and options that it was trained with, or name other parts with --init-parts"
            )
    target.load_state_dict(source.state_dict())
