"""What a check of a device found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What a check of a device found.

    Attributes:
        what: what was measured.
        result: the result, in words.
        limit: what the result must be, in words; None if nothing is required.
        verdict: pass or fail, by the limit; measured, if there is none; out of time, if there is no result.
        numbers: the results as numbers, by name; None for a number that is not finite.
    """

    what: str
    result: str
    limit: str | None = None
    verdict: Literal["pass", "fail", "measured", "out of time"]
    numbers: Mapping[str, float | None] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The finding as an entry of a JSON file: all values side by side."""
        limit = {} if self.limit is None else {"limit": self.limit}
        return {"what": self.what, "result": self.result, **limit, "verdict": self.verdict, **self.numbers}
