"""A run that takes a second, and what is left of one to compare."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from adamas.core.checkpoint import find_checkpoint
from adamas.data.store import EpisodeStore
from adamas.envs.config import MinAtarConfig
from adamas.presets import preset
from adamas.rl.part_training import ComponentTraining
from adamas.training.config import Config
from adamas.training.trainer import Trainer
from adamas.world_models.iris.training import IrisTraining


def tiny_config(seed: int = 0) -> Config:
    """The debug preset on MinAtar Breakout: two epochs of 13 units of work each, after 2 in epoch 0."""
    config = preset("debug")
    return replace(
        config,
        seed=seed,
        env=MinAtarConfig(game="breakout", size=10, max_episode_steps=100),
        tensorboard=False,
    )


def tiny_iris() -> Config:
    """The same run with the small world model of tokens, which is trained without LPIPS."""
    config, small = tiny_config(), preset("iris-quickstart")
    part = ComponentTraining(batch_size=2, first_epoch_updates=2, updates_per_epoch=2)
    return replace(
        config,
        world_model=small.world_model,
        actor_critic=small.actor_critic,
        training=IrisTraining(tokenizer=part, dynamics=part, actor_critic=config.training.actor_critic),
    )


def fingerprint(run_dir: Path) -> dict[str, Any]:
    """Everything that two equal runs have in common, by name: plain values, bytes of tensors and of files."""
    checkpoint = find_checkpoint(run_dir / "checkpoints")
    trainer = checkpoint.trainer_state()
    del trainer["clock"]["seconds"], trainer["metrics"]["timing"]
    result = flat("agent", checkpoint.agent_weights()) | flat("trainer", trainer)
    for name in ("train", "test"):
        store = EpisodeStore.open(run_dir / "dataset" / name)
        for i, episode in enumerate(store):
            result |= flat(f"{name}.{i}", vars(episode))
    result["metrics.jsonl"] = (run_dir / "metrics" / "metrics.jsonl").read_bytes()
    return result


def finish(trainer: Trainer) -> dict[str, Any]:
    """Run to the end; what is left on disk."""
    with closing(trainer):
        trainer.run()
    return fingerprint(trainer.run_dir)


def flat(name: str, value: Any) -> dict[str, Any]:
    """Nested dictionaries and lists as one dictionary, arrays as bytes."""
    if isinstance(value, dict):
        items: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        items = enumerate(value)
    elif isinstance(value, Tensor | np.ndarray):
        array = np.asarray(value)
        return {name: (array.dtype, array.shape, array.tobytes())}
    else:
        return {name: value}
    return {key: leaf for k, v in items for key, leaf in flat(f"{name}.{k}", v).items()}


def differing(a: dict[str, Any], b: dict[str, Any]) -> list[str]:
    """Names of what is not the same in both."""
    return sorted(
        name for name in a.keys() | b.keys() if name not in a or name not in b or a[name] != b[name]
    )
