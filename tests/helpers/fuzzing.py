"""Inputs that are wrong in all kinds of ways, from a seed, and what commands make of them."""

from __future__ import annotations

import contextlib
import io
import random
import signal
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

from adamas.core.errors import UserError

LIMIT = 20  # seconds that one case may take
FORBIDDEN = ("os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.fork", "subprocess.Popen")
"""What a stranger's file must not bring about."""

NUMBERS = ("nan", "inf", "-inf", "-1", "0", "1e999", "-0.0", "1e-39", "2147483648", "9" * 30, "-" + "9" * 30)
WORDS = (
    "",
    " ",
    "x",
    "--",
    "[",
    "\x85",
    "é\n",
    "../..",
    "x" * 5000,
    "9" * 5000,
    "0x" + "f" * 5000,
    "true",
    "null",
)
YAML = (
    *NUMBERS,
    *(
        ".nan",
        ".inf",
        "2001-99-99",
        "!!int foo",
        "!!float foo",
        "!!bool foo",
        "!!timestamp foo",
        "!!binary é",
    ),
    *(
        "[" * 3000,
        "{" * 3000,
        "&a [*a]",
        "*missing",
        "{<<: 3}",
        "? [a]",
        "!!python/name:os.system",
        "\t",
        "|",
        "%x",
    ),
    "!!python/object/apply:os.system ['touch canary']",
)


class Fuzz:
    """Counts cases and collects what went wrong with them."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.outcomes: Counter[str] = Counter()
        self.findings: list[str] = []

    def attempt(self, case: str, function: Callable[[], object], programs: bool = False) -> bool:
        """Whether ``function`` succeeded. Anything but a result or one line is a finding.

        ``programs``: it may start some, as Git is asked for the commit of results.
        """
        with _watching() as forbidden, contextlib.redirect_stdout(io.StringIO()):
            try:
                function()
                outcome = "result"
            except UserError as error:
                outcome = "one line"
                quoted = (
                    "\n" in case
                )  # what stands in a message; the command line prints one line all the same
                if ("\n" in str(error) and not quoted) or not 0 < len(str(error)) < 1000 + len(case):
                    self.find(case, f"not one line: {str(error)[:200]!r}")
            except BaseException as error:  # also SystemExit, and the alarm
                outcome = type(error).__name__
                self.find(case, f"{outcome}: {str(error)[:200]}")
        if forbidden and not programs:
            self.find(case, f"did {', '.join(forbidden)}")
        self.outcomes[outcome] += 1
        return outcome == "result"

    def find(self, case: str, problem: str) -> None:
        """Note a finding."""
        self.findings.append(f"{case[:200]!r}: {problem}")

    def report(self, target: str) -> None:
        """Print the counts, and fail if there are findings."""
        counts = ", ".join(f"{count} {outcome}" for outcome, count in self.outcomes.most_common())
        print(f"\nfuzz {target}: {self.outcomes.total()} cases ({counts}), {len(self.findings)} findings")
        assert not self.findings, "\n".join(self.findings[:20])


def damage(content: bytes, rng: random.Random) -> bytes:
    """A file with some bytes changed, cut off, repeated or added."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                del data[at:]
            case 1:
                data[at : at + rng.randint(1, 8)] = rng.randbytes(rng.randint(0, 8))
            case 2:
                data[at:at] = data[at : at + rng.randint(1, 64)]
            case 3:
                data[at:at] = bytes([rng.choice(b"[]{}\"',:\n\x00\xff0-")]) * rng.choice((1, 1, 5000))
            case _:
                if data:
                    data[at % len(data)] ^= 1 << rng.randrange(8)
    return bytes(data)


def damage_yaml(text: str, rng: random.Random) -> bytes:
    """YAML in which some values are something else, or some lines are elsewhere; or :func:`damage` of it."""
    lines = text.splitlines()
    for _ in range(rng.randint(1, 2)):
        at = rng.randrange(len(lines))
        key, colon, _ = lines[at].partition(":")
        match rng.randrange(6):
            case 0:
                del lines[at]
            case 1:
                lines.insert(rng.randrange(len(lines)), lines[at])
            case 2:
                return damage("\n".join(lines).encode(), rng)
            case _:
                lines[at] = f"{key}{colon} {rng.choice(YAML)}" if colon else f"- {rng.choice(YAML)}"
        if not lines:
            break
    return "\n".join([*lines, ""]).encode(errors="surrogatepass")


def replace_leaf(data: Any, rng: random.Random) -> Any:
    """Plain values of JSON in which one, at any depth, is something else."""
    others: tuple[Any, ...] = (
        None,
        True,
        -1,
        2**40,
        10**400,
        1e999,
        float("nan"),
        "",
        "x",
        [],
        {},
        [[]],
        {"a": 1},
        "../x",
        "a::b",
    )
    if rng.random() < 0.3 or not isinstance(data, dict | list) or not data:
        return rng.choice(others)
    copy = dict(data) if isinstance(data, dict) else list(data)
    key = rng.choice(list(copy)) if isinstance(copy, dict) else rng.randrange(len(copy))
    if rng.random() < 0.2:
        del copy[key]
    else:
        copy[key] = replace_leaf(copy[key], rng)
    return copy


_forbidden: list[str] | None = None


def _hook(event: str, arguments: tuple[Any, ...]) -> None:
    if _forbidden is not None and event in FORBIDDEN:
        _forbidden.append(event)


sys.addaudithook(_hook)


@contextmanager
def _watching() -> Iterator[list[str]]:
    """What is done of :data:`FORBIDDEN`; an exception after :data:`LIMIT` seconds."""
    global _forbidden

    def alarm(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"took more than {LIMIT} seconds")

    _forbidden, previous = [], signal.signal(signal.SIGALRM, alarm)
    signal.alarm(LIMIT)
    try:
        yield _forbidden
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)
        _forbidden = None


def restore(folder: Path, before: dict[str, bytes | None], after: dict[str, bytes | None]) -> None:
    """Remove what was added to a folder, from two of its :func:`faults.content`."""
    for name in sorted(after.keys() - before.keys(), reverse=True):
        path = folder / name
        path.rmdir() if path.is_dir() else path.unlink()
