"""Two processes that keep a part of every parameter each learn what one does that keeps them all."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.testing._internal.distributed.fake_pg import FakeStore

import adamas
from adamas.core.checkpoint import find_checkpoint
from adamas.core.distributed import Group
from adamas.core.errors import UserError
from adamas.core.protocols import Component
from adamas.core.types import SegmentSpec
from adamas.core.workers import Workers
from adamas.training import build
from adamas.training.build import resume_run
from adamas.training.config import Config
from adamas.training.parts import read_whole, whole_state, write_parts
from adamas.training.resuming import saved_config
from adamas.training.sharded import ShardedPhase
from tests.helpers.diamond import training
from tests.helpers.small_recordings import config, record
from tests.training.test_distributed import kill_two_at, run_alone


def state(run_dir: Path) -> dict[str, Any]:
    """Weights, and all tensors of the trainer's state, of the newest checkpoint; parts are put together."""
    checkpoint = find_checkpoint(run_dir / "checkpoints")
    trainer = checkpoint.trainer_state()
    found: dict[str, Any] = dict(checkpoint.agent_weights())

    def walk(value: Any, name: str) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(inner, f"{name}/{key}")
        elif isinstance(value, Tensor):
            found[name] = value

    for name in ("denoiser", "reward_end"):
        saved, folder = trainer["phases"][name], checkpoint.parts_folder(name)
        walk(saved if folder is None else whole_state(saved, folder), name)
    return found


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two processes that were killed in the middle of their second epoch, beside one that came to its end alone."""
    root = tmp_path_factory.mktemp("sharded")
    for seed, name in enumerate(("train", "test")):
        record(root / "mine" / name, 3, seed)
    data = str(root / "mine")
    command = ["train", "debug", "--data", data, "--num-shards", "2", "--tensorboard", "False"]
    command += ["--quiet", "--training.denoiser.average-decay", "0.9", "--final-epochs", "2"]
    run_alone(*command, "--run-dir", root / "one")
    options = ("--runtime.shard-parameters", "True", "--runtime.checkpoint-activations", "True")
    kill_two_at(9, root / "two", *command, *options)
    return root


def test_every_process_writes_its_part(killed: Path) -> None:
    manifest = json.loads(
        (find_checkpoint(killed / "two" / "checkpoints").path / "manifest.json").read_text()
    )
    parts = {f"parts/denoiser/{name}" for name in (".metadata", "__0_0.distcp", "__1_0.distcp")}
    assert manifest["format_version"] == 2 and parts < manifest["files"].keys()
    sizes = [manifest["files"][name]["bytes"] for name in parts if name.endswith("distcp")]
    assert max(sizes) < 0.6 * sum(sizes)
    assert manifest["files"]["trainer.pt"]["bytes"] < 0.7 * sum(sizes)  # which does not hold it once more
    agent = adamas.load(killed / "two", "cpu")
    assert all(tensor.isfinite().all() for tensor in agent.state_dict().values())


def test_one_process_goes_on(killed: Path, tmp_path: Path) -> None:
    run_dir = Path(shutil.copytree(killed / "two", tmp_path / "two", symlinks=True))
    with closing(resume_run(run_dir, quiet=True)) as trainer:
        trainer.run()
    expected, found = state(killed / "one"), state(run_dir)
    assert found.keys() == expected.keys() and sum("exp_avg_sq" in name for name in found) > 20
    assert sum(name.startswith("denoiser/module/") for name in found) > 10
    for name, tensor in expected.items():
        torch.testing.assert_close(found[name], tensor, atol=1e-6, rtol=1e-5, msg=name)


@contextmanager
def one_of_several(rank: int, size: int) -> Iterator[Group]:
    """This process in the place of one of several, of which it never hears."""
    dist.init_process_group("fake", rank=rank, world_size=size, store=FakeStore())
    try:
        yield Group(rank, size)
    finally:
        dist.destroy_process_group()


# PyTorch remembers which rank a process has among so many, so each number of processes is tried as one rank alone.
@pytest.mark.parametrize(("rank", "size"), [(1, 2), (2, 3)])
@pytest.mark.parametrize("in_parts", [True, False])
def test_any_number_of_processes_read_their_parts(killed: Path, rank: int, size: int, in_parts: bool) -> None:
    """Of what two wrote, and of what a single one did, as all did once."""
    checkpoint = find_checkpoint(killed / "two" / "checkpoints")
    folder, saved = checkpoint.parts_folder("denoiser"), checkpoint.trainer_state()["phases"]["denoiser"]
    assert folder is not None
    full = whole_state(saved, folder)
    agent = adamas.load(killed / "two", "cpu")
    config, mean = saved_config(checkpoint), agent.state_dict()
    with one_of_several(rank, size) as group:
        component = copy.deepcopy(agent.world_model).components(15)["denoiser"]
        for parameter in component.module.parameters():
            parameter.data.zero_()
        workers, rng = Workers(size, group, threads=False), np.random.default_rng(0)
        rest: Any = (None, rng, [torch.Generator()], workers)
        phase = ShardedPhase(component, agent.denoiser, training(config).denoiser, *rest)
        if in_parts:
            phase.load_parts(saved, folder)
        else:
            phase.load_state_dict(full)
        parameters = dict(phase.component.module.named_parameters())
        for name, average in phase.ema.named_parameters():
            same_part(average, mean[f"world_model.denoiser.{name}"], rank, size)
            same_part(parameters[name], full["module"][name], rank, size)
        moments = phase.optimizer._adamw.state_dict()["state"]
        assert len(moments) == len(full["optimizer"]["adamw"]["state"]) > 10
        for number, values in full["optimizer"]["adamw"]["state"].items():
            assert moments[number]["step"] == values["step"] > 0
            for name in ("exp_avg", "exp_avg_sq"):
                same_part(moments[number][name], values[name], rank, size)
        assert phase.optimizer.num_updates == full["optimizer"]["num_updates"] > 0


def same_part(sharded: Tensor, whole: Tensor, rank: int, size: int) -> None:
    """The rows of a process: as many as fit, the last ones get what is left."""
    rows = -(-len(whole) // size)
    local = sharded.to_local()  # type: ignore[attr-defined]
    assert torch.equal(local, whole[rank * rows : (rank + 1) * rows])


def test_parts_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with (
        pytest.warns(UserWarning),
        pytest.raises(UserError, match=r"process 0 cannot write .*: .*Not a directory"),
    ):
        write_parts(tmp_path / "file" / "parts", {"weight": torch.ones(2)})


def test_strangers_parts_execute_nothing(killed: Path, tmp_path: Path) -> None:
    folder = find_checkpoint(killed / "two" / "checkpoints").parts_folder("denoiser")
    assert folder is not None
    copied = Path(shutil.copytree(folder, tmp_path / "parts"))
    metadata = (copied / ".metadata").read_bytes()
    described = pickle.loads(metadata)
    (copied / ".metadata").write_bytes(pickle.dumps(Malicious(tmp_path / "executed")))
    with pytest.raises(pickle.UnpicklingError, match="is not allowed in a checkpoint"):
        read_whole(copied, "module.")
    described.storage_data[next(iter(described.storage_data))].relative_path = "../__0_0.distcp"
    (copied / ".metadata").write_bytes(pickle.dumps(described))
    with pytest.raises(ValueError, match=r"names '\.\./__0_0\.distcp', which is not a file in the same"):
        read_whole(copied, "module.")
    (copied / ".metadata").write_bytes(metadata.replace(b"TensorStorageMetadata", b"BytesStorageMetadata "))
    with pytest.raises(pickle.UnpicklingError):
        read_whole(copied, "module.")
    assert not (tmp_path / "executed").exists()


class Malicious:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


def test_a_policy_is_not_sharded(tmp_path: Path) -> None:
    base = config(tmp_path)
    runtime = replace(base.runtime, shard_parameters=True)
    with pytest.raises(
        UserError, match="shard_parameters` is for training on recordings; name them with `data`"
    ):
        Config(env=base.env, runtime=runtime)


def test_a_world_model_of_which_nothing_is_sharded_is_refused(tmp_path: Path) -> None:
    base = config(tmp_path)
    sharded = replace(base, num_shards=2, runtime=replace(base.runtime, shard_parameters=True))
    part = Component(nn.Linear(2, 2), lambda batch, generator: None, SegmentSpec(1))  # type: ignore[arg-type, return-value]
    model = SimpleNamespace(prepare_training=lambda: None, components=lambda horizon: {"part": part})
    nothing: Any = None  # it is refused before anything is built
    with pytest.raises(UserError, match=r"`runtime\.shard_parameters` shards no part of this world model"):
        build._learning_phases(
            sharded,
            SimpleNamespace(world_model=model),  # type: ignore[arg-type]
            train=nothing,
            streams=nothing,
            device=torch.device("cpu"),
            group=Group(0, 2),
            run_dir=tmp_path,
        )


def test_processes_in_step_need_as_many_shards_each(tmp_path: Path) -> None:
    base = config(tmp_path)
    sharded = replace(base, num_shards=3, runtime=replace(base.runtime, shard_parameters=True))
    nothing: Any = None  # it is refused before anything is built
    with pytest.raises(UserError, match=r"`num_shards` is 3; with .* it must be a multiple of 2"):
        build._learning_phases(
            sharded,
            nothing,
            train=nothing,
            streams=nothing,
            device=torch.device("cpu"),
            group=Group(0, 2),
            run_dir=tmp_path,
        )
