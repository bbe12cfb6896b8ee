"""``adamas bench`` compares both ways in processes of their own, survives its children and writes what it found."""

import json
from pathlib import Path

import pytest
import torch

from adamas.bench.command import chosen_rows, table, within_patience
from adamas.bench.compare import Child, compare
from adamas.bench.contents import agent_config, outline
from adamas.bench.workloads import rows_of
from adamas.cli import run
from adamas.core.errors import UserError
from adamas.presets import preset

CHEAP = ["denoiser forward, batch 1", "replay draw"]


def test_rows_are_compared_in_two_processes_which_remove_their_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    config, results = preset("debug"), []
    rows = chosen_rows(CHEAP, "debug", rows_of(config, outline(agent_config(config))))
    for result in compare(config, rows, rounds=2, seconds=0.0):
        results.append(result)
        assert len(list(tmp_path.glob("adamas-bench-*"))) == 2
    assert not list(tmp_path.glob("adamas-bench-*"))
    assert [result.row for result in results] == CHEAP
    for result in results:
        slow, fast = result.plain, result.fast
        assert result.ratio > 0
        assert slow.per_second == pytest.approx(ROWS_UNITS[result.row] / slow.seconds)
        assert slow.gflops * slow.seconds == pytest.approx(fast.gflops * fast.seconds)
        assert fast.peak_bytes > 50e6
        assert result.precision == "fp32"  # as the preset says
    shown = table(results, {"fp32": results[0].fast.gflops})
    assert shown.row_count == len(CHEAP)
    assert next(iter(shown.columns[5].cells)) == "100%"  # of its own speed
    assert list(shown.columns[4].cells)[1] == ""  # drawing segments multiplies nothing


ROWS_UNITS = {"denoiser forward, batch 1": 1, "replay draw": 32}


def test_what_takes_minutes_is_left_out_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    config = preset("csgo")
    agent = agent_config(config)
    rows = within_patience(rows_of(config, outline(agent)), config, agent, peak=200.0)
    # 128 x 5 targets of 31.8 GFLOP, three times: 61 TFLOP. A full frame takes ten calls of 85.8 GFLOP.
    assert set(rows) == {
        "denoiser forward, batch 1",
        "denoiser forward, batch 32",
        "upsampler forward, batch 1",
        "upsampler forward, batch 32",
        "dream step, batch 1",
        "replay draw",
        "quickstart epoch",
    }
    assert "denoiser update (5 min)" in capsys.readouterr().out
    with pytest.raises(
        UserError, match="--rows: csgo has no 'actor-critic update'; choose from: denoiser forward, batch 1"
    ):
        run(["bench", "csgo", "--rows", "actor-critic update"])


def test_a_child_that_dies_is_named() -> None:
    child = Child(preset("debug"))
    with pytest.raises(UserError, match="the process that measures ended with exit code 1"):
        child.measure("no such row", 0.0)
    child.close()


def test_command_writes_json_and_keeps_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "bench.json"
    file.write_text("{}")
    run(["bench", "debug", "--rows", "replay draw", "--rounds", "1", "--seconds", "0", "--json", str(file)])
    assert file.read_text() == "{}"
    written = json.loads((tmp_path / "bench-2.json").read_text())
    assert [row["row"] for row in written["rows"]] == ["replay draw"]
    assert list(written["peaks"]) == ["fp32"] and written["peaks"]["fp32"] > 0
    assert written["preset"] == "debug"
    assert written["provenance"]["packages"]["torch"] == torch.__version__
    out = capsys.readouterr().out
    assert "replay draw" in out
    assert "peak memory" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "replay drow"], "--rows: debug has no 'replay drow'; choose from: denoiser forward"),
        (["--rounds", "0"], "--rounds is 0; it must be at least 1"),
        (["--seconds", "nan"], "--seconds is nan; it must be at least 0"),
    ],
)
def test_mistakes_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run(["bench", "debug", *arguments])
