"""Lambda-returns: recorded, by hand, and by their definition."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adamas.rl.returns import lambda_returns

if TYPE_CHECKING:
    from tests.conftest import LoadReference


@pytest.mark.parametrize(
    ("name", "gamma", "lambda_"),
    [
        ("gamma985_lambda95", 0.985, 0.95),
        ("gamma985_lambda0", 0.985, 0.0),
        ("gamma9_lambda1", 0.9, 1.0),
    ],
)
def test_returns_as_recorded(reference: LoadReference, name: str, gamma: float, lambda_: float) -> None:
    _, _, io = reference("lambda_returns")
    returns = lambda_returns(
        io["reward"], io["end"].bool(), io["trunc"].bool(), io["value_bootstrap"], gamma, lambda_
    )
    torch.testing.assert_close(returns, io[name], atol=1e-4, rtol=0)


def returns_of(
    reward: list[float],
    value: list[float],
    terminated: tuple[int, ...] = (),
    truncated: tuple[int, ...] = (),
    gamma: float = 0.5,
    lambda_: float = 0.5,
) -> list[float]:
    """Returns of one sequence; ``terminated`` and ``truncated`` are steps."""
    steps = torch.arange(len(reward))
    e, u = (torch.isin(steps, torch.tensor(when))[None] for when in (terminated, truncated))
    returns = lambda_returns(
        torch.tensor([reward]).float(), e, u, torch.tensor([value]).float(), gamma, lambda_
    )
    return [float(x) for x in returns[0]]


def test_three_steps_by_hand() -> None:
    # R_2 = -1 + 0.5 * 8 = 3;  R_1 = 0 + 0.5 * (0.5 * 4 + 0.5 * 3) = 1.75;
    # R_0 = 1 + 0.5 * (0.5 * 2 + 0.5 * 1.75) = 1.9375
    assert returns_of([1, 0, -1], [2, 4, 8]) == [1.9375, 1.75, 3.0]


def test_rewards_count_by_their_sign() -> None:
    assert returns_of([300, 0, -0.2], [2, 4, 8]) == returns_of([1, 0, -1], [2, 4, 8])


def test_an_end_stops_everything_and_a_truncation_bootstraps() -> None:
    assert returns_of([1, 0, -1], [2, 4, 8], terminated=(1,)) == [1.5, 0.0, 3.0]
    # R_1 = 0 + 0.5 * 4: all of the value, nothing of R_2, which belongs to another episode.
    assert returns_of([1, 0, -1], [2, 4, 8], truncated=(1,)) == [2.0, 2.0, 3.0]
    assert returns_of([1, 0, -1], [2, 4, 8], (1,), (1,)) == [1.5, 0.0, 3.0]
    assert returns_of([1], [8], terminated=(0,)) == [1.0]
    assert returns_of([1], [8], truncated=(0,)) == returns_of([1], [8]) == [5.0]


def test_extremes_of_lambda() -> None:
    assert returns_of([1, 1, 1], [2, 4, 8], lambda_=0.0) == [2.0, 3.0, 5.0]  # r + gamma V
    assert returns_of([1, 1, 1], [2, 4, 8], lambda_=1.0) == [2.75, 3.5, 5.0]  # r + gamma R
    assert returns_of([1, 1, 1], [2, 4, 8], gamma=0.0) == [1.0, 1.0, 1.0]


step = st.tuples(
    st.floats(-3, 3, width=32), st.booleans(), st.booleans(), st.floats(-5, 5, width=32)
)  # reward, terminated, truncated, value


@settings(deadline=None)
@given(steps=st.lists(step, min_size=1, max_size=12), gamma=st.floats(0, 1), lambda_=st.floats(0, 1))
def test_returns_by_their_definition(
    steps: list[tuple[float, bool, bool, float]], gamma: float, lambda_: float
) -> None:
    def definition(t: int) -> float:
        if t == len(steps):
            return steps[-1][3]
        reward, e, u, value = steps[t]
        sign = (reward > 0) - (reward < 0)
        mixed = (1 - lambda_) * value + lambda_ * definition(t + 1)
        return sign + gamma * (1 - e) * ((1 - u) * mixed + u * value)

    reward, terminated, truncated, value = (torch.tensor([column]) for column in zip(*steps, strict=True))
    returns = lambda_returns(reward, terminated, truncated, value, gamma, lambda_)
    expected = torch.tensor([[definition(t) for t in range(len(steps))]])
    torch.testing.assert_close(returns, expected, atol=1e-4, rtol=1e-4)
