"""How fast ``adamas play`` is for one player and for many, and whether its memory stays flat.

    python benchmarks/play.py RUN                      # frames a second, key to frame, 20 players, one who never reads
    python benchmarks/play.py --full-size              # the paper's networks at 64x64, untrained: speed alone counts
    python benchmarks/play.py RUN --rows pace --fps 60

The server runs in a process of its own. The players here read what they get and nothing else: a browser beside the
server takes its share of the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from websockets.asyncio.client import ClientConnection, connect

from adamas.agent import Agent, AgentConfig
from adamas.core.actions import ActionSpec
from adamas.core.checkpoint import save_checkpoint
from adamas.core.config import save_config, to_dict
from adamas.training.config import Config

ACTIONS = ActionSpec.discrete(("noop", "fire", "right", "left"))  # Breakout's


@contextlib.contextmanager
def server(target: Path, fps: float) -> Iterator[tuple[int, int]]:
    """``adamas play``: its port and the number of its process."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "adamas", "play", str(target), "--port", "0", "--fps", str(fps)]
        process = subprocess.Popen([*command, "--recordings", folder], stdout=subprocess.PIPE, text=True)
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if "http://" not in line:
                raise SystemExit("the server did not start")
            yield int(line.split()[1].rstrip("/").rpartition(":")[2]), process.pid
        finally:
            process.terminate()
            process.wait()


def full_size(folder: Path) -> Path:
    """An untrained agent at the paper's size, whose dreams do not end."""
    torch.manual_seed(0)
    agent = Agent(AgentConfig(obs_shape=(3, 64, 64), actions=ACTIONS))
    first, _, last = agent.reward_end.head
    first.bias.data.fill_(10)
    last.weight.data[3:] = torch.tensor([[1.0], [-1.0]])
    config = Config()
    data = {"agent": to_dict(agent.config), "run": to_dict(config)}
    save_checkpoint(folder / "checkpoints", 1, agent.state_dict(), data, {})
    save_config(folder / "config.yaml", config)
    return folder


def resident(pid: int) -> float:
    """Memory of a process in MiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def open_page(port: int) -> connect:
    return connect(f"ws://127.0.0.1:{port}/ws", origin=f"http://127.0.0.1:{port}", max_size=None)


async def moment(page: ClientConnection) -> dict[str, Any]:
    while isinstance(message := await page.recv(), str):
        pass
    (length,) = struct.unpack("<I", message[:4])
    return json.loads(message[4 : 4 + length])


async def pace(port: int, fps: float, seconds: float, settings: dict[str, Any]) -> None:
    """Moments a second of one player, and from a key to the first frame that obeys it.

    The second in which the last frame of an episode stays is left out.
    """
    async with open_page(port) as page:
        await page.send(json.dumps({"type": "settings", "fps": fps, **settings}))
        for _ in range(5):
            last = await moment(page)
        began = now = time.perf_counter()
        gaps, delays, seq, asked = [], [], 0, 0.0
        while now - began < seconds:
            seen = await moment(page)
            before, now = now, time.perf_counter()
            if not last["dream"]["over"]:
                gaps.append(now - before)
            if seen["ack"] == seq:
                if seq and not last["dream"]["over"]:
                    delays.append(1000 * (now - asked))
                seq, asked = seq + 1, time.perf_counter()
                await page.send(json.dumps({"type": "action", "action": seq % 2, "seq": seq}))
            last = seen
    delays.sort()
    tail = delays[int(0.95 * len(delays))]
    print(
        f"one player, {settings or 'as trained'}, {fps:.0f} asked: {len(gaps) / sum(gaps):.1f} frames/s; key to frame "
        f"{statistics.median(delays):.0f} ms (median), {tail:.0f} ms (95 %)"
    )


async def crowd(port: int, pid: int, players: int, fps: float, seconds: float) -> None:
    """Moments a second of many players, beside one who never reads; and the server's memory."""
    counts = [0] * players

    async def play(i: int) -> None:
        async with open_page(port) as page:
            await page.send(json.dumps({"type": "settings", "fps": fps}))
            while True:
                await moment(page)
                counts[i] += 1

    async with open_page(port) as lazy:
        lazy.transport.pause_reading()
        tasks = [asyncio.create_task(play(i)) for i in range(players)]
        await asyncio.sleep(seconds / 5)
        memory, before, began = [resident(pid)], list(counts), time.perf_counter()
        for _ in range(4):
            await asyncio.sleep(seconds / 5)
            memory.append(resident(pid))
        took = time.perf_counter() - began
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        lazy.transport.abort()
    rates = sorted((after - start) / took for after, start in zip(counts, before, strict=True))
    print(
        f"{players} players and one who never reads, {fps:.0f} asked: {rates[0]:.1f} to {rates[-1]:.1f} frames/s each; "
        f"memory {' '.join(f'{m:.0f}' for m in memory)} MiB over {took:.0f} s"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument("--full-size", action="store_true")
    parser.add_argument("--rows", nargs="+", default=["pace", "crowd"], choices=["pace", "crowd"])
    parser.add_argument("--fps", type=float, default=15.0)
    parser.add_argument("--denoising-steps", type=int, nargs="+", default=[], help="denoising steps to try")
    parser.add_argument("--players", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args()
    if bool(options.run) == options.full_size:
        parser.error("give a run, or --full-size")
    with tempfile.TemporaryDirectory() as folder:
        target = full_size(Path(folder)) if options.full_size else options.run
        with server(target, options.fps) as (port, pid):
            if "pace" in options.rows:
                for settings in [{"denoising_steps": n} for n in options.denoising_steps] or [{}]:
                    asyncio.run(pace(port, options.fps, options.seconds, settings))
            if "crowd" in options.rows:
                asyncio.run(crowd(port, pid, options.players, options.fps, options.seconds))


if __name__ == "__main__":
    main()
