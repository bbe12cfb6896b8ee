"""A run that goes on elsewhere, for longer, or with its recordings in another place."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from adamas import cli
from adamas.core import checkpoint
from adamas.core.checkpoint import find_checkpoint
from adamas.core.config import load_config, with_value
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from adamas.core.seeding import derive_seed
from adamas.training import build, folder
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.resuming import Changes
from adamas.training.trainer import Trainer
from tests.helpers.game_parts import game_of
from tests.helpers.small_recordings import config as recordings_config
from tests.helpers.small_recordings import record
from tests.helpers.tiny_config import differing, finish, tiny_config

CUDA_STATE = torch.arange(
    16, dtype=torch.uint8
)  # what a generator on CUDA saves; one on the CPU saves 5,056 bytes


def short(final_epochs: int) -> Config:
    """Some real steps, then nothing but final epochs, without evaluations."""
    config = tiny_config()
    config = replace(config, evaluation=replace(config.evaluation, every_epochs=1_000))
    config = with_value(config, "collection.total_steps", game_of(config).collection.first_steps)
    return replace(config, final_epochs=final_epochs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of one epoch."""
    run_dir = tmp_path_factory.mktemp("finished") / "run"
    finish(new_run(short(1), run_dir, quiet=True))
    return run_dir


@pytest.fixture
def run_dir(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "run"))


