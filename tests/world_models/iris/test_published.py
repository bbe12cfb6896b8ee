"""Checkpoints of the published code load as agents."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import Tensor

import adamas
from adamas.agent import Agent, AgentConfig
from adamas.core.errors import UserError
from adamas.interop.published import save_published
from adamas.interop.weights import check_weights
from adamas.presets import preset
from adamas.world_models.iris import published
from adamas.world_models.iris.world import Iris, IrisConfig
from tests.conftest import FIXTURES
from tests.helpers.iris_reference import AUTOENCODER, CONFIG, POLICY, SHAPE, SPEC, Recorded


@pytest.fixture
def sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The two sizes of the recorded agent that no tensor shows."""
    monkeypatch.setattr(published, "NUM_HEADS", CONFIG.dynamics.transformer.num_heads)
    monkeypatch.setattr(published, "NUM_GROUPS", AUTOENCODER.num_groups)


def test_the_published_shapes_are_those_of_the_preset() -> None:
    shapes = json.loads((FIXTURES / "iris_state_dict_shapes.json").read_text())
    tensors = {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}
    found = IrisConfig.from_published(tensors)
    expected = preset("iris-atari100k")
    assert found is not None and found.obs_shape == (3, 64, 64)
    assert (found.world_model, found.actor_critic) == (expected.world_model, expected.actor_critic)
    with torch.device("meta"):
        agent = Agent(AgentConfig(**{k: v for k, v in found._asdict().items() if k != "tensors"}))
    check_weights(agent, found.tensors, "the file")
    sizes = {
        name: sum(p.numel() for p in part.parameters()) for name, part in agent.world_model.named_children()
    }
    assert sizes == {"tokenizer": 4_027_523, "dynamics": 8_446_469 + 256 * 6}
    assert sum(p.numel() for p in agent.policy.parameters()) == 3_215_905 + 513 * 6


def write(recorded: Recorded, path: Path, **changes: Tensor) -> Path:
    torch.save({**recorded.weights, **changes}, path)
    return path


@pytest.mark.usefixtures("sizes")
def test_a_file_gives_its_agent(recorded: Recorded, tmp_path: Path) -> None:
    agent = adamas.load(write(recorded, tmp_path / "last.pt"), device="cpu")
    model = agent.world_model
    assert isinstance(model, Iris) and not agent.training
    assert model.config.tokenizer == CONFIG.tokenizer and model.config.dynamics == CONFIG.dynamics
    assert agent.config.obs_shape == SHAPE and agent.config.actor_critic == POLICY
    state = None
    for t in range(3):
        action, state = agent.act(recorded["batch.observations"][[0, 2], t], state, temperature=0)
        recorded.same("act.greedy", action, recorded["act.greedy"][:, t])
        recorded.same("act.hidden", state[0], recorded["act.hidden"][:, t])


@pytest.mark.usefixtures("sizes")
@pytest.mark.parametrize(
    ("name", "shape", "problem"),
    [
        ("world_model.pos_emb.weight", (69, 16), "69 positions are not 4 blocks of a square of tokens"),
        ("actor_critic.critic_linear.bias", (2,), r"critic_linear.bias is \(2,\)"),
        ("tokenizer.embedding.weight", (24,), "shapes do not fit together"),
        ("world_model.more.weight", (1,), "world_model.dynamics.more.weight is unexpected"),
    ],
)
def test_a_file_that_does_not_fit(
    recorded: Recorded, tmp_path: Path, name: str, shape: tuple[int, ...], problem: str
) -> None:
    path = write(recorded, tmp_path / "last.pt", **{name: torch.zeros(shape)})
    with pytest.raises(UserError, match=problem):
        adamas.load(path, device="cpu")


@pytest.mark.usefixtures("sizes")
def test_a_file_without_a_tensor(recorded: Recorded, tmp_path: Path) -> None:
    tensors = {k: w for k, w in recorded.weights.items() if k != "actor_critic.conv1.weight"}
    torch.save(tensors, tmp_path / "last.pt")
    with pytest.raises(UserError, match=r"an agent: no tensor is named 'actor_critic\.conv1\.weight'; get"):
        adamas.load(tmp_path / "last.pt", device="cpu")


def test_no_file_is_written(tmp_path: Path) -> None:
    agent = Agent(AgentConfig(obs_shape=SHAPE, actions=SPEC, world_model=CONFIG, actor_critic=POLICY))
    with pytest.raises(
        UserError, match=r"^there is no published format .* of the kind iris; keep the checkpoint"
    ):
        save_published(agent, tmp_path / "agent.pt")
    assert not any(tmp_path.iterdir())
