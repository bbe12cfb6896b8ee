"""A small run that may be spoilt."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def run(dreamer: Path) -> Path:
    """A run called RUN in the working folder."""
    return dreamer
