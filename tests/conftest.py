"""Recorded tensors of the published system to compare with, and a small run of an agent that knows nothing."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from torch import Tensor

from adamas.agent import Agent
from adamas.core import runtime
from adamas.core.errors import UserError
from adamas.core.runtime import RuntimeConfig
from adamas.envs.minatar import import_environment
from adamas.nn.unet import FrameNetworkConfig
from tests.helpers.small_runs import make_breakout_run
from tests.helpers.tiny_agent import tiny_agent_config

FIXTURES = Path(__file__).parent / "fixtures"

with suppress(UserError):  # without MinAtar, its tests are skipped
    import_environment()  # which leaves out seaborn: pytest.importorskip would import that as well, which takes seconds


class Reference(NamedTuple):
    """One recorded module: its sizes, its state dict, its inputs and outputs."""

    config: dict[str, Any]
    weights: dict[str, Tensor]
    io: dict[str, Tensor]

    def network(self) -> FrameNetworkConfig:
        """The network of a recorded denoiser."""
        sizes = self.config["inner_model"]
        return FrameNetworkConfig(
            context_length=sizes["num_steps_conditioning"],
            cond_channels=sizes["cond_channels"],
            depths=tuple(sizes["depths"]),
            channels=tuple(sizes["channels"]),
            attn_depths=tuple(map(bool, sizes["attn_depths"])),
        )


@pytest.fixture(autouse=True)
def in_fp32() -> Iterator[None]:
    """A test starts in fp32, whatever ran before it: runs in this process choose bf16 where the CPU multiplies it."""
    threads = torch.get_num_threads()
    runtime.setup(RuntimeConfig(device="cpu", precision="fp32", allocator="default"))
    yield
    torch.set_num_threads(threads)


LoadReference = Callable[[str], Reference]
MakeOnce = Callable[[str, Callable[[Path], None]], Path]


def load_reference(name: str) -> Reference:
    """Read ``fixtures/{name}.safetensors``; see the README beside it."""
    parts: dict[str, dict[str, Tensor]] = {"weights": {}, "io": {}}
    with safe_open(FIXTURES / f"{name}.safetensors", "pt") as file:
        for key in file.keys():  # noqa: SIM118  (not a dictionary)
            kind, _, rest = key.partition(".")
            parts[kind][rest] = file.get_tensor(key)
        return Reference(json.loads(file.metadata()["config"]), **parts)


@pytest.fixture(scope="session")
def reference() -> LoadReference:
    """Loads recorded tensors by name."""
    return load_reference


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MakeOnce:
    """Has a folder made by one of pytest's processes for all of them: for what takes long, and nobody changes."""
    own = tmp_path_factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own

    def once(name: str, make: Callable[[Path], None]) -> Path:
        folder, made = shared / name, shared / f"{name}.made"
        with FileLock(shared / f"{name}.lock"):
            if not made.exists():
                make(folder)
                made.touch()
        return folder

    return once


@pytest.fixture(scope="session")
def dreamer_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of an agent for MinAtar Breakout that knows nothing, with what it played."""
    pytest.importorskip("minatar")
    run = tmp_path_factory.mktemp("dreamer") / "run"
    make_breakout_run(run)
    return run


@pytest.fixture
def dreamer(dreamer_once: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of that run, called RUN, in the working folder."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(dreamer_once, "RUN")
    return Path("RUN")


@pytest.fixture(scope="session")
def agent() -> Agent:
    """A tiny untrained agent for MinAtar Breakout."""
    pytest.importorskip("minatar")
    config = tiny_agent_config(context_length=4, num_steps=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Agent(config)
