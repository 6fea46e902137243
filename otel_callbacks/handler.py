"""The LangChain callback handler.

https://reference.langchain.com/python/langchain_core/callbacks/
"""

from __future__ import annotations

import dataclasses
import pickle
import sys
import time
import weakref
from html import escape
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import UUID, uuid4

from langchain_core.callbacks import BaseCallbackHandler

from otel_callbacks import _semconv as semconv
from otel_callbacks._background import background
from otel_callbacks._pipeline import Providers, ledger_only, pipeline
from otel_callbacks._readers.request import ModelStart
from otel_callbacks._readers.response import model_response
from otel_callbacks._readers.steps import (
    ChainStart,
    RetrieverStart,
    ToolStart,
    retriever_response,
)
from otel_callbacks._readers.values import is_chunk
from otel_callbacks._records import Refusal, Request
from otel_callbacks._runs.lifecycle import Lifecycle
from otel_callbacks.settings import Settings

if TYPE_CHECKING:
    from opentelemetry._logs import LoggerProvider
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
    from prometheus_client import CollectorRegistry

    from otel_callbacks._content.capture import Redact

_tick: Final = time.perf_counter_ns
_new: Final = tuple.__new__  # half the time of calling the class

# The data of a run whose payload cannot be read.
_STEP: Final = Request("", "")
_TOOL: Final = Request(semconv.EXECUTE_TOOL, "")
_RETRIEVAL: Final = Request(semconv.RETRIEVAL, "")

_pickled: weakref.WeakValueDictionary[str, OTelCallbackHandler] = (
    weakref.WeakValueDictionary()
)
"""Handlers that were pickled here: unpickled here, each is itself again."""

_arrived: dict[str, OTelCallbackHandler] = {}
"""Handlers of other processes, one for each, however often it comes."""


