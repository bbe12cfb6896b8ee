"""What an interrupted import has finished is kept, and the import goes on from there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip("av")
pytest.importorskip("h5py")

import adamas
from adamas.data.importing.run import ImportOptions, import_recordings
from tests.helpers.recordings import frames, imported_store, write_csv, write_video

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
