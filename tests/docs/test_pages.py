"""Every page of the docs says what it is for, is wrapped, and links to what exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs").glob("*.md"))
WRAPPED = PAGES
WIDTH = 100
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|href)=\"([^\"]+)\"")


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Numbers and texts of the lines that are neither code nor rows of a table nor HTML."""
    is_code = False
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.lstrip().startswith("```"):
            is_code = not is_code
        elif not is_code and not line.startswith(("|", "    ", "<")):
            yield number, line


def anchors(path: Path) -> set[str]:
    """What links can name in a page: its headings, as GitHub and the site spell them."""
    titles = [line.lstrip("#").strip() for _, line in prose(path) if line.startswith("#")]
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: path.name)
def test_a_page_opens_with_two_sentences(path: Path) -> None:
    title, first = path.read_text(encoding="utf-8").split("\n\n")[:2]
    assert title.startswith("# ") and "\n" not in title
    assert len(re.findall(r"[.:](?=\s|$)", first)) >= 2, first


@pytest.mark.parametrize("path", WRAPPED, ids=lambda path: path.name)
def test_prose_is_wrapped(path: Path) -> None:
    too_long = [number for number, line in prose(path) if len(line) > WIDTH and "](" not in line]
    assert too_long == []


@pytest.mark.parametrize(
    "path", [*PAGES, ROOT / "README.md", ROOT / "CONTRIBUTING.md"], ids=lambda path: path.name
)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in (markdown or html for markdown, html in LINK.findall(text)):
        if re.match(r"[a-z]+:", target):
            continue  # an address elsewhere
        file, _, anchor = target.partition("#")
        page = path.parent / file if file else path
        assert page.exists(), f"{path.name} links to {target}"
        assert not anchor or anchor in anchors(page), f"{path.name} links to {target}"


def test_the_index_and_the_site_list_every_page() -> None:
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    linked = {target.partition("#")[0] for target, _ in LINK.findall(index)}
    names = {path.name for path in PAGES}
    assert names - {"README.md"} <= linked
    site = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert set(re.findall(r"([\w-]+\.md)$", site, re.M)) == names


def test_the_citation_names_the_paper() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    paper = citation["preferred-citation"]
    assert paper["title"].startswith("Diffusion for World Modeling") and len(paper["authors"]) == 7
    index = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    assert paper["title"] in index and paper["url"] in index
