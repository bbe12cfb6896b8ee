"""docs/architecture.md shows the layers that the imports obey, and names what exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.test_architecture import LAYERS
from tests.test_equations import definitions

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
PLACES = sorted(set(re.findall(r"`(adamas/[\w/]+\.py):([\w.]+)`", PAGE)))


def test_the_picture_shows_the_layers_from_top_to_bottom() -> None:
    rows = re.findall(r"^.{15}│ (\w.*)$", PAGE, re.M)
    rooms = [set(re.split(r"\s{3,}", row.strip())[0].split()) for row in rows]
    assert rooms == LAYERS[::-1]


@pytest.mark.parametrize(("file", "name"), PLACES)
def test_every_function_that_is_named_exists(file: str, name: str) -> None:
    assert name in dict(definitions(ROOT / file))


def test_every_path_that_is_named_exists() -> None:
    text = re.sub(r"\b(NAME|FILE)\.py", "__init__.py", PAGE).replace("/NAME/", "/")
    paths = re.findall(r"`((?:adamas|tests|docs)/[\w/.]+)[:`]", text)
    assert len(paths) > 30
    assert [path for path in paths if not (ROOT / path).exists()] == []
    rooms = [
        p
        for cell in re.findall(r"^\| .* \| (`.*`.*) \|$", PAGE, re.M)
        for p in re.findall(r"`([^`]+)`", cell)
    ]
    assert len(rooms) > 15
    assert [room for room in rooms if not (ROOT / "adamas" / room).exists()] == []


def test_every_recipe_has_its_example() -> None:
    recipes = re.findall(r"^### Add an? (.*)$", PAGE, re.M)
    examples = re.findall(r"`tests/recipes/(\w+)\.py`", PAGE.split("## Recipes")[1])
    assert recipes.pop() == "world model" and "`tests/world_models/toy/kind.py`" in PAGE
    assert recipes == [name for name in examples if name != "test_recipes"]
    tests = (ROOT / "tests" / "recipes" / "test_recipes.py").read_text(encoding="utf-8")
    assert all(f"from tests.recipes.{name} import" in tests for name in recipes)
