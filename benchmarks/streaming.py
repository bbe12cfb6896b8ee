"""Training on a dataset four times larger than the memory it may use, beside the same dataset held in memory.

``python benchmarks/streaming.py FOLDER`` makes two datasets of 4 GB in ``FOLDER`` (new, on the disk to be measured;
removed at the end): raw frames, and packed ones. A little of ViZDoom is recorded and repeated until the files are that
large. Then a small denoiser trains on 32 segments of 5 frames of 120x160 an update, in one process after the other:
with all frames in the page cache; in a control group of 1 GB, memory of the process and page cache together, with
nothing in the page cache at first; and in that without reading ahead. Needs ViZDoom, Linux, and the right to make
control groups (of version 1) below one's own. Four minutes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from adamas.cli import run as command
from adamas.core.types import Batch
from adamas.data.index import read_index, write_index
from adamas.data.packed import BLOCK, BLOCKS, PACKED_FRAMES
from adamas.data.sampling import SegmentSampler
from adamas.data.store import EpisodeStore
from adamas.data.view import FRAMES, ROWS
from adamas.nn.unet import FrameNetworkConfig
from adamas.presets import preset
from adamas.training.build import new_run

STEPS = 2_000  # recorded
SIZE, LIMIT = 4 * 2**30, 2**30  # bytes
SECONDS, WINDOW = 24, 4  # of training in each process, and of one line
SMALL = FrameNetworkConfig(
    context_length=4, cond_channels=64, depths=(1, 1, 1), channels=(16, 16, 16), attn_depths=(False,) * 3
)
CONDITIONS = "in memory", "limited", "limited, not ahead"  # run from the last to the first


def main(folder: Path) -> None:
    """Make the datasets, train in every condition, and print a line for each."""
    group = control_group()
    folder.mkdir(parents=True)
    try:
        doom = "--env.suite vizdoom --env.game my_way_home --env.size 120 --env.width 160 --env.frame-skip 2"
        command(f"data record {folder}/doom {doom} --steps {STEPS} --repeat 0.8 --num-envs 1".split())
        repeat(folder / "doom", folder / "small", BLOCK)  # whole blocks
        command(f"data pack {folder}/small --out {folder}/small-packed".split())
        for name, small in (("raw", "small"), ("packed", "small-packed")):
            data = folder / name
            frames = FRAMES if name == "raw" else PACKED_FRAMES
            repeat(folder / small, data / "train", -(-SIZE // (folder / small / frames).stat().st_size))
            shutil.copytree(folder / small, data / "test")
            rates = {}
            for condition in reversed(CONDITIONS if name == "packed" else CONDITIONS[:2]):
                in_memory(data / "train" / frames, condition == CONDITIONS[0])
                print(
                    f"{name}, {condition}: updates a second, ms waited for a batch; GiB: own, page cache, read"
                )
                enter = f"echo $$ > {group}/cgroup.procs; " if condition != CONDITIONS[0] else ""
                child = f"{enter}exec {sys.executable} {__file__} {data} '{condition}'"
                windows = json.loads(subprocess.check_output(["sh", "-c", child]).splitlines()[-1])
                for window in windows:
                    print("   ", "  ".join(f"{value:6.2f}" for value in window))
                rates[condition] = np.mean([window[0] for window in windows[1:]])
            print(f"{name}: " + ", ".join(f"{rate:.2f} {c}" for c, rate in rates.items()), flush=True)
            shutil.rmtree(data)
    finally:
        shutil.rmtree(folder)
        group.rmdir()


def control_group() -> Path:
    """A new control group of ``LIMIT`` bytes below that of this process."""
    own = [line.split(":")[2] for line in Path("/proc/self/cgroup").read_text().split() if ":memory:" in line]
    if not own:
        sys.exit("there are no control groups of version 1 that limit memory")
    group = Path(f"/sys/fs/cgroup/memory{own[0]}/adamas-streaming-{os.getpid()}")
    group.mkdir()
    (group / "memory.limit_in_bytes").write_text(str(LIMIT))
    return group


def repeat(source: Path, out: Path, times: int) -> None:
    """Make a dataset that has the episodes of another one ``times`` over. A packed one must end with a whole block."""
    out.mkdir(parents=True)
    index, store = read_index(source), EpisodeStore.open(source)
    with open(out / (PACKED_FRAMES if index.packed else FRAMES), "wb") as file:
        content = (source / Path(file.name).name).read_bytes()
        for _ in range(times):
            file.write(content)
    rows = np.tile(store.view.rows, times)
    rows["episode"] += np.arange(times).repeat(index.num_rows) * store.num_episodes
    rows.tofile(out / ROWS)
    if index.packed:
        starts = np.fromfile(source / BLOCKS, "<i8")
        steps = np.arange(times)[:, None] * starts[-1]
        np.append((starts[:-1] + steps).ravel(), starts[-1] * times).tofile(out / BLOCKS)
    write_index(out, index._replace(num_rows=index.num_rows * times, checksums=None))
    EpisodeStore.open(out)


def in_memory(file: Path, wanted: bool) -> None:
    """Have all of a file in the page cache, or nothing."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    while wanted and os.read(descriptor, 2**24):
        pass
    os.close(descriptor)


def train(data: Path, condition: str) -> None:
    """Print a list of windows: [updates a second, ms that one waits for its batch, GiB: own, page cache, read]."""
    config = preset("vizdoom")
    denoiser = replace(config.world_model.denoiser, network=SMALL)
    world_model = replace(config.world_model, denoiser=denoiser)
    config = replace(config, data=str(data), world_model=world_model, tensorboard=False)
    with closing(new_run(config, data / condition.replace(" ", "-"), quiet=True)) as trainer:
        phase = trainer.phases["denoiser"]
        if condition == CONDITIONS[2]:
            phase.sampler = SegmentSampler(trainer.store, None)  # type: ignore[attr-defined]
        sample = phase.sampler.sample  # type: ignore[attr-defined]
        waited = 0.0

        def timed(*request: Any) -> Batch:
            nonlocal waited
            asked = time.perf_counter()
            batch = sample(*request)
            waited += time.perf_counter() - asked
            return batch

        phase.sampler.sample = timed  # type: ignore[attr-defined]
        windows, began = [], time.perf_counter()
        while time.perf_counter() - began < SECONDS:
            updates, waited, read, since = 0, 0.0, bytes_read(), time.perf_counter()
            while (seconds := time.perf_counter() - since) < WINDOW:
                phase.update()
                updates += 1
            used = (*memory(), bytes_read() - read)
            windows.append([updates / seconds, 1000 * waited / updates, *(value / 2**30 for value in used)])
    print(json.dumps(windows))


def memory() -> tuple[int, int]:
    """Bytes of this process's own, and of the page cache of its control group."""
    status = Path("/proc/self/status").read_text().split()
    own = 1024 * int(status[status.index("RssAnon:") + 1])
    group = next(line for line in Path("/proc/self/cgroup").read_text().split() if ":memory:" in line)
    stat = Path(f"/sys/fs/cgroup/memory{group.split(':')[2]}/memory.stat").read_text().split()
    return own, int(stat[stat.index("cache") + 1])


def bytes_read() -> int:
    """What this process has had read from the disk."""
    status = Path("/proc/self/io").read_text().split()
    return int(status[status.index("read_bytes:") + 1])


if __name__ == "__main__":
    train(Path(sys.argv[1]), sys.argv[2]) if len(sys.argv) == 3 else main(Path(sys.argv[1]))
