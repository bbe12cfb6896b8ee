"""How much memory saving a checkpoint takes, beside how large it is.

The weights are those of a preset's agent, filled with random numbers, and the two moments that AdamW keeps of each::

    python benchmarks/checkpoint_memory.py csgo --folder /tmp

It writes the checkpoint into a new folder, which it removes at the end. Needs Linux, which tells the peak of memory.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.arguments import parse
from adamas.core.checkpoint import find_checkpoint, save_checkpoint
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.presets import preset
from adamas.world_models.diamond.published import OBS_SHAPE

NUM_BUTTONS = 51  # of CS:GO
GB = 1e9


@dataclass(frozen=True)
class Options:
    """What to save, and where."""

    folder: Path = Path(tempfile.gettempdir())
    """An existing folder on a disk with room for the checkpoint."""


def agent_tensors(name: str) -> tuple[AgentConfig, dict[str, Tensor]]:
    """Random weights of a preset's agent."""
    config = preset(name)
    actions = ActionSpec(buttons=tuple(str(i) for i in range(NUM_BUTTONS)))
    shape = OBS_SHAPE if config.env is None else config.env.obs_shape
    agent_config = AgentConfig(
        obs_shape=shape, actions=actions, world_model=config.world_model, actor_critic=config.actor_critic
    )
    with torch.device("meta"):
        state = Agent(agent_config).state_dict()
    return agent_config, {key: torch.rand(tensor.shape) for key, tensor in state.items()}


def memory(what: str) -> float:
    """Resident memory of this process in GB: VmRSS now, VmHWM at its peak."""
    line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(what))
    return int(line.split()[1]) * 1024 / GB


def main(name: str, options: Options) -> None:
    """Save once, and read it back once."""
    empty = memory("VmRSS")
    config, agent = agent_tensors(name)
    moments = {
        i: {"step": torch.ones(()), "exp_avg": torch.rand_like(t), "exp_avg_sq": torch.rand_like(t)}
        for i, t in enumerate(agent.values())
    }
    trainer = {"phases": {"all": {"optimizer": {"adamw": {"state": moments}}}}}
    needed = 3 * sum(tensor.nbytes for tensor in agent.values())
    if shutil.disk_usage(options.folder).free < 1.5 * needed:
        raise UserError(
            f"{options.folder} has no room for {needed / GB:.1f} GB; name another one with --folder"
        )
    held = memory("VmRSS")
    with tempfile.TemporaryDirectory(dir=options.folder) as root:
        Path("/proc/self/clear_refs").write_text("5")  # the peak is now
        start = time.monotonic()
        path = save_checkpoint(Path(root), 1, agent, {"agent": to_dict(config)}, trainer)
        seconds, peak = time.monotonic() - start, memory("VmHWM")
        sizes = {file.name: file.stat().st_size / GB for file in path.iterdir()}
        start = time.monotonic()
        find_checkpoint(Path(root))
        verified = time.monotonic() - start
    size = sum(sizes.values())
    print(f"{name}: {sum(tensor.numel() for tensor in agent.values()) / 1e6:.0f} M weights")
    print("files: " + ", ".join(f"{file} {gb:.3f} GB" for file, gb in sizes.items()))
    print(
        f"host memory: {empty:.3f} GB before, {held:.3f} GB with weights and moments, {peak:.3f} GB at the peak"
    )
    print(f"saving took {seconds:.1f} s and {peak - held:.3f} GB more; verifying took {verified:.1f} s")
    print(f"peak / file: {peak / size:.3f}; without what the interpreter takes: {(peak - empty) / size:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], parse(Options, sys.argv[2:], "checkpoint_memory"))
