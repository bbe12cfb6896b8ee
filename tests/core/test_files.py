import errno
import os

import pytest

from adamas.core.files import creating, replacing, temporary_path, write_file


def test_a_file_is_replaced_as_a_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]


def test_what_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    write_file(path, "old")

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_file(path, b"new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_what_a_kill_left_behind_is_overwritten(tmp_path):
    path = tmp_path / "frames.png"
    temporary_path(path).write_text("left behind, and longer")
    write_file(path, "whole")
    assert path.read_text() == "whole" and list(tmp_path.iterdir()) == [path]
    assert temporary_path(path).suffix == ".png"  # libraries choose a format by it


def test_creating_refuses_a_file_that_exists(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(FileExistsError), creating(path):
        pytest.fail("nothing may be written")
    path.unlink()
    with pytest.raises(FileExistsError), creating(path) as temporary:
        temporary.write_text("ours")
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's" and list(tmp_path.iterdir()) == [path]
