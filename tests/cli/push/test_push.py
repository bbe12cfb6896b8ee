"""``adamas push``, and the other commands on what it uploaded."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from adamas import cli
from adamas.core.checkpoint import find_checkpoint, save_checkpoint
from adamas.interop.load import load
from tests.helpers.hub_stand_in import READ_TOKEN, TOKEN, StandIn, connect, stand_in
from tests.helpers.pushed_run import score


def test_pushed_and_loaded_again(hub: StandIn, run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    score(run_dir)
    cli.run(["push", str(run_dir), "hf://me/breakout", "--yes", "--message", "First"])
    assert set(hub.repos) == {"me/breakout"} and not hub.repos["me/breakout"].private
    files, newest = hub.repos["me/breakout"].head, find_checkpoint(run_dir / "checkpoints").path
    assert list(files) == ["agent.safetensors", "config.yaml", "scores.json", "README.md"]
    assert files["agent.safetensors"] == (newest / "agent.safetensors").read_bytes()
    assert files["config.yaml"] == (newest / "config.yaml").read_bytes()
    assert files["scores.json"] == (run_dir / "results" / "scores.json").read_bytes()
    assert hub.messages == ["First"]
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "hf://me/breakout: new, public; licence mit"
    sizes = {line.split()[0]: int(line.split()[1].replace(",", "")) for line in printed[1:5]}
    assert sizes == {name: len(content) for name, content in files.items()}
    assert printed[5].startswith(f"{hub.endpoint}/me/breakout/commit/")
    assert printed[6] == '  adamas.load("hf://me/breakout")'

    ours, theirs = load(run_dir, "cpu"), load("hf://me/breakout", "cpu")
    assert ours.config == theirs.config
    first, second = ours.state_dict(), theirs.state_dict()
    assert list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)
    obs = torch.randint(256, (16, 3, 10, 10), generator=torch.Generator().manual_seed(0)).to(torch.uint8)
    actions = []
    for agent in (ours, theirs):
        torch.manual_seed(1)
        actions.append(agent.act(obs)[0])
    assert torch.equal(*actions) and len(actions[0].unique()) > 1


def test_a_checkpoint_and_a_private_repository(hub: StandIn, run_dir: Path) -> None:
    score(run_dir)
    first = run_dir / "checkpoints" / "step-00000001"
    cli.run(["push", str(first), "hf://me/old", "--private", "--yes"])
    assert hub.repos["me/old"].private and "scores.json" not in hub.repos["me/old"].head
    assert hub.repos["me/old"].head["agent.safetensors"] == (first / "agent.safetensors").read_bytes()


def test_a_run_that_was_trained_further_has_no_scores_yet(hub: StandIn, run_dir: Path) -> None:
    score(run_dir)
    newest = find_checkpoint(run_dir / "checkpoints")
    trainer = newest.trainer_state() | {"clock": {"seconds": 99.0}}
    save_checkpoint(run_dir / "checkpoints", 3, newest.agent_weights(), newest.config(), trainer)
    cli.run(["push", str(run_dir), "hf://me/further", "--yes"])
    assert "scores.json" not in hub.repos["me/further"].head
    assert "uploaded without scores" in hub.repos["me/further"].head["README.md"].decode()


@pytest.mark.parametrize("word", ["small", "."])
def test_a_checkpoint_in_the_working_folder(
    word: str, hub: StandIn, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = shutil.copytree(run_dir / "checkpoints" / "step-00000002", tmp_path / "small")
    monkeypatch.chdir(folder if word == "." else tmp_path)
    cli.run(["push", word, "hf://me/small", "--yes"])
    assert list(hub.repos["me/small"].head) == ["agent.safetensors", "config.yaml", "README.md"]


def test_a_repository_that_exists(
    hub: StandIn, run_dir: Path, capsys: pytest.CaptureFixture[str], complaint: Callable[..., str]
) -> None:
    repo = hub.add("me/mine", {"README.md": b"my own words", "notes.txt": b"keep"})
    assert complaint("push", run_dir, "hf://me/mine", "--private", "--yes") == (
        "hf://me/mine exists and everybody can see it; choose another name, or leave out --private"
    )
    assert not hub.posts()
    cli.run(["push", str(run_dir), "hf://me/mine", "--yes"])
    printed = capsys.readouterr().out.splitlines()
    assert printed[0] == "hf://me/mine: exists, public; licence mit"
    assert [line.split()[0] for line in printed if line.endswith("replaces the one there")] == ["README.md"]
    assert repo.head["notes.txt"] == b"keep" and b"adamas" in repo.head["README.md"]
    assert not any("repos/create" in request for request in hub.posts())


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("said", "uploaded"), [("y\n", True), ("YES\n", True), ("\n", False), ("no\n", False)]
)
def test_it_asks_before_it_uploads(
    said: str,
    uploaded: bool,
    hub: StandIn,
    run_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    complaint: Callable[..., str],
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(said))
    if uploaded:
        cli.run(["push", str(run_dir), "hf://me/breakout"])
    else:
        assert (
            complaint("push", run_dir, "hf://me/breakout")
            == "nothing was uploaded, because the answer was not yes"
        )
    assert bool(hub.posts()) == bool(hub.repos) == uploaded


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("push", "push needs an agent and a repository: adamas push RUN|CHECKPOINT hf://owner/name"),
        ("push RUN", "push needs an agent and a repository"),
        ("push RUN --yes", "push needs an agent and a repository"),
        ("push RUN me/agent", "me/agent is no address on the hub; give hf://owner/name"),
        (
            "push RUN hf://me/agent/folder",
            "hf://me/agent/folder names more than a repository; use: adamas push",
        ),
        ("push RUN hf://me/agent@v1", "hf://me/agent@v1 names more than a repository"),
        ("push RUN hf://me/agent --privat", "did you mean --private?"),
        ("push nothing hf://me/agent", "nothing does not exist; give a run folder"),
        ("push . hf://me/agent", "run folder, a checkpoint folder"),
        ("push RUN hf://me/agent", "there is no terminal to confirm it; check the list and add --yes"),
        ("push RUN hf://me/a--b --yes", "hf://me/a--b: Cannot have -- or .. in repo_id"),
        ("push RUN hf://me/agent --yes --message=", "`commit_message` can't be empty"),
    ],
)
def test_one_line_for_mistakes(
    arguments: str, message: str, hub: StandIn, run_dir: Path, complaint: Callable[..., str], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert message in complaint(*(word.replace("RUN", str(run_dir)) for word in arguments.split()))
    assert not any(repo.commits for repo in hub.repos.values())


def test_a_token_that_may_write_is_needed(
    hub: StandIn, run_dir: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:
    push = ("push", run_dir, "hf://me/breakout", "--yes")
    monkeypatch.delenv("HF_TOKEN")
    assert complaint(*push) == (
        "hf://me/breakout: uploading needs a token; log in with: hf auth login (or set HF_TOKEN)"
    )
    assert not hub.requests
    monkeypatch.setenv("HF_TOKEN", READ_TOKEN)
    assert complaint(*push) == (
        "hf://me/breakout: the hub answers 403 this token is for reading; log in with a token that may: hf auth login"
    )
    assert not hub.repos


def test_a_licence_that_the_hub_does_not_know_creates_nothing(
    hub: StandIn, run_dir: Path, complaint: Callable[..., str]
) -> None:
    line = complaint("push", run_dir, "hf://me/breakout", "--yes", "--licence", "nonsense")
    assert '"license\\" must be one of [mit, ...]' in line and line.endswith("correct that, or try again")
    assert not hub.repos


def test_a_hub_that_does_not_answer_is_one_line(
    run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:
    connect(monkeypatch, "http://127.0.0.1:9", tmp_path / "home", TOKEN)
    line = complaint("push", run_dir, "hf://me/breakout", "--yes")
    assert line.startswith("hf://me/breakout: http://127.0.0.1:9 cannot be reached (")
    assert line.endswith("); connect and try again")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    line = complaint("push", run_dir, "hf://me/breakout", "--yes")
    assert line == "hf://me/breakout: HF_HUB_OFFLINE is set; unset it and try again"


def test_other_commands_take_agents_on_the_hub(
    hub: StandIn, run_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complaint: Callable[..., str]
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    cli.run(["push", str(run_dir), "hf://me/breakout", "--yes"])
    short = ["--episodes", "1", "--num-envs", "1", "--out", "scores.json"]
    cli.run(["evaluate", "hf://me/breakout", *short])  # plays the game of its run
    assert json.loads(Path("scores.json").read_text())["protocol"]["env"]["game"] == "breakout"
    cli.run(["export", "published", "hf://me/breakout", "--out", "agent.pt"])
    hub.add("me/games", {"Breakout.pt": Path("agent.pt").read_bytes()})
    env = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"]
    steps = ["--steps", "3", "--num-envs", "1"]
    cli.run(["data", "record", "data", "--agent", "hf://me/games/Breakout.pt", *env, *steps])
    assert Path("data", "index.json").exists()
    assert "has no held-out episodes; give some with --dataset" in complaint("fidelity", "hf://me/breakout")
    assert complaint("evaluate", "hf://me/nothing").startswith("hf://me/nothing: there is no such repository")


def test_with_the_environment_alone(run_dir: Path, tmp_path: Path) -> None:
    """As users do it: huggingface_hub configured by its own variables, in a process of its own."""
    with stand_in() as (hub, _):
        own = {"HF_ENDPOINT": hub.endpoint, "HF_HOME": str(tmp_path / "home"), "HF_TOKEN": TOKEN}
        commands = (
            ["push", str(run_dir), "hf://me/breakout", "--yes"],
            ["export", "published", "hf://me/breakout", "--out", str(tmp_path / "agent.pt")],
        )
        code = f"from adamas import cli; [cli.run(command) for command in {commands}]"
        environment = os.environ | own | {"PYTHONPATH": str(Path(cli.__file__).parents[1])}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True
        )
    assert (done.returncode, done.stderr) == (0, "")
    ours, theirs = load(run_dir, "cpu").state_dict(), load(tmp_path / "agent.pt", "cpu").state_dict()
    assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    assert (tmp_path / "home" / "hub" / "models--me--breakout").is_dir()
