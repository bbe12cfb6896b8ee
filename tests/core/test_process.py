"""How a command ends."""

from __future__ import annotations

import threading
import warnings

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
