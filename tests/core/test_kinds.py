"""Kinds of one thing: a union of dataclasses, of which a file or an option names one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import pytest

from adamas.core.arguments import parse
from adamas.core.config import from_dict, to_dict
from adamas.core.errors import UserError
from adamas.core.kinds import choose_kinds, kinds_of


@dataclass(frozen=True, kw_only=True)
class Circle:
    """A circle."""

    shape: Literal["circle"] = "circle"
    """Which shape."""
    colour: str = "red"
    """Its colour."""
    radius: float = 1.0
    """Its radius in metres."""


@dataclass(frozen=True, kw_only=True)
class Square:
    """A square."""

    shape: Literal["square"] = "square"
    """Which shape."""
    colour: str = "blue"
    """Its colour."""
    side: float = 2.0
    """Its side in metres."""

    def __post_init__(self) -> None:
        if self.colour == "pink":
            raise UserError("no square is pink")


Shape = Circle | Square


@dataclass(frozen=True)
class Picture:
    """A picture of a shape."""

    front: Shape = field(default_factory=Circle)
    """In front."""
    behind: Shape | None = None
    """Behind it."""


def test_kinds_are_told_apart_by_their_tags() -> None:
    assert kinds_of(Shape | None) == {"circle": Circle, "square": Square}
    assert kinds_of(int | str) == {} and kinds_of(Circle | None) == {}


@pytest.mark.parametrize(
    "picture", [Picture(), Picture(Square(side=3.0)), Picture(Circle(colour="green"), Square())]
)
def test_kinds_survive_a_file(picture: Picture) -> None:
    assert from_dict(Picture, to_dict(picture)) == picture


def test_a_file_without_a_tag_means_the_first_kind() -> None:
    assert from_dict(Picture, {"front": {"radius": 4}}) == Picture(Circle(radius=4.0))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"front": {"shape": "squar"}}, "'front.shape' cannot be 'squar'; did you mean 'square'"),
        ({"front": {"shape": "square", "radius": 1}}, "unknown configuration key 'front.radius'"),
        ({"front": {"shape": 3}}, "'front.shape' cannot be 3"),
        ({"front": None}, "'front' must be a mapping"),
        ({"behind": "square"}, "'behind' must be a mapping"),
    ],
)
def test_files_that_name_no_kind(data: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        from_dict(Picture, data)


def test_another_kind_keeps_what_was_chosen() -> None:
    chosen = choose_kinds(Picture(Circle(colour="green", radius=3.0)), {"front.shape": "square", "seed": "1"})
    assert chosen == Picture(
        Square(colour="green")
    )  # the default side; a circle's red would not have been kept
    assert choose_kinds(Picture(Circle()), {"front.shape": "square"}) == Picture(Square(colour="blue"))
    assert choose_kinds(Picture(), {"behind.shape": "circle"}) == Picture(Circle(), Circle())
    pink = Picture(Circle(colour="pink"))
    assert choose_kinds(pink, {"front.shape": "square"}) == Picture(Square())
    same = Picture(Square(side=5.0))
    assert choose_kinds(same, {"front.shape": "square"}) is same


def test_options_choose_a_kind_and_its_fields() -> None:
    arguments = ["--front.shape", "square", "--front.side", "3", "--behind.shape=circle", "--behind.radius=2"]
    assert parse(Picture, arguments, "draw", Picture()) == Picture(Square(side=3.0), Circle(radius=2.0))
    with pytest.raises(UserError, match=r"`front\.shape` is round; choose from circle, square"):
        parse(Picture, ["--front.shape", "round"], "draw", Picture())
    with pytest.raises(UserError, match=r"there is no option --front\.radius"):
        parse(Picture, ["--front.shape", "square", "--front.radius", "3"], "draw", Picture())
