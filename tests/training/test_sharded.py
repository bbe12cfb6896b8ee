"""Two processes that keep a part of every parameter each learn what one does that keeps them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from test_distributed import adamas, finish, kill_two_at
from test_static import config, record
from torch import Tensor

from adamas.core.errors import UserError
from adamas.training.config import Config


def state(run_dir: Path) -> dict[str, Any]:
    """Weights, and all tensors of the trainer's state, of the newest checkpoint."""
    checkpoint = max((run_dir / "checkpoints").glob("step-*"))
    trainer = torch.load(checkpoint / "trainer.pt", weights_only=True)
    found: dict[str, Any] = dict(load_file(checkpoint / "agent.safetensors"))

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}/{key}")
        elif isinstance(value, Tensor):
            found[name] = value

    walk({name: trainer["phases"][name] for name in ("denoiser", "reward_end")}, "")
    return found


def test_as_one_process_and_on_in_one(tmp_path: Path) -> None:
    """Its parts make whole checkpoints: killed in the middle of the second epoch, one process goes on."""
    for seed, name in enumerate(("train", "test")):
        record(tmp_path / "mine" / name, 3, seed)
    command = ("train", "debug", "--data", tmp_path / "mine", "--num-shards", "2", "--final-epochs", "2")
    command += ("--tensorboard", "False", "--quiet")
    finish(adamas(*command, "--run-dir", tmp_path / "one"))
    options = ("--runtime.shard-parameters", "True", "--runtime.checkpoint-activations", "True")
    kill_two_at(9, tmp_path / "two", *command, *options)
    finish(adamas("train", "--resume", tmp_path / "two", "--quiet"))
    expected, found = state(tmp_path / "one"), state(tmp_path / "two")
    assert found.keys() == expected.keys() and sum("exp_avg_sq" in name for name in found) > 20
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


def test_a_policy_is_not_sharded(tmp_path: Path) -> None:
    base = config(tmp_path)
    runtime = {"shard_parameters": True}
    with pytest.raises(
        UserError, match="shard_parameters is for training on recordings; name them with data"
    ):
        Config(env=base.env, runtime=type(base.runtime)(**runtime))
