from __future__ import annotations

import io

import pytest
from rich.console import Console

from otel_callbacks.cli.doctor import printing as doctor_print
from otel_callbacks.cli.doctor.findings import Finding, Hop, Report

_BROKEN = Hop(
    name="collector",
    state="broken",
    address="http://127.0.0.1:4317",
    seconds=1.5,
    troubles=(Finding("connection refused: nothing listens there", "Start it."),),
    cautions=(Finding("clock skew: 17 s [bold]ahead[/]", "Set both clocks. " * 9),),
)


def _console(width: int = 80, encoding: str = "utf-8", **options: bool) -> Console:
    """Return a console whose output can be read."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True)
    return Console(file=file, width=width, highlight=False, **options)  # type: ignore[arg-type]


def _printed(out: Console) -> str:
    """Return what was printed."""
    buffer = out.file.buffer.getvalue()  # type: ignore[attr-defined]
    return str(buffer.decode(out.file.encoding))  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [60, 80, 200])
def test_hop_fits_the_width(width: int) -> None:
    """At most 100 columns, and nothing is cut off; brackets are text."""
    out = _console(width)
    doctor_print.hop(out, _BROKEN)
    lines = _printed(out).splitlines()
    assert max(map(len, lines)) <= min(width, 100)
    assert lines[0].startswith("✗ collector  http://127.0.0.1:4317")
    assert lines[0].rstrip().endswith("1.50 s")
    words = " ".join(_printed(out).split())
    assert "connection refused: nothing listens there → Start it." in words
    assert "clock skew: 17 s [bold]ahead[/] → Set both clocks." in words


def test_terminal_without_unicode_gets_ascii() -> None:
    """Signs and arrows have others that stand in."""
    out = _console(encoding="ascii")
    doctor_print.hop(out, _BROKEN)
    assert _printed(out).startswith("x collector ")
    assert "-> Start it." in _printed(out)


def test_skipped_hop_says_so() -> None:
    """With the reason, where it is not the user's own wish."""
    out = _console()
    doctor_print.hop(out, Hop(name="grafana", state="skipped", address="http://g"))
    doctor_print.hop(out, Hop(name="metrics", state="skipped", saw="none served"))
    first, second = (line.rstrip() for line in _printed(out).splitlines())
    assert first == "- grafana    skipped"
    assert second == "- metrics    none served"


def test_verdict_names_broken_hops_and_the_trace() -> None:
    """Or says that all is well; a trace that was not sent is not named."""
    out = _console()
    doctor_print.verdict(out, Report("doctor", "mark", "abc", 1, (_BROKEN,)))
    assert _printed(out) == "\nBroken: collector.\nTrace abc of doctor\n"
    out = _console()
    doctor_print.verdict(out, Report("doctor", "mark", "", 1, ()))
    assert _printed(out) == "\nAll hops that were looked at are well.\n"


def test_terminal_shows_what_is_going_on() -> None:
    """The hop's name beside a spinner, and nothing of it is left."""
    report = Report("doctor", "mark", "", 1, ())
    for terminal in (True, False):
        out = _console(force_terminal=terminal)

        def examine(begins: object, out: Console = out) -> Report:
            assert callable(begins)
            begins("jaeger")
            out.print("a line")
            return report

        assert doctor_print.while_it_runs(out, examine) is report
        assert "a line" in _printed(out)
        assert ("jaeger" in _printed(out)) == terminal
