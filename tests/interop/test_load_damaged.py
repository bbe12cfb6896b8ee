"""Damaged and hostile checkpoints are refused in one line, and never waited for."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import adamas
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from tests.helpers.saved_agent import same, save


def complaint(folder: Path) -> str:
    """What loading a checkpoint says, which must be one line."""
    with pytest.raises(UserError) as caught:
        adamas.load(folder, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_is_told(tmp_path: Path) -> None:
    """Wherever it is: in the middle of a weight it would go unnoticed. Without a manifest, as from the hub, it does."""
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    (folder / "trainer.pt").unlink()  # only resuming needs it
    saved = adamas.load(folder, "cpu")
    weights = bytearray((folder / "agent.safetensors").read_bytes())
    weights[-2] ^= 1
    (folder / "agent.safetensors").write_bytes(weights)
    assert "is damaged (agent.safetensors has other content than was written)" in complaint(folder)
    (folder / "manifest.json").unlink()
    assert not same(adamas.load(folder, "cpu"), saved)


def replace_tensor(name: str, tensor: torch.Tensor | None) -> Callable[[Path], None]:
    """Another tensor in a checkpoint; None: without it."""

    def act(folder: Path) -> None:
        tensors = load_file(folder / "agent.safetensors")
        tensors = {key: value.clone() for key, value in tensors.items() if key != name}
        save_file(tensors if tensor is None else tensors | {name: tensor}, folder / "agent.safetensors")

    return act


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


BIAS = "actor_critic.critic_linear.bias"  # (1,)
HUGE = json.dumps({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (replace_tensor(BIAS, None), f"{BIAS} is missing"),
        (replace_tensor("extra", torch.ones(1)), "extra is unexpected"),
        (replace_tensor(BIAS, torch.ones(2)), rf"{BIAS} is \(2,\) torch.float32 instead of \(1,\)"),
        (replace_tensor(BIAS, torch.ones(1).double()), rf"{BIAS} is \(1,\) torch.float64 instead"),
        (replace_tensor(BIAS, torch.tensor([math.nan])), f"not finite, in {BIAS}"),
        (write("agent.safetensors", b""), "agent.safetensors: "),
        (write("agent.safetensors", b"\xff" * 100), "agent.safetensors: "),
        (write("agent.safetensors", len(HUGE).to_bytes(8, "little") + HUGE + b"1234"), "agent.safetensors: "),
        (write("agent.safetensors", (2).to_bytes(8, "little") + b"[]"), "agent.safetensors: "),
        (write("config.yaml", b"a: 2001-99-99"), "config.yaml: month must be in"),
        (write("config.yaml", b"a: !!int foo"), "config.yaml: "),
        (write("config.yaml", b"a: " + b"9" * 5_000), "config.yaml: "),
        (write("config.yaml", b"[" * 1_500), "config.yaml: "),
        (write("config.yaml", b"\xff\x00"), "config.yaml: "),
        (write("config.yaml", b"- 1"), "config.yaml: not a mapping"),
        (write("manifest.json", b"[" * 100_000), "manifest.json is malformed"),
    ],
)
def test_checkpoints_that_are_sealed_but_wrong(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    if "manifest" not in message:
        damage(folder)
        write_manifest(folder, 1)
    else:
        damage(folder)
    assert re.search(message, complaint(folder))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["agent.safetensors", "config.yaml", "manifest.json"])
def test_pipes_and_folders_are_not_waited_for(name: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    for make, reason in ((os.mkfifo, "it is no regular file"), (os.mkdir, "Is a directory")):
        copy = Path(shutil.copytree(folder, tmp_path / make.__name__))
        (copy / name).unlink()
        make(copy / name)
        assert f"{name}: {reason}" in complaint(copy)
        if name != "manifest.json":
            (copy / "manifest.json").unlink()
            assert f"{name}: not a file" in complaint(copy)


def test_sizes_beyond_all_measure(tmp_path: Path) -> None:
    """One number of the configuration after another becomes 2**40, -1 or 0: one line, and no memory is taken for it."""
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    text = (folder / "config.yaml").read_text()
    numbers = re.finditer(r"(?<=[ \n])\d+$", text, re.MULTILINE)
    refused = 0
    for number, value in zip(numbers, itertools.cycle((2**40, -1, 0)), strict=False):
        (folder / "config.yaml").write_text(f"{text[: number.start()]}{value}{text[number.end() :]}")
        write_manifest(folder, 1)
        try:
            adamas.load(folder, "cpu")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10


def test_more_blocks_than_tensors_are_not_built(tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    text = (folder / "config.yaml").read_text()
    (folder / "config.yaml").write_text(re.sub(r"(depths:\n +- )\d+", rf"\g<1>{2**31 - 1}", text, count=1))
    write_manifest(folder, 1)
    assert "its configuration describes 2,147,483," in complaint(folder)
