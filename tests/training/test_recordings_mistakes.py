"""Recordings that cannot be trained on are named in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from adamas import cli
from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.training.build import new_run
from tests.helpers.small_recordings import config, record


def test_recordings_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"there are no recordings in .*nowhere; name their folder with `data`"
    ):
        new_run(config(tmp_path / "nowhere"), tmp_path / "run", quiet=True)


def test_a_dataset_that_is_not_split_is_told_how(tmp_path: Path) -> None:
    record(tmp_path / "mine", 2, 0)
    with pytest.raises(
        UserError, match=r"mine is not split into train and test; .*adamas data split .*mine$"
    ):
        new_run(config(tmp_path / "mine"), tmp_path / "run", quiet=True)
    cli.run(["data", "pack", str(tmp_path / "mine"), "--out", "memory://whole/mine"])
    with pytest.raises(UserError, match="memory://whole/mine is not split"):
        new_run(replace(config(tmp_path), data="memory://whole/mine"), tmp_path / "run", quiet=True)


@pytest.mark.parametrize("missing", ["train", "test"])
def test_recordings_that_are_not_split_are_refused(tmp_path: Path, missing: str) -> None:
    record(tmp_path / "mine" / {"train": "test", "test": "train"}[missing], 1, 0)
    with pytest.raises(UserError, match=rf"no dataset in .*mine/{missing} "):
        new_run(config(tmp_path / "mine"), tmp_path / "run", quiet=True)
    assert not (tmp_path / "run").exists()


def test_recordings_that_do_not_belong_together_are_refused(tmp_path: Path) -> None:
    record(tmp_path / "mine" / "train", 1, 0)
    record(tmp_path / "mine" / "test", 1, 0, ActionSpec.numbered(3))
    with pytest.raises(UserError, match="train and test differ in their frames or actions"):
        new_run(config(tmp_path / "mine"), tmp_path / "run", quiet=True)


def test_actions_that_nobody_described_are_refused(tmp_path: Path) -> None:
    for name in ("train", "test"):
        record(tmp_path / "mine" / name, 1, 0, None)
    with pytest.raises(UserError, match="does not say what its actions are"):
        new_run(config(tmp_path / "mine"), tmp_path / "run", quiet=True)


def test_a_policy_alone_needs_a_game(recordings: Path) -> None:
    with pytest.raises(UserError, match="`imagination` is off, which trains on a game alone"):
        replace(config(recordings), imagination="off")
