"""The one way to get a trained agent."""

from __future__ import annotations

from pathlib import Path

import yaml
from safetensors import SafetensorError

from adamas.agent import Agent, AgentConfig
from adamas.core import runtime
from adamas.core.checkpoint import Checkpoint, find_checkpoint
from adamas.core.config import from_dict
from adamas.core.errors import UserError
from adamas.interop.published import build, load_published


def load(path: Path | str, device: str = "auto") -> Agent:
    """A trained agent, in evaluation mode.

    Args:
        path: a run's folder (its newest intact checkpoint is taken), a checkpoint's folder, or a published
            checkpoint (``.pt``).
        device: auto, cpu, cuda or mps; auto takes the first that exists of cuda, mps and cpu.

    Raises:
        UserError: there is no agent in ``path``, it is damaged, or there is no such device.
    """
    path = Path(path)
    config = from_dict(runtime.RuntimeConfig, {"device": device}, "runtime")
    if path.is_file():
        agent = load_published(path)
    elif (path / "agent.safetensors").is_file():
        agent = _from_checkpoint(Checkpoint(path, step=0))  # whichever step it is
    elif (path / "checkpoints").is_dir():
        agent = _from_checkpoint(find_checkpoint(path / "checkpoints"))
    else:
        what = "holds no agent" if path.exists() else "does not exist"
        raise UserError(f"{path} {what}; give a run folder, a checkpoint folder or a published .pt file")
    runtime.place(agent, config, runtime.choose_device(config.device))
    return agent


def _from_checkpoint(checkpoint: Checkpoint) -> Agent:
    try:
        config, tensors = checkpoint.config(), checkpoint.agent()
    except (OSError, SafetensorError, yaml.YAMLError) as error:
        raise UserError(
            f"checkpoint {checkpoint.path} is damaged ({error}); load the folder of its run instead, which "
            "falls back on the checkpoint before it"
        ) from error
    if not isinstance(config, dict) or "agent" not in config:
        raise UserError(
            f"{checkpoint.path / 'config.yaml'} does not describe an agent; choose a checkpoint of a run"
        )
    return build(from_dict(AgentConfig, config["agent"], "agent"), tensors, str(checkpoint.path))
