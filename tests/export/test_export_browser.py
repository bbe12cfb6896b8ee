"""The page in a real browser: it dreams what PyTorch dreams, obeys keys, and asks nobody else for anything."""

from __future__ import annotations

import functools
import http.server
import operator
import shutil
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from adamas.agent import Agent
from adamas.core.errors import UserError
from adamas.export.web import RUNTIME, pack_runtime
from tests.helpers.export_agent import close, dream, read_contexts

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
SECONDS = 30_000  # milliseconds until something must have happened

# What the page's worker does, with random numbers that are given.
DREAM = """async ({ noises, actions }) => {
  const at = (path) => new URL(path, location.href).href;
  const { computesRight, Dream, readContexts } = await import(at("dream.js"));
  const ort = await import(at("runtime/ort.wasm.min.mjs"));
  ort.env.wasm.wasmPaths = at("runtime/");
  const world = await (await fetch("world.json")).json();
  const networks = {};
  for (const name of ["denoiser", "reward_end", "actor_critic"]) {
    networks[name] = await ort.InferenceSession.create(at(`${name}.onnx`), { executionProviders: ["wasm"] });
  }
  const random = { gaussian: () => Float32Array.from(noises.shift()), uniform: () => 0.5 };
  const dream = new Dream(ort, world, networks, random);
  const context = readContexts(await (await fetch("contexts.bin")).arrayBuffer(), world)[0];
  await dream.reset(context);
  const steps = [];
  for (const action of actions) {
    const step = await dream.step(action, world.sampler.num_steps);
    const frame = [...dream.frames.slice(-dream.size)];
    steps.push({ ...step, frame, pixels: [...dream.pixels], probabilities: dream.probabilities, value: dream.value });
  }
  const check = await (await fetch("check.json")).json();
  const checks = [check, { ...check, value: check.value + 0.1 }, { ...check, end: 1 }];
  checks.push({ ...check, pixels: check.pixels.map((pixel) => 255 - pixel) });
  const right = [];
  for (const expected of checks) right.push(await computesRight(ort, world, networks, context, expected));
  return { steps, right };
}"""


@pytest.fixture(scope="module")
def served(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the page, in a folder of a server that only hands out files; with the real runtime."""
    folder = tmp_path_factory.mktemp("server")
    shutil.copytree(site, folder / "page")
    try:
        runtime = pack_runtime(tmp_path_factory.mktemp("npm"))
    except UserError as error:
        pytest.skip(str(error))
    for name in RUNTIME:
        shutil.copyfile(runtime / name, folder / "page" / "runtime" / name)

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/page/"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--headless=new", "--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, served: str) -> Iterator[Page]:
    """The page on a phone, dreaming; afterwards, nothing must have gone wrong in it."""
    complaints: list[str] = []
    context = browser.new_context(viewport={"width": 360, "height": 740}, color_scheme="dark", has_touch=True)
    page = context.new_page()

    def complain(wrong: bool, complaint: str) -> None:
        if wrong:
            complaints.append(complaint)

    page.on("console", lambda message: complain(message.type == "error", message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complain(not request.url.startswith(served), request.url))
    page.on("response", lambda response: complain(not response.ok, f"{response.url} {response.status}"))
    page.goto(served)
    until(page, "age", lambda text: int(text) >= 2 or complaints != [])
    assert complaints == []
    assert page.locator("#status").inner_text() == "Dreaming on WebAssembly, 1 thread."
    yield page
    context.close()
    assert complaints == []


def until(page: Page, name: str, reached: Callable[[str], bool]) -> str:
    """Wait for the text of an element. Playwright's own way evaluates strings, which the page's policy forbids."""
    for _ in range(SECONDS // 50):
        text = page.locator(f"#{name}").inner_text()
        if reached(text):
            return text
        page.wait_for_timeout(50)
    raise AssertionError(f"#{name} is still {text!r}; the page says: {page.locator('#status').inner_text()}")


def test_it_is_played(page: Page) -> None:
    page.select_option("#speed", "60")
    assert page.locator("#title").inner_text() == "tiny"
    assert page.locator("#control").get_attribute("aria-pressed") == "false"  # the agent plays at first
    until(page, "action", lambda text: text.isalpha() and text != "noop")  # all are about as probable
    for keys, action in (
        (["ArrowLeft"], "left"),
        (["ArrowLeft", "Space"], "leftfire"),
        (["KeyD", "Space"], "fire"),  # there is no rightfire, and fire is newer
        (["Digit2"], "right"),
    ):
        for key in keys:
            page.keyboard.down(key)
        until(page, "action", partial(operator.eq, action))
        for key in keys:
            page.keyboard.up(key)
        until(page, "action", lambda text: text == "noop")
    box = page.locator("#pad-right").bounding_box()
    assert box is not None and box["width"] >= 40
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    until(page, "action", lambda text: text == "right")
    page.mouse.up()

    assert page.locator("#control").get_attribute("aria-pressed") == "true"  # keys have taken over
    page.click("#control")
    assert page.locator("#control").get_attribute("aria-pressed") == "false"
    until(page, "action", lambda text: text.isalpha() and text != "noop")
    page.keyboard.press("c")
    assert page.locator("#control").get_attribute("aria-pressed") == "true"

    page.keyboard.press("p")
    assert page.locator("#pause").inner_text() == "Resume"
    page.wait_for_timeout(300)
    age = int(page.locator("#age").inner_text())
    page.wait_for_timeout(300)
    assert int(page.locator("#age").inner_text()) == age > 10
    page.keyboard.press("r")
    until(page, "age", lambda text: text == "0")
    page.select_option("#denoising-steps", "1")
    page.keyboard.press("p")
    until(page, "age", lambda text: int(text) > 0)
    assert page.evaluate("document.documentElement.scrollWidth") == 360  # nothing sticks out
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(13, 16, 21)"
    drawn = page.evaluate(
        "[...document.querySelector('#screen').getContext('2d').getImageData(0, 0, 8, 6).data]"
    )
    assert set(drawn[3::4]) == {255} and len(set(drawn)) > 20


def test_it_dreams_what_pytorch_dreams(page: Page, site: Path, agent: Agent) -> None:
    actions = [0, 4, 2, 1]
    expected = dream(agent, read_contexts(site)[:1], actions)
    noises = expected.noise.reshape(len(actions), -1).tolist()
    found = page.evaluate(DREAM, {"noises": noises, "actions": actions})
    assert found["right"] == [True, False, False, False]
    for t, step in enumerate(found["steps"]):
        assert close(step["frame"], expected.frame[t].flatten()), t
        assert close(step["value"], expected.value[t, 0]), t
        assert close(step["probabilities"], softmax(expected.logits[t, 0])), t
        assert close(step["endProbability"], softmax(expected.end[t, 0])[1]), t
        reward = softmax(expected.reward[t, 0]).cumsum()
        assert step["reward"] == int((reward <= 0.5).sum()) - 1 and step["ended"] is False


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()
