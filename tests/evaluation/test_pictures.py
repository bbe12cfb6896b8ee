"""Films and strips: exact colours, exact places, and the right frames."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from torch import Tensor

from adamas.agent import Agent
from adamas.core.actions import ActionSpec
from adamas.core.types import EnvReset, EnvStep
from adamas.envs.config import EnvConfig
from adamas.evaluation.fidelity import Continuation
from adamas.evaluation.pictures import (
    BACKGROUND,
    GAP,
    LABEL_HEIGHT,
    LINE_GAP,
    OVER,
    agent_and_dream,
    enlarge,
    first_context,
    fitting_scale,
    grid,
    hold_last,
    longest_dream,
    play_episode,
    save_gif,
    side_by_side,
    strip,
    true_and_dream,
)
from adamas.evaluation.protocol import RandomPolicy

BREAKOUT = EnvConfig("minatar", "breakout", size=10)


def noise(num_frames: int, size: int, seed: int = 0, channels: int = 3) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(256, (num_frames, channels, size, size), generator=generator, dtype=torch.uint8)


def to_tensor(image: Image.Image) -> Tensor:
    rgb = image.convert("RGB")
    return (
        torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
        .view(*rgb.size[::-1], 3)
        .permute(2, 0, 1)
    )


def read_gif(path: Path, milliseconds: int) -> Tensor:
    """(T, 3, H, W): equal frames in a row, stored once with a longer duration, told apart again."""
    frames = []
    with Image.open(path) as image:
        assert image.info["loop"] == 0, "it must repeat for ever"
        for frame in ImageSequence.Iterator(image):
            frames += [to_tensor(frame)] * (frame.info["duration"] // milliseconds)
    return torch.stack(frames)


# --- frames ------------------------------------------------------------------------------------------------


def test_pixels_become_squares() -> None:
    frames = torch.tensor([[1, 2], [3, 4]], dtype=torch.uint8)[None, None]
    expected = torch.tensor([[1, 1, 2, 2], [1, 1, 2, 2], [3, 3, 4, 4], [3, 3, 4, 4]], dtype=torch.uint8)
    assert torch.equal(enlarge(frames, 2), expected.expand(1, 3, 4, 4))
    assert [fitting_scale(height) for height in (10, 16, 64, 84, 210)] == [16, 10, 3, 2, 1]
    with pytest.raises(ValueError, match="frames must be"):
        enlarge(frames.float(), 2)
    with pytest.raises(ValueError, match="frames must be"):
        enlarge(frames[0], 2)


def test_grid() -> None:
    pictures = noise(3, 4)
    whole = grid(pictures)
    assert whole.shape == (3, 8 + GAP, 8 + GAP)
    places = [(0, 0), (0, 4 + GAP), (4 + GAP, 0)]
    assert all(
        torch.equal(whole[:, y : y + 4, x : x + 4], p) for (y, x), p in zip(places, pictures, strict=True)
    )
    for y, x in ((slice(4, 4 + GAP), slice(None)), (slice(4, None), slice(4, None))):
        assert (whole[:, y, x] == BACKGROUND).all()
    wide = torch.zeros(4, 3, 5, 20, dtype=torch.uint8)
    assert grid(wide).shape == (3, 20 + 3 * GAP, 20) and torch.equal(grid(pictures[:1]), pictures[0])


def test_side_by_side() -> None:
    left, right = noise(3, 20), noise(3, 20, seed=1)
    film = side_by_side(left, right, 2, ("real", "dream"))
    assert film.shape == (3, 3, LABEL_HEIGHT + 40, 2 * 40 + GAP)
    assert torch.equal(film[:, :, LABEL_HEIGHT:, :40], enlarge(left, 2))
    assert torch.equal(film[:, :, LABEL_HEIGHT:, 40 + GAP :], enlarge(right, 2))
    assert (film[:, :, :, 40 : 40 + GAP] == BACKGROUND).all()
    for label in (film[0, :, :LABEL_HEIGHT, :40], film[0, :, :LABEL_HEIGHT, 40 + GAP :]):
        assert label.min() < 60, "something is written there"
        assert (label[:, [0, -1]] == BACKGROUND).all(), "and not cut off"
    with pytest.raises(ValueError, match="differ in shape"):
        side_by_side(left, right[:2], 2, ("", ""))


def test_strip(tmp_path: Path) -> None:
    real, dream = noise(4, 30), noise(4, 30, seed=1, channels=1)
    strip(tmp_path / "new" / "strip.png", [("real", real), ("dream", dream)], 2)
    with Image.open(tmp_path / "new" / "strip.png") as image:
        picture = to_tensor(image)
    left = picture.shape[2] - (4 * 60 + 3 * GAP)
    assert left > 20 and picture.shape[1] == 2 * 60 + GAP
    for t in range(4):
        x = left + t * (60 + GAP)
        assert torch.equal(picture[:, :60, x : x + 60], enlarge(real, 2)[t])
        assert torch.equal(picture[:, 60 + GAP :, x : x + 60], enlarge(dream, 2)[t])
    assert (picture[:, 60 : 60 + GAP] == BACKGROUND).all()
    strip(tmp_path / "lines.png", [("real", real), ("dream", dream)], 2, frames_per_line=3)
    with Image.open(tmp_path / "lines.png") as image:
        picture = to_tensor(image)
    assert picture.shape[1] == 2 * (2 * 60 + GAP) + GAP + LINE_GAP
    assert picture.shape[2] == left + 3 * 60 + 2 * GAP
    second = picture[:, 2 * (60 + GAP) + LINE_GAP :]
    assert torch.equal(second[:, :60, left : left + 60], enlarge(real, 2)[3])
    assert torch.equal(second[:, 60 + GAP :, left : left + 60], enlarge(dream, 2)[3])
    assert (second[:, :, left + 60 :] == BACKGROUND).all()
    with pytest.raises(ValueError, match="same number"):
        strip(tmp_path / "strip.png", [("real", real), ("dream", dream[:3])], 2)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_gif_is_exact(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    num_frames, size = data.draw(st.integers(1, 5)), data.draw(st.integers(1, 16))  # at most 256 colours
    film = noise(
        num_frames, size, seed=data.draw(st.integers(0, 99)), channels=data.draw(st.sampled_from([1, 3]))
    )
    if data.draw(st.booleans()):
        film[1:] = film[:-1].clone()  # frames repeat
    path = tmp_path_factory.mktemp("gif") / "film.gif"
    scale = data.draw(st.integers(1, 3))
    save_gif(path, film, fps=20, scale=scale)
    assert torch.equal(read_gif(path, milliseconds=50), enlarge(film, scale))


def test_gif_of_256_colours_that_change_is_exact(tmp_path: Path) -> None:
    grey = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    red = torch.cat((grey, torch.zeros_like(grey), grey), dim=1)
    film = torch.cat((grey.expand(1, 3, 16, 16), red, red.flip(2)))
    save_gif(tmp_path / "film.gif", film, fps=10)
    assert torch.equal(read_gif(tmp_path / "film.gif", milliseconds=100), film)


def test_gif_of_many_colours_is_close_and_not_dithered(tmp_path: Path) -> None:
    ramp = torch.arange(64, dtype=torch.uint8)
    frame = torch.stack((4 * ramp[:, None].expand(64, 64), 4 * ramp.expand(64, 64), ramp[:, None] + ramp))
    save_gif(tmp_path / "film.gif", frame[None], fps=10, scale=2)
    shown = read_gif(tmp_path / "film.gif", milliseconds=100)[0]
    assert (shown.int() - enlarge(frame[None], 2)[0].int()).abs().float().mean() < 6
    assert torch.equal(shown, enlarge(shown[None, :, ::2, ::2], 2)[0]), "every square has one colour"


def test_gif_speed(tmp_path: Path) -> None:
    save_gif(tmp_path / "film.gif", noise(2, 4), fps=15)
    with Image.open(tmp_path / "film.gif") as image:
        assert image.info["duration"] == 70  # 66.7 ms to the nearest hundredth of a second
    for fps in (0, 51):
        with pytest.raises(ValueError, match="fps"):
            save_gif(tmp_path / "film.gif", noise(2, 4), fps=fps)


# --- episodes ----------------------------------------------------------------------------------------------


class Counting:
    """One environment whose frames show the step; it ends after 5 steps and starts again."""

    num_envs, action_spec, obs_shape = 1, ActionSpec.discrete(("left", "right")), (1, 1, 1)

    def reset(self) -> EnvReset:
        self.t = 0
        return EnvReset(torch.zeros(1, 1, 1, 1, dtype=torch.uint8))

    def step(self, action: Tensor) -> EnvStep:
        self.t += 1
        frame = torch.full((1, 1, 1, 1), self.t, dtype=torch.uint8)
        ended = torch.tensor([self.t == 5])
        obs = self.reset().obs if ended else frame
        return EnvStep(obs, torch.zeros(1), torch.zeros(1, dtype=torch.bool), ended, frame[ended])

    def close(self) -> None: ...


def test_an_episode_has_its_last_frame() -> None:
    for num_steps, last in ((3, 3), (5, 5), (9, 5)):
        frames, actions = play_episode(
            RandomPolicy(ActionSpec.numbered(2)), Counting(), num_steps, torch.Generator()
        )
        assert frames.flatten().tolist() == list(range(last + 1))
        assert actions.shape == (last,) and actions.dtype == torch.int64


def test_first_context_by_hand() -> None:
    frames = torch.arange(10, 16, dtype=torch.uint8)[:, None, None, None]  # 6 frames, 5 actions
    action = torch.tensor([1, 2, 3, 4, 5])
    long = first_context(frames, action, 4)
    assert long.obs.flatten().tolist() == [10, 11, 12, 13] and long.mask.all()
    assert long.action.tolist() == [[1, 2, 3]]
    short = first_context(frames[:4], action[:3], 4)  # the last of four frames is the end
    assert short.obs.flatten().tolist() == [0, 10, 11, 12]
    assert short.mask.tolist() == [[False, True, True, True]]
    assert short.action.tolist() == [[0, 1, 2]]


def test_the_last_frame_is_held() -> None:
    frames = noise(3, 2)
    assert torch.equal(hold_last(frames, 5), frames[[0, 1, 2, 2, 2]])
    assert torch.equal(hold_last(frames, 2), frames[:2])


def test_agent_and_dream_start_alike_and_repeat(agent: Agent) -> None:
    def film(seed: int) -> tuple[Tensor, Tensor]:
        return agent_and_dream(agent, BREAKOUT, seed=seed, num_steps=30, device=torch.device("cpu"))

    real, dream = film(0)
    assert real.shape == dream.shape == (34, 3, 10, 10) and real.dtype == dream.dtype == torch.uint8
    assert torch.equal(real[:4], dream[:4]), "the dream starts from the first four real frames"
    assert not torch.equal(dream[3], dream[4]) and not torch.equal(real[4], dream[4])
    assert not torch.equal(real[3], real[4]), "the game goes on after the context"
    assert all(torch.equal(a, b) for a, b in zip((real, dream), film(0), strict=True))
    assert not torch.equal(dream, film(1)[1])


def test_true_and_dream_stop_at_the_true_end() -> None:
    obs = noise(8, 2).view(2, 4, 3, 2, 2)
    zeros = torch.zeros(2, 4)
    mask = torch.tensor([[True] * 4, [True, True, False, False]])
    dreams = Continuation(obs, obs + 1, zeros, zeros, zeros.bool(), zeros.bool(), mask)
    true, dreamt = true_and_dream(dreams, 1)
    assert torch.equal(true, obs[1, :2] + 1) and torch.equal(dreamt, obs[1, :2])
    assert len(true_and_dream(dreams, 0)[0]) == 4


def test_a_dream_is_grey_after_its_own_end() -> None:
    obs = noise(4, 2).view(1, 4, 3, 2, 2)
    zeros = torch.zeros(1, 4)
    terminated = torch.tensor([[False, True, False, True]])
    dreams = Continuation(obs, obs + 1, zeros, zeros, terminated, zeros.bool(), torch.ones(1, 4).bool())
    true, dreamt = true_and_dream(dreams, 0)
    assert torch.equal(true, obs[0] + 1)
    assert torch.equal(dreamt[:2], obs[0, :2])  # its last frame is shown
    assert (dreamt[2:] == OVER).all()


def test_the_longest_dream_goes_on_with_its_game_for_the_most_steps() -> None:
    obs = noise(12, 2).view(3, 4, 3, 2, 2)
    zeros = torch.zeros(3, 4)
    terminated = torch.tensor([[True, False, False, False], [False] * 4, [False] * 4])
    mask = torch.tensor([[True] * 4, [True, True, True, False], [True, True, False, False]])
    dreams = Continuation(obs, obs, zeros, zeros, terminated, zeros.bool(), mask)
    true, dreamt = longest_dream(dreams)  # 1, 3 and 2 steps
    assert torch.equal(true, obs[1, :3]) and torch.equal(dreamt, obs[1, :3])
