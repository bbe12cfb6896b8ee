"""Checksums of stores: what they find, and that they follow appends, commits and truncations."""

from __future__ import annotations

import json
import tempfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore
from adamas.data.checksums import ENTRIES_PER_CHECKSUM, extend, verify
from adamas.data.index import Index, read_index, write_index
from adamas.data.pack import pack

SHAPE = (1, 2, 3)


def add(store: EpisodeStore, count: int) -> None:
    """Rows of so many new episodes, all values made from the number of rows."""
    rng = np.random.default_rng(store.num_rows)
    obs = rng.integers(256, size=(count, *SHAPE), dtype=np.uint8)
    no = np.zeros(count, bool)
    store.append(np.full(count, NEW), obs, rng.integers(9, size=count), rng.random(count), no, no)


def expected(folder: Path, num_rows: int) -> dict[str, list[int]]:
    """The checksums of a folder's files, computed in one go."""
    found = {}
    for name, size in (("frames.bin", 6), ("rows.bin", 23)):
        content = (folder / name).read_bytes()[: num_rows * size]
        found[name] = [zlib.crc32(content[i : i + 1024 * size]) for i in range(0, len(content), 1024 * size)]
    return found


def flip(path: Path, byte: int, bit: int = 0) -> None:
    content = bytearray(path.read_bytes())
    content[byte] ^= 1 << bit
    path.write_bytes(content)


def test_by_hand() -> None:
    assert ENTRIES_PER_CHECKSUM == 1024
    sums: list[int] = []
    extend(sums, 0, b"1234", 1)
    extend(sums, 4, b"56789", 1)
    assert sums == [0xCBF43926]  # the check value of CRC-32
    extend(sums, 9, bytes(2000), 1)
    assert sums == [zlib.crc32(b"123456789" + bytes(1015)), zlib.crc32(bytes(985))]


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(["add", "commit", "reopen", "truncate"]), st.floats(0, 1)), max_size=9)
)
def test_they_are_those_of_the_files(operations: list[tuple[str, float]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        store = EpisodeStore.create(Path(name), SHAPE)
        for operation, share in operations:
            if operation == "add":
                add(store, 1 + int(share * 1500))
            elif operation == "commit":
                store.commit()
            elif operation == "reopen":
                store = EpisodeStore.open(Path(name))
            else:
                store.truncate(int(share * store.num_rows))
        store.commit()
        assert read_index(Path(name)).checksums == expected(Path(name), store.num_rows)
        assert [*EpisodeStore.open(Path(name)).verify()][-1:] == ([store.num_rows] if store.num_rows else [])


def test_only_new_rows_are_read_again(tmp_path: Path) -> None:
    """A commit or a truncation may not cost more the more there is."""
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 3000)
    store.commit()
    flip(tmp_path / "frames.bin", 5)  # in the first block
    add(store, 10)
    store.commit()
    store.truncate(2050)
    sums = read_index(tmp_path).checksums
    assert sums is not None and sums["frames.bin"][1:] == expected(tmp_path, 2050)["frames.bin"][1:]
    with pytest.raises(UserError, match=r"frames\.bin, rows 0 to 1023: damaged"):
        list(EpisodeStore.open(tmp_path).verify())


@pytest.mark.parametrize("row", [0, 1023, 1024, 2047, 2048, 2499])
def test_every_flipped_bit_is_told(tmp_path: Path, row: int) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 2500)
    store.commit()
    first = row // 1024 * 1024
    where = rf", rows {first} to {min(first + 1023, 2499)}: damaged, their checksum does not match"
    flip(tmp_path / "rows.bin", 23 * row + 16, 3)  # a reward, so that nothing else notices
    with pytest.raises(UserError, match=r"rows\.bin" + where):
        EpisodeStore.open(tmp_path)
    flip(tmp_path / "rows.bin", 23 * row + 16, 3)
    flip(tmp_path / "frames.bin", 6 * row + 5, 7)
    with pytest.raises(UserError, match=r"frames\.bin" + where):
        list(EpisodeStore.open(tmp_path).verify())
    with pytest.raises(UserError, match=r"frames\.bin" + where):
        list(pack(EpisodeStore.open(tmp_path), tmp_path / "packed"))
    assert not (tmp_path / "packed").exists()


