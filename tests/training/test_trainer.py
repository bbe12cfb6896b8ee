"""A run is determined by its seed, and nothing that happens to it on the way shows in its result."""

from __future__ import annotations

import os
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adamas.core.checkpoint import find_checkpoint
from adamas.core.config import with_value
from adamas.core.errors import Interrupted, UserError
from adamas.evaluation.protocol import play_episodes
from adamas.training import evaluate
from adamas.training.build import new_run, resume_run
from adamas.training.trainer import Trainer
from tests.helpers.tiny_config import differing, finish, tiny_config

UNITS = 24  # of work in a tiny run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What an uninterrupted run leaves."""
    return finish(new_run(tiny_config(), tmp_path_factory.mktemp("whole") / "run", quiet=True))


def test_the_seed_determines_everything(tmp_path: Path, whole: dict[str, Any]) -> None:
    torch.manual_seed(1)  # nothing depends on global generators
    torch.rand(5)
    same = finish(new_run(tiny_config(), tmp_path / "same", quiet=True))
    assert differing(whole, same) == []
    other = finish(new_run(tiny_config(seed=1), tmp_path / "other", quiet=True))
    assert set(differing(whole, other)) > {"metrics.jsonl", "train.0.obs"}
    weights = [name for name in whole if name.startswith("agent.") and "conv" in name and "weight" in name]
    assert weights and set(weights) <= set(differing(whole, other))


def test_a_run_trains_what_it_says(whole: dict[str, Any]) -> None:
    assert whole["trainer.clock.step"] == UNITS
    assert whole["trainer.clock.num_epochs"] == 2
    for name in ("denoiser", "reward_end", "actor_critic"):
        assert whole[f"trainer.phases.{name}.optimizer.num_updates"] == 2 * 3
    records = whole["metrics.jsonl"].decode().splitlines()
    phases = ["collect", "denoiser", "reward_end", "actor_critic", "evaluate"]
    assert [line.split('"phase": ')[1].split('"')[1] for line in records] == ["collect", *phases, *phases]
    assert '"real_steps": 160.0' in records[6]


def before_unit(trainer: Trainer, unit: int, act: Callable[[], None]) -> Trainer:
    """The same trainer, which calls ``act`` in the middle of its work, before unit number ``unit``."""
    for phase in trainer.phases.values():

        def update(original: Callable[[], Any] = phase.update) -> Any:
            if trainer.clock.step == unit:
                act()
            return original()

        phase.update = update  # type: ignore[method-assign]
    return trainer


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_stopped_and_resumed_again_and_again(
    tmp_path: Path, whole: dict[str, Any], number: signal.Signals
) -> None:
    handler = signal.getsignal(number)
    moments = [0, 1, 2, 4, 7, 8, 11, 12, 14, 22, 23] if number == signal.SIGINT else [9]
    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)
    for unit in moments:
        before_unit(trainer, unit, lambda: os.kill(os.getpid(), number))
        with pytest.raises(Interrupted, match=r"stopped and saved in .*run"):
            trainer.run()
        trainer.close()
        assert signal.getsignal(number) is handler
        done = unit if unit in (12, 23) else unit + 1  # it finished the unit, but for evaluations
        assert find_checkpoint(tmp_path / "run" / "checkpoints").step == done
        trainer = resume_run(tmp_path / "run", quiet=True)
    assert differing(whole, finish(trainer)) == []


def test_an_evaluation_is_stopped_in_its_middle_and_begins_anew(
    tmp_path: Path, whole: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)
    seen = []

    def look(policy: Any, env: Any, *rest: Any) -> Any:
        """As if episodes never ended: nobody is told that one did, and somebody gets impatient."""
        original = env.step

        def step(action: torch.Tensor) -> Any:
            seen.append(trainer.clock.step)
            if len(seen) == 200:
                os.kill(os.getpid(), signal.SIGINT)
            answer = original(action)
            none = torch.zeros_like(answer.terminated)
            return answer._replace(terminated=none, truncated=none, final_obs=answer.final_obs[:0])

        env.step = step
        return play_episodes(policy, env, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(evaluate, "play_episodes", look)
        with pytest.raises(Interrupted, match="stopped and saved"):
            trainer.run()
    assert 200 <= len(seen) <= 220 and trainer.clock.step == seen[0] == seen[-1]
    trainer.close()
    assert differing(whole, finish(resume_run(tmp_path / "run", quiet=True))) == []


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)

    def twice() -> None:
        handler = signal.getsignal(signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
        while signal.getsignal(signal.SIGINT) is handler:  # two that arrive together are one
            time.sleep(0.001)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job may ignore it
    try:
        with pytest.raises(KeyboardInterrupt):
            before_unit(trainer, 5, twice).run()
    finally:
        signal.signal(signal.SIGINT, before)
    assert trainer.clock.step == 5
    trainer.close()


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path, whole: dict[str, Any]) -> None:
    finish(new_run(tiny_config(), tmp_path / "run", quiet=True))
    assert differing(whole, finish(resume_run(tmp_path / "run", quiet=True))) == []


