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
from adamas.interop.hub import fetch, is_address
from adamas.interop.published import build, published_agent, read_tensors
from adamas.interop.two_stage import is_two_stage, two_stage_agent


def load(path: Path | str, device: str = "auto") -> Agent:
    """A trained agent, in evaluation mode.

    Args:
        path: a run's folder (its newest intact checkpoint is taken), a checkpoint's folder, or a published
            checkpoint (``.pt``); or one of the latter two on the Hugging Face hub, as
            ``hf://owner/name[/folder or file.pt][@revision]``. ``hf://eloialonso/diamond/Breakout`` is a game of
            DIAMOND's authors; ``csgo/model/csgo.pt`` is its world model of CS:GO, in two stages, without a policy.
        device: auto, cpu, cuda or mps; auto takes the first that exists of cuda, mps and cpu.

    Raises:
        UserError: there is no agent in ``path``, it is damaged, it cannot be fetched, or there is no such device.
    """
    config = from_dict(runtime.RuntimeConfig, {"device": device}, "runtime")
    path = fetch(path).path if is_address(path) else Path(path)
    agent = load_published(path) if path.is_file() else _from_checkpoint(checkpoint_in(path))
    runtime.place(agent, config, runtime.choose_device(config.device))
    return agent


def load_published(path: Path) -> Agent:
    """What a published file holds, on the CPU and in evaluation mode. Executes no code from it.

    Raises:
        UserError: the file cannot be read, or is something else.
    """
    tensors = read_tensors(path)
    make = two_stage_agent if is_two_stage(tensors) else published_agent
    return make(tensors, str(path))


def checkpoint_in(folder: Path) -> Checkpoint:
    """The checkpoint that ``folder`` is, or the newest intact one of the run that it is.

    Raises:
        UserError: it is neither.
    """
    if (folder / "agent.safetensors").is_file():
        return Checkpoint(folder, step=0)  # whichever step it is
    if (folder / "checkpoints").is_dir():
        return find_checkpoint(folder / "checkpoints")
    what = "holds no agent" if folder.exists() else "does not exist"
    raise UserError(f"{folder} {what}; give a run folder, a checkpoint folder or a published .pt file")


def _from_checkpoint(checkpoint: Checkpoint) -> Agent:
    try:
        config, tensors = checkpoint.config(), checkpoint.agent()
    except (OSError, SafetensorError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"checkpoint {checkpoint.path} is damaged ({reason}); load the folder of its run instead, which "
            "falls back on the checkpoint before it"
        ) from error
    if not isinstance(config, dict) or "agent" not in config:
        raise UserError(
            f"{checkpoint.path / 'config.yaml'} does not describe an agent; choose a checkpoint of a run"
        )
    return build(AgentConfig.from_saved(config["agent"]), tensors, str(checkpoint.path))