def test_a_truncation_does_not_vouch_for_what_is_damaged(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 1500)
    store.commit()
    flip(tmp_path / "frames.bin", 6 * 1100)
    with pytest.raises(UserError, match=r"frames\.bin, rows 1024 to 1499: damaged"):
        store.truncate(1200)
    store.truncate(1024)  # what is damaged goes
    assert list(EpisodeStore.open(tmp_path).verify()) == [1024]


@pytest.mark.parametrize("byte", range(0, 200, 7))
def test_the_index_has_one_too(tmp_path: Path, byte: int) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE, game={"suite": "minatar", "game": "breakout"})
    add(store, 3)
    store.commit()
    flip(tmp_path / "index.json", byte % (tmp_path / "index.json").stat().st_size, 1)
    with pytest.raises(UserError, match=r"index\.json is damaged|newer adamas"):
        EpisodeStore.open(tmp_path)


def test_stores_of_older_versions_are_read_and_go_on_without(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 3)
    store.commit()
    old = {"version": 1, "obs_shape": [1, 2, 3], "num_rows": 3, "action_spec": None}
    (tmp_path / "index.json").write_text(json.dumps(old))
    store = EpisodeStore.open(tmp_path)
    assert not store.has_checksums and list(store.verify()) == []
    add(store, 2000)
    store.truncate(1500)
    store.commit()
    assert read_index(tmp_path) == Index(obs_shape=SHAPE, num_rows=1500, action_spec=None)
    copy = tmp_path / "packed"
    assert list(pack(store, copy))[-1] == 1500
    assert EpisodeStore.open(copy).has_checksums


def test_an_older_version_reads_what_it_knows(tmp_path: Path) -> None:
    """It looks at these keys alone, and at the version; when it commits, it leaves out the others."""
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 3)
    store.commit()
    said = json.loads((tmp_path / "index.json").read_text())
    assert {name: said[name] for name in ("version", "obs_shape", "num_rows", "action_spec")} == {
        "version": 1,
        "obs_shape": [1, 2, 3],
        "num_rows": 3,
        "action_spec": None,
    }
    assert sorted(said.keys()) == ["action_spec", "checksums", "crc32", "num_rows", "obs_shape", "version"]


@pytest.mark.parametrize("name", ["rows.bin", "blocks.bin"])
def test_packed_datasets(tmp_path: Path, name: str) -> None:
    store = EpisodeStore.create(tmp_path / "raw", SHAPE)
    add(store, 1500)
    store.commit()
    list(pack(store, tmp_path / "packed"))
    assert list(EpisodeStore.open(tmp_path / "packed").verify()) == [1024, 1500]
    if name == "rows.bin":
        flip(tmp_path / "packed" / name, 23 * 1100 + 16)
        message = r"rows\.bin, rows 1024 to 1499: damaged"
    else:
        flip(tmp_path / "packed" / name, 8 * 300)  # blocks of four frames, and still in order
        message = r"blocks\.bin, rows 0 to 375: damaged"
    with pytest.raises(UserError, match=message):
        EpisodeStore.open(tmp_path / "packed")
    flip(tmp_path / "packed" / name, 23 * 1100 + 16 if name == "rows.bin" else 8 * 300)
    flip(tmp_path / "packed" / "frames.zst", 900)
    with pytest.raises(UserError, match=r"frames\.zst, rows \d+ to \d+: damaged"):
        list(EpisodeStore.open(tmp_path / "packed").verify())


def test_checksums_that_do_not_belong_there(tmp_path: Path) -> None:
    store = EpisodeStore.create(tmp_path, SHAPE)
    add(store, 3)
    store.commit()
    index = read_index(tmp_path)
    wrong: tuple[dict[str, Any], ...] = (
        {},
        {"frames.bin": [1]},
        {"frames.bin": [], "rows.bin": []},
        {"frames.bin": 3, "rows.bin": [1]},
    )
    for sums in wrong:
        write_index(tmp_path, replace(index, checksums=sums))
        with pytest.raises(UserError, match=r"index\.json is damaged"):
            EpisodeStore.open(tmp_path)
    with pytest.raises(UserError, match="has 2 blocks, but its index 1 checksums; restore"):
        list(verify(tmp_path, [0], np.zeros(1025)))
