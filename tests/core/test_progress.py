"""Progress: the estimate of the time left, and what is shown when."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adamas.core.progress import Eta, Progress, duration


def test_eta_is_not_misled_by_a_long_first_epoch() -> None:
    eta = Eta([{"collect": 10, "train": 1000}, *[{"collect": 10, "train": 100}] * 4])
    eta.update("collect", 10, 20.0)
    assert eta.remaining() is None  # training has not been timed yet
    eta.update("train", 500, 50.0)
    assert eta.remaining() == pytest.approx(40 * 2.0 + 900 * 0.1)
    eta.update("train", 500, 50.0)
    assert eta.remaining() == pytest.approx(4 * (10 * 2.0 + 100 * 0.1))


def test_eta_ends_at_zero_and_ignores_phases_without_updates() -> None:
    eta = Eta([{"train": 2, "never": 0}])
    eta.update("train", 3, 1.0)  # more than planned
    assert eta.remaining() == 0
    assert Eta([]).remaining() == 0


@given(
    st.dictionaries(st.sampled_from("abc"), st.integers(1, 50), min_size=1),
    st.integers(1, 5),
    st.floats(1e-3, 10),
)
def test_eta_is_exact_at_constant_speed(phases: dict[str, int], epochs: int, seconds: float) -> None:
    eta = Eta([phases] * epochs)
    for left in reversed(range(epochs)):
        for phase, count in phases.items():
            eta.update(phase, count, count * seconds)
        assert eta.remaining() == pytest.approx(left * sum(phases.values()) * seconds)


class Clock:
    """A clock that the test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_plain_lines_are_rare_and_each_epoch_ends_with_one() -> None:
    output, clock = io.StringIO(), Clock()
    plan = [{"train": 30}, {"train": 10}]
    with Progress(plan, first_epoch=3, console=Console(file=output, width=40), clock=clock) as progress:
        for epoch in plan:
            progress.begin("train")
            for update in range(epoch["train"]):
                clock.now += 0.5
                progress.advance(loss=1 / (update + 1), score=7)
            progress.end_epoch()
    lines = output.getvalue().splitlines()
    assert len(lines) == 4  # after 10 s, at the end of both epochs, after 20 s; not one per update
    assert lines[0].startswith("epoch 3/4  train 20/30  2/s  loss 0.05  score 7  ")
    assert lines[0].endswith("ETA 10 s")
    assert lines[1].startswith("epoch 3/4  done in 15 s  loss 0.03333  score 7  ")
    assert lines[1].endswith("ETA 5 s")
    assert lines[2].startswith("epoch 4/4  train 10/10")
    assert lines[3].startswith("epoch 4/4  done in 5 s") and lines[3].endswith("ETA 0 s")


def test_time_between_phases_is_nobodys() -> None:
    output, clock = io.StringIO(), Clock()
    with Progress([{"a": 1, "b": 1}] * 2, console=Console(file=output), clock=clock) as progress:
        for phase, pause in (("a", 100.0), ("b", 0.0)):
            progress.begin(phase)
            clock.now += 1
            progress.advance()
            clock.now += pause
        progress.end_epoch()
    assert "a 1/1" not in output.getvalue() and output.getvalue().strip().endswith("ETA 2 s")


def test_a_terminal_gets_a_live_line() -> None:
    output, clock = io.StringIO(), Clock()
    console = Console(file=output, force_terminal=True, width=200)
    with Progress([{"train": 2, "test": 1}], console=console, clock=clock) as progress:
        progress.begin("train")
        for _ in range(2):
            clock.now += 1
            progress.advance()
        progress.end_epoch()
    assert "train 1/2" in output.getvalue() and "train 2/2" in output.getvalue()
    assert "ETA estimating" in output.getvalue()
    assert output.getvalue().endswith("\x1b[?25h\r\x1b[1A\x1b[2K")  # the cursor is back, the line gone


def test_quiet_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress([{"train": 1}], quiet=True) as progress:
        progress.begin("train")
        progress.advance()
        progress.end_epoch()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (89, "89 s"),
        (150, "2 min"),
        (3599, "1 h 00 min"),
        (11100, "3 h 05 min"),
        (187200, "2 d 4 h"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_memory_grows_with_what_is_held() -> None:
    """In a process of its own: one that has run other tests may give back their memory in between."""
    code = """
from adamas.core.progress import memory
before = memory()
held = bytearray(b"x" * 200_000_000)
print(before, memory())
"""
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    before, after = map(int, out.split())
    assert 0.9 * 200_000_000 < after - before < 1.2 * 200_000_000
