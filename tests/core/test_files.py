import errno
import os
from pathlib import Path

import pytest

from adamas.core.files import (
    creating,
    creating_folder,
    creating_numbered,
    replacing,
    temporary_path,
    write_file,
)


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_behind_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "frames.png"
    temporary_path(path).write_text("left behind, and longer")
    write_file(path, "whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]
    assert temporary_path(path).suffix == ".png"  # libraries choose a format by it


def test_creating_refuses_a_file_that_exists(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileExistsError), creating(path):
        pytest.fail("nothing may be written")
    path.unlink()
    with pytest.raises(FileExistsError), creating(path) as temporary:
        temporary.write_text("ours")
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's" and list(tmp_path.iterdir()) == [path]


def test_a_new_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "models"
    with creating_folder(path) as temporary:
        (temporary / "a.txt").write_text("a")
        assert not path.exists()
    assert (path / "a.txt").read_text() == "a" and list(tmp_path.iterdir()) == [path]
    with pytest.raises(FileExistsError), creating_folder(path):
        pytest.fail("nothing may be written")


def test_a_folder_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), creating_folder(tmp_path / "models") as temporary:
        (temporary / "a.txt").write_text("a")
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("folder", [False, True])
def test_numbers_are_taken_in_order_and_the_first_free_one_is_used(tmp_path: Path, folder: bool) -> None:
    def make() -> str:
        with creating_numbered(tmp_path / "new" / "a.json", folder) as draft:
            (draft.path / "x" if folder else draft.path).write_text("new")
        return draft.path.name

    assert [make() for _ in range(3)] == ["a.json", "a-2.json", "a-3.json"]
    (tmp_path / "new" / "a-2.json").rename(tmp_path / "aside")
    assert make() == "a-2.json"
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["a-2.json", "a-3.json", "a.json"]


def test_a_name_that_another_process_takes_meanwhile_is_not_replaced(tmp_path: Path) -> None:
    with creating_numbered(tmp_path / "a.json") as draft:
        draft.path.write_text("ours")
        (tmp_path / "a.json").write_text("theirs")
    assert draft.path.name == "a-2.json" and draft.path.read_text() == "ours"
    assert (tmp_path / "a.json").read_text() == "theirs"


def test_folders_made_for_a_file_that_fails_are_removed_again(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), creating_numbered(tmp_path / "a" / "b" / "c.json"):
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_file_systems_without_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(source: Path, target: Path) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(os, "link", no_links)
    for number in range(2):
        with creating_numbered(tmp_path / "a.json") as draft:
            draft.path.write_text(str(number))
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a.json": "0", "a-2.json": "1"}


def test_what_is_not_known_to_be_on_the_disk_is_taken_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fsync
    calls = []

    def full(descriptor: int) -> None:  # at the second call, which is for the folder
        calls.append(descriptor)
        if len(calls) == 2:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="Input/output"), creating(tmp_path / "a.txt") as temporary:
        temporary.write_text("a")
    assert len(calls) == 2 and not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/", ".", "..", "", "a/.."])
def test_folders_that_have_no_name_are_refused(path: str) -> None:
    with pytest.raises(IsADirectoryError), creating_numbered(Path(path)):
        pytest.fail("nothing may be written")
