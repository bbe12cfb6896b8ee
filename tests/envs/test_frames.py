"""Where frames come from, and how every kind of image becomes RGB bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.spaces import Box, Dict, Discrete, Space

from adamas.core.errors import UserError
from adamas.envs import make_env
from adamas.envs.config import GymnasiumConfig
from adamas.envs.frames import to_rgb

SIZE = 32
RED = np.full((SIZE, SIZE, 3), (200, 0, 0), np.uint8)
BLUE = np.full((SIZE, SIZE, 3), (0, 0, 100), np.uint8)
SYMBOLS = np.full((7, 7, 3), 10, np.uint8)


class Still(gymnasium.Env[Any, Any]):
    """Nothing moves: the same observation and the same picture at every step."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"]}  # noqa: RUF012
    action_space = Discrete(2)

    def __init__(
        self, space: Space[Any], obs: Any, drawn: Any, modes: list[str] | None, render_mode: str | None = None
    ) -> None:
        self.observation_space, self.obs, self.drawn, self.render_mode = space, obs, drawn, render_mode
        self.metadata = {} if modes is None else {"render_modes": modes}

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.obs, {}

    def step(self, action: int) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.obs, 0.0, False, False, {}

    def render(self) -> Any:
        return self.drawn


class Silent(Still):
    """Does not say whether it draws."""

    metadata: dict[str, Any] = {}  # noqa: RUF012


Show = Callable[..., torch.Tensor]


@pytest.fixture
def show() -> Iterator[Show]:
    """The first frame, (3, 2, 2), of an environment that observes or draws something."""

    def make(space: Space[Any], obs: Any, drawn: Any = None, modes: Any = (), **config: Any) -> torch.Tensor:
        gymnasium.registry.pop("AdamasStill-v0", None)
        modes = ["rgb_array"] if drawn is not None and modes == () else modes
        options = {"space": space, "obs": obs, "drawn": drawn, "modes": modes}
        options |= {"render_mode": config.pop("render_mode", None)}
        game: Any = Still if modes is not None else Silent
        gymnasium.register("AdamasStill-v0", game, max_episode_steps=5, kwargs=options)
        env = make_env(GymnasiumConfig(game="AdamasStill-v0", size=2, **config), 2, 0, training=True)
        return env.reset().obs[0]

    yield make
    gymnasium.registry.pop("AdamasStill-v0", None)


def box(image: np.ndarray, low: float = 0, high: float = 255) -> Box:
    return Box(low, high, image.shape, image.dtype.type)


def colour(frame: torch.Tensor) -> list[int]:
    """The colour of a frame that has only one."""
    assert (frame == frame[:, :1, :1]).all()
    return frame[:, 0, 0].tolist()


def test_an_rgb_observation_is_preferred_to_what_is_drawn(show: Show) -> None:
    assert colour(show(box(RED), RED, BLUE)) == [200, 0, 0]
    assert colour(show(box(RED), RED, BLUE, frames="observation")) == [200, 0, 0]
    assert colour(show(box(RED), RED, BLUE, frames="render")) == [0, 0, 100]


@pytest.mark.parametrize(("high", "value"), [(255, 10), (10, 10), (31, 31)])
def test_a_picture_is_preferred_to_a_small_grid_of_small_numbers(show: Show, high: int, value: int) -> None:
    grid = np.full((7, 7, 3), value, np.uint8)
    with pytest.warns(UserWarning, match=r"\(7x7\) seem to be symbols, .* set env.frames to observation"):
        assert colour(show(box(grid, high=high), grid, BLUE)) == [0, 0, 100]
    assert colour(show(box(grid, high=high), grid, BLUE, frames="observation")) == [value] * 3
    assert colour(show(box(grid, high=high), grid)) == [value] * 3  # there is nothing else


def test_an_environment_that_draws_without_being_told_to_is_seen_as_it_draws(show: Show) -> None:
    assert colour(show(box(RED), RED, BLUE, render_mode="rgb_array")) == [0, 0, 100]
    assert colour(show(box(RED), RED, BLUE, render_mode="rgb_array", frames="observation")) == [200, 0, 0]


def test_a_small_picture_and_a_large_dark_one_are_pictures(show: Show) -> None:
    small, dark = RED[:7, :7], np.zeros((64, 64, 3), np.uint8)
    assert colour(show(box(small), small, BLUE)) == [200, 0, 0]
    assert colour(show(box(dark), dark, BLUE)) == [0, 0, 0]


def test_a_grid_beside_a_mission_as_in_minigrid(show: Show) -> None:
    space = Dict(direction=Discrete(4), image=box(SYMBOLS))
    obs = {"direction": 0, "image": SYMBOLS}
    with pytest.warns(UserWarning, match="symbols"):
        assert colour(show(space, obs, BLUE)) == [0, 0, 100]
    assert colour(show(space, obs, BLUE, frames_key="image")) == [10, 10, 10]


