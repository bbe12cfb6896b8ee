"""What the published format cannot hold is not saved, and other files are refused by name."""

from __future__ import annotations

import os
import pickle
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Generator, Tensor

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec, Axis
from adamas.core.config import with_value
from adamas.core.errors import UserError
from adamas.diffusion.ddpm import DdpmConfig
from adamas.diffusion.edm import EdmConfig
from adamas.interop.published import load_published, save_published
from adamas.interop.weights import build
from adamas.world_models.diamond.world import DenoiserConfig
from tests.helpers.diamond import model_config
from tests.helpers.published_agent import SMALL

NETWORK = model_config(SMALL).denoiser.network


@pytest.mark.parametrize(
    "denoiser",
    [
        DdpmConfig(network=NETWORK),
        EdmConfig(network=NETWORK, sigma_change=0.2),
        EdmConfig(network=replace(NETWORK, context="cross_attention")),
    ],
    ids=["ddpm", "sigma_change", "cross_attention"],
)
def test_only_edm_denoisers_on_stacked_frames_are_saved(denoiser: DenoiserConfig, tmp_path: Path) -> None:
    world_model = replace(model_config(SMALL), denoiser=denoiser)
    with pytest.raises(UserError, match="EDM denoisers of one stage on stacked frames"):
        save_published(Agent(replace(SMALL, world_model=world_model)), tmp_path / "agent.pt")
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("shape", [(3, 17, 17), (3, 16, 14)])
def test_frames_whose_size_would_be_lost_are_not_saved(shape: tuple[int, int, int], tmp_path: Path) -> None:
    agent = Agent(
        AgentConfig(
            obs_shape=shape,
            actions=SMALL.actions,
            world_model=SMALL.world_model,
            actor_critic=SMALL.actor_critic,
        )
    )
    with pytest.raises(UserError, match=rf"cannot represent frames of {shape[1]}x{shape[2]}"):
        save_published(agent, tmp_path / "agent.pt")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("actions", [ActionSpec(axes=(Axis("lever"),)), ActionSpec(buttons=("a", "b", "c"))])
def test_only_single_choices_are_saved(actions: ActionSpec, tmp_path: Path) -> None:
    agent = Agent(replace(SMALL, actions=actions))
    with pytest.raises(UserError, match=r"one choice among several actions, and this agent has"):
        save_published(agent, tmp_path / "agent.pt")
    assert not any(tmp_path.iterdir())


class Hostile:
    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("hostile"),))


