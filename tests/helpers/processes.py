"""Commands in processes of their own, which hear signals even where this process does not."""

from __future__ import annotations

import sys
from pathlib import Path

# Under nohup SIGHUP is ignored, and in a background job of a script SIGINT, and every child inherits that.
_LISTENING = """
import os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, name):
        signal.signal(getattr(signal, name), signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, "-m", "adamas", *sys.argv[1:]])
"""


def command(*arguments: str | Path) -> list[str]:
    """The words that start ``adamas`` with ``arguments``."""
    return [sys.executable, "-c", _LISTENING, *map(str, arguments)]
