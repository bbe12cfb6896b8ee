"""Files, messages and options of any kind get a result or one line: no traceback, no code of a stranger's runs.

Seeded, so that it repeats; ``make fuzz`` tries many more cases.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from adamas import cli
from adamas.commands.dream import Dream
from adamas.commands.evaluate import Evaluate
from adamas.commands.export import Published
from adamas.commands.fidelity import Fidelity
from adamas.commands.play import Play
from adamas.core.config import load_config
from adamas.data import EpisodeStore
from adamas.interop.load import load
from adamas.interop.published import save_published
from adamas.play.messages import parse
from adamas.report.command import ReportOptions
from adamas.report.runs import find_runs
from adamas.training.config import Config
from tests.helpers.faults import EFFORT, content
from tests.helpers.fuzzing import NUMBERS, WORDS, Fuzz, damage, damage_yaml, replace_leaf, restore
from tests.helpers.scores import scores_json

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture
def fuzz() -> Fuzz:
    return Fuzz(0)


def test_configurations(fuzz: Fuzz, run: Path) -> None:
    file = run / "config.yaml"
    whole = file.read_text()
    for _ in range(60 * EFFORT):
        wrong = damage_yaml(whole, fuzz.rng)
        file.write_bytes(wrong)
        fuzz.attempt(wrong.decode(errors="replace"), lambda: load_config(file, Config))
    assert not Path("canary").exists()
    fuzz.report("configurations")


class Hostile:
    """What a pickle of runs code, where an unpickler lets it."""

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (Path("canary"),))


def other_tensor(tensor: torch.Tensor, rng: Any) -> Any:
    """Something else in the place of a tensor."""
    others = (
        torch.tensor(1.0),
        tensor[:0],
        tensor[None],
        tensor.double(),
        tensor.to_sparse(),
        tensor.flatten()[:1].expand(2**40),
        torch.full_like(tensor, torch.nan),
        torch.zeros([2] * 20),
        torch.zeros(1).bool(),
        torch.zeros(3, dtype=torch.complex64),
        Hostile(),
        None,
        3,
        "x",
        {"a": tensor},
    )
    return others[rng.randrange(len(others))]


def test_published_files(fuzz: Fuzz, run: Path) -> None:
    agent = load(run, "cpu")
    file = Path("agent.pt")
    save_published(agent, file)
    whole, tensors = file.read_bytes(), torch.load(file, weights_only=True)
    for _ in range(12 * EFFORT):
        case = "bytes"
        if fuzz.rng.random() < 0.4:
            file.write_bytes(damage(whole, fuzz.rng))
        else:
            name = fuzz.rng.choice(list(tensors))
            wrong = other_tensor(tensors[name], fuzz.rng)
            renamed = name if fuzz.rng.random() < 0.8 else name.replace("0", "7", 1)
            case = f"{renamed} is {wrong!r:.40}"
            torch.save({**tensors, renamed: wrong}, file)
        fuzz.attempt(case, lambda: load(file, "cpu"))
    assert not Path("canary").exists()
    fuzz.report("published files")


def test_scores_and_metrics(fuzz: Fuzz, run: Path) -> None:
    (run / "metrics").mkdir()
    (run / "results").mkdir()
    record = {"step": 5, "epoch": 0, "phase": "collect", "real_steps": 500}
    files: dict[Path, Any] = {
        run / "metrics/metrics.jsonl": record,
        run / "metrics/timing.jsonl": {**record, "seconds": 3.0},
        run / "results/scores.json": scores_json(1.0, real_steps=500),
    }
    for path, data in files.items():
        path.write_text(json.dumps(data) + "\n")
    for _ in range(120 * EFFORT):
        path = fuzz.rng.choice(list(files))
        text = json.dumps(replace_leaf(files[path], fuzz.rng)).encode() + b"\n"
        wrong = text if fuzz.rng.random() < 0.7 else damage(text, fuzz.rng)
        path.write_bytes(wrong)
        fuzz.attempt(wrong.decode(errors="replace"), lambda: find_runs([run]))
        path.write_text(json.dumps(files[path]) + "\n")
    fuzz.report("scores and metrics")


def test_play_messages(fuzz: Fuzz) -> None:
    messages: list[dict[str, Any]] = [
        {"type": "action", "action": 1, "seq": 3},
        {
            "type": "settings",
            "fps": 15,
            "denoising_steps": 3,
            "method": "euler",
            "horizon": 0,
            "temperature": 1.0,
            "strip": False,
        },
        {"type": "view", "view": "both"},
        {"type": "control", "who": "agent"},
        {"type": "record", "on": True},
    ]
    for _ in range(600 * EFFORT):
        text = json.dumps(replace_leaf(fuzz.rng.choice(messages), fuzz.rng))
        if fuzz.rng.random() < 0.3:
            text = damage(text.encode(), fuzz.rng).decode(errors="replace")
        fuzz.attempt(text, lambda text=text: parse(text, 3))  # type: ignore[misc]
    fuzz.report("play messages")


def test_checkpoints(fuzz: Fuzz, run: Path) -> None:
    folder = next((run / "checkpoints").glob("step-*"))
    whole = {name: (folder / name).read_bytes() for name in ("agent.safetensors", "config.yaml")}
    for _ in range(60 * EFFORT):
        name = fuzz.rng.choice(list(whole))
        wrong = (
            damage_yaml(whole[name].decode(), fuzz.rng)
            if name == "config.yaml"
            else damage(whole[name][:2000], fuzz.rng) + whole[name][2000:]
        )
        (folder / name).write_bytes(wrong)
        fuzz.attempt(f"{name} {wrong[:150]!r}", lambda: load(folder, "cpu"))
        (folder / name).write_bytes(whole[name])
    assert not Path("canary").exists()
    fuzz.report("checkpoints")


def test_datasets(fuzz: Fuzz, run: Path) -> None:
    folder = run / "dataset" / "train"
    whole = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}

    def use() -> None:
        store = EpisodeStore.open(folder)
        if store.num_episodes:
            store.read(np.array([0]), np.array([0]), 2)

    for _ in range(120 * EFFORT):
        name = fuzz.rng.choice(list(whole))
        if name == "index.json" and fuzz.rng.random() < 0.7:
            wrong = json.dumps(replace_leaf(json.loads(whole[name]), fuzz.rng)).encode()
        else:
            wrong = damage(whole[name], fuzz.rng)
        (folder / name).write_bytes(wrong)
        fuzz.attempt(f"{name} {wrong[:150]!r}", use)
        (folder / name).write_bytes(whole[name])
    fuzz.report("datasets")


COMMANDS: dict[str, tuple[type, str]] = {
    "evaluate": (Evaluate, "--episodes 1 --num-envs 1 --out scores.json"),
    "dream": (Dream, "--steps 1 --scale 1 --out film.gif"),
    "fidelity": (Fidelity, "--moments 0 --windows 2 --horizon 1 --lpips none --out fidelity"),
    "play": (Play, ""),
    "report": (ReportOptions, "--out page.html"),
    "export published": (Published, "--out agent.pt"),
}
ELSEWHERE = {
    "env",
    "host",
    "compile",
}  # its own suite asks for the first; a host is looked up; compiling takes long


def test_command_lines(fuzz: Fuzz, run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adamas.commands.play._serve", lambda *arguments: None)
    monkeypatch.setattr("adamas.commands.play._play_in_terminal", lambda *arguments: None)
    monkeypatch.setattr("adamas.fidelity.run._Experiment.draw", lambda *arguments: None)
    before = content(tmp_path)
    for _ in range(40 * EFFORT):
        command = fuzz.rng.choice(list(COMMANDS))
        options, base = COMMANDS[command]
        names = [field.name for field in dataclasses.fields(options) if field.name not in ELSEWHERE]
        words = [*command.split(), "RUN", *base.split()]
        for _ in range(fuzz.rng.randint(1, 2)):
            value = fuzz.rng.choice(
                NUMBERS + WORDS if fuzz.rng.random() < 0.7 else ("RUN", "/", "RUN/config.yaml")
            )
            words += [
                "--" + fuzz.rng.choice(names).replace("_", "-"),
                *([value] if fuzz.rng.random() < 0.95 else []),
            ]
        worked = fuzz.attempt(" ".join(words), lambda words=words: cli.run(words), programs=True)  # type: ignore[misc]
        after = content(tmp_path)
        changed = [name for name in before if before[name] != after.get(name, b"gone")]
        if changed or (not worked and after.keys() != before.keys()):
            fuzz.find(" ".join(words), f"changed {changed or sorted(after.keys() - before.keys())}")
        restore(tmp_path, before, after)
    fuzz.report("command lines")


def test_the_fuzzer_finds_what_is_wrong() -> None:
    def shell() -> None:
        import subprocess

        subprocess.run(["true"], check=True)

    fuzz = Fuzz(0)
    fuzz.attempt("a", lambda: {"a": 1}["x"])
    fuzz.attempt("b", shell)
    fuzz.attempt("c", lambda: 1)
    assert fuzz.outcomes == {"KeyError": 1, "result": 2}
    assert fuzz.findings == ["'a': KeyError: 'x'", "'b': did subprocess.Popen"] or (
        len(fuzz.findings) == 2 and "subprocess.Popen" in fuzz.findings[1]
    )
    with pytest.raises(AssertionError, match="KeyError"), warnings.catch_warnings():
        fuzz.report("itself")
    assert shutil.which("true")
