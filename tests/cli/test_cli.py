from __future__ import annotations

import io
import runpy
import sys
from importlib.metadata import version

import pytest

from otel_callbacks.cli import main
from otel_callbacks.cli.env import BACKENDS


def test_without_a_command_the_help_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It lists the commands, and the exit code is 0."""
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_a_wrong_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code is that of argparse."""
    with pytest.raises(SystemExit) as caught:
        main(["bouquet"])
    assert caught.value.code == 2
    assert "bouquet" in capsys.readouterr().err


def test_characters_that_the_terminal_lacks_become_question_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An encoding error never ends a command."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main([]) == 0
    print("玫瑰", flush=True)  # noqa: T201 -- the output is under test
    assert buffer.getvalue().endswith(b"??\n")


def test_output_may_be_any_kind_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls main() may have replaced standard output."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    assert main([]) == 0
    assert "usage" in text.getvalue()


def test_it_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """``python -m`` works without the script on the path."""
    monkeypatch.setattr(sys, "argv", ["otel-callbacks"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("otel_callbacks.cli", run_name="__main__")
    assert caught.value.code == 0
    assert "usage: otel-callbacks" in capsys.readouterr().out
    assert runpy.run_module("otel_callbacks.cli.__main__")["main"] is main


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """It is the version of the installed package."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"otel-callbacks {version('otel-callbacks')}\n"


@pytest.mark.parametrize(
    "command", ["demo", "watch", "env", "doctor", "prices", "report", "reconcile"]
)
def test_each_command_has_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The help of each command lists them."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--no-color" in capsys.readouterr().out


def test_each_backend_can_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The choices of `env` are the backends of its table."""
    with pytest.raises(SystemExit):
        main(["env", "--help"])
    assert f"one of: {', '.join(BACKENDS)}" in " ".join(capsys.readouterr().out.split())
