"""What is recorded is what a player was shown, and what goes wrong with it harms nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.play import recording
from adamas.play.messages import ChangeSettings, ChangeView, Fork, Record, Request, Reset
from adamas.play.scene import PlayContext
from adamas.play.server_messages import Notice, Saved
from tests.helpers.play_server import Table


def test_what_is_recorded_is_what_was_shown(table: Table, tmp_path: Path) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"), Record(True))
    assert table.last(player)["recording"]
    first = len(table.updates[player]) - 1
    table.step(5)
    updates = table.updates[player][first:]
    table.ask(player, Record(False))
    saved = [note for note in table.notes[player] if isinstance(note, Saved)]
    assert [(n.dataset, n.episode, n.steps) for n in saved] == [
        ("played-dream", 0, 5),
        ("played-real", 0, 5),
    ]
    for index, name in enumerate(("dream", "real")):
        store = EpisodeStore.open(tmp_path / "recordings" / name)
        episode = store.episode(0)
        assert store.ended.tolist() == [True]
        assert np.array_equal(episode.obs.transpose(0, 2, 3, 1), [m.images[index] for m in updates])
        assert episode.action.tolist() == [m.header.action for m in updates[1:]]
        assert episode.reward.tolist() == [m.header.worlds[name].reward for m in updates[1:]]
        assert episode.terminated.tolist() == [False] * 5
        assert episode.truncated.tolist() == [False] * 4 + [True]


def test_recording_goes_on_from_episode_to_episode(table: Table, tmp_path: Path) -> None:
    player = table.join()
    table.ask(player, ChangeSettings({"horizon": 3}), Record(True))
    table.step(8)  # three steps, a beginning, three steps, a beginning
    table.ask(player, Reset())
    table.step()
    table.engine.leave(player)
    table.look()
    store = EpisodeStore.open(tmp_path / "recordings" / "dream")
    assert store.lengths.tolist() == [4, 4, 2]
    assert store.ended.all()


@pytest.mark.parametrize(
    ("request_", "complaint"),
    [
        (Fork(), "no game beside the dream"),
        (ChangeView("real"), "no real game here"),
        (ChangeSettings({"denoising_steps": 99}), "`denoising_steps` is 99"),
    ],
)
def test_what_cannot_be_done_is_said_and_harms_nothing(
    shared: PlayContext, request_: Request, complaint: str
) -> None:
    table = Table(replace(shared, make_env=None))
    player = table.join()
    table.ask(player, request_)
    assert complaint in table.notice(player)
    table.step(2)
    assert table.last(player)["dream"]["age"] == 2


def test_a_full_disk_ends_the_recording_and_not_the_game(
    table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    player = table.join()
    table.ask(player, Record(True))
    table.step(2)

    def full(*_: object, **__: object) -> None:
        raise UserError("cannot write: no space left on device")

    monkeypatch.setattr(EpisodeStore, "append", full)
    table.step(2)
    assert "no longer recording: cannot write" in table.notice(player)
    assert (table.last(player)["dream"]["age"], table.last(player)["recording"]) == (4, False)


def test_a_disk_that_is_full_at_the_end_harms_nothing(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"), Record(True))
    table.step(2)

    def full(*_: object, **__: object) -> None:
        raise UserError("cannot write: no space left on device")

    monkeypatch.setattr(EpisodeStore, "append", full)
    table.ask(player, Record(False))
    notices = [note.text for note in table.notes[player] if isinstance(note, Notice)]
    assert notices == ["no longer recording: cannot write: no space left on device"]
    table.step()
    assert not table.last(player)["recording"]


def test_at_the_limit_what_was_recorded_before_is_kept(
    table: Table, shared: PlayContext, tmp_path: Path
) -> None:
    player = table.join()
    table.ask(player, ChangeView("both"), Record(True))
    assert shared.recordings is not None
    shared.recordings._left = 5 * 3 * 10 * 10  # five frames of both worlds together
    table.step(4)
    notices = [note.text for note in table.notes[player] if isinstance(note, Notice)]
    assert len(notices) == 1 and "GiB of recordings is reached" in notices[0]
    assert not table.last(player)["recording"]
    for name, num_frames in (("dream", 4), ("real", 3)):  # the dream is stepped first
        store = EpisodeStore.open(tmp_path / "recordings" / name)
        assert (store.lengths.tolist(), store.ended.tolist()) == ([num_frames], [True])


def test_a_long_game_is_recorded_in_several_episodes(
    table: Table, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recording, "MAX_EPISODE", 3)
    player = table.join()
    table.ask(player, Record(True))
    table.step(7)
    table.ask(player, Record(False))
    store = EpisodeStore.open(tmp_path / "recordings" / "dream")
    assert store.lengths.tolist() == [4, 4, 2]
    assert np.array_equal(store.episode(0).obs[-1], store.episode(1).obs[0])
