"""Names of tensors in published files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from torch import Tensor

Tensors: TypeAlias = Mapping[str, Tensor]


def with_prefix(tensors: Tensors, prefix: str) -> Tensors:
    """Select the tensors whose names start with ``prefix``, and remove it from their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def rename(name: str, prefixes: Mapping[str, str]) -> str:
    """Replace the prefix of a name by its entry in ``prefixes``; a name with none of them stays as it is."""
    old = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
    return prefixes.get(old, "") + name.removeprefix(old)
