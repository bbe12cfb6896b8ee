"""No kind of world model is known by name outside its folder, the registry, presets and export."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from adamas.rl.part_training import TrainingConfig
from adamas.world_models import registry  # noqa: F401  # makes all kinds known
from adamas.world_models.base import WorldModelConfig
from tests.test_architecture import PACKAGE

MODELS = "adamas.world_models."
MAY_NAME_KINDS = ("world_models/registry.py", "presets/", "export/")
METHODS = "evaluation/published/"
"""Scores of other people's runs, by the names of their methods. Some of these methods are kinds here as well."""


def kinds() -> dict[str, set[str]]:
    """For the folder of each kind, the words by which it could be known: tag, folder and registered dataclasses."""
    found: dict[str, set[str]] = {}
    for registered in (WorldModelConfig, TrainingConfig):
        for tag, config in registered.kinds.items():
            if config.__module__.startswith(MODELS):  # tests register kinds of their own
                folder = config.__module__.removeprefix(MODELS).split(".")[0]
                found.setdefault(folder, {folder}).update((tag.lower(), config.__name__.lower()))
    return found


def mentions(package: Path, words_of: dict[str, set[str]]) -> Iterator[str]:
    """One line for each line of a text file, and each file's name, that has a word of a kind where it must not."""
    for path in sorted(package.rglob("*")):
        place = path.relative_to(package).as_posix()
        if not path.is_file() or "__pycache__" in place or place.startswith((*MAY_NAME_KINDS, METHODS)):
            continue
        words = {
            word
            for folder, names in words_of.items()
            if not place.startswith(f"world_models/{folder}/")
            for word in names
        }
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except UnicodeDecodeError:  # weights or frames
            lines = []
        for number, line in enumerate((place, *lines)):
            if any(word in line.lower() for word in words):
                yield f"{place}:{number}: {line.strip()}"


def test_no_kind_is_named_elsewhere() -> None:
    assert list(mentions(PACKAGE, kinds())) == []


def test_all_kinds_are_looked_for() -> None:
    folders = {path.parent.name for path in (PACKAGE / "world_models").glob("*/__init__.py")}
    assert kinds().keys() == folders >= {"diamond", "iris"}
    assert kinds()["iris"] == {"iris", "irisconfig", "iristraining"}


@pytest.mark.parametrize(
    ("place", "text", "found"),
    [
        ("agent.py", "x = 1\nfrom adamas.world_models.iris.world import Iris\n", "agent.py:2: from adamas"),
        ("core/a.py", "def f():\n    return 'DIAMOND'\n", "core/a.py:2: return 'DIAMOND'"),
        ("play/static/a.js", "if (kind === 'iris') {}", "play/static/a.js:1: if"),
        ("rl/iris_policy.py", "", "rl/iris_policy.py:0: "),
        ("world_models/iris/a.py", "# unlike DiamondConfig", "world_models/iris/a.py:1: # unlike"),
        ("world_models/base.py", "IrisTraining", "world_models/base.py:1: "),
        ("world_models/iris/a.py", "class Iris: ...", None),
        ("world_models/registry.py", "diamond iris", None),
        ("presets/paper.py", "diamond", None),
        ("export/onnx.py", "diamond", None),
        ("core/a.py", "gems", None),
    ],
)
def test_mentions_are_found(place: str, text: str, found: str | None, tmp_path: Path) -> None:
    (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / place).write_text(text)
    lines = list(mentions(tmp_path, kinds()))
    assert (not lines and found is None) or (len(lines) == 1 and found is not None and found in lines[0])
