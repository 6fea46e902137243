from __future__ import annotations

import argparse
import importlib.util
import io
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from waiting import WAIT_S, wait_until

from otel_callbacks.cli import main
from otel_callbacks.cli import watch as watch_command

# What a terminal shows depends on its width.
from otel_callbacks.cli._common import Output
from otel_callbacks.cli.watch import View, watch
from otel_callbacks.cli.watch.store import Store
from otel_callbacks.testing import FakeChatModel, capture

if TYPE_CHECKING:
    from collections.abc import Callable

_OPTIONS = {
    "host": "127.0.0.1",
    "http_port": 0,
    "grpc_port": 0,
    "html": False,
    "keep": 7,
    "no_color": True,
}


def _watched(then: Callable[[str], Any], sign: str = "", **options: object) -> str:
    """Watch on free ports until a text is printed; return the output."""
    file = io.StringIO()
    stop = threading.Event()

    def end() -> None:
        """Stop when the sign is there, or the test's patience is over."""
        try:
            wait_until(lambda: sign in file.getvalue())
        finally:
            stop.set()

    ending = threading.Thread(target=end)

    class Started(Output):
        """Waits for the last line of the start."""

        def line(self, text: str = "", style: str = "", indent: int = 0) -> None:
            """Write, and begin."""
            super().line(text, style, indent)
            if text.startswith("The last"):
                first = file.getvalue().split("http://", 1)[1].split(maxsplit=1)[0]
                then(f"http://{first}")
                ending.start()

    out = Started(file=file, width=80)
    assert watch(argparse.Namespace(**{**_OPTIONS, **options}), out, stop) == 0
    ending.join(WAIT_S)
    return file.getvalue()


def _ask(url: str) -> None:
    """Make one call and send its spans to an endpoint."""
    with capture() as telemetry:
        exporter = OTLPSpanExporter(f"{url}/v1/traces")
        telemetry.tracer_provider.add_span_processor(SimpleSpanProcessor(exporter))
        FakeChatModel(callbacks=[telemetry.handler]).invoke("Roses?")


def test_calls_are_shown_as_they_end() -> None:
    """There is a waterfall, a sentence, running totals, and a table at the end."""
    text = _watched(_ask, "So far")
    assert "█" in text
    assert "1 call of fake-model, in" in text
    assert "So far: fake-model 1 call," in text
    assert text.rindex("model ") > text.index("So far")
    assert "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:" in text
    assert "The last 7 traces are in memory" in text
    assert max(map(len, text.splitlines())) <= 80


def test_no_traces() -> None:
    """A warning is printed if other machines can reach the page."""
    text = _watched(lambda _: None, html=True, host="0.0.0.0")  # noqa: S104
    assert "No model call came." in text
    assert "Page: http://0.0.0.0:" in text
    assert "it has no login" in text


def _spans(count: int, trace: str = "t1") -> list[dict[str, Any]]:
    """Return the spans of a trace, all children of the first."""
    return [
        {
            "name": f"step {number}",
            "kind": "INTERNAL",
            "status": "UNSET",
            "attributes": {},
            "parent_id": None if number == 0 else "0",
            "span_id": str(number),
            "trace_id": trace,
            "start_ns": 0,
            "end_ns": 1,
        }
        for number in range(count)
    ]


def test_a_flood_is_cut() -> None:
    """Long traces and many traces are cut; each reason is printed once."""
    file = io.StringIO()
    clock = iter((*[0.0] * 200, *[9.0] * 9))
    store = Store(13, clock=lambda: next(clock))
    for number in range(5):
        store.add(_spans(1, f"early{number}"))
    store.add(_spans(70))
    for number in range(12):
        store.add(_spans(1, f"u{number}"))
    view = View(store, Output(file=file, width=80))
    for number in range(60):
        view.refused(f"reason {number // 2}")
    clock = iter([9.0] * 9)
    view.show()
    text = file.getvalue()
    assert "... and 10 more spans." in text
    assert "... and 3 more traces." in text
    assert "... and 5 more that made room before they could be shown" in text
    assert text.count("Refused: reason") == 20


def test_the_usual_ports_need_no_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app with configure() sends to the default ports."""
    file = io.StringIO()
    receiver = argparse.Namespace(http_port=4318, grpc_port=4317)
    options = argparse.Namespace(**{**_OPTIONS, "host": "::1"})
    # The usual ports may be taken where the tests run.
    watch_command._start(Output(file=file, width=80), options, receiver)  # type: ignore[arg-type]
    assert "send here by default" in file.getvalue()
    assert "http://[::1]:4318" in file.getvalue()
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["watch"]) == 2


def test_a_missing_extra_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The web server is an extra."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert main(["watch"]) == 2
    assert 'pip install "otel-callbacks[demo]"' in capsys.readouterr().err


def test_a_port_in_use_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    """The message is one sentence."""
    port = ""

    def again(url: str) -> None:
        nonlocal port
        port = url.rpartition(":")[2]
        assert main(["watch", "--http-port", port, "--grpc-port", "0"]) == 2

    _watched(again)
    assert f"otel-callbacks watch: --http-port={port}" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGTERM to oneself")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it(
    number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    """The totals are printed, and the signal handlers are restored."""
    before = signal.getsignal(number)

    def send() -> None:
        """Send the signal after its handler is set; earlier, it would end pytest."""
        wait_until(lambda: signal.getsignal(number) is not before)
        os.kill(os.getpid(), number)

    sending = threading.Thread(target=send)
    sending.start()
    assert main(["watch", "--http-port", "0", "--grpc-port", "0", "--keep", "3"]) == 0
    sending.join(WAIT_S)
    assert "No model call came." in capsys.readouterr().out
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(
    "wrong", [["--http-port", "99999"], ["--grpc-port", "x"], ["--keep", "0"]]
)
def test_wrong_options(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """They are refused by name."""
    with pytest.raises(SystemExit) as caught:
        main(["watch", *wrong])
    assert caught.value.code == 2
    assert wrong[0] in capsys.readouterr().err
