"""A row is compared with the fastest convolution of its own precision."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from adamas.bench import command, peak
from adamas.bench.command import table
from adamas.bench.measurement import Comparison, Speed
from adamas.cli import run
from adamas.core import runtime
from adamas.core.runtime import RuntimeConfig
from adamas.presets import preset


def result(row: str, gflops: float, precision: str) -> Comparison:
    """What measuring a row gives, made up."""
    used = Speed(
        seconds=1.0, per_second=1.0, gflops=gflops, system_share=0.0, peak_bytes=1, startup_seconds=1.0
    )
    return Comparison(row=row, unit="frames", plain=used, fast=used, precision=precision, ratio=1.0)


def test_a_row_is_compared_with_the_peak_of_its_own_precision(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A network in bf16 that does 314 GFLOP/s where bare convolutions do 200 in fp32 and 400 in bf16."""
    rows = [result("denoiser update", 314.0, "bf16"), result("quickstart epoch", 50.0, "fp32")]
    shown = table(rows, {"bf16": 400.0, "fp32": 200.0})
    assert list(shown.columns[5].cells) == ["78%", "25%"]

    peaks = {"bf16": 400.0, "fp32": 200.0}
    monkeypatch.setattr(runtime, "multiplies_bf16", lambda: True)
    monkeypatch.setattr(command, "peak_gflops", lambda device, precision: peaks[precision])
    monkeypatch.setattr(command, "compare", lambda *_: iter(rows[:1]))
    asked = ["--rows", "denoiser update", "--runtime.device", "cpu"]
    run(["bench", "atari100k", *asked, "--runtime.precision", "auto"])
    out = capsys.readouterr().out
    assert "bare convolutions: 400 GFLOP/s in bf16" in out
    assert "78%" in out and "157%" not in out


def test_the_peak_is_that_of_the_fastest_bare_convolution(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def gflops(convolution: Any, order: torch.memory_format, dtype: torch.dtype, device: Any) -> float:
        asked.append((convolution.channels, order, dtype))
        return convolution.channels + (order == torch.channels_last)

    monkeypatch.setattr(peak, "_gflops", gflops)
    threads = torch.get_num_threads()
    for precision, dtype in (("bf16", torch.bfloat16), ("fp32", torch.float32), ("tf32", torch.float32)):
        asked.clear()
        assert peak.peak_gflops("cpu", precision) == 257  # 256 channels, channels last
        assert {(channels, order) for channels, order, _ in asked} == {
            (channels, order)
            for channels in (64, 256)
            for order in (torch.channels_last, torch.contiguous_format)
        }
        assert {d for _, _, d in asked} == {dtype}
        assert torch.backends.cudnn.allow_tf32 == (precision == "tf32")
    assert torch.get_num_threads() == threads


def test_a_convolution_counts_two_operations_for_each_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(0, 1000, 2))  # every call takes two seconds
    monkeypatch.setattr(peak, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    speed = peak._gflops(peak.Convolution(4, 6), torch.channels_last, torch.float32, torch.device("cpu"))
    assert speed == 2 * 8 * 6 * 6 * 4 * 4 * 9 / 2 / 1e9


@pytest.mark.parametrize(
    ("name", "precision", "multiplies", "expected"),
    [
        ("atari100k", "auto", True, "bf16"),
        ("atari100k", "auto", False, "fp32"),
        ("quickstart", "auto", True, "fp32"),  # its frames are small
        ("quickstart", "bf16", False, "bf16"),
        ("atari100k", "fp32", True, "fp32"),
    ],
)
def test_the_precision_is_the_one_that_a_run_chooses(
    name: str, precision: Any, multiplies: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "multiplies_bf16", lambda: multiplies)
    config = replace(preset(name), runtime=RuntimeConfig(device="cpu", precision=precision))
    assert peak.precision_of(config) == expected
