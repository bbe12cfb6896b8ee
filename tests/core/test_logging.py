"""The record of a run does not show that it was killed and resumed; the time left is estimated honestly."""

from __future__ import annotations

import io
import json
import math
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from adamas.core.errors import UserError
from adamas.core.logging import Eta, Metrics, Progress, duration, memory


def records(folder: Path, name: str = "metrics") -> list[dict[str, object]]:
    """The lines of a file, read as strict JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [json.loads(line, parse_constant=refuse) for line in lines]


def test_one_line_per_record(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path / "metrics", tensorboard=False)
    metrics.log({"loss": torch.tensor(0.5), "count": 3}, step=1, epoch=1, phase="denoiser")
    metrics.log_timing({"seconds": 0.25}, step=1, epoch=1, phase="denoiser")
    assert records(tmp_path / "metrics") == [
        {"step": 1, "epoch": 1, "phase": "denoiser", "loss": 0.5, "count": 3.0}
    ]
    assert records(tmp_path / "metrics", "timing") == [
        {"step": 1, "epoch": 1, "phase": "denoiser", "seconds": 0.25}
    ]
    metrics.close()


@given(st.floats())
def test_every_float_comes_back(tmp_path_factory: pytest.TempPathFactory, value: float) -> None:
    folder = tmp_path_factory.getbasetemp() / "floats"
    metrics = Metrics(folder, tensorboard=False)
    metrics.log({"x": value}, step=0, epoch=0, phase="p")
    metrics.close()
    read = float(str(records(folder)[-1]["x"]))
    assert read == value or (math.isnan(read) and math.isnan(value))


def test_numbers_that_json_lacks_become_strings(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, tensorboard=False)
    metrics.log({"a": math.nan, "b": math.inf, "c": -math.inf}, step=0, epoch=0, phase="p")
    metrics.close()
    record = records(tmp_path)[0]
    assert (record["a"], record["b"], record["c"]) == ("nan", "inf", "-inf")


def test_metrics_cannot_take_the_name_of_a_counter(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, tensorboard=False)
    with pytest.raises(ValueError, match=r"cannot be named \['step'\]"):
        metrics.log({"step": 3}, step=0, epoch=0, phase="p")
    metrics.close()
    assert records(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"cannot write metrics to .*file/metrics: Not a directory"):
        Metrics(tmp_path / "file" / "metrics", tensorboard=False)


def run(metrics: Metrics, steps: range) -> None:
    for step in steps:
        metrics.log({"loss": 1 / (step + 1)}, step, epoch=step // 4, phase="policy")
        metrics.log_timing({"seconds": 0.1 * step}, step, epoch=step // 4, phase="policy")


@pytest.mark.parametrize("killed_at", [5, 6, 9])
def test_a_resumed_record_equals_an_uninterrupted_one(tmp_path: Path, killed_at: int) -> None:
    whole = Metrics(tmp_path / "whole", tensorboard=False)
    run(whole, range(10))
    whole.close()

    killed = Metrics(tmp_path / "killed", tensorboard=False)
    run(killed, range(5))
    state = json.loads(json.dumps(killed.state()))
    run(killed, range(5, killed_at))
    with (tmp_path / "killed/metrics.jsonl").open("ab") as file:
        file.write(b'{"step": 9, "lo')  # the kill came in the middle of a line

    resumed = Metrics(tmp_path / "killed", tensorboard=False)
    resumed.restore(state)
    run(resumed, range(5, 10))
    resumed.close()
    killed.close()
    for name in ("metrics.jsonl", "timing.jsonl"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_record_cut_short_by_someone_else_is_not_filled_with_zeros(tmp_path: Path) -> None:
    metrics = Metrics(tmp_path, tensorboard=False)
    run(metrics, range(3))
    state = metrics.state()
    metrics.close()
    (tmp_path / "metrics.jsonl").write_bytes(b"")
    resumed = Metrics(tmp_path, tensorboard=False)
    with pytest.warns(UserWarning, match=r"metrics\.jsonl lost records"):
        resumed.restore(state)
    run(resumed, range(3, 4))
    resumed.close()
    assert [record["step"] for record in records(tmp_path)] == [3]
    assert [record["step"] for record in records(tmp_path, "timing")] == [0, 1, 2, 3]


def test_tensorboard_shows_rewound_scalars_once(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    killed = Metrics(tmp_path)
    run(killed, range(5))
    state = killed.state()
    run(killed, range(5, 8))
    killed.close()
    resumed = Metrics(tmp_path)
    resumed.restore(state)
    run(resumed, range(5, 10))
    resumed.close()

    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert sorted(events.Tags()["scalars"]) == ["policy/loss", "policy/seconds"]
    scalars = events.Scalars("policy/loss")
    assert [scalar.step for scalar in scalars] == list(range(10))
    assert [scalar.value for scalar in scalars] == pytest.approx([1 / (step + 1) for step in range(10)])


def test_wandb_is_asked_for_by_name_when_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)  # what Python itself does to forbid an import
    with pytest.raises(UserError, match=r"wandb is not installed; .*'adamas\[wandb\]'"):
        Metrics(tmp_path, tensorboard=False, wandb="project")


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
    assert output.getvalue().endswith("\x1b[?25h")  # the cursor is visible again


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
    before = memory()
    held = bytearray(b"x" * 200_000_000)
    after = memory()
    assert before is not None and after is not None
    assert after - before > 0.9 * len(held)
