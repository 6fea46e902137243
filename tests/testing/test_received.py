from __future__ import annotations

from typing import Any

import pytest

from otel_callbacks.testing import Received

_CHAT = "/v1/chat/completions"


def _received(json: Any, path: str = _CHAT, **headers: str) -> Received:
    """Return a request with this body."""
    return Received.of(path, json, headers)


def test_credentials_are_not_kept() -> None:
    """Whatever is asserted or printed, no key is in it."""
    received = _received({}, authorization="Bearer secret", cookie="c", accept="*/*")
    assert received.headers == {
        "authorization": "***",
        "cookie": "***",
        "accept": "*/*",
    }


def test_a_body_that_is_no_object_counts_as_none() -> None:
    """A strange client gets an answer, not an exception."""
    received = _received([1, 2])
    assert received.json == {}
    assert (received.model, received.text, received.prompt_tokens) == ("", "", 0)


def test_the_question_is_the_last_user_message() -> None:
    """System and assistant messages before it, and parts, are understood."""
    parts = [{"type": "text", "text": "Roses"}, {"type": "text", "text": "?"}, "odd"]
    received = _received(
        {
            "messages": [
                {"role": "user", "content": "first"},
                {"role": "assistant", "content": None},
                {"role": "user", "content": parts},
                "odd",
            ]
        }
    )
    assert received.text == "Roses?"
    assert received.prompt_tokens == 1 + 0 + 2 + 3 * 3
    assert not received.after_tool


@pytest.mark.parametrize(
    ("body", "path"),
    [
        ({"messages": [{"role": "tool", "content": "3"}]}, _CHAT),
        ({"input": [{"type": "function_call_output", "output": "3"}]}, "/v1/responses"),
    ],
)
def test_a_request_after_a_tool_call_is_known_as_such(
    body: dict[str, Any], path: str
) -> None:
    """Both APIs' way to hand over a tool's result."""
    received = _received(body, path)
    assert received.after_tool
    assert received.prompt_tokens == 4


@pytest.mark.parametrize(
    ("body", "prompts"),
    [
        ({"prompt": "a b"}, ["a b"]),
        ({"prompt": ["a", "b"]}, ["a", "b"]),
        ({"input": [1, 2]}, ["1 2"]),
        ({"input": [[1, 2], [3]]}, ["1 2", "3"]),
        ({"input": []}, []),
    ],
)
def test_prompts_may_be_texts_or_token_numbers(
    body: dict[str, Any], prompts: list[str]
) -> None:
    """All shapes that the API allows."""
    received = _received(body, "/v1/completions")
    assert received.prompts == prompts
    assert received.prompt_tokens == len(" ".join(prompts).split())


def test_a_prompt_is_the_question_of_a_text_model() -> None:
    """Rules look at the first prompt; the Responses API takes a text as well."""
    assert _received({"prompt": ["a", "b"]}).text == "a"
    assert _received({"input": "Roses?"}, "/v1/responses").text == "Roses?"


def test_usage_is_wanted_always_but_in_streams_by_an_option() -> None:
    """What decides whether the last chunk says the tokens."""
    assert _received({}).wants_usage
    assert not _received({"stream": True}).wants_usage
    assert _received(
        {"stream": True, "stream_options": {"include_usage": True}}
    ).wants_usage


def test_the_trace_context_is_read_from_its_header() -> None:
    """W3C's header, or nothing."""
    assert _received({}, traceparent="00-a-b-01").traceparent == "00-a-b-01"
    assert _received({}).traceparent == ""
