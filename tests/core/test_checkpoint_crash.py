"""Checkpoints survive kills and full disks.

What kills or limits processes runs in a fresh interpreter, which forks children from a single thread.
"""

from __future__ import annotations

import errno
import itertools
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest

from adamas.core.errors import UserError
from tests.helpers.checkpoints import FILES, find_undamaged, names, save


def test_kills_and_full_disks(tmp_path: Path) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, __file__, str(tmp_path)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def fork(body: Callable[[], object]) -> int:
    """Start ``body`` in a child, which exits with 0 if it returns and with 1 if it raises."""
    child = os.fork()
    if child:
        return child
    try:
        body()
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def before_operation(number: int, act: Callable[[], None]) -> None:
    """Call ``act`` just before this process changes the file system for the ``number``-th time in a save."""
    seen = -1  # what comes first, making sure that the root exists, is not counted

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        nonlocal seen
        if event == "os.mkdir" or (seen >= 0 and event in ("open", "os.rename", "os.remove", "os.rmdir")):
            seen += 1
            if seen - 1 == number:
                act()

    sys.addaudithook(hook)


def kill_anywhere(root: Path) -> None:
    """Kill a run that saves all the time at 20 random moments; each life starts by saving what it found."""
    moments = random.Random(0)
    save(root, 0)
    for life in range(1, 21):
        reader, writer = os.pipe()

        def run(life: int = life, writer: int = writer) -> None:
            for step in itertools.count(find_undamaged(root)[0].step):
                save(root, step, life, size=20_000)
                os.write(writer, step.to_bytes(4, "big"))

        child = fork(run)
        os.close(writer)
        time.sleep(moments.uniform(0.01, 0.2))
        os.kill(child, signal.SIGKILL)
        assert os.WIFSIGNALED(os.waitpid(child, 0)[1]), "the child failed before it was killed"
        reported = int.from_bytes(os.read(reader, 1 << 16)[-4:], "big")
        os.close(reader)
        assert find_undamaged(root)[0].step >= reported, "a finished save was lost"
    assert find_undamaged(root)[0].step >= 5, "the children were killed before they had saved anything"


def kill_between_all_operations(root: Path) -> None:
    """Kill a save before its first, second, ... last operation: a new step, then the same step again."""
    for again in (False, True):
        for step in (2, 3) if again else (1, 2):
            save(root / "template", step)
        for number in itertools.count():
            here = Path(shutil.copytree(root / "template", root / f"{again}-{number}"))

            def run(here: Path = here, number: int = number) -> None:
                before_operation(number, lambda: os.kill(os.getpid(), signal.SIGKILL))
                save(here, 3, life=1)

            status = os.waitpid(fork(run), 0)[1]
            assert find_undamaged(here)[1] in ([[3, 0], [3, 1]] if again else [[2, 0], [3, 1]])
            latest = (here / "latest").read_text().strip()
            assert latest in names(here) or f"{latest}.old" in names(here)
            whole = [name for name in names(here) if name.startswith("step") and not name.endswith(".tmp")]
            assert all(len(names(here / name)) == len(FILES) for name in whole), "half a checkpoint"
            save(here, 4)
            assert not [name for name in names(here) if name.endswith((".tmp", ".old"))]
            if status == 0:
                assert number > 25, "too few operations seen"
                break


def fill_the_disk(root: Path) -> None:
    """Let every operation fail in turn, and files stop growing at several sizes."""

    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def limit(size: int) -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

    operations = [(before_operation, number) for number in range(26)]
    for step in (1, 2):
        save(root / "template", step)
    limits = [(lambda size, _: limit(size), size) for size in (0, 300)]  # the first file, trainer.pt
    for case, (prepare, argument) in enumerate([*operations, *limits]):
        for step in (2, 3):  # a step that exists, and a new one
            here = Path(shutil.copytree(root / "template", root / f"{case}-{step}"))

            def run(here: Path = here, step: int = step, prepare=prepare, argument=argument) -> None:  # type: ignore[no-untyped-def]
                prepare(argument, fail)
                with pytest.raises(UserError, match=r"cannot write checkpoint .*: (No space|File too).*free"):
                    save(here, step, life=1)
                found, stamp = find_undamaged(here)
                assert stamp in ([2, 0], [step, 1])
                if stamp == [2, 0]:
                    assert names(here) == ["latest", "step-00000001", "step-00000002"]
                assert (here / "latest").read_text().strip() in ("step-00000002", found.path.name)
                assert not [name for name in names(here) if name.endswith((".tmp", ".old"))]

            assert os.waitpid(fork(run), 0)[1] == 0, (case, step)


if __name__ == "__main__":
    for scenario in (kill_anywhere, kill_between_all_operations, fill_the_disk):
        scenario(Path(sys.argv[1]) / scenario.__name__)
