"""Folders that a run may not use, and folders that hold no run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from adamas.core.config import save_config
from adamas.core.errors import UserError
from adamas.envs.make import make_env
from adamas.envs.vector import RealVectorEnv
from adamas.training import source
from adamas.training.build import new_run, resume_run
from tests.helpers.tiny_config import tiny_config


@pytest.mark.parametrize(
    "mine", ["thesis.txt", "dataset/notes.csv", "dataset/train/more.bin", "metrics/mine.json"]
)
def test_a_folder_that_holds_anything_else_is_left_alone(tmp_path: Path, mine: str) -> None:
    (tmp_path / mine).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / mine).write_text("years of work")
    save_config(tmp_path / "config.yaml", tiny_config())
    with pytest.raises(UserError, match="exists and is not empty"):
        new_run(tiny_config(), tmp_path, quiet=True)
    with pytest.raises(UserError, match="no usable checkpoint"):
        resume_run(tmp_path, quiet=True)
    assert (tmp_path / mine).read_text() == "years of work"


def test_one_process_at_a_time_trains_in_a_folder(tmp_path: Path) -> None:
    first = new_run(tiny_config(), tmp_path / "run", quiet=True)  # nothing saved yet: it could be begun anew
    for begin in (
        lambda: resume_run(tmp_path / "run", quiet=True),
        lambda: new_run(tiny_config(), tmp_path / "run"),
    ):
        with pytest.raises(UserError, match="another process trains in"):
            begin()
    first.run()
    with pytest.raises(UserError, match="another process trains in"):
        resume_run(tmp_path / "run", quiet=True)
    first.close()
    resume_run(tmp_path / "run", quiet=True).close()


def test_a_run_that_cannot_begin_closes_its_games(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    closed: list[bool] = []
    monkeypatch.setattr(
        source, "make_env", lambda *given, **named: Closing(make_env(*given, **named), closed)
    )
    with pytest.raises(UserError, match="cannot make"):
        new_run(tiny_config(), tmp_path / "file" / "run", quiet=True)
    assert closed == [True, True]  # for training and for held-out episodes


class Closing:
    """An environment that notes that it was closed."""

    def __init__(self, env: RealVectorEnv, closed: list[bool]) -> None:
        self._env, self._closed = env, closed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._env, name)

    def close(self) -> None:
        self._closed.append(True)
        self._env.close()


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot make .*file/run: Not a directory; choose another `run_dir`"):
        new_run(tiny_config(), tmp_path / "file" / "run", quiet=True)
    with pytest.raises(UserError, match="exists and is not empty"):
        new_run(tiny_config(), tmp_path / "file", quiet=True)


def test_resuming_needs_a_run_or_its_configuration(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"there is no run in .*; start one with"):
        resume_run(tmp_path / "nothing", quiet=True)
    with pytest.raises(UserError, match=r"there is no run in .*; start one with"):
        resume_run(tmp_path, quiet=True)
    assert not any(tmp_path.iterdir())  # not even a lock is left
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no usable checkpoint"):
        resume_run(tmp_path, quiet=True)
    save_config(tmp_path / "config.yaml", tiny_config())
    resume_run(tmp_path, quiet=True).close()
