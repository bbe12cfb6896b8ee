"""Dataclasses come back from JSON as they were, and files of other versions are read as far as possible."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import pytest

from adamas.core.json_data import from_json
from adamas.envs.config import AtariConfig, EnvConfig, MinAtarConfig


@dataclass(frozen=True)
class Part:
    name: str
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Whole:
    ratio: float
    pair: tuple[float, str]
    parts: list[Part]
    by_step: dict[int, Part]
    mode: Literal["on", "off"] = "on"
    part: Part | None = None
    env: EnvConfig | None = None
    rest: Mapping[str, Any] = field(default_factory=dict)


WHOLE = Whole(
    0.5,
    (1.5, "x"),
    [Part("a", (1, 2)), Part("b")],
    {4: Part("c")},
    "off",
    Part("d"),
    MinAtarConfig(),
    {"k": [None]},
)
DATA = {"ratio": 1, "pair": [1.5, "x"], "parts": [], "by_step": {}}


def test_a_dataclass_comes_back_as_it_was() -> None:
    assert from_json(Whole, json.loads(json.dumps(asdict(WHOLE)))) == WHOLE


def test_missing_entries_take_defaults_and_unknown_ones_are_left_out() -> None:
    found = from_json(Whole, DATA | {"of_a_newer_version": 3})
    assert found == Whole(1.0, (1.5, "x"), [], {})
    assert type(found.ratio) is float


def test_a_kind_is_read_as_a_configuration() -> None:
    assert from_json(Whole, DATA | {"env": {"game": "Pong"}}).env == AtariConfig(game="Pong")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": True}, "ratio is True"),
        ({"ratio": "1"}, "ratio is '1'"),
        ({"pair": [1.5]}, "pair has 1 values instead of 2"),
        ({"pair": None}, "pair is None"),
        ({"parts": [{}]}, r"parts\[0\].name is missing"),
        ({"parts": [{"name": "a", "sizes": [1.0]}]}, r"parts\[0\].sizes\[0\] is 1.0"),
        ({"by_step": {"one": {"name": "a"}}}, "invalid literal"),
        ({"by_step": []}, r"by_step is \[\]"),
        ({"mode": "half"}, "mode is 'half'"),
        ({"part": 3}, "part is 3"),
        ({"env": {"suite": "go"}}, "'env.suite' cannot be 'go'"),
        ({"rest": []}, r"rest is \[\]"),
    ],
)
def test_wrong_entries_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_json(Whole, DATA | change)


def test_content_of_another_type_is_refused() -> None:
    with pytest.raises(ValueError, match=r"the content is \[\]"):
        from_json(Whole, [])
    with pytest.raises(OverflowError):
        from_json(Whole, DATA | {"ratio": 10**400})
