"""Who acts in a film: a policy, or the actions in a text file."""

from __future__ import annotations

from pathlib import Path

import torch

from adamas.core.actions import ActionSpec
from adamas.dreaming.action_file import read_actions, read_actor


def test_names_and_numbers_of_actions(tmp_path: Path) -> None:
    file, spec = tmp_path / "actions.txt", ActionSpec.discrete(("noop", "upRight", "7"))
    file.write_text("upright\r\n2\r\n\r\n7\r\n0\r\n")
    assert read_actions(file, spec).tolist() == [1, 2, 2, 0]


def test_a_word_is_a_policy_or_a_file(tmp_path: Path) -> None:
    file, spec = tmp_path / "actions.txt", ActionSpec.numbered(2)
    file.write_text("1")
    assert read_actor("agent", spec) == "agent" and read_actor("random", spec) == "random"
    actions = read_actor(str(file), spec)
    assert isinstance(actions, torch.Tensor) and actions.tolist() == [1]
