"""The command line: everything works once, and every mistake is answered in one line."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import gymnasium
import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from adamas import cli
from adamas.core.checkpoint import find_checkpoint
from adamas.data.store import EpisodeStore
from adamas.interop.load import load

SHORT = ["--env.suite", "minatar", "--env.game", "breakout", "--env.size", "10", "--quiet"]
PICTURES = {"scores.json", "agent.gif", "dream.gif", "dream.png"}
PLOTS = {"learning_curve.png", "world_model.png", "dream_rates.png", "returns.png"}


def adamas(*arguments: str | Path, **options: Any) -> subprocess.Popen[str]:
    """Start the command line in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "adamas", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(cli.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def output(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    """What a process printed, and the lines of its complaint."""
    out, err = process.communicate(timeout=300)
    return out, err.splitlines()


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder of a run of the debug preset, and what it printed."""
    run_dir = tmp_path_factory.mktemp("cli") / "run"
    process = adamas("train", "debug", "--run-dir", run_dir)
    out, err = output(process)
    assert (process.returncode, err) == (0, [])
    return run_dir, out


@pytest.fixture
def complaint(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs a command that must fail, and returns the one line it says."""
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # main() sets both
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def run(*arguments: str | Path) -> str:
        monkeypatch.setattr(sys, "argv", ["adamas", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            cli.main()
        assert stop.value.code == 2
        lines = capsys.readouterr().err.splitlines()
        assert len(lines) == 1, lines
        assert lines[0].startswith("adamas: ")
        return lines[0].removeprefix("adamas: ")

    return run


# --- what works --------------------------------------------------------------------------------------------


def test_train_says_what_it_does_and_leaves_a_report(trained: tuple[Path, str]) -> None:
    run_dir, out = trained
    lines = out.splitlines()
    assert lines[0] == f"{run_dir}: training on atari Breakout, seed 0, cpu"
    assert lines[2].startswith("epoch 1/2  done in ")
    assert "scoring the agent: 2 episodes of the real game" in lines
    assert {path.name for path in (run_dir / "results").iterdir()} == PICTURES | PLOTS
    assert all(f"  {run_dir / 'results' / name}" in lines for name in PICTURES | PLOTS)
    scores = json.loads((run_dir / "results" / "scores.json").read_text())
    assert len(scores["agent"]["returns"]) == len(scores["random_policy"]["returns"]) == 2
    assert scores["run"]["real_steps"] == 160


def test_evaluate_collect_and_export_in_processes(trained: tuple[Path, str], tmp_path: Path) -> None:
    run_dir, _ = trained
    evaluate = adamas("evaluate", run_dir, "--episodes", "1", "--out", tmp_path / "scores.json")
    collect = adamas("collect", run_dir, "--steps", "30", "--num-envs", "2", "--out", tmp_path / "data")
    export = adamas("export", "published", run_dir, "--out", tmp_path / "agent.pt")
    for process, shown in ((evaluate, "mean return"), (collect, "30 steps in "), (export, "agent.pt")):
        out, err = output(process)
        assert (process.returncode, err) == (0, [])
        assert shown in out
    assert len(json.loads((tmp_path / "scores.json").read_text())["agent"]["returns"]) == 1
    assert EpisodeStore.open(tmp_path / "data").num_steps == 30
    ours, published = load(run_dir).state_dict(), load(tmp_path / "agent.pt").state_dict()
    assert all(tensor.equal(published[name]) for name, tensor in ours.items())


def test_an_exported_file_scores_as_its_run(
    trained: tuple[Path, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cli.run(["export", "published", str(trained[0]), "--out", "agent.pt"])
    env = ["--env.size", "16", "--env.max-episode-steps", "100", "--episodes", "2", "--num-envs", "2"]
    cli.run(["evaluate", "agent.pt", *env, "--seed", "5"])
    cli.run(["evaluate", str(trained[0]), "--episodes", "2", "--seed", "5", "--out", "run.json"])
    first, second = (json.loads(Path(n).read_text()) for n in ("agent-evaluation.json", "run.json"))
    assert first["agent"] == second["agent"]
    cli.run(["evaluate", str(trained[0]), "--episodes", "1", "--out", "run.json"])
    assert Path("run-2.json").exists()  # earlier scores are never overwritten


def test_a_checkpoint_folder_is_a_target_too(trained: tuple[Path, str], tmp_path: Path) -> None:
    checkpoint = find_checkpoint(trained[0] / "checkpoints").path
    cli.run(["collect", str(checkpoint), "--steps", "3", "--num-envs", "1", "--out", str(tmp_path / "data")])
    assert EpisodeStore.open(tmp_path / "data").obs_shape == (3, 16, 16)


def test_resuming_a_finished_run_scores_it_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(["train", "debug", *SHORT, "--run-dir", str(tmp_path / "run")])
    cli.run(["train", "--resume", str(tmp_path / "run"), "--quiet"])
    results = tmp_path / "run" / "results"
    first, second = (json.loads((results / n).read_text()) for n in ("scores.json", "scores-2.json"))
    assert first["agent"] == second["agent"]
    assert "epoch" not in capsys.readouterr().out  # quiet


def test_a_run_that_never_evaluated_has_a_report(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    cli.run(["train", "debug", *SHORT, "--run-dir", str(run_dir), "--evaluation.every-epochs", "9"])
    files = {path.name for path in (run_dir / "results").iterdir()}
    assert files == {"scores.json", "agent.gif"} | PLOTS


def test_without_matplotlib_there_are_scores_and_films(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.warns(UserWarning, match=r"no plots .*pip install 'adamas\[report\]'"):
        cli.run(["train", "debug", *SHORT, "--run-dir", str(tmp_path / "run")])
    assert {path.name for path in (tmp_path / "run" / "results").iterdir()} == PICTURES


@pytest.mark.parametrize("arguments", [[], ["--help"], ["train", "--help"]])
def test_usage(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    cli.run(arguments)
    assert "adamas train PRESET" in capsys.readouterr().out


def test_help_lists_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.run(["train", "debug", "--help"])
    assert not stop.value.code
    out = capsys.readouterr().out
    assert all(name in out for name in ("--seed INT", "--denoiser.optimizer.lr", "--quiet", "--run-dir"))


# --- mistakes ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("trian debug", "unknown command 'trian'; did you mean 'train'?"),
        ("train", "train needs a preset (quickstart, "),
        ("train debgu", "unknown preset 'debgu'; did you mean 'debug'?"),
        ("train debug --sede 3", "--sede, 3; did you mean --seed? (adamas train debug --help"),
        ("train debug --env.gme Pong", "did you mean --env.game?"),
        ("train debug --denoiser.optimizer.learning-rate 1", "did you mean --denoiser.optimizer.lr?"),
        ("train debug --seed x", "--seed: invalid literal for int"),
        ("train debug --seed", "Missing value for argument '--seed'"),
        ("train debug --seed -1", "seed is -1; it must be at least 0"),
        ("train debug --env.size 3.5", "--env.size: invalid literal for int"),
        ("train debug --env.size 3", "2 poolings leave nothing of a 3x3 image"),
        ("train debug --env.suite nes", "invalid choice 'nes'"),
        ("train debug --env.game Pnog", "unknown Atari game 'Pnog'; did you mean 'Pong'?"),
        ("train debug --env.suite minatar --env.game breakot", "did you mean 'breakout'?"),
        ("train debug --env.suite gymnasium --env.game No-v1", "unknown Gymnasium id 'No-v1'"),
        ("train debug --collection.epsilon 2", "collection.epsilon is 2.0; a probability lies in [0, 1]"),
        ("train debug --collection.age-weights 1 2", "must be at least 0 and sum to 1"),
        ("train debug --collection.total-steps 10", "first_steps_max <= total_steps, got 80, 80 and 10"),
        ("train debug --evaluation.final-episodes 0", "evaluation.final_episodes is 0; it must be at least 1"),
        ("train debug --denoiser.batch-size 0", "batch_size is 0; it must be at least 1"),
        ("train debug --runtime.device cuda", "runtime.device is 'cuda', but there is none here"),
        ("train debug --runtime.threads 0", "runtime.threads must be at least 1, got 0"),
        ("train debug --wandb-project x", "wandb is not installed; install it with: pip install"),
        ("train debug --run-dir file", "file exists and is not empty"),
        ("train debug --run-dir file/run", "cannot make file/run: Not a directory"),
        ("train debug --resume nothing", "Unrecognized options: debug"),
        ("train --resume", "Missing value for argument '--resume'"),
        ("train --resume nothing", "there is no run in nothing; start one with: adamas train PRESET"),
        ("train --resume .", "no usable checkpoint in checkpoints"),
        ("evaluate", "evaluate needs a run folder, a checkpoint folder or a published .pt file"),
        ("evaluate --episodes 3", "evaluate needs a run folder"),
        ("evaluate nothing", "nothing does not exist; give a run folder"),
        ("evaluate file", "file is not a published checkpoint"),
        ("evaluate RUN --episodes 0", "episodes is 0; a score needs at least 1"),
        ("evaluate RUN --seed -1", "seed is -1; it must be at least 0"),
        ("evaluate RUN --temperature -1", "temperature is -1.0; it must be at least 0"),
        ("evaluate RUN --num-envs 0", "num_envs is 0; at least one environment is needed"),
        ("evaluate RUN --env.game Pong", "has 4 actions (noop, fire, right, left), but the environment has 6"),
        ("evaluate RUN --env.size 32", "was trained on frames of shape (3, 16, 16)"),
        ("evaluate RUN --device tpu", "'runtime.device' cannot be 'tpu'; did you mean 'cpu'?"),
        ("evaluate RUN --episodes 1 --out file/x.json", "cannot write file/x.json"),
        ("collect RUN", "Missing from adamas collect"),
        ("collect RUN --out data --steps 0", "steps is 0; it must be at least 1"),
        ("collect RUN --out data --seed -4", "seed is -4; it must be at least 0"),
        ("collect RUN --out data --epsilon 3", "epsilon is 3.0; a probability lies in [0, 1]"),
        ("collect RUN --out data --temperature -1", "temperature is -1.0; it must be at least 0"),
        ("collect RUN --out data --num-envs 0", "num_envs is 0"),
        ("collect RUN --out RUN", "is not empty"),
        ("export", "export what? use: adamas export published"),
        ("export onnx RUN", "export what? use: adamas export published"),
        ("export published", "export published needs a run folder"),
        ("export published RUN", "Missing from adamas export published"),
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
    cli.run(["train", "debug", *SHORT, "--run-dir", str(run_dir)])
    assert "exists and is not empty; go on with it" in complaint("train", "debug", "--run-dir", run_dir)


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
        ("manifest.json", b'{"format_version": 99}', "written by a newer adamas; pip install --upgrade adamas"),
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

    metadata: ClassVar[dict[str, Any]] = {"render_modes": []}
    observation_space = Box(-1, 1, (4,))
    action_space = Discrete(2)

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**options)
        return np.zeros(4, np.float32), {}


class Steering(Vectors):
    """Sees pixels, and steers by degrees."""

    observation_space = Box(0, 255, (16, 16, 3), np.uint8)
    action_space = Box(-1, 1, (1,))

    def reset(self, **options: Any) -> tuple[Any, dict[str, Any]]:
        super().reset(**options)
        return np.zeros((16, 16, 3), np.uint8), {}


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (Vectors, "neither observes nor renders RGB pixels"),
        (Steering, "has the action space Box(-1.0, 1.0, (1,), float32); only Discrete is supported"),
    ],
)
def test_environments_that_cannot_be_played(
    env: type, message: str, complaint: Callable[..., str], tmp_path: Path
) -> None:
    game = f"Cli{env.__name__}-v0"
    gymnasium.register(game, entry_point=env)
    try:
        choice = ["--env.suite", "gymnasium", "--env.game", game]
        assert message in complaint("train", "debug", *choice, "--run-dir", tmp_path / "run", "--quiet")
    finally:
        del gymnasium.registry[game]


def test_nan_is_one_line(complaint: Callable[..., str], tmp_path: Path) -> None:
    rate = ["--denoiser.optimizer.lr", "1e30", "--denoiser.optimizer.warmup-updates", "0"]
    line = complaint("train", "debug", *SHORT, *rate, "--run-dir", tmp_path / "run")
    assert line.startswith("denoiser, epoch 1: the loss is nan")
    assert line.endswith("lower the learning rate or look at the batch")


# --- a machine that fails, a user who stops ------------------------------------------------------------------


def started(run_dir: Path, *arguments: str, **options: Any) -> subprocess.Popen[str]:
    """A long run in a process of its own, in the middle of its work."""
    process = adamas(
        "train", "debug", *SHORT[:-1], "--final-epochs", "5000", "--run-dir", run_dir, *arguments, **options
    )
    metrics = run_dir / "metrics" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.exists() and b'"epoch": 2' in metrics.read_bytes()):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return process


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path: Path) -> None:
    process = started(tmp_path / "run")
    process.send_signal(signal.SIGINT)
    _, err = output(process)
    assert process.returncode == 2
    assert err == [f"adamas: stopped and saved; go on with: adamas train --resume {tmp_path / 'run'}"]
    checkpoint = find_checkpoint(tmp_path / "run" / "checkpoints")
    assert checkpoint.step > 13


def limit_file_size() -> None:
    """Files may grow to 1 MB: the replay gets there first. Python ignores the signal that comes with it."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))


def test_a_full_disk_is_one_line_and_loses_no_checkpoint(tmp_path: Path) -> None:
    process = started(
        tmp_path / "run",
        *("--collection.total-steps", "100000", "--collection.steps-per-epoch", "1000"),
        *("--checkpoint-minutes", "0.01", "--evaluation.every-epochs", "1000"),
        preexec_fn=limit_file_size,
    )
    _, err = output(process)
    assert process.returncode == 2
    assert len(err) == 1 and err[0].startswith("adamas: cannot write to ") and "File too large" in err[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert find_checkpoint(tmp_path / "run" / "checkpoints").step > 13
    assert len(load(tmp_path / "run").state_dict())


def test_a_full_disk_under_tensorboard_is_one_line(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(disk)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        process = started(disk / "run", "--evaluation.every-epochs", "1000")
        with pytest.raises(OSError, match="No space left"), (disk / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(4096))
        _, err = output(process)
        assert process.returncode == 2
        assert len(err) == 1 and "No space left on device" in err[0]
        (disk / "filler").unlink()
        assert len(load(disk / "run").state_dict())
    finally:
        subprocess.run(["umount", str(disk)], check=True)
