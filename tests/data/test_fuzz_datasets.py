"""Datasets of strangers, changed at random: every command either does its work or says one line."""

from __future__ import annotations

import json
import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from adamas import cli
from adamas.core.actions import ActionSpec, Axis
from adamas.core.errors import UserError
from adamas.data import NEW, EpisodeStore
from adamas.data.pack import pack

CASES = 80 * int(os.environ.get("ADAMAS_FUZZ", "1"))
VALUES: tuple[Any, ...] = (
    *(0, -1, 1, 2**31, 2**40, 2**63, 2**64, 10**30, 0.5, -0.0, float("inf"), float("nan")),
    *(
        None,
        True,
        "",
        "x",
        "\u202e",
        [],
        {},
        [1, 2],
        {"a": 1},
        [[[[]]]],
        "reference::file:///etc",
        "9" * 5000,
    ),
)
SPECS = (
    None,
    ActionSpec.numbered(3),
    ActionSpec(buttons=("fire",), axes=(Axis("steer", -1.0, 1.0),)),
)


def make(folder: Path, spec: ActionSpec | None) -> None:
    """Two episodes that have ended and one that goes on, raw and packed."""
    store = EpisodeStore.create(
        folder / "raw", (3, 4, 4), spec, game={"suite": "minatar", "game": "breakout"}
    )
    rng = np.random.default_rng(0)
    for e in range(3):
        number = np.array([NEW])
        for t in range(4):
            obs, last = rng.integers(256, size=(1, 3, 4, 4), dtype=np.uint8), np.array([t == 3 and e < 2])
            action = rng.integers(2, size=(1, *(() if spec is None else spec.shape)))
            number = store.append(number, obs, action, rng.random(1), last, ~last & False)
        if e < 2:
            store.append_final(number, np.ones((1, 3, 4, 4), np.uint8))
    store.commit()
    list(pack(store, folder / "packed"))


def changed(value: Any, rng: random.Random) -> Any:
    """A JSON value with one value in it, or itself, changed."""
    if isinstance(value, dict) and value and rng.random() < 0.9:
        name = rng.choice(sorted(value))
        if rng.random() < 0.1:
            return {other: value[other] for other in value if other != name}
        return {**value, name: changed(value[name], rng)}
    if isinstance(value, list) and value and rng.random() < 0.8:
        i = rng.randrange(len(value))
        return [*value[:i], changed(value[i], rng), *value[i + 1 :]]
    return rng.choice(VALUES)


def spoil(folder: Path, rng: random.Random) -> None:
    """Change the index, or bytes of a file, of a dataset without checksums, or with them."""
    file = folder / "index.json"
    index = json.loads(file.read_text())
    if rng.random() < 0.9:
        index.pop("checksums", None)
        del index["crc32"]
    if rng.random() < 0.5:
        for _ in range(rng.choice((1, 1, 3))):
            index = changed(index, rng)
    file.write_text(json.dumps(index))
    if rng.random() < 0.6:
        path = folder / rng.choice(sorted(p.name for p in folder.iterdir()))
        content = bytearray(path.read_bytes())
        if rng.random() < 0.2:
            del content[rng.randrange(len(content) + 1) :]
        for _ in range(rng.choice((1, 3, 20)) if content else 0):
            content[rng.randrange(len(content))] = rng.choice((0, 1, 255, rng.randrange(256)))
        path.write_bytes(content)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folders = [tmp_path_factory.mktemp(f"spec{i}") for i in range(len(SPECS))]
    for folder, spec in zip(folders, SPECS, strict=True):
        make(folder, spec)
    return [folder / kind for folder in folders for kind in ("raw", "packed")]


def commands(folder: Path, out: Path, rng: random.Random) -> list[str]:
    return rng.choice(
        (
            ["inspect", str(folder)],
            ["inspect", str(folder), "--sheet", str(out.with_suffix(".png"))],
            ["validate", str(folder)],
            ["split", str(folder), "--out", str(out)],
            ["split", str(folder), "--out", str(out), "--cut", "2", "--without-actions"],
            ["pack", str(folder), "--out", str(out)],
        )
    )


@pytest.mark.filterwarnings("error")
def test_every_command_does_its_work_or_says_one_line(originals: list[Path], tmp_path: Path) -> None:
    done = refused = 0
    for case in range(CASES):
        rng = random.Random(case)
        folder, out = tmp_path / "mine", tmp_path / "out"
        shutil.copytree(rng.choice(originals), folder)
        spoil(folder, rng)
        before = {path.name: path.read_bytes() for path in folder.iterdir()}
        words = commands(folder, out, rng)
        try:
            cli.run(["data", *words])
            done += 1
        except UserError as error:
            refused += 1
            assert "\n" not in str(error), (case, words)
            assert [p.name for p in tmp_path.iterdir()] == ["mine"] or words[0] == "pack", (case, words)
        except BaseException as error:
            raise AssertionError(f"case {case}: {words}: {error!r}") from error
        assert before == {path.name: path.read_bytes() for path in folder.iterdir()}
        shutil.rmtree(folder)
        shutil.rmtree(out, ignore_errors=True)
        out.with_suffix(".png").unlink(missing_ok=True)
    assert done > CASES // 10 and refused > CASES // 10
