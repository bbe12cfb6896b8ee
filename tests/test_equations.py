"""Every place that ``docs/equations.md`` names exists, and docstrings cite the numbers that it gives."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = ROOT / "docs" / "equations.md"

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
Citations = dict[str, set[str]]  # place -> {"paper 7", "edm 5", ...}


def rows() -> list[tuple[str, list[str]]]:
    """Source and places of every row of the tables."""
    cells = [line.strip("| \n").split(" | ") for line in TABLE.read_text(encoding="utf-8").splitlines()]
    found = [(cell[0], re.findall(r"`([^`]+)`", cell[-1])) for cell in cells if len(cell) == 3]
    return [(source, places) for source, places in found if source not in ("source", "---")]


def definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """Functions, classes and methods of a file, by dotted name."""

    def walk(node: ast.Module | ast.ClassDef, prefix: str) -> Iterator[tuple[str, Definition]]:
        for child in node.body:
            if isinstance(child, Definition):
                yield prefix + child.name, child
            if isinstance(child, ast.ClassDef):
                yield from walk(child, f"{prefix}{child.name}.")

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), "")


def cited(docstring: str) -> set[str]:
    """Numbers a docstring cites, as in "paper equations 9 to 12" or "Karras et al. 2022, equation 5"."""
    pattern = r"(paper|Karras et al\. 2022,) equations? (\d+)(?: (to|and) (\d+))?"
    numbers = set()
    for who, first, word, last in re.findall(pattern, " ".join(docstring.split()), re.IGNORECASE):
        source = "paper" if who.lower() == "paper" else "edm"
        every = range(int(first), int(last) + 1) if word else [int(first)]
        numbers |= {f"{source} {n}" for n in every}
    return numbers


def tabled() -> Citations:
    """Numbered equations that the tables give for each place."""
    found: Citations = defaultdict(set)
    for source, places in rows():
        if match := re.match(r"(Paper|EDM) eq\. ([\d, ]+)$", source):
            for place in places:
                found[place] |= {f"{match[1].lower()} {n}" for n in match[2].split(", ")}
    return found


@pytest.mark.parametrize("place", sorted({place for _, places in rows() for place in places}))
def test_every_place_exists(place: str) -> None:
    file, _, name = place.partition(":")
    assert (ROOT / file).is_file(), f"{file} is gone"
    assert name in dict(definitions(ROOT / file)), f"{file} has no {name}"


def test_every_row_names_a_place() -> None:
    assert len(rows()) > 30
    assert [source for source, places in rows() if not places] == []


def test_all_numbered_equations_of_the_paper_are_there() -> None:
    numbers = {
        n for found in re.findall(r"Paper eq\. ([\d, ]+?) \|", TABLE.read_text()) for n in found.split(", ")
    }
    assert numbers == {str(n) for n in range(1, 17)}


def test_docstrings_cite_the_numbers_of_the_table() -> None:
    table, citations = tabled(), {}
    for path in sorted((ROOT / "adamas").rglob("*.py")):
        for name, node in definitions(path):
            if numbers := cited(ast.get_docstring(node) or ""):
                citations[f"{path.relative_to(ROOT).as_posix()}:{name}"] = numbers
    assert len(citations) >= 7
    wrong = {place: numbers for place, numbers in citations.items() if not numbers <= table[place]}
    assert wrong == {}


def test_citations_are_read_correctly() -> None:
    assert cited("As in (paper\n    equation 7), and paper equations 15 and 16.") == {
        "paper 7",
        "paper 15",
        "paper 16",
    }
    assert cited("Paper equations 9 to 11.") == {"paper 9", "paper 10", "paper 11"}
    assert cited("(Karras et al. 2022, equation 5)") == {"edm 5"}
    assert cited("equation of motion 3, paper appendix D") == set()
