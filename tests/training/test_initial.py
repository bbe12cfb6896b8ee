"""Runs that start from the weights of another agent."""

from __future__ import annotations

import os
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import adamas
from adamas.agent import Agent
from adamas.core.checkpoint import find_checkpoint
from adamas.core.config import load_config, with_value
from adamas.core.errors import UserError
from adamas.interop.published import save_published
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from tests.helpers.diamond import policy, policy_config
from tests.helpers.small_recordings import config as recordings_config
from tests.helpers.small_recordings import record
from tests.helpers.tiny_config import tiny_config


def same(a: nn.Module, b: nn.Module) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was stopped at its very beginning; its seed is not that of the others."""
    run_dir = tmp_path_factory.mktemp("source") / "run"
    with closing(new_run(tiny_config(seed=7), run_dir, quiet=True)) as trainer:
        trainer.save()
    return run_dir


def start(config: Config, run_dir: Path) -> Agent:
    with closing(new_run(config, run_dir, quiet=False)) as trainer:
        return trainer.agent


def test_from_a_run_a_checkpoint_and_a_published_file(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = adamas.load(source, "cpu")
    monkeypatch.chdir(tmp_path)
    Path("published").mkdir()
    agent = adamas.load(source, "cpu")
    save_published(agent, Path("published/agent.pt"))
    places = (
        os.path.relpath(source),
        str(find_checkpoint(source / "checkpoints").path),
        "published/agent.pt",
    )
    for i, place in enumerate(places):
        assert same(start(replace(tiny_config(), init=place), Path(f"run-{i}")), expected)
        said = capsys.readouterr().out
        assert f"weights of denoiser, reward_end, actor_critic from {Path(place).absolute()}" in said
    assert load_config(Path("run-2/config.yaml"), Config).init == str(tmp_path / "published/agent.pt")
    assert not same(start(tiny_config(), Path("without")), expected)


def test_a_run_that_never_began_still_starts_from_them(source: Path, tmp_path: Path) -> None:
    start(replace(tiny_config(), init=str(source)), tmp_path / "run")  # ends before its first checkpoint
    with closing(resume_run(tmp_path / "run", quiet=True)) as trainer:
        assert same(trainer.agent, adamas.load(source, "cpu"))


def test_a_run_that_goes_on_does_not_need_them_any_more(source: Path, tmp_path: Path) -> None:
    with closing(new_run(replace(tiny_config(), init=str(source)), tmp_path / "run", quiet=True)) as trainer:
        with torch.no_grad():
            policy(trainer.agent).critic_linear.bias.fill_(3)
        trainer.config = replace(trainer.config, init=str(tmp_path / "gone"))
        trainer.save()
    with closing(resume_run(tmp_path / "run", quiet=True)) as trainer:
        assert policy(trainer.agent).critic_linear.bias.item() == 3


def test_parts_by_name(source: Path, tmp_path: Path) -> None:
    expected, alone = adamas.load(source, "cpu"), start(tiny_config(), tmp_path / "alone")
    agent = start(replace(tiny_config(), init=str(source), init_parts=("denoiser",)), tmp_path / "run")
    assert same(agent.denoiser, expected.denoiser)
    assert same(agent.reward_end, alone.reward_end) and same(agent.policy, alone.policy)


def test_averages_start_from_them_too(source: Path, tmp_path: Path) -> None:
    config = with_value(replace(tiny_config(), init=str(source)), "training.denoiser.average_decay", 0.9)
    with closing(new_run(config, tmp_path / "run", quiet=True)) as trainer:
        phase = trainer.phases["denoiser"]
        assert same(phase.component.module, adamas.load(source, "cpu").denoiser)  # type: ignore[attr-defined]


def test_recordings_take_the_world_model_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing that the other has not: it learnt from recordings without rewards."""
    for seed, name in enumerate(("train", "test")):
        record(tmp_path / "mine" / name, 3, seed)
        record(tmp_path / "unlabelled" / name, 3, seed, labels=False)
    base = recordings_config(tmp_path / "mine")
    with closing(new_run(recordings_config(tmp_path / "unlabelled"), tmp_path / "source", True)) as trainer:
        trainer.save()
    agent = start(replace(base, seed=1, init=str(tmp_path / "source")), tmp_path / "run")
    assert same(agent.denoiser, trainer.agent.denoiser)
    assert f"weights of denoiser from {tmp_path / 'source'}" in capsys.readouterr().out


def test_what_does_not_fit_is_refused(source: Path, tmp_path: Path) -> None:
    config = replace(tiny_config(), init=str(source))
    actor_critic = replace(policy_config(config), lstm_dim=8)
    message = r"the actor_critic of .*run does not fit this run: \S+ is \(\d+.* there and \(.* here; choose the preset"
    with pytest.raises(UserError, match=message):
        new_run(replace(config, actor_critic=actor_critic), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"this run has no upsampler; leave it out of `init_parts`"):
        new_run(replace(config, init_parts=("upsampler",)), tmp_path / "run", quiet=True)
    with pytest.raises(UserError, match=r"nowhere does not exist; give a run folder"):
        new_run(replace(config, init="nowhere"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()
    new_run(
        replace(config, actor_critic=actor_critic, init_parts=("denoiser", "reward_end")),
        tmp_path / "run",
        quiet=True,
    ).close()
    with pytest.raises(UserError, match="`init_parts` says what to take from `init`"):
        replace(tiny_config(), init_parts=("denoiser",))
