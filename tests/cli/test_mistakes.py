"""Every mistake is answered in one line."""

from __future__ import annotations

import shutil
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from adamas import cli
from adamas.core.arguments import _gist
from tests.helpers.commands import NO_EPOCH, SHORT


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian debug", "unknown command 'trian'; did you mean 'train'?"),
        ("train", "train needs a preset (quickstart, "),
        ("train debgu", "unknown preset 'debgu'; did you mean 'debug'?"),
        (
            "train debug --sede 3",
            "there is no option --sede; did you mean --seed? (adamas train debug --help",
        ),
        ("train debug --env.gme Pong", "did you mean --env.game?"),
        (
            "train debug --training.denoiser.optimizer.learning-rate 1",
            "did you mean --training.denoiser.optimizer.lr?",
        ),
        ("train debug --seed x", "--seed is 'x'; it must be a whole number (adamas train debug --help"),
        ("train debug --seed", "--seed needs a value"),
        ("train debug --seed -1", "seed is -1; it must be at least 0"),
        ("train debug --env.size 3.5", "--env.size is '3.5'; it must be a whole number"),
        ("train debug --env.size 3", "2 poolings leave nothing of a 3x3 image"),
        ("train debug --env.suite nes", "--env.suite is nes; choose from atari, minatar, vizdoom, gymnasium"),
        ("train debug --env.game Pnog", "unknown Atari game 'Pnog'; did you mean 'Pong'?"),
        ("train debug --env.suite minatar --env.game breakot", "did you mean 'breakout'?"),
        ("train debug --env.suite gymnasium --env.game No-v1", "unknown Gymnasium id 'No-v1'"),
        (
            "train debug --collection.epsilon 2",
            "--collection.epsilon is 2.0; it must be at least 0 and at most 1",
        ),
        ("train debug --collection.age-weights 1 2", "must be at least 0 and sum to 1"),
        (
            "train debug --collection.total-steps 10",
            "--collection.total-steps is 10; each must be at least 1",
        ),
        (
            "train debug --evaluation.final-episodes 0",
            "--evaluation.final-episodes is 0; it must be at least 1",
        ),
        ("train debug --training.denoiser.batch-size 0", "`batch_size` is 0; it must be at least 1"),
        ("plan debug --horizon 4294967296", "--horizon is 4294967296; it must be below"),
        (
            "train debug --training.actor-critic.learner.gamma 2",
            "--training.actor-critic.learner.gamma is 2.0; it must be at least 0 and at most 1",
        ),
        ("train debug --world-model.sampler.rho 0", "`sampler.rho` is 0.0; it must be above 0"),
        (
            "train debug --world-model.denoiser.network.context-length 0",
            "`network.context_length` is 0; it must be at least 1",
        ),
        (
            "train debug --world-model.denoiser.network.channels 8 100",
            "`network.channels`: 100 channels cannot be split into",
        ),
        (
            "train debug --actor-critic.channels 100 8",
            "--actor-critic.channels: 100 channels cannot be split into",
        ),
        ("train debug --num-shards 0", "--num-shards is 0; it must be at least 1"),
        ("train debug --num-shards 5", "it must be at least --num-shards, 5"),
        (
            "train debug --runtime.device cuda",
            "--runtime.device is 'cuda', but this machine has none; use auto",
        ),
        ("train debug --runtime.threads 0", "--runtime.threads is 0; it must be at least 1"),
        ("train debug --wandb-project x", "wandb is not installed; install it with: pip install"),
        ("train debug --run-dir file", "file exists and is not empty"),
        ("train debug --run-dir file/run", "cannot make file/run: Not a directory"),
        ("train debug --resume nothing", "a run that continues has its preset already; leave out debug"),
        ("train --resume", "--resume needs a value"),
        (
            "train --resume RUN --seed 3",
            "--seed cannot change when a run continues; only --device, --final-epochs and",
        ),
        ("train --resume nothing", "there is no run in nothing; start one with: adamas train PRESET"),
        ("train --resume .", "there is no run in .; start one with: adamas train PRESET"),
        ("evaluate", "evaluate needs a run folder, a checkpoint folder or a published .pt file"),
        ("evaluate --episodes 3", "evaluate needs a run folder"),
        ("evaluate --episodes 0 RUN", "--episodes is 0; it must be at least 1"),
        ("evaluate --seed x RUN", "--seed is 'x'; it must be a whole number"),
        ("evaluate nothing", "nothing does not exist; give a run folder"),
        ("evaluate file", "file is not a published checkpoint"),
        ("evaluate RUN --episodes 0", "--episodes is 0; it must be at least 1"),
        ("evaluate RUN --seed -1", "--seed is -1; it must be at least 0"),
        ("evaluate RUN --temperature -1", "--temperature is -1.0; it must be at least 0"),
        ("evaluate RUN --temperature nan", "--temperature is nan"),
        (
            "evaluate RUN --temperature inf",
            "--temperature is inf; it must be at least 0 (0 is greedy) and finite",
        ),
        ("evaluate RUN --episodes 2147483648", "--episodes is 2147483648; it must be below 2147483648"),
        ("evaluate RUN --seed 9223372036854775808", "--seed is a huge whole number; it must be below"),
        ("evaluate RUN --env.size 9999999999", "--env.size is 9999999999; it must be below"),
        ("dream RUN --out a.gif --fps nan", "--fps is nan"),
        ("dream RUN --out a.gif --fps inf", "--fps is inf; it must be at least 0.1 and at most 50"),
        ("dream RUN --out a.gif --temperature inf", "--temperature is inf"),
        ("play RUN --fps nan", "--fps is nan"),
        ("play RUN --fps inf", "--fps is inf; it must be at least 1 and at most 60"),
        ("train debug --training.denoiser.optimizer.lr nan", "`optimizer.lr` is nan; it must be above 0"),
        (
            "train debug --world-model.sampler.s-tmax nan",
            "--world-model.sampler.s-tmax is nan, which is no number",
        ),
        (
            "train debug --actor-critic.lstm-dim 4294967296",
            "--actor-critic.lstm-dim is 4294967296; it must be below",
        ),
        ("evaluate RUN --num-envs 0", "--num-envs is 0; it must be at least 1"),
        (
            "evaluate RUN --env.game Pong",
            "has 4 actions (noop, fire, right, left), but the environment has 6",
        ),
        ("evaluate RUN --env.size 32", "was trained on frames of shape (3, 16, 16)"),
        ("evaluate RUN --device tpu", "--device is tpu; choose from auto, cpu, cuda, mps"),
        ("evaluate RUN --episodes 1 --out file/x.json", "cannot write file/x.json"),
        ("evaluate RUN --device cuda", "--device is 'cuda', but this machine has none; use auto"),
        ("collect RUN --out data", "adamas collect is now: adamas data record FOLDER --agent RUN"),
        ("dream RUN --out a.gif --by agent", "--by is now --policy (adamas dream --help lists the options)"),
        ("fidelity RUN --steps=1,2", "--steps is now --denoising-steps (adamas fidelity --help"),
        ("data record RUN --agent", "data record --agent needs a run folder"),
        ("data record data --agent RUN --steps 0", "--steps is 0; it must be at least "),
        ("data record data --agent RUN --seed -4", "--seed is -4; it must be at least 0"),
        ("data record data --agent RUN --epsilon 3", "--epsilon is 3.0; it must be at least 0 and at most 1"),
        ("data record data --agent RUN --temperature -1", "--temperature is -1.0; it must be at least 0"),
        ("data record data --agent RUN --num-envs 0", "--num-envs is 0; it must be at least 1"),
        ("data record RUN --agent RUN", "is not empty"),
        ("export", "export needs a command; valid: onnx, published, web (adamas export --help)"),
        ("export tflite RUN", "unknown command 'export tflite'; valid: onnx, published, web"),
        ("export onnx", "export onnx needs a run folder"),
        ("export onnx RUN", "--out PATH is missing. The folder to write."),
        ("export web RUN", "--out PATH is missing. The folder to write."),
        ("export web RUN --out file", "file exists and is not overwritten; choose another name"),
        ("export published", "export published needs a run folder"),
        ("export published RUN", "--out PATH is missing. The .pt file to write."),
        ("export published RUN --out file", "file exists and is not overwritten"),
        ("export published RUN --out nowhere/a.pt", "cannot write nowhere/a.pt: No such file or directory"),
    ],
)
def test_one_line_for_every_mistake(
    arguments: str,
    message: str,
    complaint: Callable[..., str],
    trained: tuple[Path, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").write_text("not a checkpoint")
    quiet = ["--quiet"] if arguments.startswith("train debug --") and "--run" not in arguments else []
    run_dir = str(trained[0])
    assert message in complaint(*(a.replace("RUN", run_dir) for a in arguments.split()), *quiet)


def test_a_mistake_does_not_take_the_folder(complaint: Callable[..., str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    wrong = complaint("train", "debug", *SHORT, "--run-dir", run_dir, "--wandb-project", "x")
    assert "wandb is not installed" in wrong
    cli.run(["train", "debug", *NO_EPOCH, "--run-dir", str(run_dir)])
    assert "exists and is not empty; resume the run in it" in complaint(
        "train", "debug", "--run-dir", run_dir
    )


def test_without_minatar(
    complaint: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "minatar", None)
    message = complaint("train", "debug", *SHORT, "--run-dir", tmp_path / "run")
    assert message == "minatar is not installed; install it with: pip install 'adamas[minatar]'"
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("agent.safetensors", b"?", "no usable checkpoint"),
        ("trainer.pt", b"", "no usable checkpoint"),
        ("config.yaml", b"a: [", "no usable checkpoint"),
        (
            "manifest.json",
            b'{"format_version": 99}',
            "written by a newer adamas; pip install --upgrade adamas",
        ),
    ],
)
@pytest.mark.parametrize("command", ["train --resume RUN", "evaluate RUN"])
def test_damaged_and_newer_checkpoints(
    command: str,
    name: str,
    content: bytes,
    message: str,
    complaint: Callable[..., str],
    trained: tuple[Path, str],
    tmp_path: Path,
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(trained[0], run_dir)
    checkpoints = sorted((run_dir / "checkpoints").glob("step-*"))
    for checkpoint in checkpoints[:-1]:
        shutil.rmtree(checkpoint)
    (checkpoints[-1] / name).write_bytes(content)
    arguments = command.replace("RUN", str(run_dir)).split()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the one checkpoint is damaged
        assert message in complaint(*arguments)


@pytest.mark.parametrize("content", [b"a: [", b"\xff\xfe\x00", b"- 1", b"sede: 3", b""])
def test_a_damaged_configuration(
    content: bytes, complaint: Callable[..., str], trained: tuple[Path, str], tmp_path: Path
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(trained[0], run_dir)
    (run_dir / "config.yaml").write_bytes(content)
    assert "config" in complaint("evaluate", run_dir)


def test_a_lost_replay(complaint: Callable[..., str], trained: tuple[Path, str], tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(trained[0], run_dir)
    (run_dir / "dataset" / "train" / "frames.bin").write_bytes(b"")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert "frames.bin is shorter" in complaint("train", "--resume", run_dir)


class Vectors(gymnasium.Env[Any, Any]):
    """Observes numbers and draws nothing."""

    metadata = {"render_modes": []}  # noqa: RUF012  (Gymnasium declares it so)
    observation_space: Any = Box(-1, 1, (4,))
    action_space: Any = Discrete(2)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**options)
        return np.zeros(4, np.float32), {}


class Steering(Vectors):
    """Sees pixels, and steers as far as one likes."""

    observation_space = Box(0, 255, (16, 16, 3), np.uint8)
    action_space = Box(-np.inf, np.inf, (1,))

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**options)
        return np.zeros((16, 16, 3), np.uint8), {}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Vectors, "neither observes nor renders RGB pixels"),
        (Steering, "the action space Box(-inf, inf, (1,), float32) is not supported; wrap the environment"),
    ],
)
def test_environments_that_cannot_be_played(
    env: Any, message: str, complaint: Callable[..., str], tmp_path: Path
) -> None:
    game = f"Cli{env.__name__}-v0"
    gymnasium.register(game, entry_point=env)
    try:
        choice = ["--env.suite", "gymnasium", "--env.game", game]
        assert message in complaint("train", "debug", *choice, "--run-dir", tmp_path / "run", "--quiet")
    finally:
        del gymnasium.registry[game]


def test_nan_is_one_line(complaint: Callable[..., str], tmp_path: Path) -> None:
    rate = ["--training.denoiser.optimizer.lr", "1e30", "--training.denoiser.optimizer.warmup-updates", "0"]
    line = complaint("train", "debug", *SHORT, *rate, "--run-dir", tmp_path / "run")
    assert line.startswith("denoiser, epoch 1: the loss is nan")
    assert line.endswith("lower the learning rate or look at the batch")


@pytest.mark.parametrize("colour", ["", "\x1b[31m"])
def test_a_box_in_colour_and_without_sides(colour: str) -> None:
    side = f"{colour}│" if colour else " "
    lines = ["Unrecognized options: --sede, 3", "─" * 9, "Perhaps you meant:", "    --seed INT", "─" * 9]
    box = "\n".join(["title", *(f"{side} {line}   {side}" for line in lines)])
    assert _gist(box) == "there is no option --sede; did you mean --seed?"
