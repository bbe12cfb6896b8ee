"""Recordings that cannot be imported: one line each, and nothing left behind."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import av
import h5py

from adamas.core.errors import UserError
from adamas.data import EpisodeStore
from adamas.data.importing.run import ImportOptions, import_recordings
from adamas.data.index import cannot_write
from tests.helpers.recordings import frames, write_csgo, write_csv, write_images, write_video

Make = Callable[[Path], object]


def clip(name: str = "clip", count: int = 4, seed: int = 0, width: int = 32) -> Make:
    return lambda folder: write_video(folder / f"{name}.mp4", frames(count, seed, width=width))


def table(name: str = "clip", **columns: Any) -> Make:
    return lambda folder: write_csv(folder / f"{name}.csv", **columns)


def text(name: str, content: str) -> Make:
    return lambda folder: (folder / name).write_text(content)


def cut_short(folder: Path) -> None:
    path = write_video(folder / "clip.mp4", frames(30))
    path.write_bytes(path.read_bytes()[:2000])


def sound(folder: Path) -> None:
    with av.open(str(folder / "clip.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
        frame.rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())


def mixed(folder: Path) -> None:
    write_images(folder / "shots", frames(2))
    write_images(folder / "other", frames(1, width=16))
    os.rename(folder / "other" / "shot0.png", folder / "shots" / "shot9.png")
    (folder / "other").rmdir()


def npz(**arrays: object) -> Make:
    return lambda folder: np.savez(folder / "one.npz", **arrays)  # type: ignore[arg-type]


def csgo(folder: Path, **change: object) -> Path:
    return write_csgo(folder / "game.hdf5", frames(3, 0, 150, 280), np.eye(3, 51))


def csgo_without_action(folder: Path) -> None:
    with h5py.File(csgo(folder), "a") as file:
        del file["frame_2_y"]


def csgo_of_another_size(folder: Path) -> None:
    write_csgo(folder / "game.hdf5", frames(3), np.eye(3, 51))


OK: dict[str, Any] = {"action": [0, 1, 2]}
MISTAKES: list[tuple[str, list[Make], str]] = [
    ("nothing", [], "nothing in .* can be imported; give a file or folder with one of .mp4"),
    ("no table", [clip()], r"clip.mp4 needs one table of actions, called clip.csv, .*`actions`"),
    ("two tables", [clip(), table(**OK), text("clip.json", "[]")], "clip.mp4 needs one table"),
    ("too few rows", [clip(count=6), table(**OK)], "clip.mp4 has 6 frames, but .*clip.csv has 3 rows"),
    ("too many rows", [clip(count=2), table(**OK)], "clip.mp4 has 2 frames, but .*clip.csv has 3 rows"),
    ("no rows", [clip(), text("clip.csv", "action\n")], "clip.csv has no rows"),
    ("no action", [clip(), table(reward=[0, 1, 2])], "clip.csv has no column for the action, only reward"),
    (
        "a short row",
        [clip(), text("clip.csv", "a,b\n1,2\n3\n")],
        "clip.csv, row 3: 1 cells, but the first row names 2 columns",
    ),
    ("an empty cell", [clip(), text("clip.csv", 'a\n1\n2\n""\n')], "clip.csv, row 4: a is '', not a number"),
    ("a text", [clip(), table(a=[1, "left", 2])], "clip.csv, row 3: a is 'left', not a number"),
    ("NaN", [clip(), table(a=[1, "nan", 2])], "clip.csv, row 3: a is 'nan', not a number"),
    ("columns twice", [clip(), text("clip.csv", "a,a\n1,2\n")], "clip.csv: two columns have the same name"),
    ("no JSON", [clip(), text("clip.json", "{")], "clip.json cannot be read as a JSON file"),
    ("no list", [clip(), text("clip.json", "{}")], "clip.json must hold a list of rows"),
    (
        "other keys",
        [clip(), text("clip.jsonl", '{"a": 1}\n{"b": 1}')],
        "clip.jsonl, row 2: the columns differ",
    ),
    ("constant", [clip(), table(a=[3.5] * 3)], "a is 3.5 everywhere, .* `ignore` a"),
    ("time runs back", [clip(), table(time=[0, 2, 1], **OK)], "clip.csv: time must be .* never decrease"),
    (
        "time below 0",
        [clip(), table(time=[-1, 0, 1], **OK)],
        "clip.csv: time must be seconds from the video's start",
    ),
    ("late", [clip(), table(time=[0.1, 0.2, 0.3], **OK)], "clip.csv: no row is in effect yet at frame 1"),
    (
        "other columns",
        [clip("a"), clip("b"), table("a", x=[0, 1, 1]), table("b", y=[0, 1, 1])],
        "b.csv has the columns y",
    ),
    (
        "after the end",
        [clip(), table(terminated=[0, 1, 0], **OK)],
        "clip.csv: the episode continues after its end",
    ),
    (
        "rewards as texts",
        [clip(), table(reward=["a", "b", "c"], **OK)],
        "clip.csv: time, reward, .* must be numbers",
    ),
    ("one frame", [clip(count=1), table(action=[0])], "clip.mp4 has 1 frames, and an episode needs two"),
    ("no video", [text("clip.mp4", "hello"), table(**OK)], "clip.mp4 cannot be decoded"),
    ("cut short", [cut_short, table(**OK)], "clip.mp4 cannot be decoded|clip.mp4 has .* frames"),
    ("sound alone", [sound, table(**OK)], "clip.mp4 has no video stream"),
    (
        "sizes",
        [clip("a"), table("a", **OK), clip("b", width=16), table("b", **OK)],
        r"b.mp4 has frames of \(16, 16\), earlier recordings \(16, 32\); choose one size with `size`",
    ),
    (
        "mixed images",
        [mixed, table("shots", action=[0, 1])],
        r"shots: frame 3 is \(16, 16\), the first \(16, 32\)",
    ),
    ("no NPZ", [text("one.npz", "hello")], "one.npz cannot be read as an NPZ file"),
    ("no obs", [npz(actions=[0])], "one.npz has no array called obs or .*; it has actions"),
    ("floats", [npz(obs=np.zeros((3, 4, 4, 3)), action=[0, 1])], "obs is float64 .* must be uint8"),
    ("grey", [npz(obs=np.zeros((3, 4, 4), np.uint8), action=[0, 1])], "must be uint8"),
    ("3-D actions", [npz(obs=frames(3), action=np.zeros((2, 2, 2)))], "action must be finite numbers"),
    (
        "no steps",
        [npz(obs=frames(1), action=np.zeros(0))],
        "one.npz: action is empty; give an episode at least",
    ),
    (
        "texts",
        [npz(obs=frames(3), action=["a", "b"])],
        r"action must be finite numbers \(T,\) or .* it holds texts;",
    ),
    ("infinite", [npz(obs=frames(3), action=[0, np.inf])], "action must be .* but it holds NaN or infinity;"),
    ("rewards too few", [npz(obs=frames(3), action=[0, 1], reward=[0])], "reward must be 2 finite numbers"),
    ("no HDF5", [text("game.hdf5", "hello")], "game.hdf5 cannot be read as an HDF5 file"),
    ("CS:GO, no action", [csgo_without_action], "game.hdf5: frame_2_y must be 51 numbers"),
    (
        "CS:GO, size",
        [csgo_of_another_size],
        r"game.hdf5: frame_0_x is uint8 \(16, 32, 3\), not uint8 \(150, 280, 3\)",
    ),
]


@pytest.mark.parametrize(("make", "message"), [m[1:] for m in MISTAKES], ids=[m[0] for m in MISTAKES])
def test_a_mistake_is_one_line_and_leaves_nothing(tmp_path: Path, make: list[Make], message: str) -> None:
    folder = tmp_path / "given"
    folder.mkdir()
    for one in make:
        one(folder)
    with pytest.raises(UserError, match=message) as error:
        import_recordings(folder, tmp_path / "out", None, ImportOptions())
    assert "\n" not in str(error.value)
    assert [path.name for path in tmp_path.iterdir()] == ["given"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": (99, 99)}, "`size` is 99x99, larger than the frames, 16x32"),
        ({"buttons": ("action",)}, "action cannot be a button"),
        ({"axes": ("actoin",)}, "has no column 'actoin'; did you mean 'action'"),
    ],
)
def test_options_that_do_not_fit_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(4))
    write_csv(tmp_path / "clip.csv", **OK)
    with pytest.raises(UserError, match=message):
        import_recordings(path, tmp_path / "out", None, ImportOptions(**options))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.csv", "clip.mp4"]


def test_another_import_is_not_mixed_in(tmp_path: Path) -> None:
    for name in ("0", "1"):
        write_video(tmp_path / "clips" / f"{name}.mp4", frames(4))
        write_csv(tmp_path / "clips" / f"{name}.csv", **OK)

    def stop(done: int, *_: object) -> None:
        if done:
            raise KeyboardInterrupt

    def run(**options: int) -> EpisodeStore:
        return import_recordings(tmp_path / "clips", tmp_path / "out", None, ImportOptions(**options))  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        import_recordings(tmp_path / "clips", tmp_path / "out", None, ImportOptions(), stop)
    with pytest.raises(UserError, match=r"out.importing holds another interrupted import"):
        run(every=2)
    assert run().num_episodes == 2


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(4))
    write_csv(tmp_path / "clip.csv", **OK)

    def full(*_: object) -> None:
        raise UserError("cannot write to it: No space left on device; free some disk space")

    monkeypatch.setattr(EpisodeStore, "append", full)
    with pytest.raises(UserError, match="No space left"):
        import_recordings(path, tmp_path / "out", None, ImportOptions())
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clip.csv", "clip.mp4"]


@pytest.mark.parametrize("cause", ["disk", "file"])
def test_finished_episodes_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cause: str) -> None:
    for name in ("0", "1", "2"):
        write_video(tmp_path / "clips" / f"{name}.mp4", frames(4, int(name)))
        write_csv(tmp_path / "clips" / f"{name}.csv", **OK)
    told: list[int] = []

    def fail(*_: object) -> None:
        error = OSError(errno.ENOSPC, "No space left on device")
        raise cannot_write(tmp_path / "out", error) if cause == "disk" else OSError(errno.EIO, "broken")

    def tell(done: int, *_: object) -> None:
        told.append(done)
        if done == 2 and len(told) == 3:
            monkeypatch.setattr(EpisodeStore, "append", fail)

    message = (
        "No space left" if cause == "disk" else r"2\.mp4 cannot be read to its end .*broken.*; restore it"
    )
    with pytest.raises(
        UserError, match=message + r".*; 2 finished episodes are kept in .*out\.importing, and the"
    ):
        import_recordings(tmp_path / "clips", tmp_path / "out", None, ImportOptions(), tell)
    monkeypatch.undo()
    store = import_recordings(tmp_path / "clips", tmp_path / "out", None, ImportOptions(), tell)
    assert told == [0, 1, 2, 2] and store.num_episodes == 3
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "out"]


def test_episodes_before_a_damaged_video_are_kept_while_they_do_not_change(tmp_path: Path) -> None:
    clips = tmp_path / "clips"
    for name in ("0", "1"):
        write_video(clips / f"{name}.mp4", frames(4, int(name)))
        write_csv(clips / f"{name}.csv", **OK)
    sound, first = (clips / "1.mp4").read_bytes(), (clips / "0.csv").read_bytes()
    (clips / "1.mp4").write_bytes(b"no video at all")
    with pytest.raises(UserError, match=r"1\.mp4 cannot be decoded .*; 1 finished episodes? (is|are) kept"):
        import_recordings(clips, tmp_path / "out", None, ImportOptions())
    (clips / "1.mp4").write_bytes(sound)
    write_csv(clips / "0.csv", **{**OK, "action": [2, 2, 2]})
    with pytest.raises(UserError, match=r"have changed since .*; remove the folder to start again"):
        import_recordings(clips, tmp_path / "out", None, ImportOptions())
    shutil.rmtree(tmp_path / "out.importing")
    (clips / "0.csv").write_bytes(first)
    assert import_recordings(clips, tmp_path / "out", None, ImportOptions()).num_episodes == 2


def test_a_folder_that_only_looks_like_an_interrupted_import(tmp_path: Path) -> None:
    path = write_video(tmp_path / "clip.mp4", frames(4))
    write_csv(tmp_path / "clip.csv", **OK)
    (tmp_path / "out.importing" / "store").mkdir(parents=True)
    (tmp_path / "out.importing" / "store" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match=r"out\.importing is not an interrupted import; rename it"):
        import_recordings(path, tmp_path / "out", None, ImportOptions())
    assert (tmp_path / "out.importing" / "store" / "notes.txt").read_text() == "mine"
