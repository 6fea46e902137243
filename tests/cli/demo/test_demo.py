from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from waiting import WAIT_S

from otel_callbacks.cli import demo, main

if TYPE_CHECKING:
    from pathlib import Path

_DEMO = (sys.executable, "-m", "otel_callbacks.cli", "demo")


def _environment(**variables: str) -> dict[str, str]:
    """Return an environment for a child process."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OTEL_", "OPENAI_", "LANG"))
    }
    return {**kept, "OTEL_EXPORTER_PROMETHEUS_PORT": "0", **variables}


def test_the_demo_shows_traces_tokens_and_addresses(tmp_path: Path) -> None:
    """In a child process, with piped output of 80 columns."""
    page = tmp_path / "demo.html"
    done = subprocess.run(  # noqa: S603 -- our own program
        [*_DEMO, "--html", str(page)],
        env=_environment(COLUMNS="80", PYTHONIOENCODING="utf-8"),
        capture_output=True,
        encoding="utf-8",
        timeout=WAIT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for expected in (
        "three-customers",
        "POST 429",
        "cancelled",
        "cache hit",
        "✓ equal",
    ):
        assert expected in done.stdout
    assert "\x1b" not in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_sigterm_ends_steady_traffic_cleanly() -> None:
    """The current round ends, and the sums are checked."""
    with subprocess.Popen(  # noqa: S603 -- our own program
        [*_DEMO, "--rounds", "0", "--keep-serving"],
        env=_environment(PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
    ) as process:
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            if line.startswith("round 2"):
                process.send_signal(signal.SIGTERM)
                break
        rest = process.stdout.read()
        assert process.wait(WAIT_S) == 0
    assert "equal" in rest
    assert "Traceback" not in "".join(lines) + rest


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--real"], "set OPENAI_API_KEY"),
        (
            ["--rounds", "3", "--html", "no/such/folder/x.html"],
            "there is no folder no/such/folder",
        ),
    ],
)
def test_options_that_cannot_work_are_refused(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The message names the remedy, before anything starts."""
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    assert main(["demo", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("rounds", ["-1", "many"])
def test_rounds_are_whole_numbers(
    rounds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """0 and above are allowed."""
    with pytest.raises(SystemExit):
        main(["demo", "--rounds", rounds])
    assert "--rounds" in capsys.readouterr().err


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message has the command that installs it."""
    needed = ("rich", "no_such_package", "no_such_package.inner")
    monkeypatch.setattr(demo, "_NEEDED", needed)
    assert main(["demo"]) == 2
    assert capsys.readouterr().err == (
        "otel-callbacks demo: no_such_package, no_such_package.inner not found: "
        'pip install "otel-callbacks[demo]"\n'
    )


def test_a_wrong_setting_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The message is that of the setting, without a traceback."""
    monkeypatch.setenv("OTEL_CALLBACKS_EXTENSIONS", "maybe")
    assert main(["demo"]) == 2
    assert "OTEL_CALLBACKS_EXTENSIONS=maybe" in capsys.readouterr().err
