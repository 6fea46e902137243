"""``otel-callbacks watch``: show an app's traces in a terminal and on a page."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Final

from otel_callbacks.cli._common import Column, Output, require

if TYPE_CHECKING:
    import argparse

    from otel_callbacks.cli.picture.timeline import Timeline
    from otel_callbacks.cli.watch.receiver import Receiver
    from otel_callbacks.cli.watch.store import Store

_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_TRACES_AT_ONCE: Final = 10
_ROWS_AT_MOST: Final = 60
_REFUSALS_AT_MOST: Final = 20


def run(options: argparse.Namespace) -> int:
    """Watch until Ctrl-C or SIGTERM; return 0, or 2 if the start fails."""
    require("starlette", "uvicorn")
    stop = threading.Event()
    before = {
        number: signal.signal(number, lambda *_: stop.set())
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        return watch(options, Output(color=not options.no_color), stop)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def watch(options: argparse.Namespace, out: Output, stop: threading.Event) -> int:
    """Receive traces and show each when it ends, until the stop."""
    # Imported here because these need the extra and are slow to import.
    from otel_callbacks.cli.watch.receiver import Receiver, page_routes  # noqa: PLC0415
    from otel_callbacks.cli.watch.store import Store  # noqa: PLC0415

    store = Store(options.keep)
    view = View(store, out)
    routes = page_routes(store, any_host=options.host not in _LOOPBACK)
    receiver = Receiver(
        store,
        options.host,
        options.http_port,
        options.grpc_port,
        routes=routes if options.html else (),
        refused=view.refused,
    )
    with receiver:
        _start(out, options, receiver)
        while not stop.wait(0.2):
            view.show()
    view.show()
    view.end()
    return 0


def _start(out: Output, options: argparse.Namespace, receiver: Receiver) -> None:
    """Print the addresses to send to and to open."""
    host = f"[{options.host}]" if ":" in options.host else options.host
    out.line(
        f"Waiting for OTLP on http://{host}:{receiver.http_port} (http/protobuf, JSON) "
        f"and http://{host}:{receiver.grpc_port} (grpc). Stop with Ctrl-C.",
        "bold",
    )
    if (receiver.http_port, receiver.grpc_port) == (4318, 4317):
        out.line(
            "Apps with configure() send here by default; else set "
            f"OTEL_EXPORTER_OTLP_ENDPOINT=http://{host}:4317."
        )
    else:
        out.line(
            f"Set OTEL_EXPORTER_OTLP_ENDPOINT=http://{host}:{receiver.grpc_port}, or "
            f"with OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf "
            f"http://{host}:{receiver.http_port}."
        )
    if options.html:
        out.line(f"Page: http://{host}:{receiver.http_port}/")
    if options.host not in _LOOPBACK:
        out.line(
            "Everyone who reaches this address can read the traces: it has no login.",
            "yellow",
        )
    out.line(
        f"The last {options.keep} traces are in memory, for development; for more: "
        "Jaeger (docker compose up).",
        "dim",
    )


class View:
    """The terminal output: traces as they end, and refusals."""

    def __init__(self, store: Store, out: Output) -> None:
        self._store = store
        self._out = out
        self._refusals: dict[str, None] = {}
        self._shown = 0
        self._unseen = 0

    def refused(self, why: str) -> None:
        """Record the reason of a refusal; each reason is shown once."""
        if len(self._refusals) < _REFUSALS_AT_MOST:
            self._refusals[why] = None

    def show(self) -> None:
        """Show the traces that have ended since the last call, with totals."""
        reasons = list(self._refusals)
        for why in reasons[self._shown :]:
            self._out.line(f"Refused: {why}", "yellow")
        self._shown = len(reasons)
        ended = self._store.ended()
        for timeline in ended[:_TRACES_AT_ONCE]:
            self._trace(timeline)
        if (more := len(ended) - _TRACES_AT_ONCE) > 0:
            self._out.line(f"... and {more} more traces.", "dim")
        if (unseen := self._store.unseen - self._unseen) > 0:
            self._unseen += unseen
            self._out.line(
                f"... and {unseen} more that made room before they could be shown "
                "(--keep).",
                "dim",
            )
        if ended and self._store.totals:
            so_far = "; ".join(
                f"{model} {one.calls:,} {'call' if one.calls == 1 else 'calls'}, "
                f"{one.input:,} in, {one.output:,} out, "
                f"${one.cost:.6f}"
                for model, one in sorted(self._store.totals.items())
            )
            self._out.line(f"So far: {so_far}", "dim", indent=8)

    def end(self) -> None:
        """Show the totals by model as a table."""
        totals = sorted(self._store.totals.items())
        if not totals:
            self._out.line("No model call came.")
            return
        columns = [Column("model", folds=True)]
        heads = ("calls", "input", "output", "cost, $")
        columns += [Column(head, right=True) for head in heads]
        self._out.line()
        rows = [
            [model, *(f"{number:,}" for number in one[:3]), f"{one.cost:.6f}"]
            for model, one in totals
        ]
        self._out.table(columns, rows)

    def _trace(self, timeline: Timeline) -> None:
        """Show one trace; of a long one, the first lines."""
        from otel_callbacks.cli.picture import waterfall  # noqa: PLC0415

        self._out.line()
        short = timeline._replace(rows=timeline.rows[:_ROWS_AT_MOST])
        waterfall.draw_on(self._out, short)
        if (more := len(timeline.rows) - _ROWS_AT_MOST) > 0:
            self._out.line(f"... and {more} more spans.", "dim")
        self._out.line(timeline.sentence, indent=2)
