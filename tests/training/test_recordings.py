"""Training a world model on recordings, without a game."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import adamas
from adamas import cli
from adamas.commands.common import find_target
from adamas.core.errors import UserError
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs import EnvConfig
from adamas.envs.config import GymnasiumConfig
from adamas.presets import preset
from adamas.training import source
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from tests.helpers.diamond import model_config, training
from tests.helpers.game_parts import game_of
from tests.helpers.small_recordings import SPEC, config, record
from tests.helpers.tiny_agent import tiny_network


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_world_model_of_recordings(recordings: Path, tmp_path: Path) -> None:
    before = contents(recordings)
    with closing(new_run(config(recordings), tmp_path / "run", quiet=True)) as trainer:
        assert list(trainer.phases) == ["denoiser", "reward_end", "evaluate"]
        weights = {name: w.clone() for name, w in trainer.agent.state_dict().items()}
        trainer.run()
        assert (trainer.clock.epoch, trainer.real_steps) == (3, 66)
        changed = {
            name for name, w in trainer.agent.state_dict().items() if not torch.equal(w, weights[name])
        }
    assert any("denoiser" in name for name in changed) and any("reward_end" in name for name in changed)
    assert not any("actor_critic" in name for name in weights)
    assert contents(recordings) == before
    agent = adamas.load(tmp_path / "run", "cpu")
    assert (agent.config.obs_shape, agent.action_spec) == ((3, 12, 20), SPEC)


def test_it_resumes_bit_by_bit(recordings: Path, tmp_path: Path) -> None:
    """And the same from a packed copy in other storage, with batches that were read ahead when it was stopped."""
    cli.run(["data", "pack", str(recordings), "--out", "memory://resumes/mine"])
    weights = []
    for name in ("through", "stopped"):
        start = config(recordings)
        if name == "stopped":
            start = replace(start, data="memory://resumes/mine")
        with closing(new_run(start, tmp_path / name, quiet=True)) as trainer:
            if name == "stopped":
                update = trainer.phases["denoiser"].update

                def stop(update=update, trainer=trainer):  # type: ignore[no-untyped-def]
                    if trainer.clock.epoch == 2:
                        trainer.save()
                        raise KeyboardInterrupt
                    return update()

                trainer.phases["denoiser"].update = stop  # type: ignore[method-assign]
                with pytest.raises(KeyboardInterrupt):
                    trainer.run()
            else:
                trainer.run()
        if name == "stopped":
            with closing(resume_run(tmp_path / name, quiet=True)) as trainer:
                trainer.run()
        weights.append(trainer.agent.state_dict())
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def two_stages(recordings: Path) -> Config:
    base = config(recordings)
    upsampler = UpsamplerConfig(
        network=tiny_network(context_length=1, cond_channels=8),
        factor=2,
        sampler=SamplerConfig(num_steps=1),
        sigma_change=0.1,
    )
    return replace(
        base,
        world_model=replace(model_config(base), upsampler=upsampler),
        training=replace(training(base), upsampler=training(base).denoiser),
        final_epochs=1,
    )


def test_small_frames_made_once_change_nothing(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = []
    for name in ("once", "every batch"):
        if name == "every batch":
            monkeypatch.setattr(source, "with_small_frames", lambda store, *rest: store)
        with closing(new_run(two_stages(recordings), tmp_path / name, quiet=True)) as trainer:
            trainer.run()
            weights.append(trainer.agent.state_dict())
    (small,) = (tmp_path / "once").glob("small-6x10-*.bin")
    assert small.stat().st_size == 6 * 12 * 3 * 6 * 10
    assert not any((tmp_path / "every batch").glob("small-*"))
    assert any("reward_end" in name for name in weights[0])
    assert all(torch.equal(w, weights[1][name]) for name, w in weights[0].items())


def test_a_run_killed_while_small_frames_are_made_begins_again(recordings: Path, tmp_path: Path) -> None:
    with closing(new_run(two_stages(recordings), tmp_path / "run", quiet=True)):
        pass  # killed before its first checkpoint
    (small,) = (tmp_path / "run").glob("small-6x10-*.bin")
    small.rename(small.with_name(f"{small.name}.part"))
    with closing(new_run(two_stages(recordings), tmp_path / "run", quiet=True)):
        assert small.is_file()
    (tmp_path / "run" / "notes.txt").touch()
    with pytest.raises(UserError, match="is not empty"):
        new_run(two_stages(recordings), tmp_path / "run", quiet=True)


def test_two_stages_on_recordings_without_labels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for seed, name in enumerate(("train", "test")):
        record(tmp_path / "mine" / name, 3, seed, labels=False)
    base = two_stages(tmp_path / "mine")
    with closing(new_run(base, tmp_path / "run")) as trainer:
        assert list(trainer.phases) == ["denoiser", "upsampler", "evaluate"]
        weights = {name: w.clone() for name, w in trainer.agent.state_dict().items()}
        trainer.run()
        after = trainer.agent.state_dict()
        for part in ("denoiser", "upsampler"):
            assert any(part in name and not torch.equal(w, weights[name]) for name, w in after.items())
    assert "no rewards or ends in the recordings: none will be predicted" in capsys.readouterr().out
    agent = adamas.load(tmp_path / "run", "cpu")
    assert all(torch.equal(w, after[name]) for name, w in agent.state_dict().items())
    assert agent.world_model.reward_end is None
    with closing(resume_run(tmp_path / "run", quiet=True)) as trainer:
        assert trainer.clock.epoch == 2


def test_from_the_command_line_to_a_film(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["train", "debug", "--data", "mine", "--final-epochs", "1", "--quiet"])
    run = tmp_path / "runs" / "debug" / "mine-seed-0"
    assert "on 66 recorded steps" in capsys.readouterr().out
    assert {path.name for path in (run / "results").iterdir()} == {"dream.gif", "dream.png"}
    assert (run / "dataset").resolve() == recordings.resolve()
    cli.run(["dream", str(run), "--out", "film.gif", "--beside-real", "--steps", "3"])
    assert (tmp_path / "film.gif").is_file()
    capsys.readouterr()
    cli.run(["fidelity", str(run), "--windows", "4", "--horizon", "3", "--lpips", "none", "--out", "found"])
    lines = capsys.readouterr().out.splitlines()
    assert any("the dreams start in only" in line for line in lines)
    rows = [line for line in lines if ", step " in line or "precision" in line]
    assert rows and all(re.search(r"\d", line.partition(", step 1")[2] or line) for line in rows)
    cli.run(["report", str(run), "--out", "page.html"])
    assert "recordings mine" in (tmp_path / "page.html").read_text()


def test_recordings_at_a_url(
    recordings: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["data", "pack", "mine", "--out", "memory://url/mine"])
    assert "memory://url/mine/test: 3 episodes, 33 steps, frames 12x20" in capsys.readouterr().out
    cli.run(["data", "validate", "memory://url/mine/train"])
    assert "6 episodes, 72 frames: no fault found" in capsys.readouterr().out
    cli.run(["train", "debug", "--data", "memory://url/mine", "--final-epochs", "1", "--quiet"])
    run = tmp_path / "runs" / "debug" / "mine-seed-0"
    cli.run(["dream", str(run), "--out", "film.gif", "--beside-real", "--steps", "3"])
    assert find_target([str(run)], "play")[0].is_recorded
    with pytest.raises(UserError, match=r"cannot read memory://url/theirs/train/index\.json"):
        new_run(replace(config(recordings), data="memory://url/theirs"), tmp_path / "run", quiet=True)


@pytest.mark.parametrize("game", [None, GymnasiumConfig(game="CarRacing-v3", size=12, width=20)])
@pytest.mark.parametrize("packed", [False, True])
def test_a_run_knows_the_game_that_was_recorded(game: EnvConfig | None, packed: bool, tmp_path: Path) -> None:
    """And if it is not known, none: not that of the preset, which is Breakout in MinAtar."""
    for name in ("train", "test"):
        record(tmp_path / "mine" / name, 1, 0, game=game)
    if packed:
        cli.run(["data", "pack", str(tmp_path / "mine"), "--out", str(tmp_path / "packed")])
    with closing(new_run(config(tmp_path / ("packed" if packed else "mine")), tmp_path / "run", quiet=True)):
        pass
    assert find_target([str(tmp_path / "run")], "play")[1].env == game


def test_a_preset_without_final_epochs_trains_as_many_epochs_as_in_its_game(
    recordings: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    collection = game_of(preset("debug")).collection
    total_steps = collection.first_steps_max + 2 * collection.steps_per_epoch
    collection = replace(collection, total_steps=total_steps, first_steps=1)
    epochs = source.num_epochs(collection, 0, 1)
    start = source.on_recordings(replace(preset("debug"), collection=collection), str(recordings))
    assert epochs > 2 and start.final_epochs == epochs
    with closing(new_run(start, tmp_path / "run", quiet=True)) as trainer:
        assert trainer.config.final_epochs == epochs
        trainer.save()  # before the first epoch
    with closing(resume_run(tmp_path / "run", quiet=True)) as trainer:
        trainer.run()
        assert trainer.clock.epoch == epochs + 1 and trainer.clock.step > epochs
    cli.run(["plan", "quickstart", "--data", str(recordings), "--training.denoiser.batch-size", "2"])
    assert "15 epochs\n" in capsys.readouterr().out
