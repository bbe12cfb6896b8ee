"""Range checks for options."""

from __future__ import annotations

import operator

from adamas.core.errors import UserError


def check_range(
    name: str,
    value: float | None,
    *,
    least: float | None = None,
    above: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    """Refuse a number that is out of range, or NaN.

    Args:
        name: the field or argument that holds the number, such as ``"sampler.rho"``.
        value: the number; None is an option that was not given, and passes.
        least: the number must be at least this.
        above: the number must be greater than this.
        most: the number must be at most this.
        below: the number must be less than this.

    Raises:
        UserError: naming the number, its value and its range.
    """
    limits = (
        ("at least", least, operator.ge),
        ("above", above, operator.gt),
        ("at most", most, operator.le),
        ("below", below, operator.lt),
    )
    given = [(words, limit, holds) for words, limit, holds in limits if limit is not None]
    if value is not None and not all(holds(value, limit) for _, limit, holds in given):
        wanted = " and ".join(f"{words} {limit:,}" for words, limit, _ in given)
        raise UserError(f"`{name}` is {value}; it must be {wanted}")


def check_minima(where: str, config: object, **minima: float) -> None:
    """Refuse a field that is below its minimum.

    Args:
        where: what stands before the names of the fields in errors, with a dot at its end.
        config: the object with the fields.
        minima: the least value of each field.

    Raises:
        UserError: naming the field, its value and its minimum.
    """
    for name, minimum in minima.items():
        check_range(where + name, getattr(config, name), least=minimum)
