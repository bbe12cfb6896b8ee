"""Provenance names the code, the machine and the time."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from adamas.core.json_data import from_json
from adamas.evaluation.provenance import PACKAGES, GitState, Provenance, git_state, provenance


def test_provenance_names_code_and_machine() -> None:
    found = provenance()
    assert found.packages["numpy"] == np.__version__
    assert set(found.packages) <= set(PACKAGES)
    assert found.cores == os.cpu_count() and found.cpu
    assert found.time_utc is not None and found.time_utc.endswith("+00:00")
    assert from_json(Provenance, json.loads(json.dumps(asdict(found)))) == found


def test_what_an_older_version_did_not_record_is_unknown() -> None:
    found = from_json(
        Provenance, {"cpu": "A Processor", "packages": {"torch": "2"}, "git": {"commit": "c0ffee"}}
    )
    assert (found.cpu, found.packages, found.git) == (
        "A Processor",
        {"torch": "2"},
        GitState(commit="c0ffee"),
    )
    assert (found.git.dirty, found.cpu_bf16, found.time_utc) == (None, None, None)


def git(folder: Path, *command: str) -> str:
    user = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.check_output(["git", "-C", str(folder), *user, *command], text=True).strip()


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_git_state_of_a_checkout(tmp_path: Path) -> None:
    unknown = GitState(commit="unknown", dirty=None)
    package, installed = tmp_path / "package", tmp_path / "site-packages"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "code.py").write_text("one\n")
    git(tmp_path, "init", "-q")
    assert git_state(package) == unknown
    git(tmp_path, "add", "package")
    git(tmp_path, "commit", "-q", "-m", "first")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert git_state(package) == GitState(commit=commit, dirty=False)
    assert git_state(installed) == unknown, "it is not part of the repository around it"
    (package / "code.py").write_text("two\n")
    assert git_state(package) == GitState(commit=commit, dirty=True)


def test_git_state_without_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state(tmp_path) == GitState(commit="unknown", dirty=None)