def test_a_run_killed_before_its_first_unit_can_be_resumed(tmp_path: Path, whole: dict[str, Any]) -> None:
    def die() -> None:
        raise SystemExit

    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)
    with pytest.raises(SystemExit):
        before_unit(trainer, 0, die).run()
    trainer.close()
    assert differing(whole, finish(resume_run(tmp_path / "run", quiet=True))) == []


@pytest.mark.parametrize("begin", [resume_run, lambda run_dir, quiet: new_run(tiny_config(), run_dir, quiet)])
def test_a_run_killed_before_its_first_checkpoint_starts_anew(
    tmp_path: Path, whole: dict[str, Any], begin: Callable[..., Trainer]
) -> None:
    new_run(tiny_config(), tmp_path / "run", quiet=True).close()
    (tmp_path / "run" / "dataset" / "test" / "index.json").unlink()
    (tmp_path / "run" / "checkpoints" / "step-00000000.tmp").mkdir(parents=True)
    assert differing(whole, finish(begin(tmp_path / "run", quiet=True))) == []


def test_steps_that_were_collected_are_never_thrown_away(tmp_path: Path) -> None:
    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)
    assert trainer.collect is not None
    trainer.collect.begin(0)
    trainer.collect.update()
    trainer.close()
    with pytest.raises(UserError, match="no usable checkpoint"):
        resume_run(tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match="exists and is not empty; resume the run in it"):
        new_run(tiny_config(), tmp_path / "run", quiet=True)


def test_a_truncated_checkpoint_is_passed_over(tmp_path: Path, whole: dict[str, Any]) -> None:
    trainer = new_run(tiny_config(), tmp_path / "run", quiet=True)
    for unit in (16, 17):
        before_unit(trainer, unit, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            trainer.run()
        trainer.close()
        trainer = resume_run(tmp_path / "run", quiet=True)
    trainer.close()
    newest = find_checkpoint(tmp_path / "run" / "checkpoints").path
    os.truncate(newest / "trainer.pt", (newest / "trainer.pt").stat().st_size // 2)
    with pytest.warns(UserWarning, match="step-00000018 is damaged.*trying the one before"):
        resumed = resume_run(tmp_path / "run", quiet=True)
    assert resumed.clock.step == 17
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert differing(whole, finish(resumed)) == []


def test_evaluating_does_not_alter_training(tmp_path: Path, whole: dict[str, Any]) -> None:
    config = tiny_config()
    config = replace(config, evaluation=replace(config.evaluation, every_epochs=1_000))
    trainer = new_run(config, tmp_path / "run", quiet=True)
    without = finish(trainer)
    assert trainer.heldout_dreams() is None
    parts = ("collect", "denoiser", "reward_end", "actor_critic")
    learnt = ("agent.", "train.", *(f"trainer.phases.{part}." for part in parts))
    assert all(any(name.startswith(prefix) for name in whole) for prefix in learnt)
    assert [name for name in differing(whole, without) if name.startswith(learnt)] == []


def test_a_run_without_an_epoch_ends_at_once(tmp_path: Path) -> None:
    config = with_value(tiny_config(), "collection.total_steps", 80)
    trainer = new_run(config, tmp_path / "run", quiet=True)
    trainer.run()
    assert (trainer.clock.num_epochs, trainer.real_steps) == (0, 80)
    trainer.close()


@pytest.mark.parametrize(("every", "shown"), [(1, 24), (1_000, 22)])
def test_what_people_see(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    every: int,
    shown: int,
) -> None:
    monkeypatch.setattr("adamas.core.progress.LINE_SECONDS", float("inf"))  # however slow this machine is
    config = tiny_config()
    config = replace(config, evaluation=replace(config.evaluation, every_epochs=every))
    with pytest.raises(Interrupted):
        trainer = new_run(config, tmp_path / "run")
        before_unit(trainer, 13, lambda: os.kill(os.getpid(), signal.SIGINT)).run()
    trainer.close()
    first = capsys.readouterr().out.splitlines()
    assert first[0] == f"{tmp_path / 'run'}: training on minatar breakout, seed 0, cpu"
    assert first[1] == "80 real steps to start with; 2 epochs"
    assert first[2].startswith("epoch 1/2  done in ")
    assert ("score" in first[2]) == (every == 1)
    trainer = resume_run(tmp_path / "run")
    trainer.run()
    trainer.close()
    second = capsys.readouterr().out.splitlines()
    assert second[0].endswith("cpu, continuing from step 14")
    assert [line.split("  ")[0] for line in second[1:]] == ["epoch 2/2"]
    assert trainer.clock.step == shown
