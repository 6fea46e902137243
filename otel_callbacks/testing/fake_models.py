"""Models without a provider, for the unit tests and benchmarks of an app.

Unlike the fake server they open no socket. Each kind of call is implemented natively:
sync and async, whole and streamed.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

from langchain_core.language_models import BaseChatModel, BaseLLM, LangSmithParams
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, ToolCall
from langchain_core.messages.ai import UsageMetadata  # noqa: TC002 -- pydantic reads it
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    ChatResult,
    Generation,
    GenerationChunk,
    LLMResult,
)
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from langchain_core.callbacks import (
        AsyncCallbackManagerForLLMRun,
        CallbackManagerForLLMRun,
    )


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

    def _get_ls_params(
        self, stop: list[str] | None = None, **kwargs: Any
    ) -> LangSmithParams:
        """Return the metadata that LangChain passes to callbacks."""
        return LangSmithParams(
            ls_provider=self.provider,
            ls_model_name=self.model_name,
            ls_model_type="chat" if isinstance(self, BaseChatModel) else "llm",
        )

    def pieces(self) -> list[str]:
        """Return the answer in pieces of about equal length."""
        size = max(1, -(-len(self.answer) // max(1, self.chunks)))
        starts = range(0, len(self.answer), size)
        return [self.answer[start : start + size] for start in starts]

    def fail(self, sent: int | None = None) -> None:
        """Raise the error, if it is due."""
        if self.error is not None and sent in {None, self.error_after}:
            # Without the traceback of earlier calls, which would grow with each call.
            raise self.error.with_traceback(None)


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

    @property
    def _llm_type(self) -> str:
        """Return LangChain's name for this kind of model."""
        return "otel-callbacks-fake-chat"

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        """Answer in the caller's thread."""
        time.sleep(self.delay)
        return self._result()

    async def _agenerate(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> ChatResult:
        """Answer in the caller's event loop."""
        await asyncio.sleep(self.delay)
        return self._result()

    def _stream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> Iterator[ChatGenerationChunk]:
        """Stream the answer."""
        for chunk in self._message_chunks():
            time.sleep(self.delay)
            yield chunk

    async def _astream(
        self, messages: list[BaseMessage], *_: Any, **__: Any
    ) -> AsyncIterator[ChatGenerationChunk]:
        """Stream the answer in the caller's event loop."""
        for chunk in self._message_chunks():
            await asyncio.sleep(self.delay)
            yield chunk

    def _result(self) -> ChatResult:
        """Return the whole answer, or raise the error."""
        self.fail()
        message = AIMessage(
            self.answer, usage_metadata=self.usage, tool_calls=self.tool_calls
        )
        return ChatResult(generations=[ChatGeneration(message=message)])

    def _message_chunks(self) -> Iterator[ChatGenerationChunk]:
        """Yield the pieces, the last one with the usage, or raise the error."""
        pieces = self.pieces()
        for sent, piece in enumerate(pieces):
            self.fail(sent)
            last = sent == len(pieces) - 1
            usage = self.usage if last else None
            message = AIMessageChunk(content=piece, usage_metadata=usage)
            yield ChatGenerationChunk(message=message)


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

    @property
    def _llm_type(self) -> str:
        """Return LangChain's name for this kind of model."""
        return "otel-callbacks-fake-text"

    def _generate(self, prompts: list[str], *_: Any, **__: Any) -> LLMResult:
        """Answer all prompts in the caller's thread."""
        time.sleep(self.delay)
        return self._result(prompts)

    async def _agenerate(self, prompts: list[str], *_: Any, **__: Any) -> LLMResult:
        """Answer all prompts in the caller's event loop."""
        await asyncio.sleep(self.delay)
        return self._result(prompts)

    def _stream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[GenerationChunk]:
        """Stream the answer; text models report no usage in streams."""
        for sent, piece in enumerate(self.pieces()):
            self.fail(sent)
            time.sleep(self.delay)
            if run_manager is not None:
                run_manager.on_llm_new_token(piece)
            yield GenerationChunk(text=piece)

    async def _astream(
        self,
        prompt: str,
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[GenerationChunk]:
        """Stream the answer in the caller's event loop."""
        for sent, piece in enumerate(self.pieces()):
            self.fail(sent)
            await asyncio.sleep(self.delay)
            if run_manager is not None:
                await run_manager.on_llm_new_token(piece)
            yield GenerationChunk(text=piece)

    def _result(self, prompts: list[str]) -> LLMResult:
        """Return an answer for each prompt, or raise the error."""
        self.fail()
        output: dict[str, Any] = {"model_name": self.model_name}
        if self.usage is not None:
            output["token_usage"] = {
                "prompt_tokens": self.usage["input_tokens"],
                "completion_tokens": self.usage["output_tokens"],
                "total_tokens": self.usage["total_tokens"],
            }
        generations = [[Generation(text=self.answer)] for _ in prompts]
        return LLMResult(generations=generations, llm_output=output)
