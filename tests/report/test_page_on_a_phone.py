"""The page in a browser window as narrow as a phone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from adamas.report.page import render
from adamas.report.runs import find_runs
from tests.helpers.report_runs import make_run

sync_api = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)

pytestmark = pytest.mark.skipif(
    CHROMIUM is None, reason="no Chromium here (Debian: apt-get install chromium)"
)


def test_wide_tables_and_figures_scroll_in_boxes_that_say_so(tmp_path: Path) -> None:
    make_run(tmp_path / "base/a", score=31.8)
    page = tmp_path / "page.html"
    page.write_text(render(find_runs([tmp_path / "base"]), ["DIAMOND"]), encoding="utf-8")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 390, "height": 844})
        view.goto(page.as_uri())
        assert view.evaluate("document.documentElement.scrollWidth") <= 390
        wide = view.evaluate(
            "[...document.querySelectorAll('.scroll')].filter((box) => box.scrollWidth > box.clientWidth + 1).length"
        )
        cues = view.locator(".cue")
        assert wide > 3 and cues.count() == wide
        assert view.locator(".cue + .scroll[tabindex='0']").count() == wide
        view.set_viewport_size({"width": 1200, "height": 900})
        view.reload()
        assert cues.count() == 0
        browser.close()
