"""The README: its Python runs as it stands, its commands exist, and it stays short."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest

from adamas import cli
from adamas.commands import play

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
RUN = "runs/quickstart/breakout-seed-0"
COMMANDS = [
    shlex.split(line, comments=True)[1:]
    for block in re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    for line in block.splitlines()
    if line.startswith("adamas ")
]
MADE = {"mine", "mine-split", "runs/static/mine-split-seed-0"}
"""What the commands on recordings make, of videos that readers have."""
SHORT = {  # what makes a command end in a second, where it runs for long or waits for people
    "evaluate": ["--episodes", "2"],
    "fidelity": ["--windows", "4", "--horizon", "3", "--moments", "0"],
    "dream": ["--worlds", "1"],
    "data": [],
    "report": [],
    "export": [],
    "play": [],
}


@pytest.fixture
def after_the_demo(dreamer: Path) -> None:
    """A working folder like the one that ``make demo`` leaves, with a tiny run in it."""
    Path(RUN).parent.mkdir(parents=True)
    shutil.move(str(dreamer), RUN)


def test_it_is_short_and_its_links_lead_somewhere() -> None:
    assert len(README.splitlines()) <= 150
    for name in ("README.md", "docs/evidence.md", "docs/gpu.md", "docs/play.md", "docs/export.md"):
        page = ROOT / name
        links = re.findall(r"(?:\]\(|src=\")([^)#\"]+)", page.read_text(encoding="utf-8"))
        missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
        assert missing == [], name


def test_the_python_in_the_readme(after_the_demo: None) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["dreams"].num_envs == 8  # type: ignore[attr-defined]
    assert names["obs"].shape == (8, 10, 10, 3)  # type: ignore[attr-defined]


def test_commands_name_only_what_is_there_after_the_demo() -> None:
    assert COMMANDS[0] == ["play"]  # the first one, right after the install
    folders = {word for words in COMMANDS for word in words if word.startswith(("runs/", "mine"))}
    assert folders - MADE <= {RUN, "runs/free"}
    assert any(RUN in words for words in COMMANDS)


def test_commands_run_as_typed_after_the_demo(after_the_demo: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(play, "_serve", lambda *_: None)
    ran = 0
    for words in COMMANDS:
        known = any(word == RUN or word in ("recordings", "--published") for word in words)
        if words[0] in SHORT and known:
            cli.run([*words, *SHORT[words[0]]])
            ran += 1
    assert ran >= 7
    for made in ("dream.gif", "recordings/index.json", "breakout.pt"):
        assert Path(made).exists()


def test_the_paths_of_the_evidence_exist() -> None:
    named = re.findall(r"`(tests/[\w/.]+)`", (ROOT / "docs" / "evidence.md").read_text(encoding="utf-8"))
    assert len(named) > 10
    assert [path for path in named if not (ROOT / path).exists()] == []