@pytest.mark.parametrize(
    "kind", ["text", "empty", "random", "truncated", "hostile", "pickle", "nested", "list"]
)
def test_other_files_are_refused_by_name(
    kind: str, small: Agent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "agent.pt"
    if kind in ("truncated", "nested"):
        save_published(small, path)
        whole = path.read_bytes()
        if kind == "nested":
            torch.save({"agent": torch.load(path, weights_only=True)}, path)
        else:
            path.write_bytes(whole[: len(whole) // 2])
    elif kind == "hostile":
        torch.save({"denoiser.x": Hostile()}, path)
    elif kind == "list":
        torch.save([torch.zeros(1)], path)
    else:
        noise = torch.randint(256, (500,), generator=Generator().manual_seed(1)).to(torch.uint8)
        content = {
            "text": b"hello\n",
            "empty": b"",
            "random": bytes(noise.tolist()),
            "pickle": pickle.dumps(3),
        }
        path.write_bytes(content[kind])
    with pytest.raises(UserError, match=r"agent.pt is not a published checkpoint .*; choose such a file"):
        load_published(path)
    assert not (tmp_path / "hostile").exists()


def test_a_missing_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"cannot read .*nothing.pt: No such file or directory; check the path"
    ):
        load_published(tmp_path / "nothing.pt")


def damaged(small: Agent, tmp_path: Path, change: Mapping[str, Tensor | None]) -> Path:
    """A published checkpoint with some tensors replaced, or left out where None."""
    save_published(small, tmp_path / "whole.pt")
    tensors = torch.load(tmp_path / "whole.pt", weights_only=True) | dict(change)
    torch.save({name: t for name, t in tensors.items() if t is not None}, tmp_path / "agent.pt")
    return tmp_path / "agent.pt"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"actor_critic.lstm.weight_ih": None}, "no tensor is named 'lstm.weight_ih'"),
        (
            {"denoiser.inner_model.conv_in.bias": None},
            "world_model.denoiser.inner_model.conv_in.bias is missing",
        ),
        ({"denoiser.extra": torch.zeros(1)}, "world_model.denoiser.extra is unexpected"),
        ({"third.x": torch.zeros(1)}, "third.x is unexpected"),
        ({"actor_critic.actor_linear.bias": torch.zeros(9)}, r"actor_linear.bias is \(9,\)"),
        ({"actor_critic.actor_linear.bias": torch.zeros(3).half()}, "torch.float16 instead of"),
        ({"actor_critic.lstm.weight_ih": torch.zeros(40, 8 * 25)}, "frames of different sizes"),
        ({"actor_critic.lstm.weight_ih": torch.zeros(40, 8 * 15)}, "are not a square of 8 channels"),
        ({"denoiser.inner_model.act_emb.0.weight": torch.zeros(0)}, "shapes do not fit together"),
        ({"denoiser.inner_model.act_emb.0.weight": torch.tensor(1.0)}, "shapes do not fit together"),
        ({"denoiser.inner_model.conv_out.weight": torch.tensor(1.0)}, "shapes do not fit together"),
        ({"rew_end_model.lstm.weight_ih_l0": torch.tensor(1.0)}, "shapes do not fit together"),
        ({"actor_critic.lstm.weight_hh": torch.tensor(1.0)}, "shapes do not fit together"),
        ({"actor_critic.lstm.weight_hh": torch.zeros(40, 0)}, "lstm.weight_ih is"),
        (
            {
                f"rew_end_model.encoder.blocks.{i}.resblocks.0.conv1.weight": torch.zeros(8, 8, 3, 3)
                for i in range(60)
            },
            "60 levels are for frames of up to",
        ),
    ],
)
def test_weights_that_do_not_fit_are_refused(
    change: Mapping[str, Tensor | None], message: str, small: Agent, tmp_path: Path
) -> None:
    path = damaged(small, tmp_path, change)
    with pytest.raises(UserError, match=rf"agent.pt does not hold an agent: .*{message}") as error:
        load_published(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(3, 4).to_sparse(),
        torch.zeros(1).expand(2**40, 4),
        torch.empty(3, 4, device="meta"),
    ],
    ids=["sparse", "expanded", "meta"],
)
@pytest.mark.filterwarnings("ignore")
def test_tensors_that_are_not_all_there_are_refused(tensor: Tensor, small: Agent, tmp_path: Path) -> None:
    path = damaged(small, tmp_path, {"denoiser.inner_model.act_emb.0.weight": tensor})
    with pytest.raises(UserError, match=r"agent.pt is not a published checkpoint \(") as error:
        load_published(path)
    assert "\n" not in str(error.value)


def test_an_agent_is_not_built_before_its_weights_are_known_to_fit(small: Agent) -> None:
    huge = with_value(SMALL, "actor_critic.lstm_dim", 2**30)  # 2^65 bytes
    with pytest.raises(UserError, match=r"an agent of these sizes cannot be built|weight_ih is"):
        build(huge, small.state_dict(), "x")
    network = replace(model_config(SMALL).denoiser.network, depths=(1, 2**31 - 1))
    deep = replace(model_config(SMALL), denoiser=replace(model_config(SMALL).denoiser, network=network))
    with pytest.raises(UserError, match=r"describes 2,147,483,6\d\d blocks of layers"):
        build(replace(SMALL, world_model=deep), small.state_dict(), "x")


def test_pipes_are_no_published_files(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "agent.pt")
    with pytest.raises(UserError, match="it is no regular file"):
        load_published(tmp_path / "agent.pt")
    with pytest.raises(UserError, match="Is a directory"):
        load_published(tmp_path)


def test_several_problems_make_one_line(small: Agent) -> None:
    tensors = {name: t for name, t in small.state_dict().items() if "conv_in" not in name}
    with pytest.raises(
        UserError, match=r"^x does not hold .* is missing \(and 3 more like it\); get"
    ) as error:
        build(SMALL, tensors, "x")
    assert "\n" not in str(error.value)


def test_a_world_model_alone_is_refused(tmp_path: Path) -> None:
    torch.save({"denoiser.x": torch.zeros(1)}, tmp_path / "part.pt")
    with pytest.raises(
        UserError,
        match=r"part.pt has no tensors named rew_end_model\.\*, actor_critic\.\*: it is not a complete",
    ):
        load_published(tmp_path / "part.pt")


@pytest.mark.parametrize("names", [(), ("x",), ("actor_critic.lstm.weight_ih", "world_model.x")])
def test_a_file_of_no_kind_is_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    torch.save({name: torch.zeros(1) for name in names}, tmp_path / "other.pt")
    with pytest.raises(UserError, match=r"other.pt is not a published .* knows \(diamond, iris.*\)") as error:
        load_published(tmp_path / "other.pt")
    assert "\n" not in str(error.value)


def test_an_agent_without_a_policy_is_not_saved(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"this agent has no policy: .* keep the checkpoint folder"):
        save_published(Agent(replace(SMALL, actor_critic=None)), tmp_path / "agent.pt")
    assert not any(tmp_path.iterdir())
