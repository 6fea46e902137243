from __future__ import annotations

import io
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    TraceFlags,
    set_span_in_context,
)

from otel_callbacks.cli.picture import waterfall
from otel_callbacks.cli.picture.timeline import Row, Timeline, duration
from otel_callbacks.cli.picture.waterfall import WaterfallExporter, draw, legend, lines
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Tracer


def _row(name: str, start: float, end: float, **fields: object) -> Row:
    """Return a row."""
    values: dict[str, object] = {
        "guides": (False,),
        "kind": "model",
        "outcome": "ok",
        "first_chunk": None,
        "tokens": None,
        "note": "",
        "span": {},
    }
    return Row(name=name, start=start, end=end, **{**values, **fields})  # type: ignore[arg-type]


# The width of the bars on 80 columns.
_BAR = 40
_SHOP = Timeline(
    "flower-shop",
    "t1",
    2.0,
    (
        _row("flower-shop", 0, 2, kind="step"),
        _row("聊天 qwen", 0, 1, guides=(False, True), tokens=(3, 4), cost=0.00012),
        _row("POST 200", 0, 1, guides=(False, True, True), kind="http"),
        _row("deep", 0, 1, guides=(False, True, False, False), kind="tool"),
        _row(
            "chat", 1, 2, guides=(False, False), outcome="cancelled", note="cancelled"
        ),
    ),
)


def _printed(*timelines: Timeline, width: int = 80, plain: bool = False) -> str:
    """Return the output for a terminal of this width."""
    drawn = [*lines(timelines, width, plain=plain), *legend(plain=plain)]
    return "\n".join("".join(text for text, _ in line).rstrip() for line in drawn)


