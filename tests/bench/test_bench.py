"""The benchmark measures what it says, of both ways, and survives its children."""

import json
import re
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box

from adamas.bench import command, peak
from adamas.bench.command import table, within_patience
from adamas.bench.compare import Child, compare, plain
from adamas.bench.contents import STAND_INS, StandIn, agent_config, stand_in_note, with_recordings
from adamas.bench.flops import count_flops
from adamas.bench.workloads import ROWS, rows_of, small_run
from adamas.cli import run
from adamas.core import runtime
from adamas.core.errors import UserError
from adamas.core.runtime import RuntimeConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.upsampler import UpsamplerConfig
from adamas.envs.config import GymnasiumConfig
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import PRESETS, preset
from adamas.training.config import Config

CHEAP = ["denoiser forward, batch 1", "replay draw"]


def test_the_plain_way_differs_in_nothing_but_how_it_computes() -> None:
    config = replace(preset("quickstart"), seed=3)
    slow = plain(config)
    assert slow.num_shards == 1
    assert slow.runtime.memory_format == "contiguous"
    assert slow.runtime.allocator == "default"
    assert slow.runtime.threads is None
    assert replace(slow, num_shards=config.num_shards, runtime=config.runtime) == config


def test_operations_of_a_convolution_are_counted() -> None:
    conv, x = torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), torch.zeros(2, 3, 8, 8)
    assert count_flops(lambda: conv(x)) == 2 * (2 * 8 * 8) * 5 * (3 * 3 * 3)


class Lever(gymnasium.Env[Any, Any]):
    """A game with a lever, of episodes that never end."""

    observation_space = Box(0, 255, (16, 16, 3), np.uint8)
    action_space = Box(-2.0, 2.0, (1,))

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return np.zeros((16, 16, 3), np.uint8), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.full((16, 16, 3), 9, np.uint8), float(action[0]), False, False, {}


gymnasium.register("AdamasBenchLever-v0", lambda **options: Lever(**options))


def tiny(kind: str) -> Config:
    """The debug preset, as a run of another kind."""
    config = preset("debug")
    match kind:
        case "game":
            return config
        case "no world model":
            return replace(config, imagination="off")
        case "vector actions":
            return replace(config, env=GymnasiumConfig(game="AdamasBenchLever-v0", size=16))
        case "recordings":
            return replace(config, data="cars")
        case "two stages, no labels":
            upsampler = UpsamplerConfig(
                network=FrameNetworkConfig(
                    context_length=1, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
                ),
                factor=2,
                sampler=SamplerConfig(num_steps=1),
            )
            model = replace(config.world_model, reward_end=None, upsampler=upsampler)
            return replace(config, data="doom", world_model=model, upsampler=config.denoiser)
    raise ValueError(kind)


