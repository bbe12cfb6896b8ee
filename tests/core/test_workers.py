"""Shards computed at the same time give what they would give one after the other."""

from __future__ import annotations

import threading

import pytest
import torch

from adamas.core import workers
from adamas.core.distributed import Group
from adamas.core.errors import UserError
from adamas.core.workers import Workers


@pytest.fixture(autouse=True)
def several_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 4)


def test_results_come_in_the_order_of_the_shards() -> None:
    second_done = threading.Event()

    def work(shard: int) -> int:
        if shard == 1:
            second_done.set()
        return shard * 10 if second_done.wait(10) else -1  # the first waits for the second: both run at once

    assert Workers(2).map(work, range(2)) == [0, 10]


def test_one_shard_needs_no_thread() -> None:
    assert Workers(1).map(lambda shard: (shard, threading.current_thread()), range(1)) == [
        (0, threading.current_thread())
    ]


def test_an_error_is_raised_when_every_shard_has_ended() -> None:
    ended = []

    def work(shard: int) -> None:
        if shard == 0:
            raise ValueError("shard 0 failed")
        ended.append(shard)

    with pytest.raises(ValueError, match="shard 0 failed"):
        Workers(3).map(work, range(3))
    assert sorted(ended) == [1, 2]


def test_threads_are_shared_out_and_never_outnumber_the_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "num_cores", lambda: 2)
    before = torch.get_num_threads()
    try:
        for in_main, in_each in ((1, 1), (2, 1), (4, 2)):
            torch.set_num_threads(in_main)
            shards = Workers(5).map(lambda _: (threading.get_ident(), torch.get_num_threads()), range(5))
            assert {threads for _, threads in shards} == {in_each}
            assert len({thread for thread, _ in shards}) <= 2
            assert torch.get_num_threads() == in_main
    finally:
        torch.set_num_threads(before)


def test_processes_share_the_shards_out() -> None:
    shards = ["a", "b", "c", "d"]
    assert [shards[Workers(4, Group(rank, 2)).here] for rank in (0, 1)] == [["a", "b"], ["c", "d"]]
    assert [shards[Workers(4, Group(rank, 3)).here] for rank in (0, 1, 2)] == [["a", "b"], ["c"], ["d"]]
    with pytest.raises(
        UserError, match="`num_shards` is 3, but 4 processes need at least one shard each; use `num_shards` 4"
    ):
        Workers(3, Group(0, 4))


@pytest.mark.parametrize(
    ("batch_size", "num_shards", "size", "expected"),
    [
        (32, 4, 2, [(slice(0, 16), [8, 8]), (slice(16, 32), [8, 8])]),
        (7, 3, 1, [(slice(0, 7), [3, 2, 2])]),
        (5, 3, 2, [(slice(0, 4), [2, 2]), (slice(4, 5), [1])]),
        (3, 3, 3, [(slice(0, 1), [1]), (slice(1, 2), [1]), (slice(2, 3), [1])]),
    ],
)
def test_every_sample_belongs_to_one_shard_of_one_process(
    batch_size: int, num_shards: int, size: int, expected: list[tuple[slice, list[int]]]
) -> None:
    found = [Workers(num_shards, Group(rank, size)).split(batch_size) for rank in range(size)]
    assert found == expected


def test_without_threads_shards_come_one_after_another() -> None:
    threads = Workers(3, threads=False).map(lambda _: threading.current_thread(), range(3))
    assert threads == [threading.current_thread()] * 3


def test_alone_a_group_changes_nothing() -> None:
    group, tensor = Group.join(), torch.arange(3.0)
    group.all_reduce([tensor])
    group.barrier()
    assert (group.rank, group.size, tensor.tolist()) == (0, 1, [0.0, 1.0, 2.0])
    assert group.broadcast("x") == "x"
    assert group.gather("x") == ["x"]
