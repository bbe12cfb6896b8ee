"""Make a small copy of a run's agent: half-precision weights, and a few held-out episodes for dreams to start from.

    python examples/pack_agent.py runs/quickstart/breakout-seed-0 small
    adamas play small

The agent in the package (adamas/play/demo) was made by this script. The copy is a checkpoint folder with a dataset in
it, so that every command takes it. It must not exist yet.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from adamas.data import EpisodeStore
from adamas.data.store import NEW
from adamas.interop.load import checkpoint_in

FRAMES = 1500  # at most so many frames to start dreams from


def pack(run: Path, out: Path) -> None:
    """Write the newest agent of ``run`` and the beginning of its held-out episodes into the new folder ``out``."""
    checkpoint = checkpoint_in(run)
    weights = {name: half(tensor) for name, tensor in checkpoint.agent_weights().items()}
    out.mkdir(parents=True)
    save_file(weights, out / "agent.safetensors")
    shutil.copy(checkpoint.path / "config.yaml", out / "config.yaml")
    copy_episodes(EpisodeStore.open(run / "dataset" / "test"), out / "dataset" / "test")


def half(tensor: torch.Tensor) -> torch.Tensor:
    """A floating-point tensor in half precision; other tensors stay as they are."""
    return tensor.to(torch.float16) if tensor.is_floating_point() else tensor


def copy_episodes(source: EpisodeStore, folder: Path) -> None:
    """Copy the first episodes of a dataset, up to :data:`FRAMES` frames."""
    copy = EpisodeStore.create(folder, source.obs_shape, source.action_spec)
    for episode in source:
        if copy.num_rows + len(episode.obs) > FRAMES:
            break
        number = np.array([NEW])
        for t in range(len(episode)):
            step = (episode.action, episode.reward, episode.terminated, episode.truncated)
            number = copy.append(number, episode.obs[t : t + 1], *(part[t : t + 1] for part in step))
        copy.append_final(number, episode.obs[-1:])
    copy.commit()


if __name__ == "__main__":
    pack(Path(sys.argv[1]), Path(sys.argv[2]))
