"""How a command ends."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import warnings
from subprocess import PIPE

import numpy as np
import pytest
import torch

from adamas.core.errors import Interrupted, UserError
from adamas.core.process import run_command


def take(size: tuple[int, ...]) -> None:
    torch.empty(size)


@pytest.mark.parametrize(
    "command",
    [
        lambda: take((2**31, 2**31)),
        lambda: take((2**31, 2**31, 2**31)),
        lambda: np.empty((2**31, 2**28)),
        lambda: b"x" * 2**61,
    ],
    ids=["torch", "overflow", "numpy", "python"],
)
def test_too_little_memory_is_said_in_one_line(
    command: object, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)
    with pytest.raises(SystemExit) as stop:
        run_command(command)  # type: ignore[arg-type]
    lines = capsys.readouterr().err.splitlines()
    assert stop.value.code == 2 and len(lines) == 1
    assert lines[0].startswith("adamas: too little memory (")


def test_other_faults_keep_their_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def fault() -> None:
        raise RuntimeError("a fault in the program")

    with pytest.raises(RuntimeError, match="a fault"):
        run_command(fault)


def test_a_name_of_several_lines_is_said_in_one(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def mistake() -> None:
        raise UserError("a\nb does not exist")

    with pytest.raises(SystemExit):
        run_command(mistake)
    assert capsys.readouterr().err == "adamas: a b does not exist\n"


def test_an_interruption_that_saved_is_no_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def stopped() -> None:
        raise Interrupted("stopped and saved; run the same command again")

    with pytest.raises(SystemExit) as stop:
        run_command(stopped)
    assert stop.value.code == 130
    assert capsys.readouterr().err == "adamas: stopped and saved; run the same command again\n"


WRITES = """
import sys
from adamas.core.console import console
from adamas.core.process import run_command

def command():
    sys.stdin.read()  # until the reader of the output has ended
    write = console().print if sys.argv[1:] == ["table"] else print
    write("a line")
    if sys.argv[1:] == ["stop"]:
        sys.exit(0)  # as after help

run_command(command)
"""


@pytest.mark.parametrize(("option", "unbuffered"), [("", ""), ("", "1"), ("stop", ""), ("table", "")])
def test_a_command_ends_quietly_when_nobody_reads_its_output(option: str, unbuffered: str) -> None:
    words, env = [sys.executable, "-c", WRITES, option], os.environ | {"PYTHONUNBUFFERED": unbuffered}
    with subprocess.Popen(words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=env) as command:
        assert command.stdin and command.stdout and command.stderr
        command.stdout.close()
        command.stdin.close()
        assert command.stderr.read() == b""
        assert command.wait() == 141


def test_another_broken_pipe_is_a_fault(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    monkeypatch.setattr(threading, "excepthook", threading.excepthook)

    def fault() -> None:
        reading, writing = os.pipe()
        os.close(reading)
        try:
            os.write(writing, b"to a worker that has ended")
        finally:
            os.close(writing)

    with pytest.raises(BrokenPipeError):
        run_command(fault)
