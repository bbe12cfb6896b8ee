"""``adamas export``: write an agent in another system's format."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from adamas.commands.common import find_target
from adamas.core.arguments import parse
from adamas.core.errors import UserError
from adamas.interop.load import load
from adamas.interop.published import save_published


@dataclass(frozen=True)
class Export:
    """Write an agent in the format of the published checkpoints."""

    out: Path
    """The .pt file to write; must not exist yet."""


def export(arguments: Sequence[str]) -> None:
    """Write the file."""
    if not arguments or arguments[0] != "published":
        raise UserError("export what? use: adamas export published RUN|CHECKPOINT --out FILE.pt")
    target, _, rest = find_target(arguments[1:], "export published")
    options = parse(Export, rest, f"export published {target}")
    save_published(load(target, "cpu"), options.out)
    print(f"  {options.out}")
