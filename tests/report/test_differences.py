"""Settings in which the methods of a report differ."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from adamas.core.config import ABSENT
from adamas.envs.config import AtariConfig, MinAtarConfig
from adamas.presets import preset
from adamas.report.page import config_differences
from adamas.report.runs import RunRecord
from adamas.training.config import Config


def record(method: str, config: Config) -> RunRecord:
    return RunRecord(folder=Path(method), config=config, metrics=[], timing=[], final=None, method=method)


def test_a_setting_that_one_method_does_not_have_is_shown_as_absent() -> None:
    """The frames of MinAtar are always square, so they have no width of their own."""
    minatar = replace(preset("debug"), env=MinAtarConfig())
    atari = replace(minatar, env=AtariConfig())
    differences = dict(config_differences([record("a", minatar), record("b", atari)]))
    assert differences["env.suite"] == ['"minatar"', '"atari"']
    assert differences["env.width"] == [ABSENT, "null"]
