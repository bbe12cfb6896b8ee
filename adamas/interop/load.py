"""Loading of trained agents from runs, checkpoints, published files and the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from adamas.agent import Agent, AgentConfig
from adamas.core import runtime
from adamas.core.checkpoint import AGENT_FILES, Checkpoint, find_checkpoint
from adamas.core.errors import UserError
from adamas.core.manifest import MANIFEST, DamagedError, verify
from adamas.interop.hub import fetch, is_address
from adamas.interop.published import load_published
from adamas.interop.weights import build


def load(path: Path | str, device: str = "auto") -> Agent:
    """Load a trained agent, in evaluation mode.

    Args:
        path: a run folder (its newest intact checkpoint is loaded), a checkpoint folder, or a published checkpoint
            (``.pt``). The latter two can also be on the Hugging Face hub, as
            ``hf://owner/name[/folder or file.pt][@revision]``. In a repository of published agents of Atari games, the
            name of a game can stand for its file.
        device: auto, cpu, cuda or mps; auto chooses the first that exists of cuda, mps and cpu.

    Raises:
        UserError: if there is no agent at ``path``, it is damaged, it cannot be downloaded, or the device is missing.
    """
    chosen = runtime.choose_device(device)
    path = fetch(path).path if is_address(path) else Path(path)
    agent = load_published(path) if path.is_file() else _from_checkpoint(checkpoint_in(path))
    runtime.place(agent, runtime.RuntimeConfig(), chosen)
    return agent


def checkpoint_in(folder: Path) -> Checkpoint:
    """Find the checkpoint in a checkpoint folder, or the newest intact one in a run folder.

    Raises:
        UserError: if ``folder`` is neither, or its agent does not match its manifest (the hub stores no manifest).
    """
    if (folder / "agent.safetensors").exists():
        if (folder / MANIFEST).exists():
            _verify_agent(folder)
        return Checkpoint(folder, step=0)  # the true step does not matter here
    if (folder / "checkpoints").is_dir():
        return find_checkpoint(folder / "checkpoints")
    what = "holds no agent" if folder.exists() else "does not exist"
    raise UserError(f"{folder} {what}; give a run folder, a checkpoint folder or a published .pt file")


def _verify_agent(folder: Path) -> None:
    try:
        verify(folder, AGENT_FILES, everything=False)
    except DamagedError as reason:
        raise UserError(
            f"checkpoint {folder} is damaged ({reason}); load the folder of its run instead, which falls back on "
            "the checkpoint before it"
        ) from reason


def _from_checkpoint(checkpoint: Checkpoint) -> Agent:
    data = checkpoint.config()
    # Small copies of agents are stored in half precision (examples/pack_agent.py).
    tensors = {
        name: t.float() if t.dtype == torch.float16 else t for name, t in checkpoint.agent_weights().items()
    }
    if "agent" not in data:
        raise UserError(
            f"{checkpoint.path / 'config.yaml'} does not describe an agent; choose a checkpoint of a run"
        )
    config = AgentConfig.from_checkpoint(data)
    tensors = config.own_weights(tensors)
    agent = build(config, tensors, str(checkpoint.path))
    _check_finite(tensors, checkpoint.path)
    return agent


def _check_finite(tensors: Mapping[str, Tensor], source: Path) -> None:
    """Refuse, as UserError, weights that are NaN or infinite."""
    for name, tensor in tensors.items():
        if tensor.is_floating_point() and not tensor.isfinite().all():
            raise UserError(
                f"{source / 'agent.safetensors'} holds values that are not finite, in {name}; choose another checkpoint"
            )
