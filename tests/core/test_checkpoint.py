"""Checkpoints come back exactly, and survive kills, full disks and damaged files.

What kills or limits processes runs in a fresh interpreter, which forks children from a single thread.
"""

from __future__ import annotations

import errno
import hashlib
import itertools
import json
import os
import pickle
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from adamas.core.checkpoint import Checkpoint, find_checkpoint, save_checkpoint
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from adamas.core.tensors import write_tensors


def save(root: Path, step: int, life: int = 0, size: int = 8, keep: int = 2) -> Path:
    """A checkpoint whose every part carries the stamp (step, life)."""
    stamp = [step, life]
    agent = {"stamp": torch.tensor(stamp), "weight": torch.full((size,), float(step))}
    trainer = {"stamp": stamp, "moments": [torch.full((4 * size,), float(step))]}
    return save_checkpoint(root, step, agent, {"stamp": stamp}, trainer, keep)


def find_undamaged(root: Path) -> tuple[Checkpoint, list[int]]:
    """The newest checkpoint and its stamp, once all its parts agree; a damaged one on the way is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = find_checkpoint(root)
    agent, stamp = found.agent(), found.trainer()["stamp"]
    assert agent["stamp"].tolist() == found.config()["stamp"] == stamp
    assert stamp[0] == found.step and (agent["weight"] == found.step).all()
    return found, stamp


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir())


def test_parts_come_back_exactly(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(2, 3, 2, 2)
    agent = {
        "shared": base,
        "view": base[:, 1],
        "channels_last": base.to(memory_format=torch.channels_last),
        "expanded": torch.ones(1).expand(3),
        "scalar": torch.tensor(3),
        "empty": torch.zeros(0, 2),
        "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
        "trained": torch.nn.Parameter(torch.ones(2)),
    }
    config = {"name": "é", "lr": 1e-05, "channels": [1, 2], "none": None}
    rng: dict[str, Any] = {
        "torch": torch.Generator().manual_seed(1).get_state(),
        "python": random.Random(1).getstate(),
        "numpy": np.random.default_rng(1).bit_generator.state,
    }
    trainer = {"rng": rng, "counts": [1, 2.5, "a", True, None], "nested": [{"t": (torch.ones(2),)}]}

    path = save_checkpoint(tmp_path / "checkpoints", 12345, agent, config, trainer)
    found = find_checkpoint(tmp_path / "checkpoints")
    assert found == Checkpoint(path, 12345) and path.name == "step-00012345"
    assert (tmp_path / "checkpoints/latest").read_text() == "step-00012345\n"
    assert found.config() == config

    loaded = found.agent()
    assert loaded.keys() == agent.keys()
    for name, tensor in agent.items():
        assert loaded[name].dtype == tensor.dtype
        torch.testing.assert_close(loaded[name], tensor.detach(), rtol=0, atol=0, equal_nan=True)
    state = found.trainer()
    assert state["counts"] == trainer["counts"]
    assert state["rng"]["python"] == rng["python"] and state["rng"]["numpy"] == rng["numpy"]
    assert torch.equal(state["rng"]["torch"], rng["torch"])
    assert torch.equal(state["nested"][0]["t"][0], torch.ones(2))


def test_manifest_fingerprints_every_file(tmp_path: Path) -> None:
    path = save(tmp_path, 7)
    manifest = json.loads((path / "manifest.json").read_text())
    assert manifest["format_version"] == 1 and manifest["step"] == 7
    assert manifest["versions"]["torch"] == torch.__version__
    assert sorted([*manifest["files"], "manifest.json"]) == names(path)
    for name, fingerprint in manifest["files"].items():
        content = (path / name).read_bytes()
        assert fingerprint == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}


def test_weights_are_written_as_the_library_does(tmp_path: Path) -> None:
    tensors = {
        "b": torch.arange(6.0).reshape(2, 3),
        "a": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
        "é": torch.tensor(3),
        "flag": torch.tensor([True, False, True]),
        "empty": torch.zeros(0, 2, dtype=torch.float64),
    }
    write_tensors(tmp_path / "ours", tensors)
    assert (tmp_path / "ours").read_bytes() == safetensors.torch.save(tensors)
    write_tensors(tmp_path / "none", {})
    assert safetensors.torch.load_file(tmp_path / "none") == {}


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="needs Linux to tell the peak of memory"
)
def test_saving_needs_little_memory_beside_what_is_saved(tmp_path: Path) -> None:
    agent = {
        str(i): torch.full((1 << 20,), float(i)) for i in range(8)
    }  # 4 MB each, as 16 are in the trainer
    trainer = {"moments": [torch.full((1 << 20,), float(i)) for i in range(16)]}
    save(tmp_path / "warm", 0)

    def memory(name: str) -> int:
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if name in line)
        return int(line.split()[1]) * 1024

    Path("/proc/self/clear_refs").write_text("5")  # the peak is now
    before = memory("VmRSS")
    path = save_checkpoint(tmp_path, 1, agent, {}, trainer)
    size = sum(file.stat().st_size for file in path.iterdir())
    assert size > 96 << 20
    assert memory("VmHWM") - before < 0.2 * size


def test_the_newest_are_kept(tmp_path: Path) -> None:
    for step in range(5):
        save(tmp_path, step, keep=3)
    assert names(tmp_path) == ["latest", "step-00000002", "step-00000003", "step-00000004"]
    assert find_undamaged(tmp_path)[0].step == 4


def test_steps_are_compared_as_numbers(tmp_path: Path) -> None:
    for step in (99_999_999, 100_000_000, 100_000_001):
        save(tmp_path, step)
    assert names(tmp_path) == ["latest", "step-100000000", "step-100000001"]


def test_the_same_step_is_replaced(tmp_path: Path) -> None:
    for life in range(3):
        save(tmp_path, 1, life)
    assert names(tmp_path) == ["latest", "step-00000001"]
    assert find_undamaged(tmp_path)[1] == [1, 2]


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


FILES = ["agent.safetensors", "config.yaml", "trainer.pt", "manifest.json"]
DAMAGES = [(truncate, "bytes instead of"), (flip, "other content"), (Path.unlink, "No such file")]


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, name: str, damage: Callable[[Path], None], reason: str
) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    damage(newest / name)
    if name == "manifest.json" and damage is not Path.unlink:
        reason = "manifest.json is malformed" if damage is truncate else ""
    with pytest.warns(UserWarning, match=rf"step-00000002 is damaged \(.*{reason}"):
        found = find_checkpoint(tmp_path)
    assert found.step == 1 and found.trainer()["stamp"] == [1, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", FILES)
def test_pipes_and_folders_are_no_files(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    for step, make in ((2, os.mkdir), (3, os.mkfifo)):
        file = save(tmp_path, step, keep=3) / name
        file.unlink()
        make(file)
    with pytest.warns(UserWarning, match=f"{name} is not a file"):
        assert find_checkpoint(tmp_path).step == 1


@pytest.mark.parametrize(
    "content",
    [
        "[" * 100_000,
        "null",
        "[]",
        '{"format_version": "1"}',
        '{"format_version": 1, "step": 2, "files": 3}',
        '{"format_version": 1, "step": 2, "files": {"trainer.pt": [], "config.yaml": {}}}',
        '{"format_version": 1, "step": 2, "files": {"agent.safetensors": {"bytes": 1e999}}}',
    ],
)
def test_manifests_that_say_nothing(tmp_path: Path, content: str) -> None:
    save(tmp_path, 1)
    (save(tmp_path, 2) / "manifest.json").write_text(content)
    with pytest.warns(
        UserWarning, match=r"step-00000002 is damaged \((manifest.json is malf|agent.*instead of inf)"
    ):
        assert find_checkpoint(tmp_path).step == 1


def test_a_manifest_names_no_files_outside(tmp_path: Path) -> None:
    save(tmp_path, 1)
    manifest = save(tmp_path, 2) / "manifest.json"
    content = json.loads(manifest.read_text())
    content["files"]["../../secret"] = {"bytes": 6, "sha256": hashlib.sha256(b"secret").hexdigest()}
    (tmp_path.parent / "secret").write_bytes(b"secret")
    manifest.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match="manifest.json is malformed"):
        assert find_checkpoint(tmp_path).step == 1


@pytest.mark.parametrize("content", [b"", b"PK\3\4", pickle.dumps(np.zeros), b"\x80\x02]q\x00."])
def test_sealed_but_wrong_states_are_one_line(tmp_path: Path, content: bytes) -> None:
    path = save(tmp_path, 1)
    (path / "trainer.pt").write_bytes(content)
    write_manifest(path, 1)
    with pytest.raises(UserError, match=r"step-00000001 is damaged \(trainer.pt: [^\n]*\Z"):
        find_checkpoint(tmp_path).trainer()


def test_a_folder_renamed_to_another_step_is_damaged(tmp_path: Path) -> None:
    save(tmp_path, 1)
    save(tmp_path, 2).rename(tmp_path / "step-00000009")
    with pytest.warns(UserWarning, match="it belongs to step 2"):
        assert find_checkpoint(tmp_path).step == 1


def test_no_usable_checkpoint_names_the_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"no usable checkpoint in {tmp_path}/none: it holds none"):
        find_checkpoint(tmp_path / "none")
    flip(save(tmp_path, 1) / "trainer.pt")
    with pytest.warns(UserWarning), pytest.raises(UserError, match="every checkpoint in it is damaged"):
        find_checkpoint(tmp_path)


def test_a_newer_format_asks_to_upgrade(tmp_path: Path) -> None:
    save(tmp_path, 1)
    manifest = save(tmp_path, 2) / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"format_version": 1', '"format_version": 3'))
    with pytest.raises(UserError, match="newer adamas; pip install --upgrade adamas"):
        find_checkpoint(tmp_path)


def test_a_run_that_went_back_keeps_its_own_checkpoints(tmp_path: Path) -> None:
    save(tmp_path, 10)
    for step in (40, 50):
        flip(save(tmp_path, step, keep=3) / "trainer.pt")
    save(tmp_path, 20)
    assert names(tmp_path) == ["latest", *(f"step-000000{step}" for step in (10, 20, 40, 50))]
    with pytest.warns(UserWarning):
        assert find_checkpoint(tmp_path).step == 20


def test_leftovers_of_a_killed_save_are_removed(tmp_path: Path) -> None:
    save(tmp_path, 1).rename(tmp_path / "step-00000001.old")
    (tmp_path / "step-00000001.tmp").mkdir()
    (tmp_path / "step-00000001.tmp/agent.safetensors").write_bytes(b"half")
    (tmp_path / "latest.tmp").write_bytes(b"")
    assert find_undamaged(tmp_path)[0].path.name == "step-00000001.old"
    save(tmp_path, 2)
    assert names(tmp_path) == ["latest", "step-00000001", "step-00000002"]


def test_what_could_not_be_read_back_is_refused(tmp_path: Path) -> None:
    with pytest.raises(pickle.UnpicklingError):
        save_checkpoint(tmp_path, 1, {}, {}, {"return": np.zeros(3)})
    assert names(tmp_path) == []


def test_fewer_than_two_checkpoints_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="keep must be at least 2"):
        save(tmp_path, 1, keep=1)


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
