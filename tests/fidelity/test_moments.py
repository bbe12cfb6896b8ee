"""Moments of play: where they are, what precedes them and what follows."""

from __future__ import annotations

from dataclasses import fields

import pytest
import torch

from adamas.core.actions import ActionSpec
from adamas.core.errors import UserError
from adamas.core.types import Batch
from adamas.fidelity import moments
from adamas.fidelity.moments import dream_on, find_moments, play_on
from adamas.rl.random_policy import RandomPolicy
from tests.helpers.toy_games import Coins, Dream, Line, on_the_line, walk

LENGTH = 3


def test_moments_hold_the_frames_and_actions_before_them() -> None:
    game = Line(position=1)
    moments = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), LENGTH, 60, seed=0, max_steps=8)
    assert len(moments) == 60
    ages = []
    for moment in moments:
        obs, action = moment.context.obs, moment.context.action
        assert obs.shape == (1, LENGTH, 1, 2, 4) and action.shape == (1, LENGTH - 1)
        assert moment.context.mask.all() and moment.context.mask.shape == (1, LENGTH)
        places, times = obs[0, :, 0, 0].int().argmax(dim=1).tolist(), obs[0, :, 0, 1, 0].tolist()
        assert times == list(range(times[-1] - LENGTH + 1, times[-1] + 1))
        assert [walk(p, a) for p, a in zip(places, action[0].tolist(), strict=False)] == places[1:]
        assert moment.saved == (places[-1], times[-1])
        ages.append(times[-1])
    assert set(ages) == set(range(LENGTH - 1, 9)), "from the first full context on, to max_steps"
    again = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), LENGTH, 60, seed=0, max_steps=8)
    other = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), LENGTH, 60, seed=1, max_steps=8)
    assert [m.saved for m in again] == [m.saved for m in moments] != [m.saved for m in other]


def test_episodes_that_end_too_early_are_given_up() -> None:
    moments = find_moments(
        Line(length=6), RandomPolicy(ActionSpec.numbered(3)), LENGTH, 40, seed=0, max_steps=300
    )
    assert {moment.saved[1] for moment in moments} == {2, 3, 4, 5}, "the frame at the end starts nothing"
    with pytest.raises(UserError, match="1000 episodes gave 0 of 1 moments with 3 frames before the end"):
        find_moments(Line(length=2), RandomPolicy(ActionSpec.numbered(3)), LENGTH, 1, seed=0)


def test_the_last_try_may_give_the_last_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(moments, "MAX_TRIES", 1)
    assert (
        len(find_moments(Line(), RandomPolicy(ActionSpec.numbered(3)), LENGTH, 2, seed=0, max_steps=2)) == 2
    )


def test_contexts_of_one_frame_have_no_actions() -> None:
    (moment,) = find_moments(Line(), RandomPolicy(ActionSpec.numbered(3)), 1, 1, seed=0, max_steps=0)
    assert moment.context.obs.shape == (1, 1, 1, 2, 4) and moment.context.action.shape == (1, 0)


def test_contexts_in_one_batch() -> None:
    moments = find_moments(Line(), RandomPolicy(ActionSpec.numbered(3)), LENGTH, 5, seed=0, max_steps=8)
    together = Batch.concatenate([moment.context for moment in moments])
    for i, moment in enumerate(moments):
        for field in fields(Batch):
            part = getattr(together, field.name)
            assert len(part) == 5 and torch.equal(part[i], getattr(moment.context, field.name)[0])


def test_the_game_goes_on_from_the_moment_and_holds_its_last_frame() -> None:
    game = Line(position=1, length=5)
    (moment,) = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), LENGTH, 1, seed=0, max_steps=2)
    place = moment.saved[0]
    frames = play_on(game, moment, torch.tensor([2, 2, 1, 0, 0]), seed=0)
    places = [walk(place, 2), walk(walk(place, 2), 2)]
    assert frames[:, 0, 1, 0].tolist() == [3, 4, 5, 5, 5]
    assert frames[:, 0, 0].int().argmax(dim=1).tolist() == [*places, *3 * [places[-1]]]


def test_every_dream_holds_the_frame_that_ends_it() -> None:
    """Dreams count up from where they start, and end at 7."""
    moments = find_moments(Coins(0.0), RandomPolicy(ActionSpec.numbered(1)), 2, 1, seed=0)
    context = moments[0].context[torch.zeros(3, dtype=torch.int64)]
    context.obs[:, -1, 0, 0, 0] = torch.tensor([0, 4, 5])
    dream = Dream(lambda obs, action, generator: obs + action.to(torch.uint8)[:, None, None, None], last=7)
    actions = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 1], [2, 2, 2, 2]])
    frames = dream_on(dream, context, actions, torch.Generator())
    assert frames[:, :, 0, 0, 0].tolist() == [[1, 2, 3, 4], [5, 6, 7, 7], [7, 7, 7, 7]]


def test_dreams_take_the_actions_in_order() -> None:
    game = Line(position=1)
    moments = find_moments(game, RandomPolicy(ActionSpec.numbered(3)), 2, 6, seed=0, max_steps=8)
    actions = torch.randint(3, (6, 5), generator=torch.Generator().manual_seed(0))
    dreams = dream_on(
        Dream(on_the_line),
        Batch.concatenate([moment.context for moment in moments]),
        actions,
        torch.Generator(),
    )
    for moment, taken, dream in zip(moments, actions, dreams, strict=True):
        assert torch.equal(dream, play_on(game, moment, taken, seed=0))
