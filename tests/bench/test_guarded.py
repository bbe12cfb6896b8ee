"""Guarded work cannot harm or outlast its caller; and what gpu.py judges by is right."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from adamas.agent import AgentConfig
from adamas.bench.agreement import (
    MIN_DENOMINATOR,
    cuda_graph_results,
    fixed_agent,
    network_results,
    relative_error,
)
from adamas.bench.guarded import guarded
from adamas.bench.real_runs import course
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.presets import preset


def finds_two() -> Iterator[dict[str, int]]:
    print("not for the table")
    yield {"what": 1}
    yield {"what": 2}


def fails() -> Iterator[dict[str, int]]:
    yield {"what": 1}
    raise ValueError("the first line\nthe second")


def is_a_mistake() -> Iterator[dict[str, int]]:
    yield from ()
    raise UserError("it must be so; do this")


def needs_much_memory() -> Iterator[dict[str, int]]:
    yield {"what": 1}
    raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 TiB")


def dies() -> Iterator[dict[str, int]]:
    yield {"what": 1}
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.parametrize(
    ("work", "status", "error", "found"),
    [
        (finds_two, "done", "", 2),
        (fails, "failed", "ValueError: the first line", 1),
        (is_a_mistake, "failed", "it must be so; do this", 0),
        (
            needs_much_memory,
            "out of memory",
            "OutOfMemoryError: CUDA out of memory. Tried to allocate 1 TiB",
            1,
        ),
        (dies, "failed", "the process ended with exit code -9", 1),
    ],
)
def test_outcomes(work, status, error, found, capfd):  # type: ignore[no-untyped-def]
    outcome = guarded(work, 60)
    assert (outcome.status, outcome.error, len(outcome.findings)) == (status, error, found)
    assert ("Traceback" in outcome.traceback) == (error != "" and work is not dies)
    assert capfd.readouterr().out == ""


def test_work_out_of_time_is_killed_with_all_that_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"

    def inner() -> Iterator[dict[str, int]]:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(60)
        yield {}

    def outer() -> Iterator[dict[str, int]]:
        with pids.open("a") as file:
            file.write(f"{os.getpid()}\n")
        yield {"what": 1}
        guarded(inner, 60)

    outcome = guarded(outer, 0.5)
    assert (outcome.status, outcome.error, len(outcome.findings)) == ("out of time", "stopped after 0 s", 1)
    assert outcome.seconds < 30
    for pid in map(int, pids.read_text().split()):
        assert not running(pid)


def running(pid: int) -> bool:
    """Whether a process is there, and not a zombie; waits a moment for one that was just killed."""
    for _ in range(100):
        try:
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z":
                return False
        except OSError:
            return False
        time.sleep(0.01)
    return True


def test_relative_errors() -> None:
    reference = [torch.tensor([2.0, -4.0]), torch.tensor([1e-9])]
    assert relative_error(reference, reference) == 0
    assert relative_error([torch.tensor([2.0, -3.0]), torch.tensor([1e-9])], reference) == 0.25
    # What is small beside all the rest is measured against a thousandth of that: 4e-6 / (1e-3 * 4).
    off = [reference[0], torch.tensor([4e-6])]
    assert relative_error(off, reference) == pytest.approx(4e-6 / (MIN_DENOMINATOR * 4), rel=1e-3)
    nan = relative_error([torch.tensor([2.0, float("nan")]), torch.tensor([5.0])], reference)
    assert nan != nan and not nan <= 1e9
    assert relative_error([], []) == 0


def test_a_wrong_weight_shows_in_outputs_and_gradients() -> None:
    config = preset("debug")
    agent = fixed_agent(
        AgentConfig(
            obs_shape=(3, 16, 16),
            actions=ActionSpec.numbered(4),
            world_model=config.world_model,
            actor_critic=config.actor_critic,
        )
    )
    before, replayed = network_results(agent), cuda_graph_results(agent)
    assert all(gradient.any() for answer in before.values() for gradient in answer.gradients[:4])
    with torch.no_grad():
        agent.denoiser.inner_model.conv_in.weight.mul_(1.1)
    after = network_results(agent)
    errors = {name: relative_error(after[name].outputs, before[name].outputs) for name in before}
    assert errors["denoiser"] > 1e-2 and errors["reward_end"] == errors["actor_critic"] == 0
    assert relative_error(after["denoiser"].gradients, before["denoiser"].gradients) > 1e-2
    again = cuda_graph_results(agent)["denoiser"].outputs
    assert relative_error(again, replayed["denoiser"].outputs) > 1e-2


@pytest.mark.parametrize(
    ("name", "losses", "verdict", "result"),
    [
        ("denoiser", [4.0, 3.0, 2.0, 1.0], "pass", "4 -> 1"),
        ("denoiser", [1.0, 3.0, 2.0, 4.0], "fail", "1 -> 4"),
        ("actor_critic", [1.0, 4.0], "pass", "1 -> 4"),
        ("actor_critic", [1.0, float("nan")], "fail", "1 -> nan"),
        ("reward_end", [], "out of time", "no update in this time"),
        ("reward_end", [9.0] * 10 + [8.0] * 30, "pass", "9 -> 8"),
    ],
)
def test_courses_of_losses(name: str, losses: list[float], verdict: str, result: str) -> None:
    found = course(name, [torch.tensor(loss) for loss in losses])
    assert (found.verdict, found.result) == (verdict, result)
