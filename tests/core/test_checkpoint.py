"""Checkpoints come back exactly, and the newest ones are kept."""

from __future__ import annotations

import hashlib
import json
import pickle
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from adamas.core.checkpoint import Checkpoint, find_checkpoint, save_checkpoint
from adamas.core.tensors import write_tensors
from tests.helpers.checkpoints import find_undamaged, names, save


def test_parts_come_back_exactly(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 2, 2)
    agent = {
        "shared": base,
        "view": base[:, 1],
        "channels_last": base.to(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(3),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2),
        "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "trained": torch.nn.Parameter(torch.ones(2)),
    }
    config = {"name": "é", "lr": 1e-05, "channels": [1, 2], "none": None}
    rng: dict[str, Any] = {
        "torch": torch.Generator().manual_seed(1).get_state(),
        "python": random.Random(1).getstate(),
        "numpy": np.random.default_rng(1).bit_generator.state,
    }
    trainer = {"rng": rng, "counts": [1, 2.5, "a", True, None], "nested": [{"t": (torch.ones(2),)}]}

    path = save_checkpoint(tmp_path / "checkpoints", 12345, agent, config, trainer)
    found = find_checkpoint(tmp_path / "checkpoints")
    assert found == Checkpoint(path, 12345) and path.name == "step-00012345"
    assert (tmp_path / "checkpoints/latest").read_text() == "step-00012345\n"
    assert found.config() == config

    loaded = found.agent_weights()
    assert loaded.keys() == agent.keys()
    for name, tensor in agent.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)
    state = found.trainer_state()
    assert state["counts"] == trainer["counts"]
    assert state["rng"]["python"] == rng["python"] and state["rng"]["numpy"] == rng["numpy"]
    assert torch.equal(state["rng"]["torch"], rng["torch"])
    assert torch.equal(state["nested"][0]["t"][0], torch.ones(2))


def test_manifest_fingerprints_every_file(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format_version"] == 1 and manifest["step"] == 7
    assert manifest["versions"]["torch"] == torch.__version__
    assert sorted([*manifest["files"], "manifest.json"]) == names(path)
    for name, fingerprint in manifest["files"].items():
        content = (path / name).read_bytes()
        assert fingerprint == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_weights_are_written_as_the_library_does(tmp_path: Path) -> None:
    tensors = {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "é": torch.tensor(3),
        "flag": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 2, dtype=torch.float64),
    }
    write_tensors(tmp_path / "ours", tensors)
    assert (tmp_path / "ours").read_bytes() == safetensors.torch.save(tensors)
    write_tensors(tmp_path / "none", {})
    assert safetensors.torch.load_file(tmp_path / "none") == {}


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux to tell the peak of memory"
)
def test_saving_needs_little_memory_beside_what_is_saved(tmp_path: Path) -> None:
    agent = {
        str(i): torch.full((1 << 20,), float(i)) for i in range(8)
    }  # 4 MB each, as 16 are in the trainer
    trainer = {"moments": [torch.full((1 << 20,), float(i)) for i in range(16)]}
    save(tmp_path / "warm", 0)

    def memory(name: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if name in line)
        return int(line.split()[1]) * 1024

    Path("/proc/self/clear_refs").write_text("5")  # the peak is now
    before = memory("VmRSS")
    path = save_checkpoint(tmp_path, 1, agent, {}, trainer)
    size = sum(file.stat().st_size for file in path.iterdir())
    assert size > 96 << 20
    assert memory("VmHWM") - before < 0.2 * size


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step, keep=3)
    assert names(tmp_path) == ["latest", "step-00000002", "step-00000003", "step-00000004"]
    assert find_undamaged(tmp_path)[0].step == 4


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 100_000_001):
        save(tmp_path, step)
    assert names(tmp_path) == ["latest", "step-100000000", "step-100000001"]


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    for life in range(3):
        save(tmp_path, 1, life)
    assert names(tmp_path) == ["latest", "step-00000001"]
    assert find_undamaged(tmp_path)[1] == [1, 2]


def test_leftovers_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step-00000001.old")
    (tmp_path / "step-00000001.tmp").mkdir()
    (tmp_path / "step-00000001.tmp/agent.safetensors").write_bytes(b"half")
    (tmp_path / "latest.tmp").write_bytes(b"")
    assert find_undamaged(tmp_path)[0].path.name == "step-00000001.old"
    save(tmp_path, 2)
    assert names(tmp_path) == ["latest", "step-00000001", "step-00000002"]


def test_what_could_not_be_read_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError):
        save_checkpoint(tmp_path, 1, {}, {}, {"return": np.zeros(3)})
    assert names(tmp_path) == []


def test_fewer_than_two_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 2"):
        save(tmp_path, 1, keep=1)
