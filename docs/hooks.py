"""Hooks of the documentation site: they make a page of the API reference for each package."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PACKAGE = Path(__file__).parents[1] / "adamas"
ROLE = re.compile(r":(?:attr|class|data|func|meth|mod):<code>(?:~[\w.]*\.)?([\w.]+)</code>")


def reference_pages() -> dict[str, str]:
    """The pages of the API reference: Markdown by name of the public module or package that each is about."""
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__", "cli"}
    packages = {path.name for path in PACKAGE.iterdir() if any(path.glob("*.py"))}
    pages = {"adamas": "::: adamas\n    options:\n      show_submodules: false\n"}
    return pages | {f"adamas.{name}": f"::: adamas.{name}\n" for name in sorted(modules | packages)}


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the reference to the navigation."""
    entries = [{name: f"reference/{name}.md"} for name in reference_pages()]
    config.nav[-1] = {"API reference": entries}
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the reference's pages, which exist only while the site is built."""
    for name, text in reference_pages().items():
        files.append(File.generated(config, f"reference/{name}.md", content=text))
    return files


def on_page_content(html: str, **_: object) -> str:
    """Show the roles of the docstrings, such as ``:func:`sample```, as plain code."""
    return ROLE.sub(r"<code>\1</code>", html)