def test_a_dictionary_of_images(show: Show) -> None:
    space = Dict(left=box(RED), more=Dict(right=box(BLUE)))
    obs = {"left": RED, "more": {"right": BLUE}}
    assert colour(show(space, obs, frames_key="left")) == [200, 0, 0]
    assert colour(show(space, obs, frames_key="more/right")) == [0, 0, 100]
    assert colour(show(space, obs, RED // 2)) == [100, 0, 0]  # nobody says which, but there is a render()
    with pytest.raises(
        UserError, match=r"several images in its observations \(left, more/right\); choose one"
    ):
        show(space, obs)
    with pytest.raises(
        UserError, match=r"have several images \(left, more/right\); choose one with `env.frames_"
    ):
        show(space, obs, frames="observation")
    with pytest.raises(
        UserError, match=r"frames_key` is 'right', but .* no such image \(images: left, more/right"
    ):
        show(space, obs, frames_key="right")
    alone = Dict(more=Dict(right=box(BLUE)))
    assert colour(show(alone, {"more": {"right": BLUE}})) == [0, 0, 100]


@pytest.mark.filterwarnings("ignore:.*doesn't include `render_modes`")  # Gymnasium says so as well
def test_environments_that_do_not_say_whether_they_draw(show: Show) -> None:
    where = Box(-1, 1, (2,), np.float32)
    nothing = np.zeros(2, np.float32)
    assert colour(show(where, nothing, BLUE, None)) == [0, 0, 100]
    assert colour(show(box(RED), RED, None, None)) == [200, 0, 0]
    with pytest.raises(UserError, match="neither observes nor renders RGB pixels"):
        show(where, nothing, None, None)
    with pytest.raises(
        UserError, match=r"`env\.frames` is render, but AdamasStill-v0 does not render RGB pixels"
    ):
        show(box(RED), RED, frames="render")
    with pytest.raises(UserError, match=r"^render\(\) of AdamasStill-v0 gave None; it must give RGB pixels"):
        show(where, nothing, None, ["rgb_array"])


GREY = np.full((SIZE, SIZE), 90, np.uint8)


@pytest.mark.parametrize(
    "image", [GREY, GREY[..., None], GREY[None], np.stack([GREY] * 3)], ids=["HW", "HW1", "1HW", "3HW"]
)
def test_grey_observations_and_channels_first_where_nothing_else_is_shown(
    show: Show, image: np.ndarray
) -> None:
    assert colour(show(box(image), image)) == [90, 90, 90]
    assert colour(show(box(image), image, BLUE)) == [0, 0, 100]  # as it always was
    assert colour(show(box(image), image, BLUE, frames="observation")) == [90, 90, 90]


def test_float_observations(show: Show) -> None:
    image = np.full((SIZE, SIZE, 3), 0.5, np.float32)
    assert colour(show(box(image, high=1), image)) == [128, 128, 128]
    with pytest.raises(UserError, match="neither observes"):  # of which range are they?
        show(box(image), image)
    bright = image * 255
    with pytest.raises(
        UserError, match=r"of AdamasStill-v0 gave pixels of type float32 from 127.5 to 127.5; they must be"
    ):
        show(box(bright), bright, frames="observation")


def test_a_grey_board_of_symbols_is_no_picture(show: Show) -> None:
    board = np.ones((8, 8), np.uint8)
    with pytest.raises(UserError, match="neither observes nor renders"):
        show(box(board, high=2), board)


def test_four_channels_in_observations_may_be_four_frames(show: Show) -> None:
    stack = np.full((SIZE, SIZE, 4), 90, np.uint8)
    with pytest.raises(UserError, match="neither observes nor renders"):
        show(box(stack), stack)
    with pytest.raises(UserError, match="have no image"):
        show(box(stack), stack, frames="observation")


def test_frames_of_another_size_than_the_space_says(show: Show) -> None:
    assert colour(show(box(RED), RED[:9, :5])) == [200, 0, 0]


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        (np.array([[[0.0, 0.5, 1.0]]]), [0, 128, 255]),
        (np.array([[[0.0, 0.5, 1.0]]], np.float16), [0, 128, 255]),
        (np.array([[[7, 8, 9]]], np.int64), [7, 8, 9]),
        (np.array([[[7, 8, 9, 0]]], np.uint8), [7, 8, 9]),  # RGBA
        ([[[7, 8, 9]]], [7, 8, 9]),
        (np.array([[5]], np.uint8), [5, 5, 5]),
        (
            np.array([[[[7]]], [[[8]]], [[[9]]]], np.uint8).reshape(3, 1, 1),
            None,
        ),  # which side has the channels?
    ],
)
def test_what_becomes_rgb(image: Any, expected: list[int] | None) -> None:
    rgb = to_rgb(image, "render()")
    assert rgb.dtype == np.uint8 and rgb.shape[2] == 3
    if expected is not None:
        assert rgb.tolist() == [[expected]]


def test_channels_first_keeps_its_pixels() -> None:
    image = np.arange(3 * 5 * 7, dtype=np.uint8).reshape(3, 5, 7)
    assert np.array_equal(to_rgb(image, "render()"), image.transpose(1, 2, 0))


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (
            np.full((2, 2, 3), 200.0),
            r"pixels of type float64 from 200.0 to 200.0; they must be whole numbers in \[0, 2",
        ),
        (np.full((2, 2, 3), -0.1), "from -0.1 to -0.1"),
        (np.full((2, 2, 3), np.nan), "from nan to nan"),
        (np.full((2, 2, 3), 256), "type int64 from 256 to 256"),
        (np.ones((2, 2, 3), np.bool_), "type bool"),
        (np.zeros((2, 2, 5), np.uint8), r"shape \(2, 2, 5\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), r"shape \(1, 2, 2, 3\)"),
        (np.zeros((0, 2, 3), np.uint8), r"shape \(0, 2, 3\)"),
        (None, "gave None"),
        ("text", r"shape \(\)"),
    ],
)
def test_what_does_not(image: Any, message: str) -> None:
    with pytest.raises(UserError, match=message):
        to_rgb(image, "render()")


def test_drawn_floats_are_no_black_frames(show: Show) -> None:
    where, nothing = Box(-1, 1, (2,), np.float32), np.zeros(2, np.float32)
    assert colour(show(where, nothing, RED / 255)) == [200, 0, 0]
    with pytest.raises(
        UserError, match=r"^render\(\) of AdamasStill-v0 gave pixels of type float64 from 0.0 to 200.0"
    ):
        show(where, nothing, RED.astype(float))