class OTelCallbackHandler(BaseCallbackHandler):
    """Traces each LangChain run as a span, and counts its tokens, time and errors.

    Pass it to a model (``callbacks=[handler]``), to a request
    (``config={"callbacks": [handler]}``), or to both: a run is still one span.

    Args:
        tracer_provider: The provider of spans; the global one by default.
        meter_provider: The provider of pushed series; the global one by default.
        logger_provider: The provider of events; the global one by default.
        registry: The registry of the series; prometheus_client's default registry by
            default.
        settings: The settings; from the environment by default.
        redact: Takes an attribute's name and value, and returns the value to export.

    Raises:
        SettingError: A setting has a value that is not allowed.
        ValueError: The registry already has a series with one of our names.

    Example:
        >>> handler = OTelCallbackHandler()
        >>> llm = ChatOpenAI(model="gpt-4o-mini", callbacks=[handler])
    """

    # In the caller's task, where the current span can be set.
    run_inline = True
    # Plain attributes instead of properties: LangChain reads them at every event.
    ignore_llm = False
    ignore_chat_model = False
    ignore_chain = False
    ignore_agent = False
    ignore_retriever = False
    ignore_retry = True
    ignore_custom_event = True
    # The key that identifies it in other processes once it is pickled.
    _token = ""
    _redact: Redact | None = None

    def __init__(
        self,
        *,
        tracer_provider: TracerProvider | None = None,
        meter_provider: MeterProvider | None = None,
        logger_provider: LoggerProvider | None = None,
        registry: CollectorRegistry | None = None,
        settings: Settings | None = None,
        redact: Redact | None = None,
    ) -> None:
        self.settings = Settings.from_env() if settings is None else settings
        self._providers = Providers(tracer_provider, meter_provider, logger_provider)
        # Disabled telemetry does not disable limits: accounts are still kept.
        if self.settings.sdk_disabled:
            built = ledger_only(self.settings, for_process=True)
        else:
            built = pipeline(self._providers, registry, self.settings)
        self.diagnostics = built.diagnostics
        self._redact = redact
        self._runs = Lifecycle(built, redact)
        self._ticks = built.table.ticks

    @property
    def raise_error(self) -> bool:  # type: ignore[override]
        """Whether LangChain raises the current exception in the app."""
        return self.settings.strict or isinstance(sys.exception(), Refusal)

    # -- models ---------------------------------------------------------------

    def on_chat_model_start(
        self,
        serialized: dict[str, Any],
        messages: list[list[Any]],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        batch_size: int = 1,
        **_: Any,
    ) -> None:
        """Start a chat model run."""
        read = serialized, invocation_params, options, metadata, tags, batch_size, name
        start = _new(ModelStart, (semconv.CHAT, *read))
        self._runs.start_call(start, run_id, parent_run_id, messages)

    def on_llm_start(
        self,
        serialized: dict[str, Any],
        prompts: list[str],
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        invocation_params: dict[str, Any] | None = None,
        options: dict[str, Any] | None = None,
        batch_size: int = 1,
        **_: Any,
    ) -> None:
        """Start a text model run."""
        read = serialized, invocation_params, options, metadata, tags, batch_size, name
        start = _new(ModelStart, (semconv.TEXT_COMPLETION, *read))
        self._runs.start_call(start, run_id, parent_run_id, prompts)

    def on_llm_new_token(
        self,
        token: object,
        *,
        run_id: UUID,
        chunk: object = None,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        **_: Any,
    ) -> None:
        """Record the time of a chunk; the first one releases the current span."""
        try:
            if type(run_id) is UUID:
                self._ticks[run_id.int](_tick())
            else:
                self._runs.chunk(run_id)
        except Exception:  # noqa: BLE001 -- the first one
            self._runs.chunk(run_id)

    def on_stream_event(self, event: object, *, run_id: UUID, **_: Any) -> None:
        """Record the time of a chunk of ``stream_events(version="v3")``."""
        try:
            if is_chunk(event):
                self.on_llm_new_token("", run_id=run_id)
        except Exception as error:  # noqa: BLE001 -- never into the app
            self._runs.trouble("chunk", error)

    def on_llm_end(self, response: object, *, run_id: UUID, **_: Any) -> None:
        """End a model run with its response."""
        self._runs.end(run_id, model_response, response)

    def on_llm_error(
        self, error: BaseException, *, run_id: UUID, response: object = None, **_: Any
    ) -> None:
        """End a model run with an error, and with the tokens used until then."""
        self._runs.fail(run_id, error, response)

    # -- chains, tools, retrievers --------------------------------------------

    def on_chain_start(
        self,
        serialized: dict[str, Any] | None,
        inputs: object,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **more: Any,
    ) -> None:
        """Start the run of a chain or a graph node."""
        start = ChainStart(
            serialized=serialized,
            metadata=metadata,
            tags=tags,
            name=name,
            is_outermost=parent_run_id is None,
            inputs=inputs,
            more=more,
        )
        self._runs.start(start, _STEP, run_id, parent_run_id, inputs)

    def on_chain_end(self, outputs: object, *, run_id: UUID, **_: Any) -> None:
        """End a chain run."""
        self._runs.end(run_id, None, outputs)

    def on_chain_error(self, error: BaseException, *, run_id: UUID, **_: Any) -> None:
        """End a run with an error."""
        self._runs.fail(run_id, error)

    on_tool_error = on_retriever_error = on_chain_error

    def on_tool_start(
        self,
        serialized: dict[str, Any] | None,
        input_str: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        tool_call_id: str | None = None,
        inputs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Start a tool run."""
        start = ToolStart(
            serialized=serialized,
            metadata=metadata,
            tags=tags,
            name=name,
            tool_call_id=tool_call_id,
        )
        self._runs.start(start, _TOOL, run_id, parent_run_id, input_str, inputs)

    def on_tool_end(self, output: object, *, run_id: UUID, **_: Any) -> None:
        """End a tool run; an error that the tool handled is an error on its span."""
        self._runs.end_tool(run_id, output)

    def on_retriever_start(
        self,
        serialized: dict[str, Any] | None,
        query: str,
        *,
        run_id: UUID,
        parent_run_id: UUID | None = None,
        tags: list[str] | None = None,
        metadata: dict[str, Any] | None = None,
        name: str | None = None,
        **_: Any,
    ) -> None:
        """Start a retriever run."""
        start = RetrieverStart(
            serialized=serialized, metadata=metadata, tags=tags, name=name
        )
        self._runs.start(start, _RETRIEVAL, run_id, parent_run_id, query)

    def on_retriever_end(self, documents: object, *, run_id: UUID, **_: Any) -> None:
        """End a retriever run."""
        self._runs.end(run_id, retriever_response, documents)

    # -- the end --------------------------------------------------------------

    def flush(self, timeout: float = 5.0) -> bool:
        """Flush all signals through the app's providers.

        Args:
            timeout: Timeout in seconds.

        Returns:
            Whether each provider reports success. The SDK's providers return True even
            if spans were lost; those made by `configure` return False then.
        """
        until = time.monotonic() + timeout
        background.drain(timeout)
        return self._providers.flush(max(until - time.monotonic(), 0.0))

    def close(self) -> None:
        """End and count open runs; safe to call twice, and the handler stays usable."""
        self._runs.close()

    shutdown = close

    def _repr_html_(self) -> str:
        """Return the handler's set-up as HTML for notebooks."""
        rows = "".join(
            f"<tr><th>{name}</th><td>{escape(value)}</td></tr>"
            for name, value in self._facts().items()
        )
        return f"<table><caption>otel_callbacks</caption><tbody>{rows}</tbody></table>"

    def _facts(self) -> dict[str, str]:
        """Return the values that a notebook shows."""
        if self.settings.sdk_disabled:
            return {"spans": "none, OTEL_SDK_DISABLED=true", "series": "none"}
        return {
            "spans": "to the tracer provider of the app",
            "series": "in the registry of the app",
            "content": self.settings.capture_content,
        }

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Models are copied with their callbacks; the table of runs stays shared.
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        # For process pools: locks and open runs stay in this process.
        if not self._token:
            self._token = uuid4().hex
            _pickled[self._token] = self
        settings, redact = self.settings, self._redact
        try:
            pickle.dumps(redact)
        except Exception:  # noqa: BLE001 -- a lambda, an object with a lock
            # Without `redact`, the other process must capture no content.
            settings = dataclasses.replace(settings, capture_content="NO_CONTENT")
            redact = None
        return _unpickled, (type(self), self._token, settings, redact)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _unpickled(
    kind: type[OTelCallbackHandler],
    token: str,
    settings: Settings,
    redact: Redact | None,
) -> OTelCallbackHandler:
    """Return the pickled handler, or one on the providers of this process."""
    known = _pickled.get(token) or _arrived.get(token)
    if known is None:
        try:
            known = kind(settings=settings, redact=redact)
        except Exception:  # noqa: BLE001 -- a class that is made in another way
            known = OTelCallbackHandler(settings=settings, redact=redact)
        _arrived[token] = known
    return known
