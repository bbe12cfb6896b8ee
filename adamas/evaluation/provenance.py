"""Provenance of results: the code, the machine and the time that they come from."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path

import torch

from adamas.core.runtime import multiplies_bf16

PACKAGES = ("adamas", "torch", "numpy", "gymnasium", "ale-py", "minatar")
PACKAGE_FOLDER = Path(__file__).parents[1]


@dataclass(frozen=True, kw_only=True)
class GitState:
    """The state of a checkout.

    Attributes:
        commit: its commit; "unknown" if git is missing or does not track the folder.
        dirty: whether its files differ from that commit; None if that is unknown.
    """

    commit: str = "unknown"
    dirty: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where results come from. None stands for what the version that wrote them did not record.

    Attributes:
        time_utc: time in UTC, in ISO 8601.
        packages: versions of the installed :data:`PACKAGES`, by name.
        git: the state of the package's checkout.
        python: version of Python.
        platform: operating system and architecture.
        cpu: model of the processor.
        cpu_vectors: its vector instructions, as PyTorch names them.
        cpu_bf16: whether it has instructions for bf16.
        cores: number of its cores.
        gpu: name of the first CUDA device; None without one.
    """

    time_utc: str | None = None
    packages: dict[str, str] = field(default_factory=dict)
    git: GitState = field(default_factory=GitState)
    python: str | None = None
    platform: str | None = None
    cpu: str | None = None
    cpu_vectors: str | None = None
    cpu_bf16: bool | None = None
    cores: int | None = None
    gpu: str | None = None


def provenance() -> Provenance:
    """The provenance of results that are made here and now."""
    return Provenance(
        time_utc=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        packages={name: version for name in PACKAGES if (version := _version(name)) is not None},
        git=git_state(PACKAGE_FOLDER),
        python=platform.python_version(),
        platform=platform.platform(),
        cpu=_cpu_model(),
        cpu_vectors=torch.backends.cpu.get_cpu_capability(),
        cpu_bf16=multiplies_bf16(),
        cores=os.cpu_count(),
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    )


def git_state(folder: Path) -> GitState:
    """The state of the checkout that contains ``folder``."""
    # A package that is installed inside another repository must not report the commit of that repository.
    if _git(folder, "ls-files", "--error-unmatch", ".") is None:
        return GitState()
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain", "--", ".")
    return GitState(commit=commit or "unknown", dirty=None if changes is None else bool(changes))


def _git(folder: Path, *command: str) -> str | None:
    """Run a git command in ``folder``, and return its output; None if it fails or git is missing."""
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *command], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str:
    if sys.platform == "linux":
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
