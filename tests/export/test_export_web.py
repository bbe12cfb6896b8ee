"""The page's files, and its arithmetic under node against Python's."""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Generator, Tensor

from adamas import cli
from adamas.agent import Agent
from adamas.commands.export import CONTROLS
from adamas.core.config import to_dict
from adamas.core.errors import UserError
from adamas.core.types import to_pixels
from adamas.data import EpisodeStore
from adamas.diffusion.samplers import SamplerConfig, sample_path
from adamas.diffusion.schedules import karras_sigmas
from adamas.export.web import RUNTIME, STATIC, check_page, pack_runtime
from tests.helpers.export_agent import CONFIG, L, close, read_contexts

NAMES = {
    "index.html",
    "style.css",
    "page.js",
    "worker.js",
    "dream.js",
    "maths.js",
    "world.json",
    "contexts.bin",
    "check.json",
}
MODELS = {"denoiser.onnx", "reward_end.onnx", "actor_critic.onnx"}


# --- files -----------------------------------------------------------------------------------------------


def test_all_files_are_there(site: Path) -> None:
    assert {path.name for path in site.iterdir()} == NAMES | MODELS | set(CONTROLS) | {"runtime"}
    assert {path.name for path in (site / "runtime").iterdir()} == {*RUNTIME, "LICENSE.txt"}


def test_the_page_needs_nothing_else(site: Path) -> None:
    for path in site.iterdir():
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text().replace("http://www.w3.org/2000/svg", "")
            assert "http:" not in text and "https:" not in text and "//cdn" not in text, path
    page = (site / "index.html").read_text()
    assert "style=" not in page and "<style" not in page and "onclick" not in page
    assert page.count("<script") == page.count('src="page.js"></script>') == 1


