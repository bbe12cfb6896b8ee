"""Terminal widgets: pictures with two pixels in each cell, and lines of text beside them."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.color import Color
from rich.segment import Segment
from rich.style import Style
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from adamas.play.server_messages import Header, Hello, Note, Notice, Saved, WorldStatus

SURROUND = 38  # grey level around pictures, one that a palette of 256 colours contains
PLAIN, BOLD, FAINT = Style(), Style(bold=True), Style(dim=True)
Line = Strip | tuple[str, Style]
"""A strip of full width, or text in a style, which is cut or padded to the width."""

# --- pictures and bars ---------------------------------------------------------------------------------------


def half_blocks(pixels: NDArray[np.uint8]) -> list[Strip]:
    """Draw (2 R, C, 3) pixels as R lines of C cells, with the upper pixel as foreground, the lower as background."""
    height, width, _ = pixels.shape
    cells = pixels.reshape(height // 2, 2, width, 3).swapaxes(1, 2).reshape(height // 2, width, 6)
    lines = []
    for row in cells:
        starts = np.flatnonzero(np.r_[True, (row[1:] != row[:-1]).any(axis=1)])  # of runs of one colour
        runs = zip(row[starts].tolist(), np.diff(starts, append=width).tolist(), strict=True)
        lines.append(Strip([Segment("▀" * length, _style(*colours)) for colours, length in runs], width))
    return lines


@lru_cache(maxsize=2**13)
def _style(*colours: int) -> Style:
    return Style(color=Color.from_rgb(*colours[:3]), bgcolor=Color.from_rgb(*colours[3:]))


def fit(image: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """Centre a frame (H, W, 3) in (height, width, 3) pixels.

    It is enlarged by a whole factor if it is small, and reduced by averaging pixels if it is too large.
    """
    scale = min(height / image.shape[0], width / image.shape[1])
    if scale >= 1:
        image = image.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    else:
        smaller = [max(1, int(side * scale)) for side in image.shape[1::-1]]
        image = np.asarray(Image.fromarray(image).resize(smaller, Image.Resampling.BOX))
    canvas = np.full((height, width, 3), SURROUND, np.uint8)
    top, left = (height - image.shape[0]) // 2, (width - image.shape[1]) // 2
    canvas[top : top + image.shape[0], left : left + image.shape[1]] = image
    return canvas


def bar(fraction: float, width: int) -> str:
    """A horizontal bar, drawn to an eighth of a cell."""
    eighths = round(8 * width * fraction)
    return ("█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8]).ljust(width)[:width]


def columns(fractions: Sequence[float]) -> str:
    """A bar chart with one cell for each fraction."""
    return "".join("▁▂▃▄▅▆▇█"[min(7, int(8 * fraction))] for fraction in fractions)


# --- words ---------------------------------------------------------------------------------------------------


def describe_note(note: Note) -> str:
    """The text of a note: a notice, or a message about a recorded episode. A hello has none."""
    match note:
        case Saved():
            return f"recorded: episode {note.episode} of {note.dataset}, {note.steps} steps"
        case Notice():
            return note.text
        case Hello():
            return ""


def caption(name: str, world: WorldStatus, width: int) -> str:
    """The caption of a world: its reward, return and step in words, or in numbers alone if ``width`` is too small."""
    age, over = world.age, f" {world.over}" if world.over else ""
    if world.reward is None:  # a world model without rewards
        return f"{name}: step {age}{over}"
    reward, total = f"{world.reward:+g}", f"{world.total:g}"
    words = f"{name}: reward {reward} return {total} step {age}{over}"
    return words if len(words) <= width else f"{name} {reward} {total} {age}{over}"


def actor(header: Header, actions: Sequence[str]) -> str:
    """Who acts, the last action, and whether the worlds are paused or recorded."""
    who = "you" if header.control == "human" else "agent"
    action = header.action
    words = "(start)" if action is None else actions[action] if isinstance(action, int) else action
    states = {"paused": header.paused, "recording": header.recording}
    return "  ".join([f"{who}: {words}", *(state for state, on in states.items() if on)])


def chances(header: Header) -> str:
    """Probabilities of rewards and of the end in the dream's last step; empty if there are none."""
    dream = header.dream
    if dream is None or dream.reward_probabilities is None:
        return ""
    less, _, more = dream.reward_probabilities
    return f"-1 {less:.0%}  +1 {more:.0%}  end {dream.end_probability:.0%}"


