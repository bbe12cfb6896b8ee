"""The benchmark measures what it says, of both ways, and survives its children."""

import json
from dataclasses import replace

import pytest
import torch

from adamas.bench.command import table
from adamas.bench.compare import Child, compare, plain
from adamas.bench.flops import count_flops
from adamas.bench.rows import PEAK, ROWS, small_run
from adamas.cli import run
from adamas.core.errors import UserError
from adamas.presets import preset

CHEAP = ["bare convolution", "denoiser forward, batch 1", "replay draw"]


def test_the_plain_way_differs_in_nothing_but_how_it_computes():
    config = replace(preset("quickstart"), seed=3)
    slow = plain(config)
    assert slow.num_shards == 1
    assert slow.runtime.memory_format == "contiguous"
    assert slow.runtime.allocator == "default"
    assert slow.runtime.threads is None
    assert replace(slow, num_shards=config.num_shards, runtime=config.runtime) == config


def test_operations_of_a_convolution_are_counted():
    conv, x = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.zeros(2, 3, 8, 8)
    assert count_flops(lambda: conv(x)) == 2 * (2 * 8 * 8) * 5 * (3 * 3 * 3)


def test_every_row_does_its_work(tmp_path):
    trainer = small_run(preset("debug"), tmp_path / "run")
    for row in ROWS.values():
        work = row.work(trainer)
        work.do()
        assert work.units >= 1
    trainer.close()


def test_rows_are_compared_in_two_processes():
    results = list(compare(preset("debug"), CHEAP, rounds=2, seconds=0.0))
    assert [result["row"] for result in results] == CHEAP
    for result in results:
        slow, fast = result["plain"], result["fast"]
        assert result["ratio"] > 0
        assert slow["per_second"] == pytest.approx(ROWS_UNITS[result["row"]] / slow["seconds"])
        # The same work, but for attention: the kernel that one of the two orders in memory gets is not counted.
        assert slow["gflops"] * slow["seconds"] == pytest.approx(fast["gflops"] * fast["seconds"], rel=0.1)
        assert fast["peak_bytes"] > 50e6
    shown = table(results)
    assert shown.row_count == len(CHEAP)
    assert next(iter(shown.columns[5].cells)) == "100%"  # of its own speed
    assert list(shown.columns[4].cells)[2] == ""  # drawing segments multiplies nothing


ROWS_UNITS = {PEAK: 8, "denoiser forward, batch 1": 1, "replay draw": 32}


def test_a_child_that_dies_is_named():
    child = Child(preset("debug"))
    with pytest.raises(UserError, match="the process that measures ended with exit code 1"):
        child.measure("no such row", 0.0)
    child.close()


def test_command_writes_json_and_keeps_what_is_there(tmp_path, capsys):
    file = tmp_path / "bench.json"
    file.write_text("{}")
    run(["bench", "debug", "--rows", "replay draw", "--rounds", "1", "--seconds", "0", "--json", str(file)])
    assert file.read_text() == "{}"
    written = json.loads((tmp_path / "bench-2.json").read_text())
    assert [row["row"] for row in written["rows"]] == [PEAK, "replay draw"]
    assert written["preset"] == "debug"
    assert written["provenance"]["packages"]["torch"] == torch.__version__
    out = capsys.readouterr().out
    assert "replay draw" in out
    assert "peak memory" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--rows", "replay drow"], "there is no row 'replay drow'; did you mean 'replay draw'?"),
        (["--rounds", "0"], "rounds must be at least 1 and seconds at least 0, got 0 and 1.0"),
        (["--seconds", "nan"], "rounds must be at least 1"),
    ],
)
def test_mistakes(arguments, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run(["bench", "debug", *arguments])
