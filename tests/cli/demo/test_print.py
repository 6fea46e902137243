from __future__ import annotations

import argparse
import io
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from rich.cells import cell_len
from rich.console import Console

from otel_callbacks.cli.demo import print as demo_print
from otel_callbacks.cli.demo.scenes import SCENES, Said
from otel_callbacks.cli.demo.show import Played
from otel_callbacks.cli.picture.sums import Comparison, Sum

if TYPE_CHECKING:
    from otel_callbacks.cli.demo.session import Session

_OPTIONS = argparse.Namespace(html=None, keep_serving=False)


def _console(width: int = 80) -> Console:
    """Return a console that keeps what is printed."""
    return Console(file=io.StringIO(), width=width, color_system=None)


def _text(out: Console) -> str:
    """Return what was printed."""
    return cast("io.StringIO", out.file).getvalue()


def _session(**fields: Any) -> Session:
    """Return what of a session is printed."""
    values = {
        "fake": None,
        "metrics_url": "http://127.0.0.1:9464/metrics",
        "exports": False,
        "moved": False,
    }
    return cast("Session", SimpleNamespace(**{**values, **fields}))


def test_long_questions_are_cut_to_the_width() -> None:
    """One line each, whatever the script."""
    out = _console(40)
    said = [Said("玫瑰" * 20, "Roses"), Said("Roses?", "玫瑰" * 20)]
    demo_print.scene(out, Played(SCENES[0], said, 0.5, ""))
    lines = _text(out).splitlines()
    assert len(lines) == 3
    assert max(map(cell_len, lines)) <= 40


def test_addresses_say_where_the_trace_is() -> None:
    """With a Collector, a link to the very trace."""
    out = _console()
    demo_print.addresses(out, _session(exports=True), "abc", _OPTIONS)
    assert "http://localhost:16686/trace/abc" in _text(out)
    assert "--keep-serving" in _text(out)


def test_addresses_without_a_collector_say_how_to_start_one() -> None:
    """And that the port is another one, if it is."""
    out = _console()
    demo_print.addresses(out, _session(moved=True), "abc", _OPTIONS)
    assert "docker compose up" in _text(out)
    assert "usual one is in use" in _text(out)


def test_no_metrics_are_announced_where_none_are_served() -> None:
    """OTEL_METRICS_EXPORTER=none is heard."""
    out = _console()
    demo_print.addresses(out, _session(metrics_url=""), "abc", _OPTIONS)
    assert "Prometheus" not in _text(out)


def test_a_difference_is_shown_in_full() -> None:
    """With both numbers, not only the verdict."""
    out = _console(120)
    one = Comparison("m", "ok", Sum(1, 2, 3), Sum(1, 2, 4))
    demo_print.verdict(out, [one], {"m": (2, 3)}, right=False)
    assert "counters 5 = results 6 = sent by the provider 5  ✗ NOT equal" in _text(out)
    assert "m ok: Sum(calls=1, input=2, output=3) is not" in _text(out)


def test_a_real_provider_is_announced_with_its_price() -> None:
    """Nobody spends money without being told."""
    out = _console()
    demo_print.title(out, _session(), real=True)
    assert "This costs" in _text(out)
