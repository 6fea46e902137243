"""Chat models with the response shapes of five providers' packages.

The shapes differ in the places of the model's name, the id, the finish reason and the
usage. Each shape is from the package's own code: langchain-openai 1.0,
langchain-anthropic 1.0, langchain-google-genai 3.0, langchain-aws 1.0 and
langchain-ollama 1.0.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult

if TYPE_CHECKING:
    from collections.abc import Iterator

_NUMBERS: Final = itertools.count()
"""No two answers have the same id and the same number of tokens."""

CHUNKS: Final = 50
"""Pieces of each stream."""


class Shape(NamedTuple):
    """The places of the fields of a response in one provider's package."""

    provider: str
    """LangChain's name of the provider."""
    model: str
    metadata: dict[str, Any]
    """``response_metadata`` of the message."""
    output: dict[str, Any]
    """``llm_output`` of the result."""
    info: dict[str, Any]
    """``generation_info`` of the generation."""
    details: dict[str, Any]
    """The details of ``usage_metadata``."""


_OPENAI_USAGE: Final = {
    "completion_tokens": 20,
    "prompt_tokens": 10,
    "total_tokens": 30,
    "completion_tokens_details": {
        "accepted_prediction_tokens": 0,
        "audio_tokens": 0,
        "reasoning_tokens": 0,
        "rejected_prediction_tokens": 0,
    },
    "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 0},
}
_OPENAI: Final = {
    "token_usage": _OPENAI_USAGE,
    "model_provider": "openai",
    "model_name": "gpt-4o-2024-08-06",
    "system_fingerprint": "fp_1",
    "id": "chatcmpl-1",
}
_ANTHROPIC: Final = {
    "id": "msg_1",
    "model": "claude-sonnet-4-5-20250929",
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {
        "cache_creation": {
            "ephemeral_1h_input_tokens": 0,
            "ephemeral_5m_input_tokens": 0,
        },
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "input_tokens": 10,
        "output_tokens": 20,
        "server_tool_use": None,
        "service_tier": "standard",
    },
    "model_name": "claude-sonnet-4-5-20250929",
    "model_provider": "anthropic",
}
_OLLAMA: Final = {
    "model": "llama3.2",
    "created_at": "2026-11-27T12:00:00Z",
    "done": True,
    "done_reason": "stop",
    "total_duration": 500_000_000,
    "load_duration": 1_000_000,
    "prompt_eval_count": 10,
    "prompt_eval_duration": 100_000_000,
    "eval_count": 20,
    "eval_duration": 300_000_000,
    "logprobs": None,
    "model_name": "llama3.2",
    "model_provider": "ollama",
}

SHAPES: Final = {
    "openai": Shape(
        "openai",
        "gpt-4o",
        {
            **_OPENAI,
            "service_tier": "default",
            "finish_reason": "stop",
            "logprobs": None,
        },
        _OPENAI,
        {"finish_reason": "stop", "logprobs": None},
        {
            "input_token_details": {"audio": 0, "cache_read": 0},
            "output_token_details": {"audio": 0, "reasoning": 0},
        },
    ),
    "anthropic": Shape(
        "anthropic",
        "claude-sonnet-4-5",
        _ANTHROPIC,
        _ANTHROPIC,
        {},
        {"input_token_details": {"cache_read": 0, "cache_creation": 0}},
    ),
    "gemini": Shape(
        "google_genai",
        "gemini-2.0-flash",
        {
            "prompt_feedback": {"block_reason": 0, "safety_ratings": []},
            "finish_reason": "STOP",
            "model_name": "gemini-2.0-flash",
            "safety_ratings": [],
            "model_provider": "google_genai",
        },
        {},
        {
            "finish_reason": "STOP",
            "model_name": "gemini-2.0-flash",
            "safety_ratings": [],
        },
        {"input_token_details": {"cache_read": 0}},
    ),
    "bedrock": Shape(
        "amazon_bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {
            "ResponseMetadata": {
                "RequestId": "1-2-3",
                "HTTPStatusCode": 200,
                "HTTPHeaders": {"date": "today", "content-type": "application/json"},
                "RetryAttempts": 0,
            },
            "stopReason": "end_turn",
            "metrics": {"latencyMs": [500]},
            "model_provider": "bedrock_converse",
            "model_name": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        },
        {},
        {},
        {"input_token_details": {"cache_creation": 0, "cache_read": 0}},
    ),
    "ollama": Shape("ollama", "llama3.2", _OLLAMA, {}, _OLLAMA, {}),
}


def _with_id(metadata: dict[str, Any]) -> dict[str, Any]:
    """Return a message's metadata with a new id, if it has an id."""
    if "id" not in metadata:
        return {**metadata}
    return {**metadata, "id": f"{metadata['id']}-{next(_NUMBERS)}"}


class ShapedModel(BaseChatModel):
    """A chat model that answers at once in one provider's shape."""

    shape: str
    model_name: str = ""
    temperature: float = 0.5
    max_tokens: int = 100
    fails: bool = False

    @property
    def _llm_type(self) -> str:
        return f"{self.shape}-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {
            "model": SHAPES[self.shape].model,
            "model_name": SHAPES[self.shape].model,
            "temperature": self.temperature,
            "max_tokens": self.max_tokens,
            "stream": False,
        }

    def _get_ls_params(self, stop: list[str] | None = None, **_: Any) -> Any:
        """Return the parameters for LangChain's tracers."""
        shape = SHAPES[self.shape]
        told = {
            "ls_provider": shape.provider,
            "ls_model_name": shape.model,
            "ls_model_type": "chat",
            "ls_temperature": self.temperature,
            "ls_max_tokens": self.max_tokens,
        }
        return {**told, "ls_stop": stop} if stop else told

    def _generate(self, *_: Any, **__: Any) -> ChatResult:
        """Answer, or fail."""
        if self.fails:
            message = "no"
            raise RuntimeError(message)
        shape = SHAPES[self.shape]
        message = AIMessage(
            "A rose is a rose.",
            response_metadata=_with_id(shape.metadata),
            usage_metadata=self._usage(),
        )
        generation = ChatGeneration(
            message=message, generation_info=dict(shape.info) or None
        )
        return ChatResult(generations=[generation], llm_output=dict(shape.output))

    def _stream(self, *_: Any, **__: Any) -> Iterator[ChatGenerationChunk]:
        """Stream the answer; metadata and usage are in the last piece."""
        for _number in range(CHUNKS - 1):
            yield ChatGenerationChunk(message=AIMessageChunk("rose "))
        shape = SHAPES[self.shape]
        yield ChatGenerationChunk(
            message=AIMessageChunk(
                "rose.",
                response_metadata={
                    key: value
                    for key, value in _with_id(shape.metadata).items()
                    if key != "token_usage"
                },
                usage_metadata=self._usage(),
            ),
            generation_info=dict(shape.info) or None,
        )

    def _usage(self) -> Any:
        """Return the usage like this provider's package."""
        output_tokens = 20 + next(_NUMBERS) % 50
        return {
            "input_tokens": 10,
            "output_tokens": output_tokens,
            "total_tokens": 10 + output_tokens,
            **SHAPES[self.shape].details,
        }
