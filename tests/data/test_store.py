"""The replay store against plain lists."""

from __future__ import annotations

import copy
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore

SHAPE = (2, 1, 1)


def frame(episode: int, t: int) -> np.ndarray:
    """A frame that says where it belongs and is never all zero, as padding is."""
    return np.array([episode + 1, t + 1], np.uint8).reshape(SHAPE)


@dataclass
class Lists:
    """The reference: one list per episode of (frame, action, reward, terminated, truncated)."""

    episodes: list[list[tuple[np.ndarray, int, float, bool, bool]]] = field(default_factory=list)
    ended: list[bool] = field(default_factory=list)
    current: list[int] = field(default_factory=list)  # of each environment, NEW between episodes
    num_rows: int = 0

    def step(self, store: EpisodeStore, ends: tuple[str, ...]) -> None:
        """One step of all environments in the store and in the lists; ``ends`` says which of them end."""
        given = list(self.current)
        for i, number in enumerate(given):
            if number == NEW:
                self.current[i] = len(self.episodes)
                self.episodes.append([])
                self.ended.append(False)
        for number, end in zip(self.current, ends, strict=True):
            t = len(self.episodes[number])
            row = (
                frame(number, t),
                100 * number + t,
                number + t / 8,
                end == "terminated",
                end == "truncated",
            )
            self.episodes[number].append(row)
        newest = [self.episodes[number][-1] for number in self.current]
        obs, action, reward, terminated, truncated = (
            np.array(column) for column in zip(*newest, strict=True)
        )
        returned = store.append(np.array(given), torch.from_numpy(obs), action, reward, terminated, truncated)
        assert returned.tolist() == self.current

        closing = [number for number, end in zip(self.current, ends, strict=True) if end]
        final = [frame(number, len(self.episodes[number])) for number in closing]
        store.append_final(np.array(closing, int), np.array(final, np.uint8).reshape(-1, *SHAPE))
        for number, last in zip(closing, final, strict=True):
            self.episodes[number].append((last, -1, np.nan, True, True))  # must never be seen
            self.ended[number] = True
            self.current[self.current.index(number)] = NEW
        self.num_rows += len(self.current) + len(closing)

    def check(self, store: EpisodeStore) -> None:
        """All that a store answers, one value at a time."""
        lengths = [len(episode) for episode in self.episodes]
        assert store.num_rows == self.num_rows == sum(lengths)
        assert store.num_episodes == len(lengths)
        assert store.num_transitions == sum(n - 1 for n in lengths)
        assert store.num_steps == sum(n - ended for n, ended in zip(lengths, self.ended, strict=True))
        assert store.lengths.tolist() == lengths
        assert store.ended.tolist() == self.ended
        assert store.returns.tolist() == [sum(row[2] for row in episode[:-1]) for episode in self.episodes]
        for rows, episode in zip(self.episodes, store, strict=True):
            assert (episode.obs == np.array([row[0] for row in rows])).all()
            fields = (episode.action, episode.reward, episode.terminated, episode.truncated)
            assert [list(step) for step in zip(*fields, strict=True)] == [list(row[1:]) for row in rows[:-1]]
        for number, length in enumerate(lengths):
            for start in (-2, 0, length - 2):
                self.check_segment(store, number, start, num_frames=4, end=length)
            self.check_segment(store, number, -1, num_frames=5, end=length - 1)

    def check_segment(self, store: EpisodeStore, number: int, start: int, num_frames: int, end: int) -> None:
        batch = store.read(np.array([number]), np.array([start]), num_frames, np.array([end]))
        real = [0 <= t < end for t in range(start, start + num_frames)]
        assert batch.mask[0].tolist() == real
        for i, t in enumerate(range(start, start + num_frames)):
            expected = self.episodes[number][t][0] if real[i] else np.zeros(SHAPE)
            assert (batch.obs[0, i].numpy() == expected).all()
        for i, t in enumerate(range(start, start + num_frames - 1)):
            known = real[i] and real[i + 1]
            step = batch.action[0, i], batch.reward[0, i], batch.terminated[0, i], batch.truncated[0, i]
            values = self.episodes[number][t][1:] if known else (0, 0, False, False)
            assert tuple(value.item() for value in step) == values


