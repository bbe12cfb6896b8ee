"""A batch in shards: what they make up together, in which memory, and which process reads what."""

from __future__ import annotations

import copy
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamas.core.distributed import Group
from adamas.core.types import Batch, SegmentSpec
from adamas.core.workers import Workers
from adamas.data.prefetch import PrefetchingSampler
from adamas.data.sampling import SegmentSampler
from adamas.nn.optim import NonFiniteLossError
from adamas.training import build
from adamas.training.phases import Phase
from adamas.training.trainer import Trainer
from adamas.training.update_phases import ComponentPhase, PolicyPhase
from tests.helpers.diamond import training
from tests.helpers.game_parts import game_of
from tests.helpers.tiny_config import differing, flat
from tests.training.test_phases import collected


@pytest.mark.parametrize("num_shards", [1, 2, 3])
def test_the_shards_together_make_up_the_batch(tmp_path: Path, num_shards: int) -> None:
    """One update, against the same one computed shard by shard from copies of the random generators."""
    trainer = collected(tmp_path / "run", num_shards)
    denoiser, policy = trainer.phases["denoiser"], trainer.phases["actor_critic"]
    assert isinstance(denoiser, ComponentPhase) and isinstance(policy, PolicyPhase)
    config = trainer.config
    batch_size, all_dreams = training(config).denoiser.batch_size, game_of(config).training.num_dreams
    _, sizes = denoiser.workers.split(batch_size)
    num_dreams = [dreams.imagination.num_envs for dreams in policy.dreams]
    for total, parts in ((all_dreams, num_dreams), (batch_size, sizes)):
        assert sum(parts) == total and len(parts) == num_shards and max(parts) - min(parts) <= 1

    batches = (
        copy.deepcopy(denoiser.sampler)
        .sample(batch_size, denoiser.component.segments, copy.deepcopy(denoiser.rng))
        .split(sizes)
    )
    module = denoiser.component.module
    loss, gradients = 0.0, [torch.zeros_like(p) for p in module.parameters()]
    for batch, size, generator in zip(batches, sizes, denoiser.generators, strict=True):
        mean, _ = denoiser.component.loss(batch, generator.clone_state())
        loss += mean.item() * size / batch_size
        for gradient, part in zip(
            gradients, torch.autograd.grad(mean, list(module.parameters())), strict=True
        ):
            gradient += part * (size / batch_size)
    metrics = denoiser.update()
    assert metrics["loss"].item() == pytest.approx(loss)
    norm = torch.stack([g.norm() for g in gradients]).norm()
    assert metrics["grad_norm"].item() == pytest.approx(norm.item(), rel=1e-5)
    scale = min(1.0, denoiser.config.optimizer.max_grad_norm / (norm.item() + 1e-6))
    for parameter, gradient in zip(module.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, gradient * scale, rtol=1e-4, atol=1e-7)
    trainer.close()


