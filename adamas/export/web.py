"""A web page that runs a dream in the visitor's browser: static files for any folder of any web server.

    index.html style.css icon.svg *.js      the page
    denoiser.onnx reward_end.onnx actor_critic.onnx world.json      see adamas/export/onnx.py
    contexts.bin    K contexts that dreams start from: the actions between their frames, (K, L - 1) int32, then the
                    frames, (K, L, C, H, W) uint8; little-endian. K follows from the length.
    check.json      outputs of the networks for the first context, with which browsers check their GPU
    runtime/        onnxruntime-web

The page loads nothing from other servers, and its own Content-Security-Policy forbids it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.core.types import Batch, History, to_pixels
from adamas.diffusion.denoiser import sample
from adamas.export.networks import parts_of
from adamas.rl.rollout import burn_in

PACKAGE, VERSION = "onnxruntime-web", "~1.30.0"  # another minor version may have other files
RUNTIME = (
    "ort.wasm.min.mjs",  # without WebGPU
    "ort-wasm-simd-threaded.mjs",
    "ort-wasm-simd-threaded.wasm",
    "ort.webgpu.min.mjs",  # with WebGPU
    "ort-wasm-simd-threaded.asyncify.mjs",
    "ort-wasm-simd-threaded.asyncify.wasm",
)
"""Files of the package's ``dist`` that the page may need. A visitor's browser fetches three of them."""
STATIC = Path(__file__).parent / "static"
NPM_SECONDS = 600


def check_page(agent: Agent) -> None:
    """Raise UserError if a page cannot draw the agent's frames, or has no keys for its actions."""
    if not agent.action_spec.is_discrete:
        raise UserError(
            f"a page has keys for one choice among several, and the agent has {agent.action_spec}; use: "
            "adamas export onnx"
        )
    if agent.config.obs_shape[0] not in (1, 3):
        raise UserError(
            f"a page draws frames of 1 or 3 channels, and the agent's have {agent.config.obs_shape[0]}; use: "
            "adamas export onnx"
        )


def write_page(folder: Path, agent: Agent, contexts: Batch, runtime: Path, controls: Sequence[Path]) -> None:
    """Write everything but the models and ``world.json`` into an existing folder.

    Args:
        folder: the folder to write into.
        agent: the agent to export.
        contexts: K contexts of L real frames, without padding, for dreams to start from.
        runtime: folder that holds the files of :data:`RUNTIME`.
        controls: further files of the page, which ``adamas play`` uses too.
    """
    for file in (*sorted(STATIC.iterdir()), *controls):
        if file.is_file():
            shutil.copyfile(file, folder / file.name)
    actions, frames = contexts.action.numpy().astype("<i4"), contexts.obs.numpy()
    (folder / "contexts.bin").write_bytes(actions.tobytes() + np.ascontiguousarray(frames).tobytes())
    (folder / "check.json").write_text(json.dumps(asdict(still_step(agent, contexts[:1]))), encoding="utf-8")
    (folder / "runtime").mkdir()
    for name in RUNTIME:
        shutil.copyfile(runtime / name, folder / "runtime" / name)
    (folder / "LICENSE-onnxruntime.txt").rename(folder / "runtime" / "LICENSE.txt")


@dataclass(frozen=True, kw_only=True)
class StillStep:
    """A step of a dream without noise, with which a page checks what it computes.

    Attributes:
        pixels: C * H * W whole numbers in [0, 255].
        value: the policy's value of the new frame.
        end: probability that the episode ends.
    """

    pixels: list[int]
    value: float
    end: float


@torch.no_grad()
def still_step(agent: Agent, context: Batch) -> StillStep:
    """Dream one step from a context (B = 1) with action 0, one Euler step, and noise that is zero everywhere."""
    (model, denoiser, judge, policy), action = parts_of(agent), torch.zeros(1, 1, dtype=torch.int64)
    state, _ = model.start(context)
    obs, actions = state["obs"], torch.cat((state["action"], action), dim=1)
    sampler = replace(model.sampler, num_steps=1, s_churn=0.0)
    x = sample(denoiser, obs, actions, sampler, initial_noise=torch.zeros_like(obs[:, 0]))
    _, end, _ = judge(obs[:, -1:], action, x[:, None], (state["hidden"], state["cell"]))
    pixels = to_pixels(x)
    history = History(context.obs, context.mask, actions)
    value = policy(pixels, burn_in(policy, history)).value
    return StillStep(
        pixels=pixels.flatten().tolist(), value=value.item(), end=end.softmax(-1)[0, 0, 1].item()
    )


def find_runtime(folder: Path) -> Path:
    """Find the files of :data:`RUNTIME` in ``folder``, or in the ``dist`` in it, and return their folder.

    Raises:
        UserError: a file is missing.
    """
    place = folder / "dist" if (folder / "dist").is_dir() else folder
    for name in RUNTIME:
        if not (place / name).is_file():
            raise UserError(
                f"{place} has no {name}; give the folder dist of {PACKAGE} {VERSION} with `runtime`"
            )
    return place


def pack_runtime(folder: Path) -> Path:
    """Fetch :data:`PACKAGE` with the user's npm, and unpack the files of :data:`RUNTIME`.

    Args:
        folder: an empty folder for the files.

    Returns:
        The folder that holds the files.

    Raises:
        UserError: there is no npm, or it cannot fetch the package.
    """
    spec = f"{PACKAGE}@{VERSION}"
    remedy = f'run npm pack "{spec}" elsewhere, unpack it, and give its folder package/dist with `runtime`'
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"npm, which fetches {PACKAGE}, is not installed; install Node.js, or {remedy}")
    command = [npm, "pack", spec, "--prefer-offline", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=False, timeout=NPM_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise UserError(f"npm fetched no {spec} within {NPM_SECONDS} s; try again, or {remedy}") from error
    tarball = next(folder.glob("*.tgz"), None)
    if done.returncode or tarball is None:
        reason = " ".join(done.stderr.split())[:200] or f"exit code {done.returncode}"
        raise UserError(f"npm cannot fetch {spec} ({reason}); {remedy}")
    return _unpack(tarball, folder / "dist")


def _unpack(tarball: Path, folder: Path) -> Path:
    """Unpack only the files of :data:`RUNTIME`, under these names. No path in the archive is used for writing."""
    folder.mkdir()
    try:
        with tarfile.open(tarball) as archive:
            for name in RUNTIME:
                member = archive.getmember(f"package/dist/{name}")
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    raise KeyError(name)
                with content, (folder / name).open("wb") as file:
                    shutil.copyfileobj(content, file)
    except (KeyError, tarfile.TarError, EOFError) as error:
        raise UserError(
            f"{tarball.name} is not {PACKAGE} {VERSION}; clean npm's cache and try again"
        ) from error
    return folder
