"""ONNX models: the same numbers as PyTorch's, in single calls and in whole dreams."""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from adamas.agent import Agent
from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.diffusion.denoiser import sample, to_levels
from adamas.diffusion.edm import EdmConfig
from adamas.diffusion.samplers import SamplerConfig
from adamas.diffusion.schedules import karras_sigmas
from adamas.export import onnx as exporting
from adamas.export.networks import draw_inputs
from adamas.export.onnx import export_model, level_error
from adamas.nn.unet import FrameNetworkConfig
from tests.helpers.diamond import model_config
from tests.helpers.export_agent import CONFIG, SHAPE, L, close, dream, make_agent, read_contexts

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")


DOCS = Path(__file__).parents[2] / "docs" / "export.md"


def start(path: Path) -> Any:
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


class Runner:
    """A dream in NumPy and onnxruntime, one step at a time."""

    def __init__(self, folder: Path) -> None:
        self.world = json.loads((folder / "world.json").read_text())
        self.models = {
            name: start(folder / f"{name}.onnx") for name in ("denoiser", "reward_end", "actor_critic")
        }

    def run(self, model: str, **inputs: Any) -> SimpleNamespace:
        session = self.models[model]
        names = [output.name for output in session.get_outputs()]
        return SimpleNamespace(**dict(zip(names, session.run(None, inputs), strict=True)))

    def reset(self, obs: np.ndarray, action: np.ndarray) -> None:
        """(1, L, C, H, W) uint8, (1, L - 1) int64."""
        self.frames, self.actions = obs * np.float32(2 / 255) - 1, action
        dims = self.world["lstm_dim"]
        self.judge, self.act = (
            {key: np.zeros((1, dims[name]), np.float32) for key in ("hidden", "cell")}
            for name in ("reward_end", "actor_critic")
        )
        for t in range(obs.shape[1]):
            if t > 0:
                self.judge_step(self.frames[:, t - 1], action[:, t - 1], self.frames[:, t])
            self.act_step(obs[:, t])

    def judge_step(self, obs: np.ndarray, action: np.ndarray, next_obs: np.ndarray) -> SimpleNamespace:
        found = self.run("reward_end", obs=obs, action=action, next_obs=next_obs, **self.judge)
        self.judge = {"hidden": found.next_hidden, "cell": found.next_cell}
        return found

    def act_step(self, pixels: np.ndarray) -> SimpleNamespace:
        found = self.run("actor_critic", obs=pixels, **self.act)
        self.act = {"hidden": found.next_hidden, "cell": found.next_cell}
        return found

    def step(self, action: int, noise: np.ndarray) -> tuple[np.ndarray, ...]:
        actions = np.concatenate((self.actions, [[action]]), axis=1)
        x, sigmas = noise + self.frames[:, -1] * self.world["starts_at_newest_frame"], self.world["sigmas"]
        for sigma, following in itertools.pairwise(sigmas):
            level = np.array([sigma], np.float32)
            denoised = self.run(
                "denoiser", noisy=x, sigma=level, prev_obs=self.frames, prev_action=actions
            ).denoised
            x = x + np.float32((following - sigma) / sigma) * (x - denoised)
        judged = self.judge_step(self.frames[:, -1], actions[:, -1], x)
        self.frames = np.concatenate((self.frames[:, 1:], x[:, None]), axis=1)
        self.actions = actions[:, 1:]
        acted = self.act_step(((x.clip(-1, 1) + 1) * 127.5).round().astype(np.uint8))
        return x, judged.logits_reward, judged.logits_end, acted.logits, acted.value


