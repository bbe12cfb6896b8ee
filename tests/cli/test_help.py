"""Every command and every option is explained, in whole sentences."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import pytest
import tyro

import adamas
from adamas import cli
from adamas.cli import COMMANDS
from adamas.commands.train import Resume, Train
from adamas.core.arguments import parse
from adamas.core.options import Option, field_help, options_of, positionals_first
from adamas.presets import PRESETS

WIDTH = 80
FRAGMENTS = ("Of ", "As ", "To ", "In ", "With ", "From ", "Where it", "How many", "How often", "Its ", "It ")
MARKUP = ("``", ":func:", ":class:", ":data:", ":meth:", "**")


@pytest.fixture(autouse=True)
def _terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(WIDTH))


def shown(words: Sequence[str], capsys: pytest.CaptureFixture[str]) -> str:
    """What a command line prints that ends with exit code 0."""
    try:
        cli.run(words)
    except SystemExit as stop:
        assert not stop.code, words
    out, err = capsys.readouterr()
    assert err == ""
    return out


def without_box(text: str) -> str:
    """A help text as one line, without the box around it."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", text).split())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_without_a_target(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = name.split()
    texts = {
        shown(line, capsys)
        for line in ([*words, "--help"], ["--help", *words], ["help", *words], [*words, "-h"])
    }
    assert len(texts) == 1
    text = texts.pop()
    assert text.startswith(f"usage: adamas {name}")
    assert "{env:" not in text, "the kinds of a part are options, not subcommands"


@pytest.mark.parametrize("name", [name for name, command in COMMANDS.items() if command.arguments == "RUN"])
def test_help_before_and_after_a_target(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for line in ([*name.split(), "nothing", "--help"], [*name.split(), "--help", "hf://owner/name"]):
        assert shown(line, capsys).startswith(f"usage: adamas {name}")


@pytest.mark.parametrize("words", [[], ["help"], ["--help"], ["-h"]])
def test_the_list_of_commands(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(words, capsys).splitlines()
    rows = lines[2 : 2 + len(COMMANDS)]
    for row, (name, command) in zip(rows, COMMANDS.items(), strict=True):
        assert row.split("  ")[1] == f"{name} {command.arguments}".strip()
        assert row.endswith(f"  {command.summary}")
    assert (
        len({len(row) - len(command.summary) for row, command in zip(rows, COMMANDS.values(), strict=True)})
        == 1
    )
    assert max(map(len, lines)) <= 95


@pytest.mark.parametrize("group", ["data", "export"])
def test_the_commands_of_a_group(group: str, capsys: pytest.CaptureFixture[str]) -> None:
    out = shown([group, "--help"], capsys)
    assert all((f"  {name} " in out) == name.startswith(f"{group} ") for name in COMMANDS if name != group)


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(["--version"], capsys) == f"{adamas.__version__}\n"


def problems(option: Option) -> list[str]:
    """What is wrong with the help of an option."""
    text = option.help
    found = [f"markup {mark}" for mark in MARKUP if mark in text]
    if not text:
        return ["no help"]
    if not text.endswith("."):
        found.append("does not end in a full stop")
    if not (text[0].isupper() or text[0].isdigit()) or text.startswith(FRAGMENTS) or len(text.split()) < 4:
        found.append(f"a fragment: {text}")
    return found


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("--env.suite minatar", "A MinAtar game"),
        ("--training.actor-critic.learner.rule ppo", "--training.actor-critic.learner.clip"),
        ("--training.actor-critic.learner.rule ppo", "Other kinds: reinforce."),
        ("--env.suite=minatar --no-such-option", "A MinAtar game"),
    ],
)
def test_help_shows_the_options_of_the_kind_that_is_chosen(
    choice: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = choice.split()
    texts = {
        without_box(shown(line, capsys))
        for line in (["train", "debug", *words, "--help"], ["train", "--help", "debug", *words])
    }
    assert len(texts) == 1 and expected in texts.pop()
    assert expected not in without_box(shown(["train", "debug", "--help"], capsys))


@pytest.mark.parametrize("name", [*COMMANDS, "train --resume"])
def test_every_option_is_explained_in_whole_sentences(name: str) -> None:
    options = Resume if name == "train --resume" else COMMANDS[name].options
    found = {} if options is None else {o.flag: wrong for o in options_of(options) if (wrong := problems(o))}
    assert found == {}


@pytest.mark.parametrize("preset", [name for name in PRESETS if not name.startswith("ablation-")])
def test_the_help_of_a_preset_shows_all_its_fields(preset: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = without_box(shown(["train", preset, "--help"], capsys))
    helps: dict[str, list[str]] = {}  # several of one flag, if kinds of one part explain it differently
    for option in options_of(Train):
        if f" {option.flag} " in text:
            helps.setdefault(option.flag, []).append(option.help)
    assert len(helps) > 80
    assert [flag for flag, texts in helps.items() if not any(one in text for one in texts)] == []
    assert not any(mark in text for mark in MARKUP)


def test_lines_of_help_are_as_long_as_they_fit(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = shown(["train", "debug", "--help"], capsys).split("│ --")[1:]
    for block in blocks:
        lines = [line.strip("│ ") for line in block.splitlines() if line.startswith("│       ")]
        for line, following in itertools.pairwise(lines):
            assert len(line) + 1 + len(following.split()[0]) > WIDTH - 10, block


@dataclass(frozen=True)
class Base:
    size: int = 1
    """A size that takes two lines of source because
    its explanation is long."""


@dataclass(frozen=True)
class Part(Base):
    size: int = 2
    flag: bool = False


@dataclass(frozen=True)
class Everything:
    flat: Annotated[Base, tyro.conf.arg(name=""), tyro.conf.FlagConversionOff]
    part: Annotated[Part, tyro.conf.FlagConversionOff]
    maybe_part: Part | None = None
    quiet: bool = False
    names: tuple[str, ...] = ()
    pair: tuple[int, int] | None = None


def test_options_of_a_dataclass() -> None:
    assert (
        field_help(Part, "size") == "A size that takes two lines of source because its explanation is long."
    )
    assert field_help(Part, "flag") is None
    assert {option.flag: option.num_values for option in options_of(Everything)} == {
        "--size": 1,
        "--part.size": 1,
        "--part.flag": 1,
        "--maybe-part.size": 1,
        "--maybe-part.flag": 0,
        "--quiet": 0,
        "--names": None,
        "--pair": 2,
    }
    assert parse(Everything, ["--part.size", "7"], "x") == Everything(Base(), Part(size=7))


@pytest.mark.parametrize(
    ("line", "positionals", "options"),
    [
        ("RUN --size 3", "RUN", "--size 3"),
        ("--size 3 RUN", "RUN", "--size 3"),
        ("--size=3 RUN", "RUN", "--size=3"),
        ("--size -3 RUN", "RUN", "--size -3"),
        ("--quiet RUN hf://a/b", "RUN hf://a/b", "--quiet"),
        ("--part.flag True RUN", "RUN", "--part.flag True"),
        ("--pair 1 2 RUN", "RUN", "--pair 1 2"),
        ("RUN --names a b --quiet", "RUN", "--names a b --quiet"),
        ("--unknown 3 RUN", "RUN", "--unknown 3"),
        ("PRESET --quiet -- --size 3", "PRESET", "--quiet -- --size 3"),
        ("--size", "", "--size"),
    ],
)
def test_positional_arguments_may_stand_anywhere(line: str, positionals: str, options: str) -> None:
    assert positionals_first(Everything, line.split()) == (positionals.split(), options.split())


def test_presets_are_listed_with_the_ablations_apart(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(["presets"], capsys)
    main, ablations = out.split("ablations:")
    assert all((f" {name} " in main) != name.startswith("ablation") for name in PRESETS)
    assert all(f" {name} " in ablations for name in PRESETS if name.startswith("ablation"))
    assert re.search(r"quickstart +learn MinAtar Breakout in dreams +2 CPU cores +12 min +0\.8 GB", main)
