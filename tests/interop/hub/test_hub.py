"""Agents come from the hub, whole, and from the cache where there is no connection."""

from __future__ import annotations

from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import adamas
from adamas.core.errors import UserError
from adamas.interop.hub import is_address, parse_address
from tests.helpers.hub_agent import CONFIG, agent, checkpoint, published, same
from tests.helpers.hub_stand_in import Repo, StandIn


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
def test_addresses_are_taken_apart(word: Path | str, expected: tuple[str, str, str | None]) -> None:
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