def test_contexts_come_from_the_held_out_episodes(site: Path, run: Path) -> None:
    episodes = list(EpisodeStore.open(run / "dataset" / "test"))
    windows = {
        (e.obs[t : t + L].tobytes(), tuple(e.action[t : t + L - 1].tolist()))
        for e in episodes
        for t in range(len(e) - L + 1)
    }
    contexts = read_contexts(site)
    found = {
        (o.numpy().tobytes(), tuple(a.tolist())) for o, a in zip(contexts.obs, contexts.action, strict=True)
    }
    assert found <= windows and len(found) > 5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("RUN --out taken --runtime PACKAGE", "taken exists and is not overwritten"),
        (
            "RUN --out new --runtime taken",
            "taken has no ort.wasm.min.mjs; give the folder dist of onnxruntime-web",
        ),
        (
            "RUN/checkpoints/step-00000001 --out new --runtime PACKAGE",
            "has no real frames for dreams to start from; give",
        ),
        ("RUN --out new --runtime PACKAGE --dataset taken", "taken.*index.json"),
        ("RUN --runtime PACKAGE", "--out PATH is missing"),
        ("nothing --out new", "nothing does not exist"),
    ],
)
def test_mistakes(
    arguments: str, message: str, run: Path, no_runtime: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("taken").mkdir()
    words = arguments.replace("RUN", str(run)).replace("PACKAGE", str(no_runtime)).split()
    with pytest.raises(UserError, match=message):
        cli.run(["export", "web", *words])
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_frames_that_cannot_be_drawn() -> None:
    check_page(Agent(replace(CONFIG, obs_shape=(1, 6, 8))))
    with pytest.raises(UserError, match="a page draws frames of 1 or 3 channels, and the agent's have 2"):
        check_page(Agent(replace(CONFIG, obs_shape=(2, 6, 8))))


# --- npm -------------------------------------------------------------------------------------------------


Npm = Callable[[str], None]


@pytest.fixture
def npm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Npm:
    """Puts a program in npm's place."""

    def write(script: str) -> None:
        folder = tmp_path / "bin"
        folder.mkdir()
        (folder / "npm").write_text(f"#!/bin/sh\n{script}\n")
        (folder / "npm").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    return write


def pack(path: Path, files: Mapping[str, bytes | str]) -> None:
    """A package as npm packs it; a string is a link to there."""
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            if isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
                archive.addfile(member)
            else:
                member.size = len(content)
                archive.addfile(member, BytesIO(content))


def test_npm_packs_the_runtime(npm: Npm, tmp_path: Path) -> None:
    files = {f"package/dist/{name}": name.encode() for name in RUNTIME}
    pack(tmp_path / "package.tgz", files | {"../escaped": b"!", "package/dist/ort.js": b"not needed"})
    npm(f'echo "$@" > {tmp_path}/asked; cp {tmp_path}/package.tgz onnxruntime-web-1.30.9.tgz')
    work = tmp_path / "work"
    work.mkdir()
    folder = pack_runtime(work)
    assert {path.name: path.read_text() for path in folder.iterdir()} == {name: name for name in RUNTIME}
    assert not (tmp_path / "escaped").exists()
    assert (tmp_path / "asked").read_text().split()[:2] == ["pack", "onnxruntime-web@~1.30.0"]


@pytest.mark.parametrize("change", ["missing", "link", "no archive"])
def test_another_package_is_refused(change: str, npm: Npm, tmp_path: Path) -> None:
    files: dict[str, bytes | str] = {f"package/dist/{name}": b"" for name in RUNTIME}
    if change == "missing":
        del files[f"package/dist/{RUNTIME[2]}"]
    elif change == "link":
        files[f"package/dist/{RUNTIME[2]}"] = "/etc/passwd"
    pack(tmp_path / "package.tgz", files)
    if change == "no archive":
        (tmp_path / "package.tgz").write_bytes(b"?")
    npm(f"cp {tmp_path}/package.tgz a.tgz")
    (tmp_path / "work").mkdir()
    with pytest.raises(UserError, match=r"a.tgz is not onnxruntime-web ~1.30.0; clean npm's cache"):
        pack_runtime(tmp_path / "work")


def test_npm_that_cannot(npm: Npm, tmp_path: Path) -> None:
    npm("echo 'npm error code ENOTFOUND' >&2; exit 1")
    with pytest.raises(
        UserError,
        match=r"npm cannot fetch onnxruntime-web@~1.30.0 \(npm error code ENOTFOUND\); run npm pack",
    ):
        pack_runtime(tmp_path)


def test_without_npm(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"npm, which fetches onnxruntime-web, is not installed; .*--runtime"):
        cli.run(["export", "web", str(run), "--out", str(tmp_path / "new")])
    assert not (tmp_path / "new").exists()


# --- arithmetic ------------------------------------------------------------------------------------------


@pytest.fixture
def javascript(tmp_path: Path) -> Callable[[str, Any], Any]:
    """Runs code that has the page's functions as `maths`, and `given`; what it returns comes back."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node to run the page's arithmetic")
    (tmp_path / "maths.mjs").write_bytes((STATIC / "maths.js").read_bytes())

    def run(code: str, given: Any) -> Any:
        (tmp_path / "test.mjs").write_text(
            'import * as maths from "./maths.mjs"; import { readFileSync } from "node:fs";\n'
            "const given = JSON.parse(readFileSync(0));\n"
            f"const run = async () => {{ {code} }};\n"
            "console.log(JSON.stringify(await run(), (_, v) => (ArrayBuffer.isView(v) ? [...v] : v)));\n"
        )
        done = subprocess.run(
            [node, tmp_path / "test.mjs"],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_noise_levels(javascript: Callable[[str, Any], Any]) -> None:
    configs = [
        SamplerConfig(num_steps=1),
        SamplerConfig(num_steps=3),
        SamplerConfig(num_steps=10, sigma_max=20.0, rho=3.0),
    ]
    found = javascript("return given.map(maths.karrasSigmas);", [to_dict(config) for config in configs])
    for sigmas, config in zip(found, configs, strict=True):
        expected = karras_sigmas(config.num_steps, config.sigma_min, config.sigma_max, config.rho)
        assert np.allclose(sigmas, expected, rtol=1e-5) and len(sigmas) == config.num_steps + 1


@pytest.mark.parametrize(
    ("config", "centre"),
    [
        (SamplerConfig(num_steps=1), None),
        (SamplerConfig(num_steps=3), None),
        (SamplerConfig(num_steps=4, method="heun", scale_initial_noise=True), None),
        (SamplerConfig(num_steps=2, scale_initial_noise=True), [[[0.3, -0.5], [0.0, 0.9]]]),
        (SamplerConfig(num_steps=5, s_churn=2.0, s_tmin=0.05, s_tmax=2.0, s_noise=1.1), None),
    ],
    ids=["one step", "euler", "heun", "around a frame", "churn"],
)
def test_sampling(
    config: SamplerConfig, centre: list[list[list[float]]] | None, javascript: Callable[[str, Any], Any]
) -> None:
    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        return x * 0.5 / (1 + sigma) + 0.1

    initial = torch.randn((1, 2, 2), generator=Generator().manual_seed(0))
    middle = 0.0 if centre is None else torch.tensor(centre)
    path = sample_path(denoise, initial, config, Generator().manual_seed(1), middle)
    noises, again = [], Generator().manual_seed(1)
    for _ in range(config.num_steps):
        noises.append(torch.randn((1, 2, 2), generator=again).flatten().tolist())
    found = javascript(
        "const noises = given.noises.map((n) => Float32Array.from(n));"
        "const denoise = async (x, sigma) => x.map((v) => (v * 0.5) / (1 + sigma) + 0.1);"
        "const centre = given.centre && Float32Array.from(given.centre.flat(2));"
        "const start = Float32Array.from(given.initial);"
        "return maths.sampleFrame(denoise, start, given.sampler, () => noises.shift(), centre);",
        {
            "initial": initial.flatten().tolist(),
            "noises": noises,
            "sampler": to_dict(config),
            "centre": centre,
        },
    )
    assert close(found, path[-1].flatten(), 1e-5)


def test_draws(javascript: Callable[[str, Any], Any]) -> None:
    found = javascript(
        "return given.map((u) => maths.categorical([0.25, 0.25, 0.5], u));", [0, 0.24, 0.25, 0.49, 0.5, 0.99]
    )
    assert found == [0, 0, 1, 1, 2, 2]
    found = javascript("return maths.softmax(Float32Array.from(given));", [1.0, 2.0, 1000.0])
    assert close(found, [0, 0, 1], 1e-9)
    found = javascript("return maths.softmax(given);", [0.0, float(np.log(3))])
    assert close(found, [0.25, 0.75], 1e-9)
    # Radius 2 at a quarter of a turn, then radius 1 at none; the fourth number is not asked for.
    uniforms = [1 - float(np.exp(-2)), 0.25, 1 - float(np.exp(-0.5)), 0]
    found = javascript("return maths.gaussian(3, () => given.shift());", uniforms)
    assert close(found, [0, 2, 1], 1e-6)
    mean, variance = javascript(
        "const x = maths.gaussian(20000); const mean = x.reduce((a, b) => a + b) / x.length;"
        "return [mean, x.reduce((a, b) => a + (b - mean) ** 2, 0) / x.length];",
        None,
    )
    assert abs(mean) < 0.05 and abs(variance - 1) < 0.06  # seven standard deviations and six


def test_pixels(javascript: Callable[[str, Any], Any]) -> None:
    back = javascript("return maths.toPixels(maths.toModelRange(Uint8Array.from(given)));", list(range(256)))
    assert back == list(range(256))
    x = np.linspace(-1.2, 1.2, 999).tolist()
    assert javascript("return maths.toPixels(given);", x) == to_pixels(torch.tensor(x)).tolist()
    assert close(javascript("return maths.toModelRange(given);", [0, 51, 255]), [-1, -0.6, 1], 1e-6)
