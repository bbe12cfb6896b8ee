"""The range check that options share."""

from __future__ import annotations

import pytest

from adamas.core.checks import check_range
from adamas.core.errors import UserError


def test_the_ends_of_a_range_belong_to_it_unless_they_are_excluded() -> None:
    check_range("steps", 1, least=1, most=1)
    check_range("share", 0.5, above=0, below=1)
    check_range("scale", None, least=1)
    for value in (0.0, 1.0, -3.0, float("nan")):
        with pytest.raises(UserError, match=f"`share` is {value}; it must be above 0 and below 1"):
            check_range("share", value, above=0, below=1)
    with pytest.raises(UserError, match=r"^`steps` is 10001; it must be at least 1 and at most 10,000$"):
        check_range("steps", 10_001, least=1, most=10_000)
