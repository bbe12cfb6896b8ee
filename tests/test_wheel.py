"""The wheel holds everything that belongs to the package, and nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import adamas

ROOT = Path(__file__).parents[1]
PROJECT = ("pyproject.toml", "README.md", "LICENSE", "adamas")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel, built from a copy: setuptools leaves files beside the sources."""
    source = tmp_path_factory.mktemp("source")
    for name in PROJECT:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, source / name)
    pytest.importorskip("setuptools")
    build = "from setuptools.build_meta import build_wheel; print(build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", build], cwd=source, capture_output=True, text=True, check=True
    )
    return zipfile.ZipFile(source / done.stdout.split()[-1])


def test_it_has_every_file_of_the_package(wheel: zipfile.ZipFile) -> None:
    package = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "adamas").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    assert packed == package


def test_its_version_is_the_package_s(wheel: zipfile.ZipFile) -> None:
    folder = f"adamas-{adamas.__version__}.dist-info"
    metadata = wheel.read(f"{folder}/METADATA").decode()
    assert f"\nVersion: {adamas.__version__}\n" in metadata
    assert "\nClassifier: Programming Language :: Python :: 3.13\n" in metadata
    assert "adamas = adamas.cli:main" in wheel.read(f"{folder}/entry_points.txt").decode()
