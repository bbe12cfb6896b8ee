"""Files in the formats of published code: a flat state dict each, written by ``torch.save``, without a configuration.

Each kind of world model knows the format of its own code
(:meth:`~adamas.world_models.base.WorldModelConfig.from_published` and
:meth:`~adamas.world_models.base.WorldModelConfig.to_published`).
"""

from __future__ import annotations

import io
from pathlib import Path

import torch

from adamas.agent import Agent, AgentConfig
from adamas.core.errors import UserError
from adamas.core.files import creating
from adamas.interop.weights import build, must_hold_agent, read_tensors
from adamas.world_models.base import Published, WorldModelConfig


def load_published(path: Path) -> Agent:
    """Load a published file, on the CPU and in evaluation mode, without running code from it.

    Raises:
        UserError: if the file cannot be read, or is not a published agent.
    """
    tensors = read_tensors(path)
    for kind in WorldModelConfig.kinds.values():
        with must_hold_agent(str(path)):
            found = kind.from_published(tensors)
        if found is not None:
            config = AgentConfig(
                obs_shape=found.obs_shape,
                actions=found.actions,
                world_model=found.world_model,
                actor_critic=found.actor_critic,
            )
            return build(config, found.tensors, str(path))
    raise UserError(
        f"{path} is not a published checkpoint of a kind that Adamas knows ({', '.join(WorldModelConfig.kinds)}): its "
        "tensors have other names; choose another file"
    )


def save_published(agent: Agent, path: Path | str) -> None:
    """Write the weights of ``agent`` to a new file in the format of its kind's published code.

    Raises:
        UserError: if the file exists or cannot be written, or the published code cannot represent the agent.
    """
    path, config = Path(path), agent.config
    published = Published(
        obs_shape=config.obs_shape,
        actions=config.actions,
        world_model=config.world_model,
        actor_critic=config.actor_critic,
        tensors=agent.state_dict(),
    )
    weights = config.world_model.to_published(published)
    content = io.BytesIO()  # when the disk is full, torch.save() to a file would not raise OSError
    torch.save({name: tensor.cpu().contiguous() for name, tensor in weights.items()}, content)
    try:
        with creating(path) as temporary:
            temporary.write_bytes(content.getbuffer())
    except FileExistsError as error:
        raise UserError(f"{path} exists and is not overwritten; choose another name") from error
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror}; check the folder and its free space"
        ) from error
