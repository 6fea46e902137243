"""Runs that are reported to a handler as LangChain reports them, without a model.

What a reader makes of a payload shows on the run's span. A payload may be any value,
also one that LangChain's own classes refuse.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Self
from uuid import UUID, uuid4

from otel_callbacks import OTelCallbackHandler, Settings
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from otel_callbacks.testing import Span

    Inside = Callable[[UUID], object]


class Reporter:
    """Reports whole runs, and returns the span of each.

    Args:
        settings: The handler's settings; strict ones by default.
        redact: The handler's redaction.
    """

    def __init__(self, settings: Settings | None = None, redact: Any = None) -> None:
        self._settings = settings or Settings(strict=True)
        self._redact = redact
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        captured = capture(self._settings)
        self.telemetry = self._stack.enter_context(captured)
        self.handler: Any = OTelCallbackHandler(
            tracer_provider=self.telemetry.tracer_provider,
            registry=self.telemetry.registry,
            settings=self._settings,
            redact=self._redact,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @property
    def errors(self) -> dict[str, int]:
        """How often a payload could not be read, by the place."""
        name = "otel_callbacks_errors_total"
        return {
            dict(labels)["where"]: int(value)
            for (sample, labels), value in self.telemetry.samples.items()
            if sample == name and value
        }

    def call(
        self,
        messages: Any = (),
        result: Any = None,
        *,
        error: BaseException | None = None,
        params: Any = None,
        serialized: Any = None,
        **more: Any,
    ) -> Span:
        """Report a chat model's call, and return its span."""
        run_id = uuid4()
        self.handler.on_chat_model_start(
            serialized, [messages], run_id=run_id, invocation_params=params, **more
        )
        return self._end_call(run_id, result, error)

    def completion(
        self,
        prompt: Any = "",
        result: Any = None,
        *,
        serialized: Any = None,
        **more: Any,
    ) -> Span:
        """Report a text model's call, and return its span."""
        run_id = uuid4()
        self.handler.on_llm_start(serialized, [prompt], run_id=run_id, **more)
        return self._end_call(run_id, result, None)

    def chain(
        self,
        inputs: Any = None,
        outputs: Any = None,
        *,
        inside: Inside | None = None,
        serialized: Any = None,
        **more: Any,
    ) -> Span:
        """Report a chain and the runs inside it, and return its span."""
        run_id = uuid4()
        self.handler.on_chain_start(serialized, inputs, run_id=run_id, **more)
        if inside is not None:
            inside(run_id)
        self.handler.on_chain_end(outputs, run_id=run_id)
        return self._last()

    def agent(self, inputs: Any = None, outputs: Any = None, **more: Any) -> Span:
        """Report the run of an agent that LangChain has made."""
        about = {"ls_integration": "langchain_create_agent", "lc_agent_name": "shop"}
        return self.chain(inputs, outputs, name="shop", metadata=about, **more)

    def workflow(self, inputs: Any = None, outputs: Any = None, **more: Any) -> Span:
        """Report the run of a graph."""
        about = {"ls_integration": "langgraph"}
        return self.chain(inputs, outputs, name="flow", metadata=about, **more)

    def tool(
        self,
        output: Any = "",
        text: Any = "",
        inputs: Any = None,
        serialized: Any = None,
        **more: Any,
    ) -> Span:
        """Report a tool's run, and return its span."""
        run_id = uuid4()
        self.handler.on_tool_start(
            serialized, text, run_id=run_id, inputs=inputs, **more
        )
        self.handler.on_tool_end(output, run_id=run_id)
        return self._last()

    def retrieval(
        self, documents: Any = (), query: Any = "", serialized: Any = None, **more: Any
    ) -> Span:
        """Report a retriever's run, and return its span."""
        run_id = uuid4()
        self.handler.on_retriever_start(serialized, query, run_id=run_id, **more)
        self.handler.on_retriever_end(documents, run_id=run_id)
        return self._last()

    def _end_call(self, run_id: UUID, result: Any, error: BaseException | None) -> Span:
        """Report the end of a model's call."""
        if error is None:
            self.handler.on_llm_end(result, run_id=run_id)
        else:
            self.handler.on_llm_error(error, run_id=run_id, response=result)
        return self._last()

    def _last(self) -> Span:
        """Return the span that has ended last."""
        last = max(self.telemetry.spans, key=lambda span: span["end_ns"])
        self.telemetry.clear()
        return last


_DETAILS = {
    "cache_read": "gen_ai.usage.cache_read.input_tokens",
    "cache_write": "gen_ai.usage.cache_write.input_tokens",
    "reasoning": "gen_ai.usage.reasoning.output_tokens",
    "audio_input": "gen_ai.usage.audio.input_tokens",
    "audio_output": "gen_ai.usage.audio.output_tokens",
    "text_input": "gen_ai.usage.text.input_tokens",
}


def tokens(
    inputs: int | None, outputs: int | None, *details: int, **named: int
) -> dict[str, int]:
    """Return the attributes of a usage, in the names of the latest conventions.

    Args:
        inputs: All input tokens; None if they are not known.
        outputs: All output tokens; None if they are not known.
        details: Parts of them, in the order of ``_DETAILS``; a 0 is no attribute.
        named: Further parts, by name.
    """
    totals = {
        "gen_ai.usage.input_tokens": inputs,
        "gen_ai.usage.output_tokens": outputs,
    }
    parts = {**dict(zip(_DETAILS, details, strict=False)), **named}
    return {
        **{name: count for name, count in totals.items() if count is not None},
        **{_DETAILS[name]: count for name, count in parts.items() if count},
    }
