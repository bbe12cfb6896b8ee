"""Agents come from the hub, whole, and from the cache where there is no connection."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import adamas
from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.diffusion.edm import EdmConfig
from adamas.interop.hub import fetch, is_address, parse_address
from adamas.interop.published import save_published
from adamas.nn.unet import FrameNetworkConfig
from adamas.rl.actor_critic import ActorCriticConfig
from adamas.world_models.diamond import DiamondConfig
from adamas.world_models.reward_end import RewardEndConfig
from tests.helpers.hub_stand_in import READ_TOKEN, Repo, StandIn, connect, stand_in

CONFIG = AgentConfig(
    obs_shape=(3, 8, 8),
    actions=ActionSpec.discrete(("stay", "go")),
    world_model=DiamondConfig(
        denoiser=EdmConfig(
            network=FrameNetworkConfig(
                context_length=2, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
            )
        ),
        reward_end=RewardEndConfig(
            lstm_dim=8, cond_channels=8, depths=(1,), channels=(8,), attn_depths=(False,)
        ),
    ),
    actor_critic=ActorCriticConfig(lstm_dim=8, channels=(8,), down=(True,)),
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[StandIn, ThreadingHTTPServer]]:
    with stand_in() as (hub, server):
        connect(monkeypatch, hub.endpoint, tmp_path / "home", token=None)
        yield hub, server


@pytest.fixture
def hub(server: tuple[StandIn, ThreadingHTTPServer]) -> StandIn:
    return server[0]


def agent(seed: int) -> Agent:
    torch.manual_seed(seed)
    return Agent(CONFIG).eval()


def checkpoint(agent: Agent, folder: Path) -> dict[str, bytes]:
    """The two files that an agent needs, as a run writes them."""
    config = {"agent": to_dict(CONFIG), "run": {"seed": 0}}
    path = save_checkpoint(folder, 1, agent.state_dict(), config, {})
    return {name: (path / name).read_bytes() for name in ("agent.safetensors", "config.yaml")}


def published(agent: Agent, folder: Path) -> bytes:
    """A file in the published format."""
    save_published(agent, folder / "agent.pt")
    content = (folder / "agent.pt").read_bytes()
    (folder / "agent.pt").unlink()
    return content


def same(a: Agent, b: Agent) -> bool:
    first, second = a.state_dict(), b.state_dict()
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hf://me/agent", ("me/agent", "", None)),
        ("hf://me/agent/", ("me/agent", "", None)),
        ("hf://me/agent@v1.0", ("me/agent", "", "v1.0")),
        ("hf://me/agent@refs/pr/1", ("me/agent", "", "refs/pr/1")),
        ("hf://me/agent/games/Pong.pt@dev", ("me/agent", "games/Pong.pt", "dev")),
        (Path("hf://me/agent/games"), ("me/agent", "games", None)),
    ],
)
def test_addresses(word: Path | str, expected: tuple[str, str, str | None]) -> None:
    assert is_address(word)
    assert parse_address(word) == expected


@pytest.mark.parametrize(
    "word", ["hf://me", "hf:///me/agent", "hf://", "hf:me/agent", "hf://me/agent@", "hf://@/x"]
)
def test_what_is_no_address_is_refused(word: str) -> None:
    with pytest.raises(
        UserError, match=r"is no address on the hub; give hf://owner/name\[/folder or file.pt\]"
    ):
        adamas.load(word)
    assert not is_address("runs/hf")


def test_a_repository_with_an_agent_at_its_root(hub: StandIn, tmp_path: Path) -> None:
    there = agent(0)
    hub.add("me/agent", checkpoint(there, tmp_path) | {"trainer.pt": b"never asked for"})
    loaded = adamas.load("hf://me/agent", "cpu")
    assert same(loaded, there) and loaded.config == CONFIG and not loaded.training
    assert not any("trainer.pt" in request for request in hub.requests)
    obs = torch.zeros(3, 8, 8, dtype=torch.uint8)
    assert loaded.act(obs, temperature=0)[0] == there.act(obs, temperature=0)[0]


def test_folders_revisions_and_paths_that_lost_a_slash(hub: StandIn, tmp_path: Path) -> None:
    first, second = agent(1), agent(2)
    repo = Repo()
    hub.repos["me/agents"] = repo
    old = repo.commit({f"boxing/small/{n}": c for n, c in checkpoint(first, tmp_path / "1").items()})
    repo.commit({f"boxing/small/{n}": c for n, c in checkpoint(second, tmp_path / "2").items()})
    assert same(adamas.load("hf://me/agents/boxing/small", "cpu"), second)
    assert same(adamas.load(f"hf://me/agents/boxing/small@{old}", "cpu"), first)
    assert same(adamas.load(Path("hf://me/agents/boxing/small/"), "cpu"), second)


def test_a_published_file(hub: StandIn, tmp_path: Path) -> None:
    there = agent(3)
    hub.add("me/agents", {"games/Pong.pt": published(there, tmp_path)})
    loaded = adamas.load("hf://me/agents/games/Pong.pt", "cpu")
    assert same(loaded, there) and loaded.action_spec.names == ("0", "1")


@pytest.mark.parametrize("name", ["MsPacman", "mspacman", "MSPACMAN", "atari_100k/models/MsPacman.pt"])
def test_a_game_of_the_authors_by_its_name(name: str, hub: StandIn, tmp_path: Path) -> None:
    there = agent(4)
    hub.add("eloialonso/diamond", {"atari_100k/models/MsPacman.pt": published(there, tmp_path)})
    assert same(adamas.load(f"hf://eloialonso/diamond/{name}", "cpu"), there)


def test_only_the_authors_repository_takes_names_of_games(hub: StandIn) -> None:
    with pytest.raises(
        UserError, match=r"^hf://eloialonso/diamond has no game 'Pnog'; did you mean 'Pong'\?$"
    ):
        adamas.load("hf://eloialonso/diamond/Pnog")
    assert not hub.requests
    hub.add("me/diamond", {"atari_100k/models/Pong.pt": b""})
    with pytest.raises(
        UserError, match=r"no agent in hf://me/diamond/Pong: Pong/agent.safetensors and Pong/config"
    ):
        adamas.load("hf://me/diamond/Pong")


@pytest.mark.parametrize("offline", [False, True])
def test_the_second_time_needs_no_hub(
    offline: bool,
    server: tuple[StandIn, ThreadingHTTPServer],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hub, http = server
    there = agent(5)
    hub.add("me/agent", checkpoint(there, tmp_path) | {"Pong.pt": published(there, tmp_path)})
    adamas.load("hf://me/agent", "cpu"), adamas.load("hf://me/agent/Pong.pt", "cpu")
    seen = len(hub.requests)
    adamas.load("hf://me/agent", "cpu")
    assert hub.requests[seen:] == ["GET /api/models/me/agent"]  # is there a newer commit? Nothing more
    if offline:
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    else:
        http.shutdown()
        http.server_close()
    assert same(adamas.load("hf://me/agent", "cpu"), there)
    assert same(adamas.load("hf://me/agent/Pong.pt", "cpu"), there)


def refusal(word: str) -> str:
    """The one line that loading ``word`` ends with."""
    with pytest.raises(UserError) as error:
        adamas.load(word, "cpu")
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_repository_and_private_ones(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = (
        "hf://me/agent: there is no such repository, or it is private and your token cannot read it; "
        "check the name, or log in with: hf auth login"
    )
    assert refusal("hf://me/agent") == line
    there = agent(6)
    hub.add("me/agent", checkpoint(there, tmp_path), private=True)
    assert refusal("hf://me/agent") == line
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    assert same(adamas.load("hf://me/agent", "cpu"), there)
    assert refusal("hf://me/agnet").startswith("hf://me/agnet: there is no such repository")
    hub.add("me/gated", checkpoint(there, tmp_path / "gated")).gated = True
    assert refusal("hf://me/gated") == (
        "hf://me/gated: its owner must grant access; ask on its page, then log in: hf auth login"
    )


def test_no_revision(hub: StandIn, tmp_path: Path) -> None:
    hub.add("me/agent", checkpoint(agent(0), tmp_path))
    assert refusal("hf://me/agent@v9") == (
        "hf://me/agent@v9: the repository has no such revision; give a branch, a tag or a commit, as in "
        "hf://owner/name/path@revision"
    )


def test_no_agent(hub: StandIn) -> None:
    hub.add("me/model", {"model.bin": b"", "README.md": b""})
    assert refusal("hf://me/model") == (
        "no agent in hf://me/model: agent.safetensors and config.yaml should be there; me/model has README.md, "
        "model.bin"
    )
    assert refusal("hf://me/model/Pong.pt").endswith(
        "Pong.pt should be there; me/model has README.md, model.bin"
    )
    hub.add("me/many", {f"{i:02}.txt": b"" for i in range(15)})
    assert refusal("hf://me/many").endswith(
        "me/many has " + ", ".join(f"{i:02}.txt" for i in range(12)) + " and 3 more"
    )
    hub.add("me/half", {"agent.safetensors": b""})
    assert refusal("hf://me/half").endswith("config.yaml should be there; me/half has agent.safetensors")


def test_checkpoints_of_another_kind(hub: StandIn, tmp_path: Path) -> None:
    torch.save({"denoiser.x": torch.zeros(1)}, tmp_path / "csgo.pt")
    ours = checkpoint(agent(0), tmp_path)
    hub.add(
        "me/other",
        {
            "csgo.pt": (tmp_path / "csgo.pt").read_bytes(),
            "text.pt": b"hello",
            "model/agent.safetensors": ours["agent.safetensors"],
            "model/config.yaml": b"hidden_size: 8\n",
        },
    )
    assert "csgo.pt has no tensors named rew_end_model.*, actor_critic.*" in refusal("hf://me/other/csgo.pt")
    assert "text.pt is not a published checkpoint" in refusal("hf://me/other/text.pt")
    assert "config.yaml does not describe an agent" in refusal("hf://me/other/model")


def test_without_a_connection_and_without_a_copy(
    server: tuple[StandIn, ThreadingHTTPServer], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, http = server
    hub.add("me/agent", {"Pong.pt": published(agent(0), tmp_path), "Boxing.pt": b""})
    cache = f"and the cache {tmp_path / 'home' / 'hub'} has no copy"
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("waits before it tries again"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    line = f"HF_HUB_OFFLINE is set, {cache}; unset it and try again"
    assert refusal("hf://me/agent/Pong.pt") == f"hf://me/agent/Pong.pt: {line}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    adamas.load("hf://me/agent/Pong.pt", "cpu")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refusal("hf://me/agent/Boxing.pt") == f"hf://me/agent/Boxing.pt: {line}"
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    http.shutdown()
    http.server_close()
    for word in ("hf://me/agents/Pong.pt", "hf://me/agent/Boxing.pt"):
        line = refusal(word)
        assert line.startswith(f"{word}: {hub.endpoint} cannot be reached ([Errno ")
        assert line.endswith(f"), {cache}; connect and try again")


def test_other_answers_of_the_hub(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refusal("hf://me/a--b").startswith("hf://me/a--b: Cannot have -- or .. in repo_id")
    hub.add("me/agent", {"agent.safetensors": b""})
    assert "correct that, or try again" in refusal("hf://me/agent/../x")
    hub.broken = True
    assert "cannot be reached (Server error '503 Service Unavailable'" in refusal("hf://me/other")
    assert refusal("hf://me/agent").startswith("hf://me/agent: the hub answers 503")
    monkeypatch.setattr(constants, "ENDPOINT", "gopher://nowhere")
    assert "gopher://nowhere cannot be reached" in refusal("hf://me/other")


def test_a_cache_that_cannot_be_written_is_one_line_and_nothing_half_done(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = agent(7)
    hub.add("me/agent", {"Pong.pt": published(there, tmp_path)})
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file"))
    assert refusal("hf://me/agent/Pong.pt").endswith(
        f"check the cache {tmp_path / 'file'} and its free space"
    )


def test_a_transfer_that_breaks_off_leaves_nothing_that_looks_whole(
    hub: StandIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = agent(8)
    repo = hub.add("me/agent", {"Pong.pt": published(there, tmp_path)})
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    whole, hub.cut = repo.head["Pong.pt"], 1000
    line = refusal("hf://me/agent/Pong.pt")
    assert line.startswith(f"hf://me/agent/Pong.pt: {hub.endpoint} cannot be reached (peer closed connection")
    assert not list((tmp_path / "home" / "hub" / "models--me--agent" / "blobs").iterdir())
    hub.cut = None
    assert same(adamas.load("hf://me/agent/Pong.pt", "cpu"), there)
    path, commit = fetch("hf://me/agent/Pong.pt")
    assert path.read_bytes() == whole and list(repo.commits) == [commit]


def test_the_device_is_checked_before_anything_is_fetched(hub: StandIn) -> None:
    with pytest.raises(UserError, match="`device` is 'gpu'; choose from"):
        adamas.load("hf://me/agent", "gpu")
    assert not hub.requests


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal("hf://me/agent") == (
        "huggingface_hub is not installed; install it with: pip install 'adamas[hub]'"
    )
