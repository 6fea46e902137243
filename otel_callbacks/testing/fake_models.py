"""Models without a provider, for the unit tests and benchmarks of an app.

Unlike the fake server they open no socket. Each kind of call is implemented natively:
sync and async, whole and streamed.
"""

from __future__ import annotations

import asyncio
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from langchain_core import outputs
from langchain_core.language_models import BaseChatModel, BaseLLM, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata  # noqa: TC002 -- pydantic reads it
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


class _Behaviour(BaseModel):
    """The options of both kinds of fake models."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    answer: str = "Twelve red roses."
    usage: UsageMetadata | None = None
    chunks: int = 3
    delay: float = 0.0
    error: BaseException | None = None
    error_after: int = 0
    model_name: str = "fake-model"
    provider: str = "fake"

    @property
    def _llm_type(self) -> str:
        """Return LangChain's name for this kind of model."""
        kind = "chat" if isinstance(self, BaseChatModel) else "text"
        return f"otel-callbacks-fake-{kind}"

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        """Return the metadata that LangChain passes to callbacks."""
        return LangSmithParams(
            ls_provider=self.provider,
            ls_model_name=self.model_name,
            ls_model_type="chat" if isinstance(self, BaseChatModel) else "llm",
        )

    def _generate(self, *asked: Any, **_: Any) -> Any:
        """Answer in the caller's thread."""
        time.sleep(self.delay)
        return self._result(asked[0])

    async def _agenerate(self, *asked: Any, **_: Any) -> Any:
        """Answer in the caller's event loop."""
        await asyncio.sleep(self.delay)
        return self._result(asked[0])

    def _stream(self, *_: Any, run_manager: Any = None, **__: Any) -> Iterator[Any]:
        """Stream the answer; of a chat model, LangChain reports the tokens itself."""
        for chunk in self._chunks():
            time.sleep(self.delay)
            if run_manager is not None and isinstance(self, BaseLLM):
                run_manager.on_llm_new_token(chunk.text)
            yield chunk

    async def _astream(
        self, *_: Any, run_manager: Any = None, **__: Any
    ) -> AsyncIterator[Any]:
        """Stream the answer in the caller's event loop."""
        for chunk in self._chunks():
            await asyncio.sleep(self.delay)
            if run_manager is not None and isinstance(self, BaseLLM):
                await run_manager.on_llm_new_token(chunk.text)
            yield chunk

    def _chunks(self) -> Iterator[Any]:
        """Yield the answer in pieces of about equal length, or raise the error."""
        size = max(1, -(-len(self.answer) // max(1, self.chunks)))
        for sent, start in enumerate(range(0, len(self.answer), size)):
            self._fail(sent)
            end = start + size
            yield self._chunk(self.answer[start:end], last=end >= len(self.answer))

    def _fail(self, sent: int | None = None) -> None:
        """Raise the error, if it is due."""
        if self.error is not None and sent in {None, self.error_after}:
            # Without the traceback of earlier calls, which would grow with each call.
            raise self.error.with_traceback(None)

    @abstractmethod
    def _result(self, asked: Any) -> Any:
        """Return the whole answer, or raise the error."""

    @abstractmethod
    def _chunk(self, piece: str, *, last: bool) -> Any:
        """Return one piece of a stream."""


class FakeChatModel(_Behaviour, BaseChatModel):
    """A chat model with a fixed answer.

        llm = FakeChatModel(
            answer="Tulips.",
            usage={"input_tokens": 7, "output_tokens": 3, "total_tokens": 10},
        )

    Args:
        answer: The text of every answer.
        usage: The reported usage of every call, or None. A stream reports
            it with its last piece.
        tool_calls: The tool calls of every answer.
        chunks: The number of pieces of a streamed answer.
        delay: Seconds before a call answers, and before each piece of a stream.
        error: Raised instead of an answer.
        error_after: The number of pieces of a stream before the error.
        model_name: The model name on spans and series.
        provider: The provider name on spans and series.
    """

    tool_calls: list[ToolCall] = []

    def _result(self, asked: list[BaseMessage]) -> outputs.ChatResult:
        """Return the whole answer, or raise the error."""
        self._fail()
        message = AIMessage(
            self.answer, usage_metadata=self.usage, tool_calls=self.tool_calls
        )
        return outputs.ChatResult(generations=[outputs.ChatGeneration(message=message)])

    def _chunk(self, piece: str, *, last: bool) -> outputs.ChatGenerationChunk:
        """Return one piece of a stream, the last one with the usage."""
        usage = self.usage if last else None
        message = AIMessageChunk(content=piece, usage_metadata=usage)
        return outputs.ChatGenerationChunk(message=message)


class FakeTextModel(_Behaviour, BaseLLM):
    """A text model with a fixed answer: one usage for all prompts.

    Args:
        answer: The text of every answer.
        usage: The usage of a whole call, with any number of prompts.
        chunks: The number of pieces of a streamed answer.
        delay: Seconds before a call answers, and before each piece of a stream.
        error: Raised instead of an answer.
        error_after: The number of pieces of a stream before the error.
        model_name: The model name on spans and series.
        provider: The provider name on spans and series.
    """

    def _result(self, asked: list[str]) -> outputs.LLMResult:
        """Return an answer for each prompt, or raise the error."""
        self._fail()
        output: dict[str, Any] = {"model_name": self.model_name}
        if self.usage is not None:
            output["token_usage"] = {
                "prompt_tokens": self.usage["input_tokens"],
                "completion_tokens": self.usage["output_tokens"],
                "total_tokens": self.usage["total_tokens"],
            }
        generations = [[outputs.Generation(text=self.answer)] for _ in asked]
        return outputs.LLMResult(generations=generations, llm_output=output)

    def _chunk(self, piece: str, *, last: bool) -> outputs.GenerationChunk:
        """Return one piece of a stream, in which text models report no usage."""
        return outputs.GenerationChunk(text=piece)
