"""A kind of world model that nobody foresaw does everything that the others do, after one registration."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import adamas
from adamas import cli
from adamas.commands.train import parse_start
from adamas.core.checkpoint import find_checkpoint
from adamas.core.errors import Interrupted, UserError
from adamas.core.kinds import Open, register
from adamas.data.store import EpisodeStore
from adamas.dreaming.starts import RecordedStarts
from adamas.play.controls import Moves
from adamas.play.messages import ChangeView, Control, Fork, Settings
from adamas.play.recording import Recordings
from adamas.play.scene import PlayContext
from adamas.training.build import new_run, resume_run
from adamas.training.config import Config
from adamas.training.source import on_recordings
from tests.helpers.play_server import Table, breakout
from tests.helpers.tiny_config import differing, fingerprint, finish
from tests.training.test_trainer import before_unit
from tests.world_models.toy.kind import KINDS, Toy, ToyLearner

OPTIONS = [
    *("--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10"),
    *("--env.max-episode-steps", "100"),
    *("--world-model.kind", "toy", "--training.kind", "toy", "--actor-critic.kind", "linear"),
    *("--training.actor-critic.learner.rule", "average", "--training.actor-critic.start-epoch", "2"),
    *("--num-shards", "2", "--tensorboard", "False", "--imagination", "on"),
]


@pytest.fixture(autouse=True, scope="module")
def registered() -> Any:
    """The kind, registered for the tests of this file alone."""
    pytest.importorskip("minatar")
    with pytest.MonkeyPatch.context() as patch:
        for base in Open.__subclasses__():
            patch.setattr(base, "kinds", dict(base.kinds))
        register(*KINDS)
        yield


def config_of() -> Config:
    return parse_start("debug", OPTIONS).config


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """A finished run, trained by the command, and what it left."""
    folder = tmp_path_factory.mktemp("toy") / "run"
    cli.run(["train", "debug", *OPTIONS, "--run-dir", str(folder)])
    return folder, fingerprint(folder)


@pytest.fixture
def run_dir(trained: tuple[Path, dict[str, Any]], tmp_path: Path) -> Path:
    """A copy of that run."""
    return Path(shutil.copytree(trained[0], tmp_path / "run"))


def test_its_parts_learn_in_their_own_epochs(trained: tuple[Path, dict[str, Any]]) -> None:
    lines = (trained[0] / "metrics" / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    learnt = [(r["epoch"], r["phase"]) for r in records if r["phase"] not in ("collect", "evaluate")]
    assert learnt == [(1, "autoencoder"), (2, "autoencoder"), (2, "dynamics"), (2, "actor_critic")]
    assert records[-1]["phase"] == "evaluate" and "dream_end_rate" in records[-1]


def test_a_stopped_run_ends_as_an_uninterrupted_one(
    trained: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    """Also where it is stopped while its learner has a state of its own."""
    trainer = new_run(config_of(), tmp_path / "run", quiet=True)
    last = find_checkpoint(trained[0] / "checkpoints").step - 1  # an evaluation
    for unit in (2, 6, last - 2, last - 1):
        before_unit(trainer, unit, lambda: os.kill(os.getpid(), signal.SIGINT))
        with pytest.raises(Interrupted):
            trainer.run()
        trainer.close()
        trainer = resume_run(tmp_path / "run", quiet=True)
    phase: Any = trainer.phases["actor_critic"]
    assert isinstance(phase.learner, ToyLearner) and phase.learner.average != 0
    assert differing(finish(trainer), trained[1]) == []


def test_the_loaded_agent_remembers_the_game(run_dir: Path) -> None:
    agent = adamas.load(run_dir, "cpu")
    model = agent.world_model
    assert isinstance(model, Toy)
    torch.manual_seed(0)
    first, second = np.zeros((3, 10, 10), np.uint8), np.full((3, 10, 10), 255, np.uint8)
    action, state = agent.act(first)
    assert state[1].argmax() == action and state[1].sum() == 1
    memory = model.remember(
        model.observe(model.initial_memory(1), torch.tensor(first)[None])[1], torch.tensor([action])
    )
    seen, _ = model.observe(memory, torch.tensor(second)[None])
    expected = agent.policy(seen, ()).logits
    found = agent.player(torch.tensor(second)[None], state).logits
    assert torch.equal(found, expected)
    other = agent.player(torch.tensor(second)[None], agent.player.initial_state(1)).logits
    assert not torch.equal(found, other)


def test_every_command_takes_it(run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run, device = str(run_dir), ("--device", "cpu")
    few = ("--windows", "2", "--horizon", "4", "--lpips", "none", "--moments", "1", "--draws", "2")
    cli.run(["evaluate", run, "--episodes", "2", *device])
    cli.run(["dream", run, "--out", str(tmp_path / "a.gif"), "--worlds", "2", "--steps", "8", *device])
    cli.run(["dream", run, "--out", str(tmp_path / "b.gif"), "--beside-real", "--steps", "8", *device])
    cli.run(["fidelity", run, "--out", str(tmp_path / "fidelity"), "--baseline", run, *few, *device])
    cli.run(["data", "record", str(tmp_path / "recorded"), "--agent", run, "--steps", "30", *device])
    cli.run(["report", run, "--out", str(tmp_path / "report.html")])
    cli.run(["plan", "debug", *OPTIONS])
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "fidelity" / "fidelity.json").read_text())["dreams"]
    assert list(found) == ["dreams", "other actions", "still frame", "baseline"]
    assert "autoencoder" in printed and "mean return" in printed
    for name in ("a.gif", "b.gif", "report.html"):
        assert (tmp_path / name).stat().st_size > 1000, name
    with pytest.raises(UserError, match="does not draw frames from noise"):
        cli.run(["dream", run, "--out", str(tmp_path / "c.gif"), "--denoising-steps", "3", *device])
    with pytest.raises(UserError, match="only diffusion world models"):
        cli.run(["export", "onnx", run, "--out", str(tmp_path / "onnx")])


def test_its_dreams_are_environments(run_dir: Path) -> None:
    dreams = adamas.make_dream(run_dir, num_envs=3, horizon=20)
    dreams.reset(seed=0)
    ended = 0
    for _ in range(40):
        obs, _, terminated, _, _ = dreams.step(dreams.action_space.sample())
        assert obs.shape == (3, 10, 10, 3) and obs.dtype == np.uint8 and terminated.dtype == bool
        ended += int(terminated.sum())
    assert ended


def test_people_can_play_it(run_dir: Path, tmp_path: Path) -> None:
    agent = adamas.load(run_dir, "cpu")
    shared = PlayContext(
        agent=agent,
        moves=Moves(agent.action_spec),
        starts=RecordedStarts(EpisodeStore.open(run_dir / "dataset" / "train"), agent),
        make_env=breakout,
        recordings=Recordings(tmp_path / "recordings", agent.config.obs_shape, agent.action_spec),
        settings=Settings(),
        rng=np.random.default_rng(0),
        generator=torch.Generator().manual_seed(0),
    )
    table = Table(shared)
    one, other = table.join(), table.join()
    table.step(2)
    table.ask(one, ChangeView("both"))
    table.step(2)
    header = table.last(one)
    assert header["dream"]["age"] == header["real"]["age"] == 2 and header["policy"] is not None
    assert len(table.session(one).scene.memory) == 2 and table.session(other).scene.memory == ()
    table.ask(one, Fork())
    table.step()
    table.ask(one, ChangeView("dream"), Control("human"))
    table.step()
    assert table.session(one).scene.memory == () and table.last(one)["dream"]["age"] == 2


def test_it_learns_from_recordings_alone(run_dir: Path, tmp_path: Path) -> None:
    config = on_recordings(config_of(), str(run_dir / "dataset"))
    finish(new_run(config, tmp_path / "recorded", quiet=True))
    with pytest.raises(UserError, match="this agent has no policy"):
        _ = adamas.load(tmp_path / "recorded", "cpu").player


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        (
            "--training.kind",
            "diamond",
            "`world_model.kind` is toy and `training.kind` is diamond; make them equal",
        ),
        ("--actor-critic.kind", "residual", "sees frames, but the world model shows features of shape"),
        ("--imagination", "off", "policies of the kind toy see what a world model makes of frames"),
    ],
)
def test_what_does_not_go_together_is_refused(option: str, value: str, message: str, tmp_path: Path) -> None:
    options = [value if before == option else word for before, word in itertools.pairwise(["", *OPTIONS])]
    with pytest.raises(UserError) as refusal:
        new_run(parse_start("debug", options).config, tmp_path / "run", quiet=True)
    assert message in str(refusal.value)


def test_a_name_has_one_owner() -> None:
    class Other(KINDS[0]):  # type: ignore[misc,valid-type]
        """Another kind of the same name."""

    register(*KINDS)  # the same again changes nothing
    with pytest.raises(ValueError, match="'toy' is already ToyConfig, it cannot be Other"):
        register(Other)
