"""The usual answer, read in one go, is read as the long way reads it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, LLMResult

from otel_callbacks._readers.response import (
    any_response,
    model_response,
    usual_response,
)
from otel_callbacks._records import Response, Usage

USAGE = {"input_tokens": 4, "output_tokens": 14, "total_tokens": 18}
METADATA = {
    "model_provider": "openai",
    "model_name": "gpt-4o-mini-2024-07-18",
    "id": "chatcmpl-1",
    "system_fingerprint": "fp_1",
    "service_tier": "default",
    "finish_reason": "stop",
}


def result(
    usage: Any = USAGE,
    metadata: Any = METADATA,
    info: Any = None,
    output: Any = None,
) -> LLMResult:
    """Return what a chat model gave back."""
    message = AIMessage.model_construct(
        content="hi", usage_metadata=usage, response_metadata=metadata
    )
    generation = ChatGeneration.model_construct(
        text="hi", message=message, generation_info=info
    )
    return LLMResult.model_construct(generations=[[generation]], llm_output=output)


def test_openai_answer() -> None:
    """An answer of OpenAI's chat completions is read whole."""
    assert usual_response(result()) == Response(
        "gpt-4o-mini-2024-07-18",
        "chatcmpl-1",
        ("stop",),
        Usage(4, 14),
        attributes={
            "openai.response.service_tier": "default",
            "openai.response.system_fingerprint": "fp_1",
        },
    )


def test_details_are_read() -> None:
    """Details that are not zero are read with the totals."""
    usage = USAGE | {"input_token_details": {"cache_read": 3}}
    read = usual_response(result(usage))
    assert read is not None
    assert read.usage == Usage(4, 14, cache_read=3)


def test_errors_come_with_no_generation() -> None:
    """What LangChain hands over with most errors gives an empty response."""
    assert usual_response(LLMResult(generations=[[]])) == Response()


UNUSUAL: dict[str, Any] = {
    "no usage": result(None),
    "a hit in the cache": result(USAGE | {"total_cost": 0}),
    "zero tokens": result(USAGE | {"output_tokens": 0}),
    "text for tokens": result(USAGE | {"output_tokens": "14"}),
    "an id of LangChain's": result(metadata=METADATA | {"id": "lc_run--1"}),
    "a model that is no text": result(metadata=METADATA | {"model_name": 5}),
    "a surrogate": result(metadata=METADATA | {"model_name": "\ud800"}),
    "a half of OpenAI's own": result(metadata=METADATA | {"service_tier": None}),
    "the Responses API": result(metadata=METADATA | {"status": "completed"}),
    "a model beside the message": result(
        metadata={}, output={"model_name": "m", "id": "i"}
    ),
    "a stream": LLMResult(
        generations=[[ChatGenerationChunk.model_construct(text="", message=None)]]
    ),
}


@pytest.mark.parametrize("unusual", UNUSUAL)
def test_unusual_is_left_to_the_long_way(unusual: str) -> None:
    """Whatever is unusual is not read here."""
    assert usual_response(UNUSUAL[unusual]) is None


def test_other_providers_have_no_openai_attributes() -> None:
    """Attributes of OpenAI's are not written for others, nor asked for."""
    for metadata in ({"model_provider": "mistralai"}, {"model_name": "m"}, {}):
        read = usual_response(result(metadata=metadata))
        assert read is not None
        assert read.attributes == {}


_VALUES = st.one_of(
    st.none(),
    st.integers(-1, 3),
    st.sampled_from(["", "stop", "gpt", "lc_run--1", "run-2", "å", "x" * 1025]),
)


@given(
    usage=st.dictionaries(st.sampled_from([*USAGE, "total_cost"]), _VALUES),
    metadata=st.dictionaries(
        st.sampled_from([*METADATA, "model", "status", "object"]), _VALUES
    ),
    info=st.none() | st.dictionaries(st.just("finish_reason"), _VALUES),
    output=st.none()
    | st.dictionaries(st.sampled_from([*METADATA, "token_usage"]), _VALUES),
)
def test_it_is_what_the_long_way_reads(
    usage: Any, metadata: Any, info: Any, output: Any
) -> None:
    """Whatever comes, the short way gives nothing, or what the long way gives."""
    answer = result(
        usage | ({"input_tokens": 3, "output_tokens": 4} if len(usage) < 2 else {}),
        metadata,
        info,
        output,
    )
    long = any_response(answer)
    assert model_response(answer) == long
