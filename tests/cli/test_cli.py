from __future__ import annotations

import io
import runpy
import sys
from importlib.metadata import version

import pytest

from otel_callbacks.cli import COMMANDS, main


def test_without_a_command_the_help_is_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With all commands, and no error."""
    assert main([]) == 0
    assert "demo" in capsys.readouterr().out


def test_a_wrong_command_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """By argparse, with its own exit code."""
    with pytest.raises(SystemExit) as caught:
        main(["bouquet"])
    assert caught.value.code == 2
    assert "bouquet" in capsys.readouterr().err


def test_a_terminal_that_cannot_show_chinese_shows_question_marks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Output never fails for its encoding."""
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding="ascii"))
    assert main([]) == 0
    print("玫瑰", flush=True)  # noqa: T201 -- what the terminal gets is tested
    assert buffer.getvalue().endswith(b"??\n")


def test_output_may_be_any_kind_of_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that calls main() may have put one in the place of the terminal."""
    text = io.StringIO()
    monkeypatch.setattr(sys, "stdout", text)
    assert main([]) == 0
    assert "usage" in text.getvalue()


def test_it_runs_as_a_module(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """For those whose path does not hold the script."""
    monkeypatch.setattr(sys, "argv", ["otel-callbacks"])
    with pytest.raises(SystemExit) as caught:
        runpy.run_module("otel_callbacks.cli", run_name="__main__")
    assert caught.value.code == 0
    assert "usage: otel-callbacks" in capsys.readouterr().out
    assert runpy.run_module("otel_callbacks.cli.__main__")["main"] is main


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """That of the installed package."""
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"otel-callbacks {version('otel-callbacks')}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_has_its_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its help is longer than the line of the list."""
    with pytest.raises(SystemExit):
        main([command, "--help"])
    assert "--no-color" in capsys.readouterr().out
