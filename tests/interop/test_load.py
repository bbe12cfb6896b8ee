"""``adamas.load`` finds the agent in whatever it is given."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import adamas
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from adamas.diffusion.edm import EdmConfig
from adamas.interop.published import save_published
from tests.helpers.diamond import model_config
from tests.helpers.saved_agent import CONFIG, same, save
from tests.helpers.tiny_agent import tiny_network


def test_a_run_gives_its_newest_checkpoint(tmp_path: Path) -> None:
    save(tmp_path, 1)
    newest = save(tmp_path, 2)
    agent = adamas.load(tmp_path, device="cpu")
    assert isinstance(agent, adamas.Agent)
    assert same(agent, newest) and agent.config == CONFIG
    assert not agent.training and agent.action_spec.names == ("stay", "go")
    action, _ = agent.act(torch.zeros(3, 8, 8, dtype=torch.uint8))
    assert action in (0, 1)


def test_a_checkpoint_gives_itself(tmp_path: Path) -> None:
    first = save(tmp_path, 1)
    save(tmp_path, 2)
    assert same(adamas.load(str(tmp_path / "checkpoints" / "step-00000001"), "cpu"), first)


def test_denoisers_that_attend_to_past_frames_come_back(tmp_path: Path) -> None:
    network = tiny_network(levels=2, context="cross_attention")
    world_model = replace(model_config(CONFIG), denoiser=EdmConfig(network=network))
    saved = save(tmp_path, 1, replace(CONFIG, world_model=world_model))
    loaded = adamas.load(tmp_path, device="cpu")
    assert same(loaded, saved) and loaded.config == saved.config


def test_a_published_file_gives_its_agent(tmp_path: Path) -> None:
    agent = Agent(CONFIG)
    save_published(agent, tmp_path / "agent.pt")
    loaded = adamas.load(tmp_path / "agent.pt", device="cpu")
    assert same(loaded, agent) and loaded.action_spec.names == ("0", "1")


def test_a_damaged_newest_checkpoint_is_passed_over(tmp_path: Path) -> None:
    first = save(tmp_path, 1)
    save(tmp_path, 2)
    weights = tmp_path / "checkpoints" / "step-00000002" / "agent.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.warns(UserWarning, match="is damaged"):
        assert same(adamas.load(tmp_path, "cpu"), first)
    with pytest.raises(UserError, match=r"step-00000002 is damaged .* load the folder of its run"):
        adamas.load(weights.parent, "cpu")


def test_other_places_are_refused_with_a_remedy(tmp_path: Path) -> None:
    remedy = "give a run folder, a checkpoint folder or a published .pt file"
    with pytest.raises(UserError, match=rf"{tmp_path} holds no agent; {remedy}"):
        adamas.load(tmp_path)
    with pytest.raises(UserError, match=rf"nowhere does not exist; {remedy}"):
        adamas.load(tmp_path / "nowhere")
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="no usable checkpoint"):
        adamas.load(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(UserError, match=r"notes.txt is not a published checkpoint"):
        adamas.load(tmp_path / "notes.txt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("run: {}\n", "does not describe an agent"),
        ("agent: {obs_shape: [3, 8, 8], actions: [a], wold_model: {}}\n", "did you mean 'world_model'"),
        ("agent: [\n", "is damaged"),
        ("agent: {obs_shape: [3, 8, 8], actions: [a, b]}\n", "4 poolings leave nothing"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(content: str, message: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    (folder / "config.yaml").write_text(content)
    write_manifest(folder, 1)
    with pytest.raises(UserError, match=message):
        adamas.load(folder, "cpu")


def test_weights_of_another_configuration_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    config = tmp_path / "checkpoints" / "step-00000001" / "config.yaml"
    config.write_text(config.read_text().replace("- go\n", "- go\n      - fire\n"))
    write_manifest(config.parent, 1)
    with pytest.raises(
        UserError, match=r"step-00000001 does not hold an agent: .*act_emb.0.weight is \(2, 8\)"
    ):
        adamas.load(config.parent, "cpu")


def test_devices_that_do_not_exist_are_refused(tmp_path: Path) -> None:
    save(tmp_path, 1)
    with pytest.raises(UserError, match="`device` is 'gpu'; choose from auto, cuda, mps, cpu"):
        adamas.load(tmp_path, device="gpu")
    if not torch.cuda.is_available():
        with pytest.raises(UserError, match="but this machine has none; use auto"):
            adamas.load(tmp_path, device="cuda")


def test_convolutions_are_placed_for_speed(tmp_path: Path) -> None:
    save(tmp_path, 1)
    weight = adamas.load(tmp_path, "cpu").denoiser.inner_model.conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)


def test_the_public_surface() -> None:
    assert adamas.__version__ == "0.2.0"
    assert set(adamas.__all__) == {
        "Agent",
        "AtariConfig",
        "GymnasiumConfig",
        "MinAtarConfig",
        "VizdoomConfig",
        "__version__",
        "load",
        "make_dream",
        "make_env",
        "sample",
    }
    assert all(getattr(adamas, name) is not None for name in adamas.__all__)
    with pytest.raises(AttributeError, match="module 'adamas' has no attribute 'lode'"):
        adamas.lode  # noqa: B018
    code = "import sys, adamas; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