def test_a_trace_is_drawn_as_a_tree_with_bars() -> None:
    """Each line has a name with guides, a bar, time, tokens, dollars and note."""
    drawn = _printed(_SHOP).splitlines()
    assert [line.split() for line in drawn[:6]] == [
        ["0", "1.00", "s", "2.00", "s"],
        ["flower-shop", "─" * _BAR, "2.00", "s"],
        ["├─", "聊天", "qwen", "█" * (_BAR // 2), "1.00", "s", "3→4", "$0.000120"],
        ["│", "├─", "POST", "200", "━" * (_BAR // 2), "1.00", "s"],
        ["│", "└─", "deep", "▓" * (_BAR // 2), "1.00", "s"],
        ["└─", "chat", "█" * (_BAR // 2), "1.00", "s", "unknown", "cancelled"],
    ]
    assert {line.index(" 1.00 s") for line in drawn[3:6]} == {15 + _BAR}


def test_a_narrow_terminal_drops_bars_and_keeps_numbers() -> None:
    """Bars of three cells are unreadable."""
    drawn = _printed(_SHOP, width=50).splitlines()
    assert drawn[:5] == [
        "flower-shop    2.00 s",
        "├─ 聊天 qwen   1.00 s     3→4 $0.000120",
        "│  ├─ POST 200 1.00 s",
        "│     └─ deep  1.00 s",
        "└─ chat        1.00 s unknown cancelled",
    ]


def _cells(text: str) -> int:
    """Return the width of a text in terminal columns."""
    return sum(2 if east_asian_width(one) in "WF" else 1 for one in text)


@pytest.mark.parametrize("width", [40, 50, 80, 120])
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    """Wide characters take two cells, and names are cut."""
    long = _SHOP._replace(rows=(*_SHOP.rows, _row("玫瑰" * 30, 0, 2)))
    drawn = ["".join(t for t, _ in line) for line in lines([long, _SHOP], width)]
    assert max(map(_cells, drawn)) <= width
    assert sum("█" in line for line in drawn) == (5 if width >= 70 else 0)
    assert sum("$0.000120" in line for line in drawn) == 2


def test_a_terminal_without_unicode_gets_ascii() -> None:
    """Guides, bars and arrows are ASCII."""
    trace = _SHOP._replace(
        rows=(_row("app", 0, 2, kind="step"), _row("c", 0, 1, tokens=(3, 4)))
    )
    text = _printed(trace, plain=True)
    assert text.isascii()
    assert "###" in text
    assert "---" in text
    assert "3>4" in text


def test_no_traces_give_only_the_legend() -> None:
    """An interrupted run has none."""
    assert _printed().startswith("██ model")


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0.0, 4.0, "████"),
        (0.5, 1.5, "▐▌  "),
        (3.999, 4.0, "   ▐"),
        (1.0, 1.0, " ▌  "),
    ],
)
def test_bars_are_exact_to_half_a_cell(start: float, end: float, expected: str) -> None:
    """The shortest span has a bar."""
    assert draw(_row("x", start, end), 4.0, 4)[0][0] == expected


def test_a_trace_that_took_no_time_has_bars() -> None:
    """No division by zero."""
    assert draw(_row("x", 0.0, 0.0), 0.0, 4)[0][0] == "▌   "


def test_a_stream_shows_the_wait_for_its_first_chunk() -> None:
    """The part before it is lighter."""
    assert draw(_row("x", 0.0, 4.0, first_chunk=2.0), 4.0, 4)[0][0] == "░░██"


def test_short_times_are_milliseconds() -> None:
    """A tool call of 3 ms is not 0.00 s."""
    assert [duration(one) for one in (0.003, 0.0996, 1.234)] == [
        "3 ms",
        "100 ms",
        "1.23 s",
    ]


@pytest.fixture
def file() -> io.StringIO:
    """Return the output file."""
    return io.StringIO()


@pytest.fixture
def provider(file: io.StringIO) -> TracerProvider:
    """Return a provider that prints its traces."""
    made = TracerProvider(shutdown_on_exit=False)
    made.add_span_processor(SimpleSpanProcessor(WaterfallExporter(file)))
    return made


@pytest.fixture
def tracer(provider: TracerProvider) -> Tracer:
    """Return a tracer of the provider."""
    return provider.get_tracer("t")  # type: ignore[return-value]


def test_a_trace_is_printed_when_its_root_ends(file: io.StringIO) -> None:
    """The sums are printed once, at shutdown."""
    with capture() as telemetry:
        made = telemetry.tracer_provider
        made.add_span_processor(SimpleSpanProcessor(WaterfallExporter(file)))
        with made.get_tracer("app").start_as_current_span("shop"):
            FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")
            assert file.getvalue() == ""
        assert "shop" in file.getvalue()
        assert "└─ chat fake-model" in file.getvalue()
        assert "1 traces, 1 calls" not in file.getvalue()
        made.shutdown()
    (last,) = [line for line in file.getvalue().splitlines() if "traces" in line]
    assert last.startswith("1 traces, 1 calls, ")
    assert last.endswith("tokens of 1 unknown")


def test_without_a_trace_nothing_is_printed(
    provider: TracerProvider, file: io.StringIO
) -> None:
    """Without traces there is no line of sums."""
    provider.shutdown()
    assert file.getvalue() == ""


def test_a_local_root_with_a_remote_parent_ends_its_trace(
    tracer: Tracer, file: io.StringIO
) -> None:
    """The root span is in another process."""
    remote = SpanContext(1, 2, is_remote=True, trace_flags=TraceFlags(1))
    tracer.start_span("ours", set_span_in_context(NonRecordingSpan(remote))).end()
    assert "ours" in file.getvalue()


def test_traces_without_a_root_are_printed_at_shutdown_and_bounded(
    tracer: Tracer,
    provider: TracerProvider,
    file: io.StringIO,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The oldest traces and the last spans of a long trace are dropped."""
    monkeypatch.setattr(waterfall, "_TRACES", 1)
    monkeypatch.setattr(waterfall, "_SPANS", 2)
    for number in range(2):
        root = tracer.start_span(f"root {number}")
        for name in "abc":
            tracer.start_span(f"{name}{number}", set_span_in_context(root)).end()
    provider.shutdown()
    assert "a0" not in file.getvalue()
    assert "b1" in file.getvalue()
    assert "c1" not in file.getvalue()
