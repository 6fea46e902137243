"""An app that logs as docs/logs.md says: ``logging`` and loguru, over OTLP.

It says its trace's id as one line, and ends; what waits is sent then.
"""

from __future__ import annotations

import logging
import sys
from typing import TYPE_CHECKING, Any

from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from loguru import logger as loguru
from opentelemetry import trace
from opentelemetry._logs import set_logger_provider
from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter
from opentelemetry.instrumentation.logging import LoggingInstrumentor
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from pydantic import SecretStr

from otel_callbacks import configure
from otel_callbacks.logs import RunSpans
from otel_callbacks.testing import FakeOpenAI

if TYPE_CHECKING:
    from uuid import UUID

    from loguru import Message

log = logging.getLogger("flower_shop")
spans = RunSpans()


class Till(BaseCallbackHandler):
    """Writes a line about a call that has ended."""

    def on_llm_end(self, *_: Any, run_id: UUID, **__: Any) -> None:
        """Log with the ids of the call."""
        with spans.of(run_id):
            log.info("callback: answered")


@tool
def look_up(flower: str) -> str:
    """Return what a flower costs."""
    log.info("tool: looked up")
    loguru.info("tool: 29 euros")
    return flower


def to_logging(message: Message) -> None:
    """Pass a line of loguru's on, in the thread that wrote it."""
    record = message.record
    logging.getLogger(record["name"]).log(record["level"].no, record["message"])


def main() -> None:
    """Serve one customer."""
    service = Resource.create({"service.name": "logging-shop"})
    provider = LoggerProvider(resource=service)
    provider.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter()))
    set_logger_provider(provider)
    LoggingInstrumentor().instrument()
    handler = configure(service_name="logging-shop")
    log.setLevel(logging.INFO)
    logging.getLogger("__main__").setLevel(logging.INFO)
    loguru.remove()
    loguru.add(to_logging)
    config: Any = {"callbacks": [handler, spans, Till()]}
    with FakeOpenAI() as server:
        llm = ChatOpenAI(
            base_url=server.base_url, api_key=SecretStr("no-key"), model="gpt-4.1-mini"
        )
        with trace.get_tracer("shop").start_as_current_span("order") as order:
            look_up.invoke("rose", config)
            llm.invoke("What goes with roses?", config)
            sys.stdout.write(f"{order.get_span_context().trace_id:032x}\n")
    handler.close()
    provider.shutdown()


if __name__ == "__main__":
    main()
