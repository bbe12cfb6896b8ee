"""Every door through which the name of a stranger's module could come in, and how to open it for one's own."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gymnasium
import pytest
import yaml

import adamas
from adamas import cli
from adamas.commands import play as play_command
from adamas.commands import train as train_command
from adamas.core.config import to_dict
from adamas.data import EpisodeStore
from adamas.envs import trust
from adamas.envs.config import read_env
from adamas.presets import preset
from adamas.suite.jobs import Job
from tests.helpers.commands import adamas as adamas_process
from tests.helpers.commands import output

MODULE, ID = "adamas_lamp", "AdamasLamp-v0"
GAME = f"{MODULE}:{ID}"
SOURCE = f"""
import pathlib
import gymnasium, numpy as np

pathlib.Path(__file__).with_name("imported").touch()

class Lamp(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.light = int(self.np_random.integers(200))
        return np.full((16, 16, 3), self.light, np.uint8), {{}}

    def step(self, action):
        self.light = min(self.light + 10 * int(action), 255)
        return np.full((16, 16, 3), self.light, np.uint8), 1.0, self.light == 255, False, {{}}

gymnasium.register("{ID}", Lamp, max_episode_steps=20)
"""
NAMED = ("--env.game", GAME)
REFUSED = (
    f"the game {GAME} imports the module {MODULE}, which can run code, and its name comes from a file; "
    f"if you trust it, add: --env.game {GAME}"
)
SHORT = ("--env.suite", "gymnasium", "--env.size", "16", "--env.max-episode-steps", "20", "--quiet")


def forget() -> None:
    """As in a process that has just begun."""
    trust._named.clear()
    sys.modules.pop(MODULE, None)
    gymnasium.registry.pop(ID, None)


@pytest.fixture(scope="module")
def theirs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a run on a game of a module, and the module."""
    folder = tmp_path_factory.mktemp("theirs")
    (folder / f"{MODULE}.py").write_text(SOURCE)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder)
        patch.setattr(train_command, "_report", lambda trainer: None)  # pictures take time
        run = ("--run-dir", str(folder / "RUN"), "--collection.total-steps", "120")
        cli.run(["train", "debug", *NAMED, *SHORT, *run])
        forget()
        yield folder
        forget()


@pytest.fixture
def run(theirs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of that run in the working folder; the module was never imported."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(train_command, "_report", lambda trainer: None)
    shutil.copytree(theirs / "RUN", "RUN")
    (theirs / "imported").unlink(missing_ok=True)
    yield Path("RUN")
    forget()


@pytest.fixture
def imported(theirs: Path) -> Callable[[], bool]:
    return (theirs / "imported").exists


DOORS: dict[str, tuple[str, ...]] = {
    "evaluate": ("evaluate", "RUN", "--episodes", "1"),
    "evaluate a checkpoint": ("evaluate", "CHECKPOINT", "--episodes", "1"),
    "dream beside the game": ("dream", "RUN", "--beside-real", "--policy", "agent", "--out", "x.gif", "--steps", "2"),
    "fidelity": ("fidelity", "RUN", "--lpips", "none", "--windows", "2", "--horizon", "2", "--moments", "1",
                 "--draws", "1"),
    "record": ("data", "record", "out", "--agent", "RUN", "--steps", "8"),
    "resume": ("train", "--resume", "RUN", "--quiet"),
}  # fmt: skip


@pytest.mark.parametrize("door", DOORS)
def test_a_door(
    run: Path,
    imported: Callable[[], bool],
    complaint: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    door: str,
) -> None:
    next((run / "checkpoints").glob("step-*")).rename("CHECKPOINT") if "CHECKPOINT" in DOORS[door] else None
    before = sorted(path for path in Path().rglob("*") if path.name != "lock")
    assert complaint(*DOORS[door]) == REFUSED
    assert not imported()
    assert sorted(path for path in Path().rglob("*") if path.name != "lock") == before  # nothing was written
    if door != "fidelity":  # which takes seconds
        cli.run([*DOORS[door], *NAMED])
        assert imported()


def test_playing_beside_the_game(
    run: Path, imported: Callable[[], bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    greeting: list[Any] = []
    monkeypatch.setattr(
        play_command, "_serve", lambda engine, datasets, hello, options: greeting.append(hello)
    )
    cli.run(["play", "RUN"])
    assert greeting[0].why_no_real == REFUSED and greeting[0].views == ("dream",)
    assert not imported()
    cli.run(["play", "RUN", *NAMED])
    assert greeting[1].views == ("dream", "both", "real") and imported()


def test_what_needs_no_game_imports_nothing(run: Path, imported: Callable[[], bool]) -> None:
    adamas.load(run, "cpu")
    adamas.make_dream(run, num_envs=1).reset(seed=0)
    cli.run(["report", "RUN", "--out", "page.html"])
    cli.run(["export", "published", "RUN", "--out", "x.pt"])
    cli.run(["data", "inspect", "RUN/dataset/train"])
    assert not imported()


def test_the_game_of_a_dataset(
    run: Path, imported: Callable[[], bool], complaint: Callable[..., str]
) -> None:
    assert EpisodeStore.open(run / "dataset" / "train").game == to_dict(from_yaml(run).env)
    small = ("--final-epochs", "1", "--quiet")
    shutil.copytree(run / "dataset", "RECORDED")
    cli.run(["train", "debug", "--data", "RECORDED", "--run-dir", "LEARNT", *small])
    assert not imported()
    assert complaint("evaluate", "LEARNT", "--episodes", "1").startswith("this agent has no policy")
    assert not imported()


def from_yaml(run: Path) -> Any:
    data = yaml.safe_load((run / "config.yaml").read_bytes())
    return replace(preset("debug"), env=read_env(data["env"]))


def test_a_run_goes_on_with_its_own_game(run: Path, complaint: Callable[..., str]) -> None:
    said = complaint("train", "--resume", "RUN", "--env.game", "CartPole-v1")
    assert (
        said
        == f"--env.game is CartPole-v1, but the game of the run is {GAME}; leave the option out, or name that game"
    )


def test_a_suite_names_its_games_when_it_goes_on(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").touch()
    words = Job("debug", GAME, 0, tmp_path).arguments()
    assert words == ["train", "--resume", str(tmp_path), "--env.game", GAME, "--quiet"]


def test_a_run_from_before_these_options(run: Path) -> None:
    file = run / "config.yaml"
    data = yaml.safe_load(file.read_bytes())
    assert [data["env"].pop(name) for name in ("frames", "frames_key", "kwargs")] == ["auto", None, "{}"]
    file.write_text(yaml.safe_dump(data))
    cli.run(["evaluate", "RUN", "--episodes", "1", *NAMED])


def test_modules_in_a_strangers_folder_hide_none_of_ours(run: Path, theirs: Path) -> None:
    shutil.copy(theirs / f"{MODULE}.py", run)
    for name in ("torch", "yaml", "shimmy"):
        (run / f"{name}.py").write_text("raise SystemExit(f'{__file__} was imported')")
    process = adamas_process("evaluate", ".", "--episodes", "1", cwd=run)
    assert (output(process), process.returncode) == (("", [f"adamas: {REFUSED}"]), 2)
    assert not (run / "imported").exists()
