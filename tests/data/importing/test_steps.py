"""Which row's action, reward and end belong to which frame. Frame i of every recording is grey i."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import av
import h5py

from adamas.core.errors import UserError
from tests.helpers.recordings import grey_of, greys, imported, write_csv, write_images, write_video

ONCE_MORE = "the last frame is repeated"


def clip(folder: Path, count: int, rate: int = 10, suffix: str = ".mp4", **columns: Any) -> Path:
    """A video of so many frames, and its table."""
    path = write_video(folder / f"clip{suffix}", greys(count), rate)
    write_csv(folder / "clip.csv", **columns)
    return path


def test_the_reward_and_the_end_of_the_last_frame_s_row_are_kept(tmp_path: Path) -> None:
    last = [0, 0, 0, 0, 0, 1]
    store, notes = imported(clip(tmp_path, 6, action=range(6), reward=last, terminated=last))
    episode = store.episode(0)
    assert grey_of(store) == [0, 1, 2, 3, 4, 5, 5]
    assert episode.action.tolist() == [0, 1, 2, 3, 4, 5] and episode.reward.tolist() == last
    assert episode.terminated.tolist() == [False] * 5 + [True] and not episode.truncated.any()
    (note,) = notes
    assert "clip.mp4: the last row holds a reward or an end" in note and ONCE_MORE in note


@pytest.mark.parametrize("columns", [{}, {"reward": [1, 0, 2, 0]}, {"truncated": [0, 0, 0, 1]}])
def test_the_last_frame_s_row_is_left_out_if_nothing_came_of_it(
    tmp_path: Path, columns: dict[str, Any]
) -> None:
    store, notes = imported(clip(tmp_path, 4, action=range(4), **columns))
    episode = store.episode(0)
    assert grey_of(store) == [0, 1, 2, 3] and episode.action.tolist() == [0, 1, 2]
    assert episode.reward.tolist() == columns.get("reward", [0, 0, 0])[:3]
    assert episode.truncated.tolist() == [False, False, True] and notes == []


def test_a_row_after_the_end_stands_for_the_last_frame(tmp_path: Path) -> None:
    store, notes = imported(clip(tmp_path, 4, action=range(4), terminated=[0, 0, 1, 1]))
    assert grey_of(store) == [0, 1, 2, 3] and store.episode(0).terminated.tolist() == [False, False, True]
    assert notes == []


@pytest.mark.parametrize("kind", ["npz", "hdf5", "images"])
def test_the_last_row_in_other_files(tmp_path: Path, kind: str) -> None:
    last, path = [0, 0, 1], tmp_path / f"one.{kind}"
    if kind == "npz":
        np.savez(path, obs=greys(3), action=[2, 1, 0], reward=last, done=last)
    elif kind == "hdf5":
        with h5py.File(path, "w") as file:
            file["obs"], file["action"], file["reward"], file["done"] = greys(3), [2, 1, 0], last, last
    else:
        write_csv(write_images(path, greys(3)) / "actions.csv", action=[2, 1, 0], reward=last, done=last)
    store, notes = imported(path)
    episode = store.episode(0)
    assert grey_of(store) == [0, 1, 2, 2] and episode.action.tolist() == [2, 1, 0]
    assert episode.reward.tolist() == last and episode.terminated.tolist() == [False, False, True]
    assert len(notes) == 1 and ONCE_MORE in notes[0]


REWARDS = [1, 2, 4, 8, 16, 32, 64]


@pytest.mark.parametrize(
    ("every", "frames", "rewards"),
    [
        (1, [0, 1, 2, 3, 4, 5, 6, 7], REWARDS),
        (2, [0, 2, 4, 6, 7], [3, 12, 48, 64]),
        (3, [0, 3, 6, 7], [7, 56, 64]),
        (5, [0, 5, 7], [31, 96]),
        (7, [0, 7], [127]),
        (9, [0, 7], [127]),
    ],
)
def test_every_so_many_frames(tmp_path: Path, every: int, frames: list[int], rewards: list[int]) -> None:
    path = clip(tmp_path, 8, action=range(7), reward=REWARDS, terminated=[0] * 6 + [1])
    store, notes = imported(path, every=every)
    episode = store.episode(0)
    assert grey_of(store) == frames and episode.action.tolist() == frames[:-1]
    assert episode.reward.tolist() == rewards and episode.reward.sum() == 127
    assert episode.terminated.tolist() == [False] * (len(rewards) - 1) + [True] and notes == []


def test_skipped_frames_without_reward_or_end_are_left_out(tmp_path: Path) -> None:
    store, _ = imported(clip(tmp_path, 8, action=range(7), reward=[0, 1, 0, 0, 0, 0, 0]), every=3)
    assert grey_of(store) == [0, 3, 6] and store.episode(0).reward.tolist() == [1, 0]


def test_every_second_frame_with_a_row_for_the_last(tmp_path: Path) -> None:
    last = [0, 0, 0, 0, 1]
    store, notes = imported(clip(tmp_path, 5, action=range(5), reward=last, done=last), every=2)
    assert grey_of(store) == [0, 2, 4, 4] and store.episode(0).reward.tolist() == [0, 0, 1]
    assert store.episode(0).terminated.tolist() == [False, False, True] and ONCE_MORE in notes[0]


TENTHS = [i / 10 for i in range(11)]


def test_a_slow_table_s_reward_is_given_once(tmp_path: Path) -> None:
    path = clip(tmp_path, 31, 30, time=TENTHS, action=range(11), reward=[0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0])
    store, notes = imported(path)
    episode = store.episode(0)
    assert grey_of(store) == list(range(31)) and notes == []
    assert episode.action.tolist() == [i // 3 for i in range(30)]
    assert np.flatnonzero(episode.reward).tolist() == [11] and episode.reward.sum() == 1


@pytest.mark.parametrize(
    ("rows", "frames", "again"),
    [(11, [*range(31), 30], True), (10, range(31), False)],  # at 1.0 s the last frame is shown
)
def test_a_slow_table_s_last_row_ends_the_episode(
    tmp_path: Path, rows: int, frames: list[int], again: bool
) -> None:
    last = [0] * (rows - 1) + [1]
    path = clip(tmp_path, 31, 30, time=TENTHS[:rows], action=range(rows), reward=last, terminated=last)
    store, notes = imported(path)
    episode = store.episode(0)
    assert grey_of(store) == list(frames) and episode.action[-1] == rows - 1
    assert (
        np.flatnonzero(episode.reward).tolist()
        == np.flatnonzero(episode.terminated).tolist()
        == [len(frames) - 2]
    )
    assert bool(notes) == again


@pytest.mark.parametrize("every", [1, 2, 3, 4, 7])
def test_each_row_s_reward_is_given_once(tmp_path: Path, every: int) -> None:
    """With a table faster than the video, one slower, and one that is now this and now that."""
    tables: tuple[Any, ...] = (
        np.arange(40) / 40,
        np.arange(4) / 4,
        [0, 0, 0.05, 0.06, 0.07, 0.5, 0.91, 0.95],
    )
    for number, times in enumerate(tables):
        reward = np.arange(1, len(times) + 1)
        folder = tmp_path / str(number)
        path = clip(folder, 10, 10, time=times, action=np.arange(len(times)) % 2, reward=reward)
        store, _ = imported(path, every=every)
        assert store.episode(0).reward.sum() == reward.sum()


def test_rounded_times_are_no_frame_late(tmp_path: Path) -> None:
    times = [round(i / 30, 2) for i in range(31)]  # 0.07 s for the frame at 0.0667 s
    store, _ = imported(clip(tmp_path, 31, 30, time=times, action=range(31)))
    assert store.episode(0).action.tolist() == list(range(30))
    exact = clip(tmp_path / "mkv", 31, 30, ".mkv", time=[i / 30 for i in range(31)], action=range(31))
    store, _ = imported(exact)  # Matroska rounds 0.0333 s to 0.033
    assert store.episode(0).action.tolist() == list(range(30))


@pytest.mark.parametrize("suffix", [".avi", ".mkv", ".mov", ".ts", ".webm"])
def test_frames_that_are_decoded_in_another_order(tmp_path: Path, suffix: str) -> None:
    """AVI does not store when frames are shown, and with B-frames they are not stored in that order."""
    codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
    with av.open(str(tmp_path / f"clip{suffix}"), "w") as container:
        stream = container.add_stream(
            codec, rate=Fraction(10), options={} if suffix == ".webm" else {"bf": "3"}
        )
        stream.height = stream.width = 64
        stream.pix_fmt = "yuv420p"
        for i in range(12):
            picture = np.full((64, 64, 3), 20 * i, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    write_csv(tmp_path / "clip.csv", time=[i / 10 for i in range(12)], action=range(12))
    store, notes = imported(tmp_path / f"clip{suffix}")
    episode = store.episode(0)
    assert episode.action.tolist() == list(range(11)) and notes == []
    assert (episode.obs[:, 0, 32, 32] / 20).round().tolist() == list(range(12))


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            [33 * i for i in range(31)],
            r"clip.mp4 lasts 1.033 s, .*clip.csv end at 990.000 and seem to be in ms; .* time_ms",
        ),
        ([33_333 * i for i in range(31)], r"end at 999990.000 and seem to be in us"),
        (
            range(31),
            r"lasts 1.033 s, .* end at 30.000 and seem to be frame numbers; rename the column to frame",
        ),
        (
            [i / 10 for i in range(31)],
            r"lasts 1.033 s, .* end at 3.000; give the whole video, or only the rows",
        ),
        ([i / 20 for i in range(31)], r"lasts 1.033 s, .* end at 1.500; give the whole video"),  # cut at 70 %
        (
            [1.7e9 + i / 30 for i in range(31)],
            r"no row is in effect yet at frame 1, .*seconds from the video's start",
        ),
    ],
)
def test_clocks_that_disagree(tmp_path: Path, times: list[float], message: str) -> None:
    path = clip(tmp_path, 31, 30, time=times, action=[i % 3 for i in range(len(times))])
    with pytest.raises(UserError, match=message):
        imported(path)


def test_a_table_that_is_far_too_short_is_said(tmp_path: Path) -> None:
    path = clip(tmp_path, 31, 30, time=[i / 60 for i in range(31)], action=range(31))
    store, (note,) = imported(path)
    assert store.episode(0).action.tolist() == [min(2 * i, 30) for i in range(30)]
    assert "clip.mp4 lasts 1.033 s" in note and "clip.csv end at 0.500: the last row is taken to hold" in note


def test_a_log_of_changes_may_pause(tmp_path: Path) -> None:
    store, notes = imported(clip(tmp_path, 31, 30, time=[0, 0.5, 0.6], action=[0, 1, 2]))
    assert store.episode(0).action.tolist() == [0] * 15 + [1] * 3 + [2] * 12 and notes == []


@pytest.mark.parametrize("name", ["time_ms", "Time (ms)", "timestamp_ms"])
def test_times_in_milliseconds_that_say_so(tmp_path: Path, name: str) -> None:
    times: dict[str, Any] = {name: range(0, 1100, 100)}
    store, notes = imported(clip(tmp_path, 31, 30, action=range(11), **times))
    assert store.episode(0).action.tolist() == [i // 3 for i in range(30)] and notes == []


def test_times_beside_images_are_not_used(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "shots", greys(4))
    write_csv(folder / "actions.csv", time=[0, 0.1, 0.2, 0.3], action=[3, 2, 1, 0])
    store, (note,) = imported(folder)
    assert store.episode(0).action.tolist() == [3, 2, 1]
    assert "shots has no times" in note and "time" in note


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"frame": [0, 1, 3, 4]}, "row 4: frame is 3 after 1; give a row for every frame, in their order"),
        ({"frame_index": [3, 2, 1, 0]}, "row 3: frame is 2 after 3"),
        ({"episode": [0, 0, 1, 1]}, "row 4: another episode begins; give each one a recording and a table"),
        ({"terminated": [0, 0, 0.5, 1]}, "row 4: terminated is 0.5; it must be 0 or 1"),
        ({"terminated": [0, 1, 0, 0]}, "the episode continues after its end in row 3"),
        ({"done": [0, 0, 1, 0], "reward": [0, 0, 0, 1]}, "the episode continues after its end in row 4"),
        ({"reward": [0, 1e300, 0, 0]}, r"row 3: the reward 1e\+300 is too large"),
    ],
)
def test_rows_that_say_they_are_not_the_frames(tmp_path: Path, columns: dict[str, Any], message: str) -> None:
    path = clip(tmp_path, 4, action=range(4), **columns)
    with pytest.raises(UserError, match=message):
        imported(path)


def test_columns_that_are_left_out_say_nothing(tmp_path: Path) -> None:
    path = clip(tmp_path, 4, action=range(4), dones=[0, 1, 0, 1], rewards=[1, 1, 1, 1])
    store, _ = imported(path, ignore=("dones", "rewards"))
    episode = store.episode(0)
    assert len(episode) == 3 and not episode.terminated.any() and not episode.reward.any()
