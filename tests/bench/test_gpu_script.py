"""benchmarks/gpu.py runs from end to end on a CPU, in its tiny mode, and says what is wrong in one line."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from adamas.core.errors import UserError

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def tried(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    out = tmp_path_factory.mktemp("gpu") / "gpu.json"
    command = [sys.executable, str(SCRIPT), "--tiny", "--out", str(out), "--minutes", "20"]
    environment = {**os.environ, "PYTHONPATH": str(SCRIPT.parents[1])}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert out.is_file(), done.stderr
    assert [path.name for path in out.parent.iterdir()] == ["gpu.json"]
    return done, json.loads(out.read_text())


def test_every_part_does_its_work(
    tried: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    done, results = tried
    assert done.returncode == 0, done.stdout + done.stderr
    parts = {(part["part"], part["mode"]): part for part in results["parts"]}
    assert {part["status"] for part in parts.values()} == {"done"}
    compared = {mode for part, mode in parts if part == "beside the CPU"}
    assert compared == {"fp32", "tf32", "bf16", "compiled (tf32)", "graphs (tf32)"}
    # On a CPU fp32 is what it is compared with, bf16 is not.
    errors = {
        mode: [finding["error"] for finding in parts["beside the CPU", mode]["findings"]]
        for mode in ("fp32", "bf16")
    }
    assert len(errors["fp32"]) == 6 and max(errors["fp32"]) < 1e-5
    assert min(errors["bf16"]) > 1e-4
    speeds = parts["speed, csgo", "bf16"]["findings"]
    assert [finding["what"] for finding in speeds] == [
        "denoiser update",
        "upsampler update",
        "actor-critic update",
        "dream step, batch 1",
        "dream step, batch 32",
    ]
    assert all(finding["per_second"] > 0 and finding["peak_bytes"] > 0 for finding in speeds)
    [resumed] = parts["killed and resumed", "tf32"]["findings"]
    assert (resumed["result"], resumed["repeated"]) == ("equal", 0)  # on a CPU, bit for bit
    losses = parts["training", "auto"]["findings"]
    assert [finding["updates"] for finding in losses] == [40, 40, 2]
    assert losses[0]["last"] < losses[0]["first"]


def test_the_table_and_the_file_say_the_same(
    tried: tuple[subprocess.CompletedProcess[str], dict[str, Any]],
) -> None:
    done, results = tried
    assert results["tiny"] is True and results["device"] == "cpu"
    assert results["provenance"]["packages"]["torch"] == torch.__version__
    for part in results["parts"]:
        assert part["seconds"] > 0
        for finding in part["findings"]:
            assert any(
                part["part"] in line and finding["what"] in line and finding["result"] in line
                for line in done.stdout.splitlines()
            ), finding


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(SCRIPT))
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--out", str(tmp_path / "gpu.json")])
    with pytest.raises(UserError, match=r"no GPU can be used here \(.*\); --tiny tries this script on a CPU"):
        script["main"](script["options"]())
    assert not list(tmp_path.iterdir())


def test_earlier_results_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = runpy.run_path(str(SCRIPT))
    out = tmp_path / "gpu.json"
    out.write_text("mine")
    for arguments, message in (
        (["--out", str(out)], "exists"),
        (["--out", str(tmp_path / "nowhere" / "gpu.json")], "its folder does not"),
        (["--minutes", "nan", "--out", str(tmp_path / "new.json")], "--minutes is nan"),
    ):
        monkeypatch.setattr(sys, "argv", ["gpu.py", *arguments])
        with pytest.raises(UserError, match=message):
            script["main"](script["options"]())
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("judges", "status", "verdict", "wrong"),
    [
        (True, "done", "pass", False),
        (True, "done", "fail", True),
        (True, "failed", "pass", True),
        (True, "out of memory", "pass", True),
        (True, "out of time", "pass", False),
        (True, "out of time", "fail", True),
        (False, "failed", "measured", False),
    ],
)
def test_the_exit_code_is_about_results(judges: bool, status: str, verdict: str, wrong: bool) -> None:
    part = {"judges": judges, "status": status, "findings": [{"verdict": verdict}]}
    assert runpy.run_path(str(SCRIPT))["is_wrong"](part) == wrong