@pytest.fixture
def small_stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Made-up recordings of small frames."""
    for name, known in STAND_INS.items():
        monkeypatch.setitem(STAND_INS, name, StandIn((3, 16, 24), known.action_spec))


DREAMS = {
    "denoiser forward, batch 1",
    "denoiser forward, batch 32",
    "dream step, batch 1",
    "dream step, batch 32",
    "denoiser update",
    "replay draw",
    "quickstart epoch",
}
PLAYS = {"reward/end update", "actor-critic update", "environment step"}


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("game", DREAMS | PLAYS),
        ("vector actions", DREAMS | PLAYS),
        ("no world model", {"model-free update", "environment step", "quickstart epoch"}),
        ("recordings", DREAMS | {"reward/end update"}),
        ("two stages, no labels", DREAMS | {"upsampler update"}),
    ],
)
def test_every_row_of_every_kind_of_run_does_its_work(
    kind: str, names: set[str], small_stand_ins: None, tmp_path: Path
) -> None:
    config = tiny(kind)
    rows = rows_of(config, agent_config(config))
    assert set(rows) == names
    with closing(small_run(config, tmp_path / "run")) as trainer:
        for name in rows:
            if name != "quickstart epoch" or kind == "game":  # of another preset, so the same for every kind
                work = ROWS[name].work(trainer)
                work.do()
                assert work.units >= 1


@pytest.mark.parametrize("name", [name for name in PRESETS if preset(name).data])
def test_presets_on_recordings_have_stand_ins_of_their_shape(name: str) -> None:
    """Without a folder of that name, which nobody has where tests run."""
    config = preset(name)
    agent = agent_config(config)
    expected = {
        "static": ((3, 64, 64), (), torch.int64),
        "static-small": ((3, 32, 32), (), torch.int64),
        "vizdoom": ((3, 120, 160), (), torch.int64),
        "driving": ((3, 96, 96), (3,), torch.float32),
        "csgo": ((3, 150, 280), (51,), torch.float32),
    }
    assert (agent.obs_shape, agent.actions.shape, agent.actions.dtype) == expected[name]
    assert re.match(
        rf"no recordings in {config.data}: made-up frames of \d+x\d+ with ", stand_in_note(config)
    )


def test_recordings_at_hand_are_used(tmp_path: Path) -> None:
    config = tiny("recordings")
    made_up = with_recordings(replace(config, data="recordings"), tmp_path / "mine")
    assert agent_config(made_up).obs_shape == (3, 64, 64)
    assert with_recordings(made_up, tmp_path / "other") is made_up
    assert stand_in_note(made_up) == ""
    with pytest.raises(UserError, match="there are no recordings in nowhere; name their folder with `data`"):
        agent_config(replace(config, data="nowhere"))


def test_rows_are_compared_in_two_processes() -> None:
    results = list(compare(preset("debug"), CHEAP, rounds=2, seconds=0.0))
    assert [result["row"] for result in results] == CHEAP
    for result in results:
        slow, fast = result["plain"], result["fast"]
        assert result["ratio"] > 0
        assert slow["per_second"] == pytest.approx(ROWS_UNITS[result["row"]] / slow["seconds"])
        assert slow["gflops"] * slow["seconds"] == pytest.approx(fast["gflops"] * fast["seconds"])
        assert fast["peak_bytes"] > 50e6
        assert result["precision"] == "fp32"  # as the preset says
    shown = table(results, {"fp32": results[0]["fast"]["gflops"]})
    assert shown.row_count == len(CHEAP)
    assert next(iter(shown.columns[5].cells)) == "100%"  # of its own speed
    assert list(shown.columns[4].cells)[1] == ""  # drawing segments multiplies nothing


ROWS_UNITS = {"denoiser forward, batch 1": 1, "replay draw": 32}


def result(row: str, gflops: float, precision: str) -> dict[str, Any]:
    """What measuring a row gives, made up."""
    used = {"per_second": 1.0, "gflops": gflops, "system_share": 0.0, "peak_bytes": 1, "startup_seconds": 1.0}
    return {"row": row, "plain": used, "fast": used, "ratio": 1.0, "precision": precision}


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
    run(["bench", "debug", *asked, "--runtime.precision", "auto"])
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
    ("precision", "multiplies", "expected"),
    [("auto", True, "bf16"), ("auto", False, "fp32"), ("bf16", False, "bf16"), ("fp32", True, "fp32")],
)
def test_the_precision_is_the_one_that_a_run_chooses(
    precision: Any, multiplies: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runtime, "multiplies_bf16", lambda: multiplies)
    assert peak.precision_of(RuntimeConfig(device="cpu", precision=precision)) == expected


def test_what_takes_minutes_is_left_out_unless_it_is_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    config = preset("csgo")
    agent = agent_config(config)
    rows = within_patience(rows_of(config, agent), config, agent, peak=200.0)
    # 128 x 5 targets of 31.8 GFLOP, three times: 61 TFLOP. A full frame takes ten calls of 85.8 GFLOP.
    assert set(rows) == {
        "denoiser forward, batch 1",
        "denoiser forward, batch 32",
        "dream step, batch 1",
        "replay draw",
        "quickstart epoch",
    }
    assert "denoiser update (5 min)" in capsys.readouterr().out
    with pytest.raises(
        UserError, match="csgo has no actor-critic update; choose from: denoiser forward, batch 1"
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
        (["--rows", "replay drow"], "--rows has no 'replay drow'; did you mean 'replay draw'?"),
        (["--rounds", "0"], "--rounds must be at least 1 and --seconds at least 0, got 0 and 1.0"),
        (["--seconds", "nan"], "--rounds must be at least 1"),
    ],
)
def test_mistakes(arguments: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run(["bench", "debug", *arguments])
