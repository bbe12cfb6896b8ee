"""What keys mean where an action is a vector, and the moves that pages offer."""

from __future__ import annotations

import pytest
import torch

from adamas.core.actions import ActionSpec, Axis, Choice
from adamas.data.importing.csgo import CSGO_BUTTONS
from adamas.play.controls import Controls, Moves

CAR = ActionSpec(axes=(Axis("steer"), Axis("gas", 0, 1), Axis("brake", 0, 1)))
MIXED = ActionSpec((Choice(("a", "b", "c"), "gear"),), ("jump", "crouch"), (Axis("lever", -2, 2),))


@pytest.mark.parametrize(
    ("spec", "keys", "action"),
    [
        (CAR, [], [0, 0, 0]),
        (CAR, ["left", "up"], [-1, 1, 0]),
        (CAR, ["right", "down"], [1, 0, 1]),
        (CAR, ["right", "left"], [-1, 0, 0]),  # the newest is last
        (CAR, ["fire", "7"], [0, 0, 0]),
        (ActionSpec(axes=(Axis("x", 1, 2), Axis("y", -3, 3), Axis("z"))), [], [1, 0, 0]),  # nearest to 0
        (ActionSpec(axes=(Axis("x", 1, 2), Axis("y", -3, 3), Axis("z"))), ["down"], [1, -3, 0]),
        (MIXED, ["fire", "down"], [0, 1, 0, -2]),
        (MIXED, ["2"], [0, 0, 1, 0]),
        (ActionSpec(buttons=("w", "a", "attack", "use")), ["up", "left", "fire"], [1, 1, 1, 0]),
        (ActionSpec(buttons=("w", "use")), ["fire", "right"], [0, 1]),
        (ActionSpec(buttons=("left",), axes=(Axis("turn"),)), ["left"], [0, -1]),  # the axis goes first
    ],
)
def test_what_keys_mean_together(spec: ActionSpec, keys: list[str], action: list[float]) -> None:
    assert Controls(spec).action(keys).tolist() == action


def test_moves_of_one_choice_are_its_options() -> None:
    moves = Moves(ActionSpec.discrete(("left", "noop", "right")))
    assert moves.names == ("left", "noop", "right") and moves.rest == 1
    assert moves.actions.tolist() == [0, 1, 2] and moves.actions.dtype == torch.int64
    assert moves.number(torch.tensor(2)) == 2
    assert Moves(ActionSpec.numbered(3)).rest == 0
    maze = Moves(
        ActionSpec.discrete(("noop", "move_right", "move_left", "move_forward", "turn_right", "turn_left"))
    )
    assert maze.names == ("noop", "move_right", "move_left", "up", "right", "left")


def test_moves_of_levers_are_what_arrows_do() -> None:
    moves = Moves(CAR)
    assert moves.names == (
        *("noop", "right", "left"),
        *("up", "upright", "upleft"),
        *("down", "downright", "downleft"),
    )
    assert moves.actions[moves.names.index("upleft")].tolist() == [-1, 1, 0]
    assert moves.number(torch.tensor([1.0, 0.0, 1.0])) == moves.names.index("downright")
    assert moves.number(torch.tensor([0.25, 1.0, 0.0])) == "steer 0.25, gas 1.00, brake 0.00"
    assert Moves(ActionSpec(axes=(Axis("0"),))).number(torch.tensor([0.5])) == "axis 0 0.50"


def test_moves_reach_every_button_and_option() -> None:
    moves = Moves(MIXED)
    assert moves.names == (
        *("noop", "fire", "right", "rightfire", "left", "leftfire"),  # up and down would move the lever alike
        *("gear b", "gear c", "crouch"),
    )
    alone = {
        name: moves.actions[moves.names.index(name)].tolist()
        for name in ("fire", "gear b", "gear c", "crouch")
    }
    assert alone == {
        "fire": [0, 1, 0, 0],
        "gear b": [1, 0, 0, 0],
        "gear c": [2, 0, 0, 0],
        "crouch": [0, 0, 1, 0],
    }
    assert moves.number(torch.tensor([2.0, 1.0, 1.0, 0.5])) == "gear c, jump, crouch, lever 0.50"
    spec = ActionSpec(buttons=CSGO_BUTTONS)
    shooter = Moves(spec)
    walking = shooter.actions[shooter.names.index("uprightfire")]
    assert [name for name, pressed in zip(spec.buttons, walking, strict=True) if pressed] == [
        "w",
        "d",
        "left_click",
    ]
    assert shooter.actions.any(dim=0).all()  # every button is in some move
    assert len({tuple(action.tolist()) for action in shooter.actions}) == len(shooter.names)


def test_every_move_is_allowed_and_known_again() -> None:
    for spec in (CAR, MIXED, ActionSpec(buttons=CSGO_BUTTONS), ActionSpec.numbered(5)):
        moves = Moves(spec)
        assert not spec.problem(moves.actions.numpy())
        assert [moves.number(action) for action in moves.actions] == list(range(len(moves.names)))
