"""Pictures of games and dreams: GIFs, and strips of frames.

Frames are (T, C, H, W) uint8 with C = 1 or 3, as everywhere. They are enlarged by whole factors and keep
their exact colours, so that what one sees is what the agent sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from adamas.agent import Agent, check_fits
from adamas.core.files import replacing
from adamas.core.protocols import Policy, VectorEnv
from adamas.core.seeding import derive_seed
from adamas.core.types import Batch
from adamas.envs.config import EnvConfig
from adamas.envs.make import make_env
from adamas.evaluation.fidelity import Continuation
from adamas.rl.imagination import Imagination
from adamas.rl.rollout import OnHost, rollout, start

MIN_HEIGHT = 160  # pixels of an enlarged frame
SLOW_FPS = 5  # for comparing frame by frame
GAP = 2  # pixels between frames
LINE_GAP = 12  # pixels between the lines of a strip
FRAMES_PER_LINE = 20  # of a strip, as wide as a page shows well
BACKGROUND, INK, OVER = 240, 20, 128  # levels of grey
FONT_SIZE = 13
LABEL_HEIGHT = 20


# --- what is shown -----------------------------------------------------------------------------------------


def agent_and_dream(
    agent: Agent,
    env_config: EnvConfig,
    *,
    seed: int,
    num_steps: int,
    temperature: float = 1.0,
    device: torch.device,
) -> tuple[Tensor, Tensor]:
    """The agent playing a real episode and, from the same first L frames on, its own dream.

    Args:
        agent: the agent, on ``device``.
        env_config: the game.
        seed: everything random follows from it, on the same machine.
        num_steps: steps after the first L frames, at most.
        temperature: of the policy; 0 is greedy.
        device: where the agent computes.

    Returns:
        The real and the dreamt frames, (L + num_steps, C, H, W) each. Where an episode ends before, its last
        frame stays.

    Raises:
        UserError: an environment the agent was not trained for.
    """
    length = agent.world_model.context_length
    generator = torch.Generator().manual_seed(derive_seed(seed, "pictures", "real"))
    with closing(make_env(env_config, 1, derive_seed(seed, "pictures", "env"), training=False)) as env:
        check_fits(agent.config, env.obs_shape, env.action_spec, "the agent")
        policy = OnHost(agent.actor_critic, device)
        real, action = play_episode(policy, env, length + num_steps - 1, generator, temperature)
    context = first_context(real, action, length).to(device)
    generator = torch.Generator(device).manual_seed(derive_seed(seed, "pictures", "dream"))
    imagination = Imagination(
        agent.world_model,
        lambda _: context,
        num_envs=1,
        horizon=num_steps,
        obs_shape=agent.config.obs_shape,
        action_spec=agent.action_spec,
        generator=generator,
    )
    dream, _ = play_episode(agent.actor_critic, imagination, num_steps, generator, temperature)
    before = context.obs[0, context.mask[0]][:-1]  # the dream's first frame is the last of its context
    dream = torch.cat((before, dream)).cpu()
    return hold_last(real, length + num_steps), hold_last(dream, length + num_steps)


def longest_dream(continuation: Continuation) -> tuple[Tensor, Tensor]:
    """:func:`true_and_dream` of the dream that goes on for the most steps together with its game."""
    together = continuation.mask & ~dream_over(continuation)  # (B, T)
    return true_and_dream(continuation, int(together.sum(dim=1).argmax()))


def true_and_dream(continuation: Continuation, index: int) -> tuple[Tensor, Tensor]:
    """What really happened and what dream ``index`` made of the same actions: (T', C, H, W) each.

    T' is the number of steps until the horizon or the true end. After its own end a dream is grey: what the
    model makes of frames that follow none means nothing.
    """
    alive = continuation.mask[index]
    dream = continuation.obs[index].masked_fill(dream_over(continuation)[index, :, None, None, None], OVER)
    return continuation.true_obs[index, alive].cpu(), dream[alive].cpu()


def dream_over(continuation: Continuation) -> Tensor:
    """(B, T) bool: whether some step before was the dream's last."""
    ends = continuation.terminated.int()
    return ends.cumsum(dim=1) > ends


@torch.no_grad()
def play_episode(
    policy: Policy, env: VectorEnv, num_steps: int, generator: torch.Generator, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """One episode in the first environment, or as much of it as ``num_steps`` steps hold.

    Returns:
        Its frames (T + 1, C, H, W), the last one included, and its actions (T,) or (T, K).
    """
    position = start(policy, env)
    frames, actions = [position.obs[0]], []
    for _ in range(num_steps):
        steps, position = rollout(policy, env, position, 1, generator, temperature)
        step = steps.steps[0]
        actions.append(steps.action[0, 0])
        frames.append(step.final_obs[0] if step.ended[0] else step.obs[0])
        if step.ended[0]:
            break
    return torch.stack(frames), torch.stack(actions)


def first_context(obs: Tensor, action: Tensor, length: int) -> Batch:
    """The first ``length`` frames of an episode as one context (B = 1), padded in front if it is too short.

    Its last frame is left out: nothing happens after it.

    Args:
        obs: (T + 1, C, H, W).
        action: (T,) or (T, K).
        length: L.
    """
    known = min(length, len(action))
    padding = length - known
    context_obs = obs.new_zeros(1, length, *obs.shape[1:])
    context_action = action.new_zeros(1, length - 1, *action.shape[1:])
    context_obs[0, padding:] = obs[:known]
    context_action[0, padding:] = action[: known - 1]
    none = torch.zeros(1, length - 1, dtype=torch.bool)
    mask = torch.arange(length)[None] >= padding
    return Batch(context_obs, context_action, none.float(), none, none.clone(), mask)


def hold_last(frames: Tensor, num_frames: int) -> Tensor:
    """(num_frames, C, H, W): ``frames``, then their last one again and again."""
    return frames[torch.arange(num_frames).clamp(max=len(frames) - 1)]


# --- how it is drawn ---------------------------------------------------------------------------------------


def fitting_scale(height: int) -> int:
    """The least whole factor that makes frames of ``height`` pixels at least ``MIN_HEIGHT`` high."""
    return max(1, -(-MIN_HEIGHT // height))


def enlarge(frames: Tensor, scale: int) -> Tensor:
    """(T, C, H, W) uint8, grey or colour, to (T, 3, scale * H, scale * W): every pixel becomes a square."""
    if frames.dtype != torch.uint8 or frames.ndim != 4 or frames.shape[1] not in (1, 3):
        raise ValueError(f"frames must be (T, 1 or 3, H, W) uint8, got {tuple(frames.shape)} {frames.dtype}")
    colour = frames.expand(-1, 3, -1, -1)
    return colour.repeat_interleave(scale, dim=2).repeat_interleave(scale, dim=3)


def side_by_side(left: Tensor, right: Tensor, scale: int, labels: tuple[str, str]) -> Tensor:
    """Two films of equal shape, (T, C, H, W), enlarged and labelled, as one: (T, 3, H', W')."""
    if left.shape != right.shape:
        raise ValueError(f"films differ in shape: {tuple(left.shape)} and {tuple(right.shape)}")
    left, right = enlarge(left, scale), enlarge(right, scale)
    num_frames, _, height, width = left.shape
    film = torch.full((num_frames, 3, LABEL_HEIGHT + height, 2 * width + GAP), BACKGROUND, dtype=torch.uint8)
    for x, frames, label in ((0, left, labels[0]), (width + GAP, right, labels[1])):
        film[:, :, :LABEL_HEIGHT, x : x + width] = _text(label, LABEL_HEIGHT, width)
        film[:, :, LABEL_HEIGHT:, x : x + width] = frames
    return film


def grid(pictures: Tensor) -> Tensor:
    """(B, 3, H, W) in rows, as one picture (3, H', W') about as high as it is wide."""
    count, _, height, width = pictures.shape
    columns = math.ceil(math.sqrt(count * height / width))
    rows = -(-count // columns)
    shape = (3, rows * (height + GAP) - GAP, columns * (width + GAP) - GAP)
    whole = torch.full(shape, BACKGROUND, dtype=torch.uint8)
    for i, picture in enumerate(pictures):
        y, x = i // columns * (height + GAP), i % columns * (width + GAP)
        whole[:, y : y + height, x : x + width] = picture
    return whole


def save_gif(path: Path, frames: Iterable[Tensor], fps: float, scale: int = 1) -> None:
    """Save frames as an endless GIF, whole or not at all.

    Frames of at most 256 colours are exact; others get their 256 best colours, without dithering.

    Args:
        path: where; the folder is made if need be.
        frames: (T, C, H, W) uint8, or (C, H, W) one by one; at least one.
        fps: frames per second, at most 50 (viewers slow down what is faster); the format rounds a frame's
            time to hundredths of a second.
        scale: whole factor to enlarge by.
    """
    if not 0 < fps <= 50:
        raise ValueError(f"fps must be in (0, 50], got {fps}")
    pictures = (_paletted(enlarge(frame[None], scale)[0]) for frame in frames)
    first = next(pictures)
    path.parent.mkdir(parents=True, exist_ok=True)
    hundredths = round(100 / fps)
    with replacing(path) as temporary, temporary.open("wb") as file:
        first.save(file, "GIF", save_all=True, append_images=pictures, duration=10 * hundredths, loop=0)


def save_pair(path: Path, real: Tensor, dream: Tensor, fps: float) -> None:
    """Save reality and dream, (T, C, H, W) each, side by side as a GIF, large enough to watch."""
    save_gif(path, side_by_side(real, dream, fitting_scale(real.shape[-2]), ("real", "dream")), fps)


def strip(
    path: Path, rows: Sequence[tuple[str, Tensor]], scale: int, frames_per_line: int = FRAMES_PER_LINE
) -> None:
    """Save a PNG of labelled rows of frames, each (T, C, H, W), time from left to right, in lines as text is."""
    num_frames = len(rows[0][1])
    if any(len(frames) != num_frames for _, frames in rows):
        raise ValueError("all rows of a strip need the same number of frames")
    label_width = int(max(_font().getlength(label) for label, _ in rows)) + 4 * GAP
    film = torch.stack([enlarge(frames, scale) for _, frames in rows])  # (rows, T, 3, height, width)
    height, width = film.shape[3:]
    line_height = len(rows) * (height + GAP) + LINE_GAP
    num_lines, per_line = -(-num_frames // frames_per_line), min(num_frames, frames_per_line)
    shape = (3, num_lines * line_height - LINE_GAP - GAP, label_width + per_line * (width + GAP) - GAP)
    picture = torch.full(shape, BACKGROUND, dtype=torch.uint8)
    for line in range(num_lines):
        for row, (label, _) in enumerate(rows):
            y = line * line_height + row * (height + GAP)
            picture[:, y : y + height, :label_width] = _text(label, height, label_width)
            for place, frame in enumerate(film[row, line * per_line : (line + 1) * per_line]):
                x = label_width + place * (width + GAP)
                picture[:, y : y + height, x : x + width] = frame
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as temporary:
        Image.fromarray(picture.permute(1, 2, 0).contiguous().numpy()).save(temporary, "PNG")


def _paletted(frame: Tensor) -> Image.Image:
    """(3, H, W) uint8 with a palette of its own, by median cut: exact up to 256 colours, never dithered."""
    return Image.fromarray(frame.permute(1, 2, 0).contiguous().numpy()).quantize(256)


def _font() -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(FONT_SIZE)


def _text(text: str, height: int, width: int) -> Tensor:
    """A box with centred text: (3, height, width) uint8."""
    image = Image.new("RGB", (width, height), (BACKGROUND,) * 3)
    ImageDraw.Draw(image).text((width // 2, height // 2), text, (INK,) * 3, _font(), anchor="mm")
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
