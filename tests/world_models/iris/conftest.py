"""The recorded agent."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from adamas.rl.plain_actor_critic import PlainActorCritic
from adamas.world_models.iris.world import Iris
from tests.conftest import load_reference
from tests.helpers.iris_reference import Recorded


@pytest.fixture(scope="session")
def recorded() -> Iterator[Recorded]:
    """What was recorded. In the end, it prints how much of it was compared (``pytest -s``)."""
    reference = load_reference("iris")
    result = Recorded(reference.weights, reference.io)
    yield result
    if result.compared:
        print(f"\n{result.report()}")


@pytest.fixture
def iris(recorded: Recorded) -> Iris:
    """The world model with the recorded weights."""
    return recorded.iris()


@pytest.fixture
def policy(recorded: Recorded) -> PlainActorCritic:
    """The actor-critic with the recorded weights."""
    return recorded.policy()
