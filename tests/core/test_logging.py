"""The record of a run does not show that it was killed and resumed."""

from __future__ import annotations

import json
import math
import sys
import time
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from adamas.core.errors import UserError
from adamas.core.logging import Metrics


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
    from tensorboard.backend.event_processing.event_accumulator import (  # type: ignore[import-untyped]
        EventAccumulator,
    )

    killed = Metrics(tmp_path)
    run(killed, range(5))
    state = killed.state()
    run(killed, range(5, 8))
    killed.close()
    time.sleep(1.1)  # TensorBoard orders files by the second they were opened in
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
