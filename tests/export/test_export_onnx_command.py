"""``adamas export onnx`` writes a folder, or says in one line why it cannot."""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from adamas import cli
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.edm import EdmConfig
from adamas.export import onnx as exporting
from adamas.export.onnx import export_onnx
from tests.helpers.diamond import model_config
from tests.helpers.export_agent import CONFIG, SHAPE, L

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


def test_a_difference_leaves_nothing_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def export(step: Any, inputs: Any, path: Path, opset: int) -> None:
        path.write_text("a model")

    monkeypatch.setattr(exporting, "_export", export)
    monkeypatch.setattr(exporting, "_compare", lambda *_: 2e-4)
    with pytest.raises(
        UserError, match=r"denoiser.onnx differs from PyTorch by 2.0e-04, more than 1e-04; try"
    ):
        cli.run(["export", "onnx", str(run), "--out", str(tmp_path / "out")])
    monkeypatch.setattr(exporting, "_compare", lambda *_: float("nan"))
    with pytest.raises(UserError, match="by nan"):
        cli.run(["export", "onnx", str(run), "--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()


def test_the_command(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen = []

    def model(agent: Agent, name: str, folder: Path, frames: torch.Tensor | None, opset: int) -> float:
        seen.append((name, None if frames is None else tuple(frames.shape), opset))
        return 1.5e-6

    monkeypatch.setattr(exporting, "export_model", model)
    cli.run(["export", "onnx", str(run), "--out", str(tmp_path / "a"), "--opset", "22"])
    assert seen == [(name, (32, L, *SHAPE), 22) for name in ("denoiser", "reward_end", "actor_critic")]
    assert "reward_end    largest difference from PyTorch 1.5e-06" in capsys.readouterr().out
    seen.clear()
    alone = tmp_path / "alone"  # a checkpoint has no episodes
    shutil.copytree(run / "checkpoints" / "step-00000001", alone)
    cli.run(["export", "onnx", str(alone), "--out", str(tmp_path / "b")])
    assert seen[0] == ("denoiser", None, 20)
    assert json.loads((tmp_path / "b" / "world.json").read_text())["title"] == "alone"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--out taken", "taken exists and is not overwritten"),
        ("--out no/where", "cannot write no/where: No such file or directory"),
        ("--out new --opset 17", r"opset is 17; it must be at least 18 and at most 24"),
        ("", "--out PATH is missing"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(
    arguments: str, message: str, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    with pytest.raises(UserError, match=message):
        cli.run(["export", "onnx", str(run), *arguments.split()])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


@pytest.mark.parametrize("module", ["onnx", "onnxscript", "onnxruntime"])
def test_a_missing_package_is_named(
    module: str, agent: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf"{module} is not installed; .*adamas\[export\]"):
        export_onnx(agent, tmp_path)


def test_noise_in_past_frames_is_refused(tmp_path: Path) -> None:
    network = replace(model_config(CONFIG).denoiser.network, noise_cond=True)
    sampler = replace(model_config(CONFIG).sampler, s_cond=0.1)
    world_model = replace(model_config(CONFIG), denoiser=EdmConfig(network=network), sampler=sampler)
    with pytest.raises(
        UserError, match=r"the sampler puts noise on past frames .*; set `sampler.s_cond` to 0"
    ):
        export_onnx(Agent(replace(CONFIG, world_model=world_model)), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_world_without_rewards_and_ends_is_refused(tmp_path: Path) -> None:
    agent = Agent(replace(CONFIG, world_model=replace(model_config(CONFIG), reward_end=None)))
    with pytest.raises(UserError, match="predicts neither rewards nor ends"):
        export_onnx(agent, tmp_path)
    assert not list(tmp_path.iterdir())


def test_ddpm_is_refused(tmp_path: Path) -> None:
    denoiser = DdpmConfig(network=model_config(CONFIG).denoiser.network)
    agent = Agent(replace(CONFIG, world_model=replace(model_config(CONFIG), denoiser=denoiser)))
    with pytest.raises(UserError, match="only EDM denoisers can be exported"):
        export_onnx(agent, tmp_path)
    assert not list(tmp_path.iterdir())