def rewrite(run_dir: Path, act: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change the trainer's state and the configuration in the newest checkpoint, and seal it again."""
    checkpoint = find_checkpoint(run_dir / "checkpoints")
    state, config = checkpoint.trainer_state(), checkpoint.config()
    act(state, config)
    torch.save(state, checkpoint.path / "trainer.pt")
    (checkpoint.path / "config.yaml").write_text(yaml.safe_dump(config))
    write_manifest(checkpoint.path, checkpoint.step)


def test_more_epochs_than_planned(run_dir: Path, tmp_path: Path) -> None:
    """A finished run that goes on for another epoch equals one that was to have as many from the start."""
    whole = finish(new_run(short(2), tmp_path / "whole", quiet=True))
    assert differing(whole, finish(resume_run(run_dir, True, changes=Changes(final_epochs=2)))) == []
    assert load_config(run_dir / "config.yaml", Config).final_epochs == 2
    assert differing(whole, finish(resume_run(run_dir, quiet=True))) == []  # and it stays so


def test_fewer_epochs_than_done(run_dir: Path) -> None:
    before = (run_dir / "config.yaml").read_bytes()
    message = "`final_epochs` 0 would end the run after epoch 0, but it has begun epoch 1; give at least 1"
    with pytest.raises(UserError, match=message):
        resume_run(run_dir, True, changes=Changes(final_epochs=0))
    assert (run_dir / "config.yaml").read_bytes() == before


def from_cuda(state: dict[str, Any], _: dict[str, Any]) -> None:
    for name in ("denoiser 0", "actor_critic 0"):
        state["streams"]["torch"][name] = CUDA_STATE


def test_random_streams_of_another_device_begin_anew(run_dir: Path, tmp_path: Path) -> None:
    rewrite(run_dir, from_cuda)
    copy = Path(shutil.copytree(run_dir, tmp_path / "copy"))
    step = find_checkpoint(run_dir / "checkpoints").step
    with pytest.warns(
        UserWarning, match="another kind of device.*: 2 random streams start again from its seed"
    ):
        trainer = resume_run(run_dir, True, changes=Changes(final_epochs=2))
    seed = derive_seed(0, "torch", "denoiser 0", step)
    expected = torch.Generator().manual_seed(seed).get_state()
    assert torch.equal(trainer.streams.torch("denoiser 0").get_state(), expected)
    first = finish(trainer)
    with pytest.warns(UserWarning, match="2 random streams"):
        assert differing(first, finish(resume_run(copy, True, changes=Changes(final_epochs=2)))) == []
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # now they are this device's
        resume_run(run_dir, quiet=True).close()


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_a_run_whose_device_is_not_here(run_dir: Path) -> None:
    rewrite(run_dir, lambda _, config: config["run"]["runtime"].update(device="cuda"))
    with pytest.raises(UserError, match=r"`device` is 'cuda' in .*run, but this machine has none; .* auto"):
        resume_run(run_dir, quiet=True)
    with closing(resume_run(run_dir, True, changes=Changes(device="cpu"))) as trainer:
        assert trainer.device.type == "cpu"
    assert load_config(run_dir / "config.yaml", Config).runtime.device == "cpu"


def drop(state: dict[str, Any], *path: str) -> None:
    for name in path[:-1]:
        state = state[name]
    del state[path[-1]]


@pytest.mark.parametrize(
    "act",
    [
        lambda state, _: state.clear(),
        lambda state, _: drop(state, "phases", "denoiser", "optimizer"),
        lambda state, _: drop(state, "streams", "torch", "denoiser 0"),
        lambda state, _: state["streams"]["torch"].update({"denoiser 0": 3}),
        lambda state, _: state["clock"].update(epochs=3),
        lambda state, _: state.update(meter=None),
    ],
)
def test_sealed_but_wrong_checkpoints_are_one_line(
    run_dir: Path, act: Callable[[dict[str, Any], dict[str, Any]], None]
) -> None:
    rewrite(run_dir, act)
    with pytest.raises(UserError, match=r"step-00000011 does not fit its configuration \([^\n]*\Z"):
        resume_run(run_dir, quiet=True)
    with pytest.raises(UserError, match="does not fit"):  # and the folder is free again
        resume_run(run_dir, quiet=True)


@pytest.mark.parametrize("options", ["--seed 1", "--final-epochs 2 --runtime.device cpu", "--run_dir=x"])
def test_other_options_stay_as_they_were(run_dir: Path, options: str) -> None:
    with pytest.raises(
        UserError, match=r"--(seed|runtime.device|run_dir) cannot change when a run continues; only --dev"
    ):
        cli.run(["train", "--resume", str(run_dir), *options.split()])


def test_recordings_are_for_runs_on_recordings(run_dir: Path) -> None:
    with pytest.raises(UserError, match=r"learns from a game, not from recordings; leave out `data`"):
        resume_run(run_dir, True, changes=Changes(data="mine"))


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run of one epoch on recordings that were named by a relative path, seen from another folder."""
    (tmp_path / "here").mkdir()
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    record(Path("mine/train"), 3, 0)
    record(Path("mine/test"), 2, 1)
    finish_quietly(new_run(replace(recordings_config(Path("mine")), final_epochs=1), Path("run"), quiet=True))
    monkeypatch.chdir(tmp_path / "there")
    return tmp_path / "here" / "run"


def finish_quietly(trainer: Trainer) -> None:
    with closing(trainer):
        trainer.run()


def test_recordings_are_found_from_everywhere(recorded: Path) -> None:
    mine = str(recorded.parent / "mine")
    assert load_config(recorded / "config.yaml", Config).data == mine
    finish_quietly(resume_run(recorded, True, changes=Changes(final_epochs=2)))
    rewrite(recorded, lambda _, config: config["run"].update(data="mine"))  # as older versions wrote it
    with closing(resume_run(recorded, quiet=True)) as trainer:
        assert trainer.config.data == mine and trainer.clock.epoch == 3


def test_recordings_that_were_moved(recorded: Path) -> None:
    (recorded.parent / "mine").rename("moved")
    with pytest.raises(
        UserError,
        match=r"recordings of .*run are not in .*/mine; name the folder where they are now with `data`",
    ):
        resume_run(recorded, quiet=True)
    with pytest.raises(UserError, match=r"recordings of .*run are not in .*/there/nowhere; name the folder"):
        resume_run(recorded, True, changes=Changes(data="nowhere"))
    options = ["--data", "moved", "--final-epochs", "2", "--device", "cpu", "--quiet"]
    cli.run(["train", "--resume", str(recorded), *options])
    saved = load_config(recorded / "config.yaml", Config)
    assert (saved.data, saved.final_epochs, saved.runtime.device) == (str(Path("moved").absolute()), 2, "cpu")
    assert (recorded / "dataset").resolve() == Path("moved").resolve()
    resume_run(recorded, quiet=True).close()
    cli.run(["data", "pack", "moved", "--out", "memory://resuming/mine"])
    with closing(resume_run(recorded, True, changes=Changes(data="memory://resuming/mine"))) as trainer:
        assert trainer.real_steps == 33
    resume_run(recorded, quiet=True).close()


@pytest.mark.parametrize("how", ["moved", "gone", "at a URL"])
def test_the_link_follows_the_configuration(recorded: Path, how: str) -> None:
    """As after a kill of --resume --data between two saves: what is trained on is what is printed."""
    record(Path("others/train"), 4, 0)
    record(Path("others/test"), 2, 1)
    if how == "at a URL":
        cli.run(["data", "pack", "others", "--out", "memory://follows/others"])
        folder.relink(recorded, "memory://follows/others")
    else:
        folder.relink(recorded, str(Path("others").absolute()))
    if how == "gone":
        (recorded / "dataset").unlink()
    with closing(resume_run(recorded, quiet=True)) as trainer:
        assert trainer.real_steps == 33
    assert (recorded / "dataset").resolve() == (recorded.parent / "mine").resolve()


def test_a_run_without_its_checkpoints_does_not_begin_again(recorded: Path) -> None:
    (recorded / "checkpoints").rename("elsewhere")
    log = (recorded / "metrics" / "metrics.jsonl").read_bytes()
    for path in ("results", "videos"):
        shutil.rmtree(recorded / path, ignore_errors=True)
    with pytest.raises(UserError, match="no usable checkpoint"):
        resume_run(recorded, quiet=True)
    assert log and (recorded / "metrics" / "metrics.jsonl").read_bytes() == log


def test_a_resumed_run_is_claimed_before_its_checkpoint_is_chosen(
    recorded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    claimed = []
    find = checkpoint.find_checkpoint

    def find_checkpoint(root: Path) -> object:
        with pytest.raises(UserError, match="another process trains in"):
            folder.claim(recorded)
        claimed.append(True)
        return find(root)

    monkeypatch.setattr(build, "find_checkpoint", find_checkpoint)
    resume_run(recorded, quiet=True).close()
    assert claimed
    folder.claim(recorded).release()  # it is free again


def test_other_recordings_in_their_place_are_told(recorded: Path) -> None:
    record(Path("more/train"), 4, 0)
    record(Path("more/test"), 2, 1)
    with pytest.warns(UserWarning, match=r"more holds 44 recorded steps, but held 33 when the run was saved"):
        resume_run(recorded, True, changes=Changes(data="more")).close()


def test_recordings_that_were_copied_into_the_run(recorded: Path) -> None:
    """Nothing that lies in a run's folder is removed, and the run learns from it."""
    copy = Path(shutil.copytree(recorded, "copy"))  # follows links
    shutil.rmtree(recorded.parent / "mine")
    record(Path("others/train"), 3, 0)
    record(Path("others/test"), 2, 1)
    resume_run(copy, quiet=True).close()
    with pytest.raises(UserError, match="dataset holds recordings itself; move them away first"):
        resume_run(copy, True, changes=Changes(data="others"))
    assert (copy / "dataset" / "train" / "frames.bin").stat().st_size