def brief(hello: Hello, header: Header) -> list[Line]:
    """Describe an update in three lines."""
    policy, fps = header.policy, header.speed.fps
    steps = f"  N {header.settings.denoising_steps}" if hello.samplers else ""
    opinion = ""
    if policy is not None:
        opinion = f"V {policy.value:+.2f}  H {policy.entropy:.2f}  {columns(policy.probabilities)}"
    lines = (actor(header, hello.actions), opinion, f"{chances(header)}{steps}  {fps:.0f} fps".strip())
    return [(line, PLAIN) for line in lines]


def panel(hello: Hello, header: Header, height: int) -> list[Line]:
    """The lines beside the pictures, with a bar for each action if there is room."""
    actions, policy = hello.actions, header.policy
    lines: list[Line] = [
        (hello.title, BOLD),
        (hello.game, FAINT),
        ("", PLAIN),
        (actor(header, actions), BOLD),
    ]
    steps = f"  denoising steps {header.settings.denoising_steps}" if hello.samplers else ""
    lines += [(f"{header.speed.fps:.0f} fps{steps}", FAINT), ("", PLAIN)]
    if header.dream is not None:
        if hello.has_rewards:
            lines += [("the dream's chances", FAINT), (chances(header), PLAIN)]
        if header.difference is not None:
            lines.append((f"off by {header.difference:.1f} of 255", PLAIN))
        lines.append(("", PLAIN))
    if policy is None:
        return lines
    lines += [("the agent's policy", FAINT)]
    lines += [(f"value {policy.value:+.2f}  entropy {policy.entropy:.2f}", PLAIN)]
    if len(lines) + len(actions) > height:
        return [*lines, (columns(policy.probabilities), PLAIN)]
    bars = zip(actions, policy.probabilities, strict=False)  # a policy of action vectors has none
    return lines + [(f"{name:<13.13} {bar(p, 10)} {p:5.0%}", PLAIN) for name, p in bars]


# --- widgets -------------------------------------------------------------------------------------------------


class Lines(Widget):
    """Lines of text. Only lines that change are drawn again, which sends much less over SSH."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self.lines: list[Line] = []

    def put(self, lines: list[Line]) -> None:
        """Show ``lines``."""
        old, self.lines = self.lines, lines
        if len(old) != len(lines):
            self.refresh()
        for y, (before, after) in enumerate(zip(old, lines, strict=False)):
            if before != after:
                self.refresh(Region(0, y, self.size.width, 1))

    def render_line(self, y: int) -> Strip:
        """Render line ``y`` for Textual."""
        line = self.lines[y] if y < len(self.lines) else ("", PLAIN)
        if isinstance(line, Strip):
            return line.adjust_cell_length(self.size.width)  # the width differs for a moment after a resize
        (text, style), ground = line, self.rich_style
        return Strip([Segment(text, ground + style)]).adjust_cell_length(self.size.width, ground)


class Picture(Lines):
    """A frame, as large as fits, with a caption above it."""

    world: WorldStatus | None = None
    image: NDArray[np.uint8]

    def show(self, world: WorldStatus, image: NDArray[np.uint8]) -> None:
        """Show the caption of a world and its frame, (H, W, 3)."""
        self.world, self.image = world, image
        self.on_resize()

    def on_resize(self) -> None:
        """Fit the frame to the new size."""
        width, height = self.size
        if self.world is not None and width > 0 and height > 1:
            text = caption(str(self.id), self.world, width)
            self.put([(text, BOLD), *half_blocks(fit(self.image, 2 * (height - 1), width))])
