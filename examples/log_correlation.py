"""Log lines on stdout, in a file and from loguru, with the id of their trace.

Lines go through queues, so logging never blocks; docs/logs.md exports them over OTLP.

    python examples/log_correlation.py     # with a real provider: OPENAI_API_KEY
"""

from __future__ import annotations

import logging
import queue
import sys
from logging.handlers import QueueHandler, QueueListener
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from loguru import logger as loguru
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from provider import provider, settings, shown

from otel_callbacks import configure
from otel_callbacks.logs import RunSpans, loguru_patcher

log: Final = logging.getLogger("flower_shop")


class Till(BaseCallbackHandler):
    """Logs a line after each response; its span has ended by then."""

    spans: Final = RunSpans()

    def on_llm_end(self, *_: Any, run_id: Any, **__: Any) -> None:
        """Log with the trace of the call."""
        with self.spans.of(run_id):
            log.info("callback: answered")


@tool
def look_up(flower: str) -> str:
    """Return the price of a flower."""
    loguru.info("tool: looked up {}", flower)
    log.info("tool: 29 euros")
    return f"What goes with {flower} for 29 euros?"


def write_to(folder: Path) -> QueueListener:
    """Let both loggers write, each in a separate thread."""
    LoggingInstrumentor().instrument(inject_trace_context=True)
    lines: queue.SimpleQueue[Any] = queue.SimpleQueue()
    form = "%(otelTraceID)s %(name)s: %(message)s"
    logging.basicConfig(level="INFO", format=form, handlers=[QueueHandler(lines)])
    form = "{extra[trace_id]} loguru: {message}"
    sink = {"sink": folder / "loguru", "format": form, "enqueue": True}
    loguru.configure(handlers=[sink], patcher=loguru_patcher)
    file = logging.FileHandler(folder / "logging")
    return QueueListener(lines, logging.StreamHandler(sys.stdout), file)


def main() -> None:
    """Serve two customers, and find the lines of each by trace id."""
    handler = configure(service_name="flower-shop", settings=settings())
    with TemporaryDirectory() as name, provider() as options, shown(handler) as spans:
        (listener := write_to(folder := Path(name))).start()
        order = look_up | ChatOpenAI(**options)
        for flower in ("roses", "lilies"):
            order.invoke(flower, {"callbacks": [handler, Till.spans, Till()]})
        listener.stop()
        loguru.remove()
        lines = [line for file in folder.iterdir() for line in file.open()]
        for trace_id in dict.fromkeys(span["trace_id"] for span in spans()):
            print(f"\nwhat the files have of trace {trace_id}")
            print(*(f"  {line[33:]}" for line in lines if trace_id in line), sep="")


if __name__ == "__main__":
    main()