def one_after_another(run_dir: Path, num_shards: int, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    """A run whose shards are computed as they are on a GPU."""
    with monkeypatch.context() as patch:
        patch.setattr(build, "Workers", lambda n, group, threads: Workers(n, group, threads=False))
        return collected(run_dir, num_shards)


def test_shards_one_after_another_make_the_same_bits_as_threads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads = collected(tmp_path / "threads", 3)
    single = one_after_another(tmp_path / "single", 3, monkeypatch)
    for name in ("denoiser", "reward_end", "actor_critic"):
        assert not single.phases[name].workers.threads  # type: ignore[attr-defined]
        for trainer in (threads, single):
            trainer.phases[name].begin(1)
        for _ in range(2):
            a, b = threads.phases[name].update(), single.phases[name].update()
            assert {k: v.tolist() for k, v in a.items()} == {k: v.tolist() for k, v in b.items()}
            assert all(
                parameter.grad is None for parameter in single.agent.parameters()
            )  # of nothing else either
    states = [
        flat("agent", trainer.agent.state_dict())
        | flat("", {name: phase.state_dict() for name, phase in trainer.phases.items() if name != "collect"})
        for trainer in (threads, single)
    ]
    assert differing(*states) == []
    for trainer in (threads, single):
        trainer.close()


def most_kept_for_the_way_back(phase: Phase) -> int:
    """The most bytes that graphs keep at any time of an update."""
    alive = most = 0

    class Kept:
        def __init__(self, tensor: torch.Tensor) -> None:
            nonlocal alive, most
            self.tensor = tensor
            alive += tensor.nbytes
            most = max(most, alive)

        def __del__(self) -> None:
            nonlocal alive
            alive -= self.tensor.nbytes

    with torch.autograd.graph.saved_tensors_hooks(Kept, lambda kept: kept.tensor):
        phase.update()
    assert alive == 0
    return most


@pytest.mark.parametrize("name", ["denoiser", "reward_end", "actor_critic"])
def test_shards_one_after_another_need_the_memory_of_one(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, shards = (
        one_after_another(tmp_path / f"{num_shards}", num_shards, monkeypatch) for num_shards in (1, 4)
    )
    most = []
    for trainer in (whole, shards):
        trainer.phases[name].begin(1)
        trainer.phases[name].update()
        most.append(most_kept_for_the_way_back(trainer.phases[name]))
        trainer.close()
    # Weights are kept as well, by every graph; so a quarter of the samples is a little more than a quarter.
    assert most[1] < 0.5 * most[0]


@pytest.mark.parametrize("ahead", [False, True])
def test_processes_read_their_own_parts_of_the_same_batch(
    tmp_path: Path, ahead: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ten of them share 32 segments out; each draws all indices, and reads three or four."""
    trainer = collected(tmp_path / "run", 1)
    store, spec, rngs = trainer.store, SegmentSpec(5), [np.random.default_rng(0) for _ in range(11)]
    samplers = [PrefetchingSampler(store) if ahead else SegmentSampler(store, None) for _ in range(10)]
    read: list[int] = []
    original = store.read

    def reading(episode: Any, *rest: Any) -> Batch:
        read.append(len(episode))
        return original(episode, *rest)

    monkeypatch.setattr(store, "read", reading)
    for _ in range(3):
        whole = SegmentSampler(store, None).sample(32, spec, rngs[10])
        read.clear()
        parts, sizes = [], []
        for rank in range(10):
            here, shards = Workers(10, Group(rank, 10)).split(32)
            parts.append(samplers[rank].sample(32, spec, rngs[rank], here))
            sizes.append(shards)
        assert sizes == [[4], [4], [3], [3], [3], [3], [3], [3], [3], [3]]
        assert set(read) <= {3, 4}
        for field in fields(Batch):
            joined = torch.cat([getattr(part, field.name) for part in parts])
            assert torch.equal(joined, getattr(whole, field.name)), field.name
    assert len({str(rng.bit_generator.state) for rng in rngs}) == 1
    trainer.close()


def test_a_failure_is_told_with_the_whole_batch_of_which_a_process_reads_a_part(tmp_path: Path) -> None:
    trainer = collected(tmp_path / "run", 2)
    denoiser = trainer.phases["denoiser"]
    assert isinstance(denoiser, ComponentPhase)
    denoiser.workers = Workers(2, Group(1, 2))
    config = denoiser.config
    expected = copy.deepcopy(denoiser.sampler).sample(
        config.batch_size, denoiser.component.segments, copy.deepcopy(denoiser.rng)
    )
    with torch.no_grad():
        next(denoiser.component.module.parameters()).fill_(torch.nan)
    with pytest.raises(NonFiniteLossError) as failure:
        denoiser.update()
    assert failure.value.batch is not None
    for field in fields(Batch):
        assert torch.equal(getattr(failure.value.batch, field.name), getattr(expected, field.name)), (
            field.name
        )
    trainer.close()
