"""The layers of the package: nothing imports upward, nothing in a circle, nothing grows too long."""

from __future__ import annotations

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adamas"

LAYERS: list[set[str]] = [  # lowest first; those of one row never import each other
    {"core"},
    {"nn", "media"},
    {"diffusion"},
    {"data", "envs"},
    {"rl"},
    {"world_models"},
    {"agent"},
    {"dreaming"},
    {"evaluation"},  # scores alone
    {"fidelity"},  # dreams against the truth
    {"interop"},
    {"adamas"},  # the public surface, adamas/__init__.py
    {"training"},
    {"presets"},
    {"bench", "report", "play", "export"},
    {"commands"},
    {"suite"},
    {"cli"},
    {"__main__"},
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}

MAX_FILE, MAX_FUNCTION = 300, 60


def modules(package: Path) -> dict[str, Path]:
    """Files by dotted name."""
    paths = {
        ".".join(("adamas", *path.relative_to(package).with_suffix("").parts)): path
        for path in sorted(package.rglob("*.py"))
    }
    return {name.removesuffix(".__init__"): path for name, path in paths.items()}


def imports(name: str, path: Path, known: set[str]) -> set[str]:
    """Modules of the package that a file imports, wherever in it; those for type checkers alone as well."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:  # relative to the package that the file is in
                parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
                parts = parent.split(".")[: len(parent.split(".")) - node.level + 1]
                base = ".".join((*parts, base) if base else parts)
            names = {f"{base}.{alias.name}" for alias in node.names}
            found |= {module if module in known else base for module in names}
    return {module for module in found if module.split(".")[0] == "adamas"} - {name}


def layer(module: str) -> str:
    return module.split(".")[1] if "." in module else module


def violations(package: Path) -> list[str]:
    """One line for each import that the layers forbid, and for a cycle among modules."""
    files = modules(package)
    graph = {name: imports(name, path, set(files)) for name, path in files.items()}
    problems = []
    for name in files:
        if layer(name) not in RANK:
            problems.append(f"{name} is in no layer; add it to LAYERS")
    for name, imported in graph.items():
        for other in sorted(imported):
            above, below = RANK.get(layer(name), -1), RANK.get(layer(other), -1)
            if layer(name) != layer(other) and above <= below:
                problems.append(f"{name} imports {other}, which is not below it")
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        problems.append(f"cycle: {' <- '.join(error.args[1])}")
    return problems


def test_nothing_imports_upward_or_in_a_circle() -> None:
    assert violations(PACKAGE) == []


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"core/a.py": "import adamas.rl.b", "rl/b.py": ""}, "adamas.core.a imports adamas.rl.b"),
        ({"core/a.py": "def f():\n    from adamas.nn import b", "nn/b.py": ""}, "imports adamas.nn.b"),
        ({"data/a.py": "from ..envs.b import x", "envs/b.py": ""}, "adamas.data.a imports adamas.envs.b"),
        ({"rl/a.py": "from adamas import load"}, "adamas.rl.a imports adamas, which"),
        ({"rl/a.py": "import adamas.rl.b", "rl/b.py": "from adamas.rl.a import x"}, "cycle: adamas.rl."),
        ({"shop/a.py": ""}, "adamas.shop.a is in no layer"),
        ({"rl/a.py": "import torch\nfrom adamas.nn.b import x", "nn/b.py": "from .c import y"}, None),
    ],
)
def test_violations_are_found(files: dict[str, str], problem: str | None, tmp_path: Path) -> None:
    package = tmp_path / "adamas"
    for name, code in files.items():
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text(code)
    found = violations(package)
    assert (problem is None and not found) or (problem is not None and problem in found[0])


def test_the_walk_sees_the_package() -> None:
    files = modules(PACKAGE)
    assert files["adamas"].name == "__init__.py" and files["adamas.rl"].parent.name == "rl"
    seen = imports("adamas.diffusion.edm", files["adamas.diffusion.edm"], set(files))
    assert seen == {
        "adamas.core.checks",
        "adamas.core.errors",
        "adamas.diffusion.denoiser",
        "adamas.diffusion.samplers",
    }


def test_files_and_functions_are_short() -> None:
    too_long = []
    for name, path in modules(PACKAGE).items():
        source = path.read_text(encoding="utf-8")
        if (lines := len(source.splitlines())) > MAX_FILE:
            too_long.append(f"{name}: {lines} lines")
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION:
                    too_long.append(f"{name}.{node.name}: {lines} lines")
    assert too_long == []
