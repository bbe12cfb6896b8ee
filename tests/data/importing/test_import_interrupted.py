"""What an interrupted import has finished is kept, and the import goes on from there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import h5py
from PIL import Image

import adamas
from adamas.core.errors import UserError
from adamas.data.importing.run import ImportOptions, import_recordings
from tests.helpers.recordings import frames, imported_store, write_csv, write_images, write_video

SLOWLY = """
import sys, time
from pathlib import Path
from adamas.data.importing.run import ImportOptions, import_recordings
def told(done, count, name):
    print(done, flush=True)
    if done == 2: time.sleep(60)
import_recordings(Path(sys.argv[1]), Path(sys.argv[2]), None, ImportOptions(), told)
"""


def test_a_killed_import_goes_on(tmp_path: Path) -> None:
    for i in range(4):
        write_video(tmp_path / "clips" / f"{i}.mp4", frames(4, i))
        write_csv(tmp_path / "clips" / f"{i}.csv", action=[0, 1, 2])
    command = [sys.executable, "-c", SLOWLY, str(tmp_path / "clips"), str(tmp_path / "out")]
    environment = os.environ | {"PYTHONPATH": str(Path(adamas.__file__).parents[1])}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    while process.stdout.readline().strip() != "2":
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "out").exists()
    begun: list[int] = []
    store = import_recordings(
        tmp_path / "clips", tmp_path / "out", None, ImportOptions(), lambda done, *_: begun.append(done)
    )
    assert begun == [2, 3]
    whole = imported_store(tmp_path / "clips")
    for name in ("frames.bin", "rows.bin", "index.json"):
        assert Path(store.folder, name).read_bytes() == Path(whole.folder, name).read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["clips", "imported clips", "out"]


def stop_after_one(done: int, *_: object) -> None:
    if done:
        raise KeyboardInterrupt


def begin(given: Path, out: Path) -> None:
    """An import that is interrupted after its first episode."""
    with pytest.raises(KeyboardInterrupt):
        import_recordings(given, out, None, ImportOptions(), stop_after_one)


def write_npz(folder: Path, count: int = 2) -> Path:
    folder.mkdir()
    for i in range(count):
        np.savez(folder / f"{i}.npz", obs=frames(4, i), action=[0, 1, 2])
    return folder


@pytest.mark.parametrize("before", ["notes.txt", "videos/clip.mp4", "import.json"])
def test_files_of_the_user_in_the_staging_folder_stay(tmp_path: Path, before: str) -> None:
    mine = tmp_path / "out.importing" / before
    if before == "import.json":  # written while the import was interrupted
        begin(write_npz(tmp_path / "given"), tmp_path / "out")
        mine = mine.with_name("notes.txt")
    else:
        write_npz(tmp_path / "given")
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine")
    names = sorted(path.name for path in (tmp_path / "out.importing").iterdir())
    with pytest.raises(UserError, match=r"out\.importing is not an interrupted import; rename it"):
        import_recordings(tmp_path / "given", tmp_path / "out", None, ImportOptions())
    assert mine.read_text() == "mine" and not (tmp_path / "out").exists()
    assert sorted(path.name for path in (tmp_path / "out.importing").iterdir()) == names


def test_a_file_that_appears_during_the_import_stays(tmp_path: Path) -> None:
    def write_notes(done: int, *_: object) -> None:
        (tmp_path / "out.importing" / "notes.txt").write_text("mine")

    given = write_npz(tmp_path / "given")
    import_recordings(given, tmp_path / "out", None, ImportOptions(), write_notes)
    assert [path.name for path in (tmp_path / "out.importing").iterdir()] == ["notes.txt"]


def change_group(given: Path, pixel: int) -> None:
    with h5py.File(given / "all.hdf5", "w") as file:
        for i in range(2):
            file[f"data/demo_{i}/obs"] = np.full_like(frames(4), pixel)
            file[f"data/demo_{i}/action"] = [0, 1, 2]


def change_minari(given: Path, pixel: int) -> None:
    with h5py.File(given / "main_data.hdf5", "w") as file:
        for i in range(2):
            file[f"episode_{i}/observations"] = np.full_like(frames(4), pixel)
            file[f"episode_{i}/actions"] = [0, 1, 2]
    (given / "metadata.json").write_text(json.dumps({"action_space": '{"type": "Discrete", "n": 3}'}))


def change_image(given: Path, pixel: int) -> None:
    for i in range(2 if pixel == 0 else 0):
        write_csv(write_images(given / f"shots{i}", frames(4)) / "actions.csv", action=[0, 1, 2])
    picture = np.full_like(frames(1)[0], pixel)
    Image.fromarray(picture).save(given / "shots0" / "shot1.png")  # the folder's own time stays


@pytest.mark.parametrize("change", [change_group, change_minari, change_image])
def test_recordings_that_have_changed_are_not_mixed(tmp_path: Path, change: Callable[..., None]) -> None:
    given = tmp_path / "given"
    given.mkdir()
    change(given, 0)
    begin(given, tmp_path / "out")
    time.sleep(0.01)  # the clock of a file system is coarse
    change(given, 1)
    with pytest.raises(UserError, match=r"have changed since .*; remove the folder to start again"):
        import_recordings(given, tmp_path / "out", None, ImportOptions())


@pytest.mark.parametrize("name", ["import.json", "store/rows.bin"])
def test_what_is_damaged_cannot_be_continued(tmp_path: Path, name: str) -> None:
    given = write_npz(tmp_path / "given")
    begin(given, tmp_path / "out")
    (tmp_path / "out.importing" / name).write_bytes(b"{")
    message = (
        rf"the import in .*out\.importing cannot be continued \(.*{Path(name).name}.*\); remove the folder"
    )
    with pytest.raises(UserError, match=message) as error:
        import_recordings(given, tmp_path / "out", None, ImportOptions())
    assert str(error.value).count(";") == 1
