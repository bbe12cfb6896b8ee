"""``adamas export``: write an agent as a web page, as ONNX models or in the published format."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import adamas.play
from adamas.agent import Agent
from adamas.commands.common import Target, find_target
from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.core.files import creating_folder
from adamas.core.runtime import RuntimeConfig, setup
from adamas.core.types import Batch
from adamas.data.store import EpisodeStore
from adamas.dreaming.starts import RecordedStarts
from adamas.export.onnx import OPSET, check_export, export_onnx
from adamas.export.web import VERSION, check_page, find_runtime, pack_runtime, write_page
from adamas.interop.load import load
from adamas.interop.published import save_published
from adamas.play.messages import human_fps

NUM_CONTEXTS = 32  # that a page's dreams start from
CONTROLS = ("dom.js", "icon.svg", "input.js", "keys.js", "meters.js", "touch.js")
"""Files of the page that ``adamas play`` serves which this page uses too."""


@dataclass(frozen=True)
class Published:
    """Write an agent in the format of the published checkpoints."""

    out: Path
    """The .pt file to write. It must not exist yet."""


@dataclass(frozen=True)
class Onnx:
    """Write an agent's networks as ONNX models, and compare them with PyTorch."""

    out: Path
    """The folder to write. It must not exist yet."""
    opset: int = OPSET
    """Version of ONNX's operator set, from 18 to 24. Older programs need a lower number."""


@dataclass(frozen=True)
class Web:
    """Write a web page that dreams in its visitor's browser: a folder of files for any web server."""

    out: Path
    """The folder to write. It must not exist yet."""
    dataset: Path | None = None
    """Dataset whose frames dreams start from. By default, the run's held-out episodes, or its training episodes where
    there are none held out."""
    runtime: Path | None = None
    """Folder with the files of the npm package onnxruntime-web (its folder dist). By default, npm downloads the
    package."""


def published(arguments: Sequence[str]) -> None:
    """Write the .pt file."""
    target, _, rest = find_target(arguments, "export published")
    options = parse(Published, rest, f"export published {target}")
    save_published(load(target.path, "cpu"), options.out)
    print(f"  {options.out}")


def onnx(arguments: Sequence[str]) -> None:
    """Write the models, and print how far their results are from those of PyTorch."""
    target, config, rest = find_target(arguments, "export onnx")
    options = parse(Onnx, rest, f"export onnx {target}")
    check_free(options.out)
    agent = _load(target, options.opset)
    dataset = _own_dataset(target)
    contexts = None if dataset is None else _contexts(agent, dataset)
    with _new_folder(options.out) as folder:
        errors = _models(agent, folder, contexts, options.opset, target.name, human_fps(config.env))
    _tell(errors, options.out)


def web(arguments: Sequence[str]) -> None:
    """Write the page, and print how to look at it."""
    target, config, rest = find_target(arguments, "export web")
    options = parse(Web, rest, f"export web {target}")
    check_free(options.out)
    agent = _load(target, OPSET)
    check_page(agent)
    dataset = options.dataset or _own_dataset(target)
    if dataset is None:
        raise UserError(
            f"{target} has no real frames for dreams to start from; give some with `dataset` (adamas data "
            "record makes them)"
        )
    contexts = _contexts(agent, dataset)
    controls = [Path(adamas.play.__file__).parent / "static" / name for name in CONTROLS]
    with tempfile.TemporaryDirectory() as temporary:
        # The download comes before the export, which takes a minute, because it fails where there is no network.
        if options.runtime is None:
            print(f"fetching onnxruntime-web {VERSION} with npm", flush=True)
            runtime = pack_runtime(Path(temporary))
        else:
            runtime = find_runtime(options.runtime)
        with _new_folder(options.out) as folder:
            write_page(folder, agent, contexts, runtime, controls)
            errors = _models(agent, folder, contexts, OPSET, target.name, human_fps(config.env))
    _tell(errors, options.out)
    print(f"look at it: python -m http.server --directory {options.out} --bind 127.0.0.1")


def _load(target: Target, opset: int) -> Agent:
    setup(RuntimeConfig(device="cpu", precision="fp32"))
    agent = load(target.path, "cpu")
    check_export(agent, opset)
    return agent


def _models(
    agent: Agent, folder: Path, contexts: Batch | None, opset: int, title: str, fps: float
) -> Mapping[str, float]:
    print("exporting three networks, which takes a minute", flush=True)
    return export_onnx(agent, folder, None if contexts is None else contexts.obs, opset, title, fps)


def _tell(errors: Mapping[str, float], folder: Path) -> None:
    for name, error in errors.items():
        print(f"{name:12s}  largest difference from PyTorch {error:.1e}")
    print("\n".join(f"  {path}" for path in sorted(folder.iterdir())))


def _own_dataset(target: Target) -> Path | None:
    """The run's held-out episodes, else those that it learnt from; None if it has none."""
    return next(iter(target.datasets.values()), None)


def _contexts(agent: Agent, dataset: Path) -> Batch:
    return RecordedStarts(EpisodeStore.open(dataset), agent).draw(NUM_CONTEXTS, np.random.default_rng(0))


@contextlib.contextmanager
def _new_folder(path: Path) -> Iterator[Path]:
    """A new folder, which gets its name once the block has ended without an exception."""
    try:
        with creating_folder(path) as folder:
            yield folder
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise UserError(
            f"cannot write {path}: {error.strerror or error}; check the folder and its free space, or choose "
            "another `out`"
        ) from error


def check_free(path: Path) -> None:
    """Refuse a path that exists, as UserError, before anything is loaded or downloaded."""
    if os.path.lexists(path):
        raise _exists(path)


def _exists(path: Path) -> UserError:
    return UserError(f"{path} exists and is not overwritten; choose another name")
