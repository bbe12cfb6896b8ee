"""What the hub does not give is refused in one line, and leaves nothing half done."""

from __future__ import annotations

import sys
from http.server import ThreadingHTTPServer
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

import adamas
from adamas.core.errors import UserError
from adamas.interop.hub import fetch
from tests.helpers.hub_agent import agent, checkpoint, published, refusal, same
from tests.helpers.hub_stand_in import READ_TOKEN, StandIn


def test_missing_and_private_repositories_are_refused_alike(
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


def test_a_missing_revision_is_refused(hub: StandIn, tmp_path: Path) -> None:
    hub.add("me/agent", checkpoint(agent(0), tmp_path))
    assert refusal("hf://me/agent@v9") == (
        "hf://me/agent@v9: the repository has no such revision; give a branch, a tag or a commit, as in "
        "hf://owner/name/path@revision"
    )


def test_a_repository_without_an_agent_says_what_it_has(hub: StandIn) -> None:
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


def test_checkpoints_of_another_kind_are_refused(hub: StandIn, tmp_path: Path) -> None:
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


def test_without_a_connection_and_without_a_copy_one_line_says_so(
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


def test_other_answers_of_the_hub_are_one_line(hub: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_without_huggingface_hub_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    assert refusal("hf://me/agent") == (
        "huggingface_hub is not installed; install it with: pip install 'adamas[hub]'"
    )
