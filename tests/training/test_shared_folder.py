"""Rank 0 and the others begin a run together: in one folder that all of them see, or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from adamas.core.distributed import Group, LostProcessError
from adamas.core.errors import UserError
from adamas.training.distributed import check_shared, during


def test_a_lost_process_is_told_with_what_it_was_to_do() -> None:
    with (
        pytest.raises(LostProcessError, match=r"^denoiser, update: rank 1 is gone"),
        during("denoiser", "update"),
    ):
        raise LostProcessError("rank 1 is gone")


class Told(Group):
    """Rank 0 of three processes, of which the others answer what they are made to."""

    def __init__(self, *seen: bool) -> None:
        super().__init__(0, 3)
        self.hosts = ["one", "one", "two"]
        self.seen = seen
        self.shared: list[object] = []

    def broadcast(self, value: object = None) -> object:
        self.shared.append(value)
        return value

    def gather(self, value: object) -> list[object]:
        return [value, *self.seen]


def test_machines_that_do_not_see_the_run_s_folder_are_named(tmp_path: Path) -> None:
    check_shared(tmp_path, Told(True, True))
    with pytest.raises(
        UserError, match=rf"^two does not see the run's folder {tmp_path} of one; .* all of them share"
    ):
        check_shared(tmp_path, Told(True, False))
    assert not list(tmp_path.iterdir())


class Asked(Group):
    """Rank 1, which is sent the name of a file."""

    def __init__(self, name: str | None) -> None:
        super().__init__(1, 2)
        self.name = name
        self.answers: list[object] = []

    def broadcast(self, value: object = None) -> object:
        return self.name

    def gather(self, value: object) -> list[object]:
        self.answers.append(value)
        return []


def test_the_others_look_for_the_file_that_rank_0_names(tmp_path: Path) -> None:
    (tmp_path / ".shared-1").touch()
    for name, there in ((".shared-1", True), (".shared-2", False)):
        group = Asked(name)
        check_shared(tmp_path, group)
        assert group.answers == [there]
    with pytest.raises(SystemExit) as end:  # rank 0 could not begin
        check_shared(tmp_path, Asked(None))
    assert end.value.code == 2
