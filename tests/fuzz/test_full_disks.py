"""A disk that is full at any moment: nothing torn is left, nothing is lost, and the next try works."""

from __future__ import annotations

import json
import random
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from PIL import Image

from adamas import cli
from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.core.process import MACHINE_ERRORS
from adamas.export.web import RUNTIME
from adamas.interop.load import load
from adamas.media.pictures import save_pair, save_strip
from adamas.media.plots import new_figure, save_figure
from tests.helpers.faults import EFFORT, content, disk

MOST = 6 * EFFORT  # moments at which one command's disk is full; of more, some are drawn

Check = Callable[[Path], object]


def is_json(path: Path) -> None:
    json.loads(path.read_text())


def is_picture(path: Path) -> None:
    with Image.open(path) as image:
        image.load()


def is_film(path: Path) -> None:
    av = pytest.importorskip("av")
    with av.open(str(path)) as film:
        assert sum(1 for _ in film.decode(video=0)) == 4


def is_page(path: Path) -> None:
    assert path.read_text().rstrip().endswith("</html>")


def is_fidelity(path: Path) -> None:
    is_json(path / "fidelity.json")
    for name in ("drift.png", "dream.gif", "dream.png"):
        is_picture(path / name)


def is_export(path: Path) -> None:
    assert sorted(file.name for file in path.iterdir()) == sorted(EXPORTED)


def is_site(path: Path) -> None:
    is_json(path / "check.json")
    names = {file.name for file in path.iterdir()}
    assert names >= {*EXPORTED, "contexts.bin", "index.html", "runtime"}


EXPORTED = ("denoiser.onnx", "reward_end.onnx", "actor_critic.onnx", "world.json")


def quick_export(agent: Agent, folder: Path, *arguments: object) -> dict[str, float]:
    """What takes a minute, in no time: files of the names that an export has."""
    for name in EXPORTED:
        (folder / name).write_bytes(bytes(200))
    return {}


COMMANDS: dict[str, tuple[str, str, Check]] = {
    "evaluate": ("evaluate RUN --episodes 1", "RUN/results/evaluation.json", is_json),
    "evaluate --out": ("evaluate RUN --episodes 1 --out new/a/scores.json", "new/a/scores.json", is_json),
    "export published": (
        "export published RUN --out agent.pt",
        "agent.pt",
        lambda path: load(path, "cpu"),
    ),
    "report": ("report RUN --out page.html", "page.html", is_page),
    "dream": ("dream RUN --out film.gif --steps 3 --scale 1", "film.gif", is_picture),
    "dream mp4": ("dream RUN --out film.mp4 --steps 3 --scale 1", "film.mp4", is_film),
    "export onnx": ("export onnx RUN --out models", "models", is_export),
    "export web": ("export web RUN --out site --runtime dist", "site", is_site),
    "fidelity": (
        "fidelity RUN --moments 0 --windows 2 --horizon 2 --lpips none --out fid",
        "fid",
        is_fidelity,
    ),
}
"""Command, what it writes, and how to see that it is whole."""


FRAMES = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


def draw_gif(path: Path) -> None:
    save_pair(path, FRAMES, FRAMES, 5)


def draw_strip(path: Path) -> None:
    save_strip(path, [("a", FRAMES)], 1)


def draw_figure(path: Path) -> None:
    pytest.importorskip("matplotlib")
    save_figure(path, new_figure(1, 1)[0])


def try_command(command: str) -> str:
    """Run a command: what it complains of, in one line; empty if it did what it should."""
    try:
        cli.run(command.split())
    except UserError as error:
        message = str(error)
    except OSError as error:  # the command line makes one line of these
        assert error.errno in MACHINE_ERRORS
        message = str(error.strerror)
    else:
        return ""
    assert message and "\n" not in message
    return message


@pytest.fixture
def game_run(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The run with what a report and an export need besides."""
    Path("dist").mkdir()
    for name in RUNTIME:
        Path("dist", name).write_bytes(bytes(200))
    monkeypatch.setattr("adamas.commands.export.export_onnx", quick_export)
    monkeypatch.setattr("adamas.report.command.render", lambda runs, against: 100 * "<p>" + "</html>")
    (run / "metrics").mkdir()
    for name in ("metrics", "timing"):
        (run / "metrics" / f"{name}.jsonl").write_text("")
    return run


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("game_run")
def test_a_disk_that_is_full_at_any_moment(name: str, tmp_path: Path) -> None:
    command, place, check = COMMANDS[name]
    made = tmp_path / place
    before = content(tmp_path)
    with disk(tmp_path) as whole:
        assert try_command(command) == ""
    check(made)
    remove_new(tmp_path, before)
    assert content(tmp_path) == before
    moments = range(1, whole.done + 1)
    assert len(moments) >= 3
    most = MOST // 2 if name == "fidelity" else MOST  # it takes long
    for moment in sorted(random.Random(0).sample(moments, min(most, len(moments)))):
        with disk(tmp_path, fail_at=moment) as failing:
            complaint = try_command(command)
        assert failing.failed and complaint, moment
        assert content(tmp_path) == before, (moment, failing.failed)
    assert try_command(command) == ""
    check(made)


def remove_new(folder: Path, before: dict[str, bytes | None]) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        if str(path.relative_to(folder)) not in before:
            path.rmdir() if path.is_dir() else path.unlink()


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file grows beyond ``size`` bytes: so libraries are told of a full disk that write without Python."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", COMMANDS)
@pytest.mark.usefixtures("game_run")
def test_a_file_that_cannot_grow(name: str, tmp_path: Path) -> None:
    command, _, _ = COMMANDS[name]
    before = content(tmp_path)
    for size in (0, 1, 100):
        with largest_file(size):
            assert "too large" in try_command(command)
        assert content(tmp_path) == before, size


@pytest.mark.parametrize("draw", [draw_gif, draw_strip, draw_figure])
def test_a_picture_that_cannot_be_replaced_stays(draw: Callable[[Path], object], tmp_path: Path) -> None:
    picture = tmp_path / "picture.png"
    draw(picture)
    before = content(tmp_path)
    with largest_file(100), pytest.raises(OSError, match="too large"):
        draw(picture)
    assert content(tmp_path) == before
