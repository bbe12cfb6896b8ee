"""``adamas.load`` finds the agent in whatever it is given."""

from __future__ import annotations

import itertools
import json
import math
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

import adamas
from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.manifest import write_manifest
from adamas.diffusion.edm import EdmConfig
from adamas.interop.published import save_published
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig

CONFIG = AgentConfig(
    obs_shape=(3, 8, 8),
    actions=ActionSpec.discrete(("stay", "go")),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=2, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            ),
            sigma_offset=0.05,
        ),
        reward_end=RewardEndConfig(
            lstm_dim=8, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
        ),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
)


def save(run: Path, step: int, config: AgentConfig = CONFIG) -> Agent:
    """A checkpoint such as a run writes."""
    torch.manual_seed(step)
    agent = Agent(config)
    settings = {"agent": to_dict(config), "run": {"seed": 0}}
    save_checkpoint(run / "checkpoints", step, agent.state_dict(), settings, {})
    return agent


def same(a: Agent, b: Agent) -> bool:
    return all(
        torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    )


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
    network = FrameNetworkConfig(
        context_length=2,
        cond_channels=8,
        depths=(1, 1),
        channels=(8, 8),
        attn_depths=(False, False),
        context="cross_attention",
    )
    world_model = replace(CONFIG.world_model, denoiser=EdmConfig(network=network))
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
        UserError, match=r"step-00000001 does not hold an agent: .*act_emb.0.weight is \(2, 4\)"
    ):
        adamas.load(config.parent, "cpu")


def complaint(folder: Path) -> str:
    """What loading a checkpoint says, which must be one line."""
    with pytest.raises(UserError) as caught:
        adamas.load(folder, "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_flipped_bit_is_told(tmp_path: Path) -> None:
    """Wherever it is: in the middle of a weight it would go unnoticed. Without a manifest, as from the hub, it does."""
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    (folder / "trainer.pt").unlink()  # only resuming needs it
    saved = adamas.load(folder, "cpu")
    weights = bytearray((folder / "agent.safetensors").read_bytes())
    weights[-2] ^= 1
    (folder / "agent.safetensors").write_bytes(weights)
    assert "is damaged (agent.safetensors has other content than was written)" in complaint(folder)
    (folder / "manifest.json").unlink()
    assert not same(adamas.load(folder, "cpu"), saved)


def replace_tensor(name: str, tensor: torch.Tensor | None) -> Callable[[Path], None]:
    """Another tensor in a checkpoint; None: without it."""

    def act(folder: Path) -> None:
        tensors = load_file(folder / "agent.safetensors")
        tensors = {key: value.clone() for key, value in tensors.items() if key != name}
        save_file(tensors if tensor is None else tensors | {name: tensor}, folder / "agent.safetensors")

    return act


def write(name: str, content: bytes) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        (folder / name).write_bytes(content)

    return damage


BIAS = "actor_critic.critic_linear.bias"  # (1,)
HUGE = json.dumps({"a": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 4]}}).encode()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (replace_tensor(BIAS, None), f"{BIAS} is missing"),
        (replace_tensor("extra", torch.ones(1)), "extra is unexpected"),
        (replace_tensor(BIAS, torch.ones(2)), rf"{BIAS} is \(2,\) instead of \(1,\)"),
        (replace_tensor(BIAS, torch.ones(1).double()), rf"{BIAS} is \(1,\) torch.float64 instead"),
        (replace_tensor(BIAS, torch.tensor([math.nan])), f"not finite, in {BIAS}"),
        (write("agent.safetensors", b""), "agent.safetensors: "),
        (write("agent.safetensors", b"\xff" * 100), "agent.safetensors: "),
        (write("agent.safetensors", len(HUGE).to_bytes(8, "little") + HUGE + b"1234"), "agent.safetensors: "),
        (write("agent.safetensors", (2).to_bytes(8, "little") + b"[]"), "agent.safetensors: "),
        (write("config.yaml", b"a: 2001-99-99"), "config.yaml: month must be in"),
        (write("config.yaml", b"a: !!int foo"), "config.yaml: "),
        (write("config.yaml", b"a: " + b"9" * 5_000), "config.yaml: "),
        (write("config.yaml", b"[" * 1_500), "config.yaml: "),
        (write("config.yaml", b"\xff\x00"), "config.yaml: "),
        (write("config.yaml", b"- 1"), "config.yaml: not a mapping"),
        (write("manifest.json", b"[" * 100_000), "manifest.json is malformed"),
    ],
)
def test_checkpoints_that_are_sealed_but_wrong(
    damage: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    if "manifest" not in message:
        damage(folder)
        write_manifest(folder, 1)
    else:
        damage(folder)
    assert re.search(message, complaint(folder))


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
@pytest.mark.parametrize("name", ["agent.safetensors", "config.yaml", "manifest.json"])
def test_pipes_and_folders_are_not_waited_for(name: str, tmp_path: Path) -> None:
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    for make in (os.mkfifo, os.mkdir):
        copy = Path(shutil.copytree(folder, tmp_path / make.__name__))
        (copy / name).unlink()
        make(copy / name)
        assert f"{name} is not a file" in complaint(copy)
        if name != "manifest.json":
            (copy / "manifest.json").unlink()
            assert f"{name}: not a file" in complaint(copy)


def test_sizes_beyond_all_measure(tmp_path: Path) -> None:
    """One number of the configuration after another becomes 2**40, -1 or 0: one line, and no memory is taken for it."""
    save(tmp_path, 1)
    folder = tmp_path / "checkpoints" / "step-00000001"
    text = (folder / "config.yaml").read_text()
    numbers = re.finditer(r"(?<=[ \n])\d+$", text, re.MULTILINE)
    refused = 0
    for number, value in zip(numbers, itertools.cycle((2**40, -1, 0)), strict=False):
        (folder / "config.yaml").write_text(f"{text[: number.start()]}{value}{text[number.end() :]}")
        write_manifest(folder, 1)
        try:
            adamas.load(folder, "cpu")
        except UserError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 10


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
