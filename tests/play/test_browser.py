"""The page in a real browser, driven as people do."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.helpers.play_server import Server
from tests.helpers.small_runs import as_if_recorded

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)

PATIENCE = 20_000  # milliseconds


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(run, "--recordings", str(tmp_path_factory.mktemp("played")))
    yield server
    assert server.close() == ""


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages that must neither complain nor ask anybody else for anything."""
    complaints: list[str] = []
    asked: set[str] = set()
    servers = {""}  # what the page makes itself has no address
    contexts = []

    def open_page(server: Server, width: int = 1280, height: int = 800, **options: object) -> Page:
        servers.add(urlsplit(server.site).netloc)
        contexts.append(browser.new_context(viewport={"width": width, "height": height}, **options))  # type: ignore[arg-type]
        page = contexts[-1].new_page()
        page.set_default_timeout(PATIENCE)
        page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: asked.add(urlsplit(request.url).netloc))
        page.goto(server.address)
        until(page, lambda: number(page, "#dream-age") > 3)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert asked <= servers
    assert [text for text in complaints if "WebSocket connection" not in text] == []


def until(page: Page, condition: Callable[[], bool]) -> None:
    """Wait for a condition. (Playwright's own way evaluates text, which the page forbids.)"""
    for _ in range(PATIENCE // 50):
        if condition():
            return
        page.wait_for_timeout(50)
    pytest.fail("waited in vain")


def number(page: Page, selector: str) -> float:
    """The first number that an element shows; -1 while there is none."""
    found = re.search(r"[-\u2212]?\d[\d.]*", page.locator(selector).inner_text())
    return float(found[0].replace("\u2212", "-")) if found else -1.0


def picture(page: Page, selector: str) -> list[int]:
    """The pixels of a canvas."""
    return page.evaluate(
        "s => { const c = document.querySelector(s);"
        " return [...c.getContext('2d').getImageData(0, 0, c.width, c.height).data] }",
        selector,
    )


def test_the_dream_goes_on(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server)
    expect(page.locator("#title")).to_have_text("tiny")
    frames = set()
    for _ in range(20):
        frames.add(tuple(picture(page, "#dream")))
        page.wait_for_timeout(50)
    assert len(frames) > 5
    assert number(page, "#fps") > 0


def test_keys_take_over_from_the_agent(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server)
    expect(page.locator("#control")).to_have_attribute("aria-pressed", "false")  # the agent plays
    page.keyboard.down("ArrowRight")
    expect(page.locator("#action")).to_contain_text("right", timeout=PATIENCE)
    expect(page.locator("#control")).to_have_attribute("aria-pressed", "true")
    page.keyboard.up("ArrowRight")
    expect(page.locator("#action")).to_contain_text("noop", timeout=PATIENCE)
    page.keyboard.down("a")
    expect(page.locator("#action")).to_contain_text("left", timeout=PATIENCE)
    page.keyboard.up("a")
    expect(page.locator("#latency")).to_have_text(re.compile(r"\d"), timeout=PATIENCE)
    page.click("#control")  # and the switch gives the game back
    expect(page.locator("#control")).to_have_attribute("aria-pressed", "false", timeout=PATIENCE)


def test_pause_step_and_reset(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server)
    page.keyboard.press("p")
    expect(page.locator("#pause")).to_contain_text("Resume", timeout=PATIENCE)
    page.wait_for_timeout(300)
    age = number(page, "#dream-age")
    page.wait_for_timeout(300)
    assert number(page, "#dream-age") == age
    page.click("#step")
    expect(page.locator("#dream-age")).to_have_text(str(int(age) + 1), timeout=PATIENCE)
    page.click("#reset")
    expect(page.locator("#dream-age")).to_have_text("0", timeout=PATIENCE)


def test_dream_beside_reality_and_a_fork(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server)
    expect(page.locator("#real-screen")).to_be_hidden()
    page.click("#view-both")
    expect(page.locator("#real-screen")).to_be_visible(timeout=PATIENCE)
    until(page, lambda: number(page, "#real-age") > 2)
    page.keyboard.press("p")
    expect(page.locator("#pause")).to_contain_text("Resume", timeout=PATIENCE)
    page.wait_for_timeout(300)
    page.click("#reset")
    page.wait_for_timeout(300)
    page.click("#step")
    expect(page.locator("#real-age")).to_have_text("1", timeout=PATIENCE)
    page.click("#fork")
    expect(page.locator("#dream-age")).to_have_text("0", timeout=PATIENCE)
    page.wait_for_timeout(300)
    assert picture(page, "#dream") == picture(page, "#real")


def test_denoising_steps_are_shown_and_set(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server)
    page.locator("#setting-strip").check(force=True)
    expect(page.locator("#strip canvas")).to_have_count(3, timeout=PATIENCE)  # the noise, and N = 2
    page.locator("#setting-denoising_steps").fill("4")
    expect(page.locator("#strip canvas")).to_have_count(5, timeout=PATIENCE)


def test_what_is_recorded_can_be_looked_at_and_downloaded(
    server: Server, open_page: Callable[..., Page], tmp_path: Path
) -> None:
    pytest.importorskip("av")
    page = open_page(server)
    page.click("#record")
    expect(page.locator("#record")).to_contain_text("Stop", timeout=PATIENCE)
    page.wait_for_timeout(1000)
    page.click("#record")
    expect(page.locator("#notice")).to_contain_text("played-dream", timeout=PATIENCE)
    page.click("#tab-episodes")
    page.locator("#datasets").get_by_text("played-dream").click()
    page.locator("#episode-rows tr").first.click()
    expect(page.locator("#episode-slider")).to_be_visible(timeout=PATIENCE)
    expect(page.locator("#page-range")).to_contain_text(re.compile(r"^1\D\d+ of"))
    expect(page.locator("#episode-t")).to_have_text(re.compile(r"^1 / "))
    before = picture(page, "#episode-frame")
    page.locator("#episode-slider").fill("5")
    page.wait_for_timeout(300)
    assert picture(page, "#episode-frame") != before
    for ending, start in (("mp4", b"ftyp"), ("gif", b"GIF89a")):
        with page.expect_download(timeout=PATIENCE) as download:
            page.click(f"#download-{ending}")
        assert download.value.suggested_filename.endswith(f".{ending}")
        download.value.save_as(tmp_path / "film")
        assert start in (tmp_path / "film").read_bytes()[:32]


def test_the_page_comes_back_when_the_server_does(
    run: Path, tmp_path: Path, open_page: Callable[..., Page]
) -> None:
    server = Server(run, "--recordings", str(tmp_path))
    page = open_page(server)
    page.click("#control")
    page.click("#view-both")
    until(page, lambda: number(page, "#real-age") > 2)
    server.close()
    expect(page.locator("#status-text")).not_to_have_text("connected", timeout=PATIENCE)
    again = Server(run, "--recordings", str(tmp_path), port=server.port)
    try:
        expect(page.locator("#status-text")).to_have_text("connected", timeout=PATIENCE)
        until(page, lambda: number(page, "#real-age") > 2)
        expect(page.locator("#view-both")).to_have_attribute("aria-pressed", "true", timeout=PATIENCE)
        page.keyboard.down("ArrowRight")  # people are in control, as before
        expect(page.locator("#action")).to_contain_text("right", timeout=PATIENCE)
    finally:
        page.close()
        again.close()


def test_it_fits_a_phone(server: Server, open_page: Callable[..., Page]) -> None:
    page = open_page(server, width=360, height=740, has_touch=True)
    for tab in ("#tab-play", "#tab-episodes"):
        page.click(tab)
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
    page.click("#tab-play")
    page.click("#control")
    expect(page.locator("#pad-left")).to_be_visible(timeout=PATIENCE)
    pad = page.locator("#pad-left").bounding_box()
    assert pad is not None
    page.mouse.move(pad["x"] + pad["width"] / 2, pad["y"] + pad["height"] / 2)
    page.mouse.down()
    expect(page.locator("#action")).to_contain_text("left", timeout=PATIENCE)


def test_two_browsers_have_their_own_dreams(server: Server, open_page: Callable[..., Page]) -> None:
    one, other = open_page(server), open_page(server)
    one.click("#pause")
    expect(one.locator("#pause")).to_contain_text("Resume", timeout=PATIENCE)
    one.wait_for_timeout(300)
    age = number(one, "#dream-age")
    other.wait_for_timeout(500)
    assert number(one, "#dream-age") == age
    expect(other.locator("#pause")).to_contain_text("Pause")


def test_a_model_of_recordings_shows_no_policy_and_no_game(
    dreamer: Path, open_page: Callable[..., Page]
) -> None:
    as_if_recorded(dreamer, "drives-split")
    server = Server(dreamer)
    try:
        page = open_page(server)
        expect(page.locator("#game")).to_have_text("recording drives-split")
        for hidden in (
            "#control",
            "#views",
            "#probabilities",
            "#panel-prediction",
            "#dream-reward",
            "#panel-history",
        ):
            expect(page.locator(hidden)).to_be_hidden()
        page.keyboard.down("ArrowRight")
        expect(page.locator("#action")).to_contain_text("right", timeout=PATIENCE)
        page.click("#tab-episodes")
        expect(page.locator("#episode-rows tr").first).to_be_visible(timeout=PATIENCE)
        assert page.locator("#episode-table th:visible").all_inner_texts() == ["episode", "frames"]
        page.close()
    finally:
        assert "no real game beside the dream" in server.close()