def test_a_whole_dream(site: Path, agent: Agent) -> None:
    context, actions = read_contexts(site)[:1], [0, 4, 2, 2, 1, 3]
    expected = dream(agent, context, actions)
    runner = Runner(site)
    runner.reset(context.obs.numpy(), context.action.numpy())
    for t, action in enumerate(actions):
        found = runner.step(action, expected.noise[t])
        for name, value in zip(("frame", "reward", "end", "logits", "value"), found, strict=True):
            assert close(value, getattr(expected, name)[t]), (t, name)
    # What is compared says something: the frames differ from each other, and so do the judgements.
    assert np.ptp(expected.frame, axis=0).max() > 0.1 and np.ptp(expected.value) > 1e-3


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_any_batch_and_a_noise_level_for_each(batch: int, site: Path, agent: Agent) -> None:
    runner, generator = Runner(site), torch.Generator().manual_seed(batch)
    frames = torch.randint(256, (batch, L, *SHAPE), generator=generator, dtype=torch.uint8)
    inputs = draw_inputs(agent, frames, 1.0, generator)
    denoiser, judge, act = inputs["denoiser"], inputs["reward_end"], inputs["actor_critic"]
    denoiser["sigma"] = torch.logspace(-2, 1, batch)
    found = {name: runner.run(name, **{k: v.numpy() for k, v in i.items()}) for name, i in inputs.items()}
    with torch.no_grad():
        estimate: Any = agent.denoiser.denoise
        assert close(found["denoiser"].denoised, estimate(**denoiser))
        lstm = judge["hidden"], judge["cell"]
        reward, end, (hidden, cell) = agent.reward_end(
            judge["obs"][:, None], judge["action"][:, None], judge["next_obs"][:, None], lstm
        )
        output = agent.policy(act["obs"], (act["hidden"], act["cell"]))
    judged, acted = found["reward_end"], found["actor_critic"]
    assert close(judged.logits_reward, reward[:, 0]) and close(judged.logits_end, end[:, 0])
    assert close(judged.next_hidden, hidden) and close(judged.next_cell, cell)
    assert close(acted.logits, output.logits) and close(acted.value, output.value)
    assert close(acted.next_hidden, output.state[0]) and close(acted.next_cell, output.state[1])


def test_names_shapes_and_types_are_those_of_the_docs(site: Path) -> None:
    found = {}
    for name, session in Runner(site).models.items():
        for value in (*session.get_inputs(), *session.get_outputs()):
            kind = {"tensor(float)": "float32", "tensor(int64)": "int64", "tensor(uint8)": "uint8"}[
                value.type
            ]
            found[f"{name} {value.name}"] = ([str(d) for d in value.shape], kind)
    letters = {"B": "batch", "L": "2", "C": "3", "H": "6", "W": "8", "P": "5", "J": "6", "Q": "5"}
    documented = {}
    table = re.findall(
        r"^\| `(\w+)` (?:in|out) \| `(\w+)` \| \((.*?)\) \| (\w+) \|", DOCS.read_text(), re.MULTILINE
    )
    for model, name, shape, kind in table:
        sizes = [letters.get(letter, letter) for letter in shape.rstrip(",").split(", ")]
        documented[f"{model} {name}"] = (sizes, kind)
    assert documented.pop("denoiser estimate") == (
        ["batch", "3", "6", "8"],
        "float32",
    )  # only where there are levels
    assert found == documented


def test_the_world(site: Path, agent: Agent) -> None:
    world = json.loads((site / "world.json").read_text())
    assert world["title"] == "tiny" and world["actions"] == ["noop", "fire", "right", "left", "leftfire"]
    assert [world[key] for key in ("channels", "height", "width", "context_length")] == [3, 6, 8, 2]
    assert close(world["sigmas"], karras_sigmas(2, 2e-3, 5.0, 7.0), 1e-9)
    assert world["lstm_dim"] == {"reward_end": 6, "actor_critic": 5}
    assert world["sampler"]["num_steps"] == 2 and world["sampler"]["scale_initial_noise"] is False
    assert world["quantised"] is False and world["starts_at_newest_frame"] is False


def test_files_do_not_tell_where_they_were_made(site: Path) -> None:
    here = str(Path(exporting.__file__).parents[2]).encode()
    for path in site.glob("*.onnx"):
        assert here not in path.read_bytes()
        assert onnx.load(path).opset_import[0].version == 20


def test_convolutions_see_channels_in_fours(site: Path) -> None:
    """WebGPU computes something else where there are 9 or 6 channels, as in the first layers here."""
    channels = []
    for name in ("denoiser", "reward_end"):
        graph = onnx.load(site / f"{name}.onnx").graph
        shapes = {weights.name: weights.dims for weights in graph.initializer}
        channels += [shapes[node.input[1]][1] for node in graph.node if node.op_type == "Conv"]
    assert 12 in channels and 8 in channels and all(count % 4 == 0 for count in channels)


