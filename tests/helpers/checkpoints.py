"""Checkpoints whose every part carries a stamp."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from adamas.core.checkpoint import Checkpoint, find_checkpoint, save_checkpoint


def save(root: Path, step: int, life: int = 0, size: int = 8, keep: int = 2) -> Path:
    """A checkpoint whose every part carries the stamp (step, life)."""
    stamp = [step, life]
    agent = {"stamp": torch.tensor(stamp), "weight": torch.full((size,), float(step))}
    trainer = {"stamp": stamp, "moments": [torch.full((4 * size,), float(step))]}
    return save_checkpoint(root, step, agent, {"stamp": stamp}, trainer, keep)


def find_undamaged(root: Path) -> tuple[Checkpoint, list[int]]:
    """The newest checkpoint and its stamp, once all its parts agree; a damaged one on the way is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_checkpoint(root)
    agent, stamp = found.agent_weights(), found.trainer_state()["stamp"]
    assert agent["stamp"].tolist() == found.config()["stamp"] == stamp
    assert stamp[0] == found.step and (agent["weight"] == found.step).all()
    return found, stamp


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


FILES = ["agent.safetensors", "config.yaml", "trainer.pt", "manifest.json"]
