"""Damaged checkpoints are recognised and passed over, and what is wrong with them is one line."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from adamas.core.checkpoint import find_checkpoint
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from tests.helpers.checkpoints import FILES, names, save


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


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
    assert found.step == 1 and found.trainer_state()["stamp"] == [1, 0]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", FILES)
def test_pipes_and_folders_are_no_files(tmp_path: Path, name: str) -> None:
    save(tmp_path, 1)
    for step, make in ((2, os.mkdir), (3, os.mkfifo)):
        file = save(tmp_path, step, keep=3) / name
        file.unlink()
        make(file)
    with (
        pytest.warns(UserWarning, match=rf"step-00000002 is damaged \({name}: Is a directory"),
        pytest.warns(UserWarning, match=rf"step-00000003 is damaged \({name}: it is no regular file"),
    ):
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
        find_checkpoint(tmp_path).trainer_state()


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