def test_levels_changes_another_network_another_opset_and_actions_of_several_parts(tmp_path: Path) -> None:
    network = FrameNetworkConfig(
        context_length=1,
        cond_channels=4,
        depths=(1, 1),
        channels=(4, 4),
        attn_depths=(True, False),
        noise_cond=True,
        context="cross_attention",
    )
    world_model = replace(model_config(CONFIG), denoiser=EdmConfig(network=network, sigma_change=0.2))
    spec = ActionSpec((Choice(("left", "right"), "way"),), ("horn",), (Axis("gas"),))
    agent = make_agent(replace(CONFIG, world_model=world_model, actions=spec))
    assert export_model(agent, "denoiser", tmp_path, opset=18) < 1e-4
    model = onnx.load(tmp_path / "denoiser.onnx")
    assert model.opset_import[0].version == 18
    generator = torch.Generator().manual_seed(0)
    frames = torch.randint(256, (3, 1, *SHAPE), generator=generator, dtype=torch.uint8)
    inputs = draw_inputs(agent, frames, 5.0, generator)["denoiser"]
    noise = torch.randn(3, *SHAPE, generator=generator)
    inputs["noisy"] = noise + inputs["prev_obs"][:, -1]  # as the world says
    assert exporting.describe(agent, "changes", 18)["starts_at_newest_frame"] is True
    assert inputs["prev_action"].shape == (3, 1, 3) and inputs["prev_action"].dtype == torch.float32
    found = start(tmp_path / "denoiser.onnx").run(
        ["denoised", "estimate"], {k: v.numpy() for k, v in inputs.items()}
    )
    levels, estimate = map(torch.from_numpy, found)
    assert level_error(found[1], found[0]) < 1e-6 and not close(*found)
    different = (levels - to_levels(estimate)).abs() > 1e-6
    assert different.float().mean() < 0.01  # one that lies on the edge of a level, perhaps
    with torch.no_grad():
        one_step = SamplerConfig(num_steps=1)
        drawn = sample(agent.denoiser, inputs["prev_obs"], inputs["prev_action"], one_step, noise)
        different = (levels - drawn).abs() > 1e-6
    assert different.float().mean() < 0.01


def test_distance_from_levels() -> None:
    level = 2 / 255
    cut = np.array([-1, -1, -1, 1, 1, -1 + level], np.float32)
    assert level_error(np.array([-1, -1 + 0.9 * level, -7, 1, 3, -1 + 1.5 * level], np.float32), cut) < 1e-6
    assert level_error(np.array([-1], np.float32), np.array([-1 + level], np.float32)) == pytest.approx(
        level, rel=1e-4
    )
    assert level_error(np.array([-1 + 1.5 * level], np.float32), np.array([-1], np.float32)) == pytest.approx(
        0.5 * level, rel=1e-4
    )


def test_the_example_in_the_docs(
    site: Path, agent: Agent, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = re.search(r"```python\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert code is not None
    (tmp_path / "breakout-onnx").symlink_to(site)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(code[1], names)
    noise = torch.from_numpy(np.random.default_rng(0).standard_normal((1, *SHAPE), np.float32))
    sampler = model_config(agent.config).sampler
    expected = sample(
        agent.denoiser, torch.zeros(1, L, *SHAPE), torch.zeros(1, L, dtype=torch.int64), sampler, noise
    )
    assert names["frame"].shape == (1, *SHAPE) and names["frame"].dtype == np.uint8
    pixels = ((expected.clamp(-1, 1) + 1) * 127.5).numpy()
    assert np.abs(names["frame"] - pixels).max() < 0.51 and np.ptp(pixels) > 10


@pytest.mark.parametrize("wrong", [{"noisy": (1, 3, 8, 6)}, {"prev_obs": (1, 3, *SHAPE)}, {"sigma": (1, 1)}])
def test_wrong_inputs_are_refused(wrong: dict[str, tuple[int, ...]], site: Path) -> None:
    shapes = {"noisy": (1, *SHAPE), "sigma": (1,), "prev_obs": (1, L, *SHAPE)}
    inputs = {name: np.ones(shape, np.float32) for name, shape in (shapes | wrong).items()}
    with pytest.raises(onnxruntime.capi.onnxruntime_pybind11_state.InvalidArgument):
        Runner(site).run("denoiser", prev_action=np.zeros((1, L), np.int64), **inputs)
