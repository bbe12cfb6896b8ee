"""Watch and play a dream in a terminal, also over SSH. Every character cell shows two pixels."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.events import Key, Resize

from adamas.core.errors import UserError
from adamas.play.controls import PARTS
from adamas.play.engine import Engine, Player
from adamas.play.messages import (
    Action,
    ChangeSettings,
    ChangeView,
    Control,
    Fork,
    Pause,
    Record,
    Request,
    Reset,
    Step,
)
from adamas.play.server_messages import Header, Hello, Note, ViewUpdate
from adamas.play.terminal_widgets import (
    BOLD,
    FAINT,
    PLAIN,
    SURROUND,
    Lines,
    Picture,
    brief,
    describe_note,
    panel,
)

RATE = 30  # refreshes a second
HELD = 0.25  # seconds for which a key counts as pressed, because terminals do not report key releases
NOTICE = 6.0  # seconds for which a notice stays
SMALLEST = 40, 12  # width and height in cells
PANEL, PICTURE = (
    32,
    40,
)  # widths in cells: of the side panel, and the least that it must leave for each picture

KEYS = {"w": "up", "s": "down", "d": "right", "a": "left", "space": "fire", "equals_sign": "plus"}
HINT = "? help  c play  p pause  v view  q quit"
HELP = """\
arrows, wasd, space  play yourself
0 to 9               act, by number
c  you or the agent  p  pause
n  one step          r  new episode
v  change the view   f  fork the game
o  record            + -  denoising
?  this help         q  quit
Above a picture: reward, return, steps.
V value  H entropy of the agent
-1 +1 end  chances in the dream
N denoising steps""".splitlines()


def play_in_terminal(engine: Engine, hello: Hello) -> None:
    """Play in this terminal until the player quits.

    Args:
        engine: steps the worlds, in a thread of its own.
        hello: the first message to a page, which names the game, its actions and views.

    Raises:
        UserError: this is not a terminal.
        Exception: the error that stopped the engine's thread.
    """
    check_terminal("adamas play --terminal", "play in the browser")
    app = Terminal(engine, hello)
    with engine.running(app.failed.set), suppress(KeyboardInterrupt):
        app.run(mouse=False)  # leaves selecting and copying to the terminal
    for note in app.notes:  # such as that the last episode has been saved
        print(describe_note(note))
    if app.return_code:
        raise SystemExit(app.return_code)  # the app failed and has printed why


def check_terminal(command: str, otherwise: str) -> None:
    """Raise UserError if there is no terminal to run ``command`` in. ``otherwise`` is the remedy it suggests."""
    for name in ("stdin", "stdout", "stderr"):  # Textual draws on the last
        if not getattr(sys, name).isatty():
            raise UserError(f"{name} is not a terminal; run {command} in one, or {otherwise}")


# --- keys ----------------------------------------------------------------------------------------------------


class Pressed:
    """The keys that were pressed recently, and the action that they mean together."""

    def __init__(self, actions: Sequence[str]) -> None:
        self._numbers = {name: number for number, name in enumerate(actions)}
        self._times: dict[str, float] = {}

    def press(self, key: str, now: float) -> bool:
        """Press a key. Returns False unless it is one of :data:`PARTS` or a digit."""
        known = key in PARTS or (len(key) == 1 and key in "0123456789")
        if known:
            self._times.pop(key, None)
            self._times[key] = now  # the newest is last
        return known

    def held(self, now: float) -> list[str]:
        """The keys that still count as pressed, the newest last."""
        return [key for key, then in self._times.items() if now - then < HELD]

    def action(self, now: float) -> int | None:
        """The action of all held keys, or of the newest ones that form an action; None if there is none."""
        keys = self.held(now)
        if keys and keys[-1].isdigit():
            number = int(keys[-1])
            return number if number < len(self._numbers) else None
        keys = [key for key in keys if key in PARTS]
        for first in range(len(keys)):
            name = "".join(sorted(keys[first:], key=PARTS.index))
            if name in self._numbers:
                return self._numbers[name]
        return None


# --- the application -----------------------------------------------------------------------------------------


class Terminal(App[None]):
    """The terminal application.

    Attributes:
        failed: set when the engine's thread has stopped with an error.
        notes: messages that have not been shown yet.
    """

    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [Binding("q,ctrl+c", "quit", priority=True)]
    CSS = f"""
    Screen {{ layers: below above; overflow: hidden; }}
    #pictures {{ height: 1fr; }}
    Picture {{ width: 1fr; background: rgb({SURROUND}, {SURROUND}, {SURROUND}); }}
    #panel {{ width: {PANEL}; padding: 0 1; }}
    #brief {{ height: 3; }}
    #line, #small {{ height: 1; }}
    #help {{ layer: above; width: 40; height: {len(HELP)}; background: $primary; }}
    #real, #brief, #help, #small, .narrow #panel {{ display: none; }}
    .narrow #brief, .helping #help, .small #small {{ display: block; }}
    .small #pictures, .small #brief, .small #line, .small #help {{ display: none; }}
    """

    def __init__(self, engine: Engine, hello: Hello) -> None:
        super().__init__()
        self.failed = threading.Event()
        self.notes: deque[Note] = deque(maxlen=16)
        self._engine, self._hello = engine, hello
        self._newest: deque[ViewUpdate] = deque(maxlen=1)  # the update to show next
        self._player = Player(self._newest.append, self.notes.append)
        self._update: ViewUpdate | None = None  # the update that is shown
        self._pressed = Pressed(hello.actions)
        self._action = Action(None)
        self._notice_ends = 0.0

    def compose(self) -> ComposeResult:
        """Create all widgets."""
        with Horizontal(id="pictures"):
            yield from (Picture("dream"), Picture("real"), Lines("panel"))
        yield from (Lines("brief"), Lines("line"), Lines("help"), Lines("small"))

    def on_mount(self) -> None:
        """Join the engine, and start to refresh."""
        for name in ("SIGTERM", "SIGHUP"):  # SIGHUP: the connection is lost. Exiting saves the recording.
            with suppress(AttributeError, NotImplementedError):  # on Windows
                asyncio.get_running_loop().add_signal_handler(getattr(signal, name), self.exit)
        self.query_one("#help", Lines).put([(line, PLAIN) for line in HELP])
        self._say(HINT)
        few = {"256": "256", "standard": "16"}.get(str(self.console.color_system))
        if few:
            self._notice(f"the terminal reports {few} colours; if it can show more, set COLORTERM=truecolor")
        self._engine.join(self._player)
        self.set_interval(1 / RATE, self._refresh_view)

    def on_unmount(self) -> None:
        """Leave the engine."""
        self._engine.leave(self._player)

    def on_resize(self, event: Resize) -> None:
        """Lay out for the new size, once all widgets know it."""
        self.call_later(self._draw)

    def on_key(self, event: Key) -> None:
        """Handle a key: an action, or a command."""
        key = KEYS.get(event.key.lower(), event.key.lower())
        if key == "question_mark":
            self.screen.toggle_class("helping")
        elif self._pressed.press(key, time.monotonic()):
            if self._update is not None and self._update.header.control == "agent":
                self._engine.request(self._player, Control("human"))  # a key takes over from the agent
            self._act()
        elif self._update is not None:
            self._request(key, self._update.header)

    def _request(self, key: str, now: Header) -> None:
        views, steps = self._hello.views, now.settings.denoising_steps
        if key == "v" and len(views) == 1:
            self._notice(self._hello.why_no_real)
            return
        if key in ("plus", "minus") and not self._hello.samplers:
            self._notice("this world model does not draw frames in denoising steps")
            return
        requests: dict[str, Request] = {
            "c": Control("human" if now.control == "agent" else "agent"),
            "p": Pause(not now.paused),
            "n": Step() if now.paused else Pause(True),
            "r": Reset(),
            "f": Fork(),
            "v": ChangeView(views[(views.index(now.view) + 1) % len(views)]),
            "o": Record(not now.recording),
            "plus": ChangeSettings({"denoising_steps": steps + 1}),
            "minus": ChangeSettings({"denoising_steps": steps - 1}),
        }
        if key in requests:
            self._engine.request(self._player, requests[key])

    def _act(self) -> None:
        """Send the action if it has changed. An action is held until at least one step has been taken with it."""
        action = self._pressed.action(time.monotonic())
        taken = self._update is not None and self._update.header.ack >= self._action.seq
        if action != self._action.action and (action is not None or taken):
            self._action = Action(action, self._action.seq + 1)
            self._engine.request(self._player, self._action)

    def _refresh_view(self) -> None:
        """Show new messages and the newest update."""
        if not self.is_running:
            return  # the widgets are being removed
        if self.failed.is_set():
            self.exit()
        self._act()
        while self.notes:
            self._notice(describe_note(self.notes.popleft()))
        if self._notice_ends and time.monotonic() > self._notice_ends:
            self._say(HINT)
        if self._newest:
            self._update = self._newest.pop()
            self._draw()

    def _notice(self, text: str) -> None:
        self._say(text)
        self._notice_ends = time.monotonic() + NOTICE

    def _say(self, text: str) -> None:
        self._notice_ends = 0.0
        lines = textwrap.wrap(text, self.size.width)[:3]
        line = self.query_one("#line", Lines)
        line.styles.height = len(lines)
        line.put([(part, FAINT if text == HINT else BOLD) for part in lines])

    def _draw(self) -> None:
        """Lay out the widgets, and show the update."""
        width, height = self.size
        self.screen.set_class(width < SMALLEST[0] or height < SMALLEST[1], "small")
        needed = f"{SMALLEST[0]}x{SMALLEST[1]} cells needed; here {width}x{height}"
        self.query_one("#small", Lines).put([(needed, BOLD)])
        if self._update is None:
            return
        header, images = self._update
        shown = dict(zip(header.images, images, strict=True))
        self.screen.set_class(width < PANEL + PICTURE * len(shown), "narrow")
        for name in ("dream", "real"):
            picture = self.query_one(f"#{name}", Picture)
            picture.display = name in shown
            if name in shown:
                picture.show(header.worlds[name], shown[name])
        self.query_one("#panel", Lines).put(panel(self._hello, header, height - 1))
        self.query_one("#brief", Lines).put(brief(self._hello, header))