def make(folder: Path, num_envs: int = 2) -> tuple[EpisodeStore, Lists]:
    return EpisodeStore.create(folder, SHAPE), Lists(current=[NEW] * num_envs)


def test_two_environments_by_hand(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    false, one_env = np.array([False, False]), np.array([1])

    def obs(*pixels: int) -> np.ndarray:
        return np.array(pixels, np.uint8).repeat(2).reshape(-1, *SHAPE)

    numbers = store.append(
        np.array([NEW, NEW]), obs(10, 20), np.array([1, 2]), np.array([0.5, 1]), false, false
    )
    assert numbers.tolist() == [0, 1]
    store.append(numbers, obs(11, 21), np.array([3, 4]), np.array([2, -3]), np.array([False, True]), false)
    store.append_final(one_env, obs(22))
    numbers = store.append(np.array([0, NEW]), obs(12, 30), np.array([5, 6]), np.array([4, 4]), false, false)
    assert numbers.tolist() == [0, 2]

    assert (store.num_rows, store.num_steps, store.num_transitions, store.num_episodes) == (7, 6, 4, 3)
    assert store.lengths.tolist() == [3, 3, 1]
    assert store.ended.tolist() == [False, True, False]
    assert store.returns.tolist() == [2.5, -2, 0]
    first, second, third = store
    assert first.obs[:, 0, 0, 0].tolist() == [10, 11, 12]
    assert first.action.tolist() == [1, 3]
    assert second.obs[:, 0, 0, 0].tolist() == [20, 21, 22]
    assert second.action.tolist() == [2, 4]
    assert second.reward.tolist() == [1, -3]
    assert second.terminated.tolist() == [False, True]
    assert third.obs.shape == (1, *SHAPE)
    assert len(third) == 0
    arrays = second.obs, second.action, second.reward, second.terminated
    assert [array.dtype.name for array in arrays] == ["uint8", "int64", "float32", "bool"]

    batch = store.read(np.array([1, 0]), np.array([1, -1]), 3)
    assert batch.obs[:, :, 0, 0, 0].tolist() == [[21, 22, 0], [0, 10, 11]]
    assert batch.mask.tolist() == [[True, True, False], [False, True, True]]
    assert batch.action.tolist() == [[4, 0], [0, 1]]
    assert batch.reward.tolist() == [[-3, 0], [0, 0.5]]
    assert batch.terminated.tolist() == [[True, False], [False, False]]
    assert (batch.obs.dtype, batch.action.dtype, batch.reward.dtype) == (
        torch.uint8,
        torch.int64,
        torch.float32,
    )


def test_newest_transition_of_running_episode_waits_for_its_next_frame(tmp_path: Path) -> None:
    store, lists = make(tmp_path, num_envs=1)
    lists.step(store, ("",))
    lists.step(store, ("",))
    assert store.episode(0).action.tolist() == [0]
    assert store.read(np.array([0]), np.array([0]), 3).action.tolist() == [
        [0, 0]
    ]  # action 1 is not known yet
    lists.step(store, ("",))
    assert store.episode(0).action.tolist() == [0, 1]
    assert store.read(np.array([0]), np.array([0]), 3).action.tolist() == [[0, 1]]


def test_batches_do_not_share_memory_with_the_store(tmp_path: Path) -> None:
    store, lists = make(tmp_path)
    lists.step(store, ("", ""))
    store.read(np.array([0, 1]), np.array([0, 0]), 1).obs.zero_()
    store.episode(0).obs[:] = 0
    lists.check(store)


STEP = st.tuples(*[st.sampled_from(["", "", "terminated", "truncated"])] * 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(STEP | st.sampled_from(["commit", "reopen", "truncate", "check"]), max_size=20), st.data())
def test_store_equals_lists(operations: list[Any], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store, lists = make(Path(folder) / "replay", num_envs=3)
        committed, history = copy.deepcopy(lists), [copy.deepcopy(lists)]
        for operation in operations:
            if operation == "commit":
                store.commit()
                committed = copy.deepcopy(lists)
            elif operation == "reopen":
                store, lists = EpisodeStore.open(store.folder), copy.deepcopy(committed)
                history = [past for past in history if past.num_rows <= lists.num_rows]
            elif operation == "truncate":
                history = history[: data.draw(st.integers(1, len(history)))]
                lists = copy.deepcopy(history[-1])
                store.truncate(lists.num_rows)
                committed = copy.deepcopy(lists)
            elif operation == "check":
                lists.check(store)
            else:
                lists.step(store, operation)
                history.append(copy.deepcopy(lists))
        lists.check(store)


def test_reopened_store_is_the_committed_one(tmp_path: Path) -> None:
    store, lists = make(tmp_path)
    lists.step(store, ("", "terminated"))
    store.commit()
    lists.check(EpisodeStore.open(tmp_path))
    committed = copy.deepcopy(lists)
    lists.step(store, ("truncated", ""))
    committed.check(EpisodeStore.open(tmp_path))  # and opening has not cut off what is still being written
    lists.check(store)
    store.commit()
    lists.check(EpisodeStore.open(tmp_path))


def test_truncate_is_on_disk_before_new_rows_overwrite_old_ones(tmp_path: Path) -> None:
    store, lists = make(tmp_path)
    lists.step(store, ("", ""))
    earlier = copy.deepcopy(lists)
    lists.step(store, ("terminated", ""))
    lists.step(store, ("", ""))
    store.commit()
    store.truncate(earlier.num_rows)
    earlier.check(store)
    resumed = copy.deepcopy(earlier)
    resumed.step(store, ("", "truncated"))
    resumed.check(store)
    earlier.check(EpisodeStore.open(tmp_path))  # a kill here must not mix old and new rows
    with pytest.raises(UserError, match="holds 5 rows, but the checkpoint needs 6"):
        store.truncate(6)


def test_misuse_changes_nothing(tmp_path: Path) -> None:
    store, lists = make(tmp_path)
    lists.step(store, ("", "terminated"))
    fields: dict[str, Any] = {
        "action": np.zeros(1, np.int64),
        "reward": np.zeros(1),
        "terminated": np.zeros(1, bool),
        "truncated": np.zeros(1, bool),
    }

    def append(number: int, obs: np.ndarray, **changed: Any) -> None:
        store.append(np.array([number]), obs, **{**fields, **changed})

    with pytest.raises(TypeError, match="uint8"):
        append(0, frame(0, 1)[None].astype(np.float32))
    with pytest.raises(ValueError, match="frames must be"):
        append(0, frame(0, 1))
    with pytest.raises(ValueError, match="running"):
        append(1, frame(1, 2)[None])  # has ended
    with pytest.raises(ValueError, match="running"):
        append(2, frame(2, 0)[None])  # has never begun
    with pytest.raises(ValueError, match="different"):
        store.append_final(np.array([0, 0]), np.stack([frame(0, 1)] * 2))
    with pytest.raises(ValueError, match="running"):
        store.append_final(np.array([1]), frame(1, 2)[None])
    for name in fields:
        with pytest.raises(ValueError, match=rf"{name} must be \(1,\), got \(\)"):
            append(0, frame(0, 1)[None], **{name: fields[name][0]})
    for name, value in (("action", [0.7]), ("reward", [1j]), ("terminated", [1]), ("truncated", [1.0])):
        with pytest.raises(TypeError, match=f"{name} must be .*, got"):
            append(0, frame(0, 1)[None], **{name: np.array(value)})
    with pytest.raises(IndexError, match="episode 2 of 2"):
        store.episode(2)
    lists.check(store)
