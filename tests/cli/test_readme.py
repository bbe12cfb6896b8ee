"""The README's Python runs as it stands, but for the run's folder and its game."""

from __future__ import annotations

import re
from pathlib import Path

GAME = 'EnvConfig("atari", "Breakout", size=16)'  # of the run that the tests train
README = Path(__file__).parents[2] / "README.md"


def test_the_python_in_the_readme(trained: tuple[Path, str]) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert code.count("runs/quickstart/breakout-seed-0") == 2
    code = code.replace("runs/quickstart/breakout-seed-0", str(trained[0]))
    code = code.replace('EnvConfig("minatar", "breakout", size=10)', GAME)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["dreams"].num_envs == 64  # type: ignore[attr-defined]
    assert names["obs"].shape[0] == 1  # type: ignore[attr-defined]
