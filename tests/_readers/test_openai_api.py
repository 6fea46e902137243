"""Which of OpenAI's two APIs a call of ``ChatOpenAI`` uses."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_openai import ChatOpenAI

from otel_callbacks._readers.provider import api_of, asks_for_responses

CHAT = "chat_completions"
RESPONSES = "responses"


@pytest.mark.parametrize(
    ("kind", "arguments", "expected"),
    [
        ("openai-chat", {"model_name": "gpt-4o-mini"}, (CHAT, True)),
        ("azure-openai-chat", {"deployment_name": "shop"}, (CHAT, True)),
        ("openai-chat", {"use_responses_api": True}, (RESPONSES, False)),
        (
            "openai-chat",
            {"use_responses_api": False, "reasoning": {"effort": "low"}},
            (CHAT, False),
        ),
        ("openai-chat", {"reasoning": {"effort": "low"}}, (RESPONSES, False)),
        ("openai-chat", {"output_version": "responses/v1"}, (RESPONSES, False)),
        ("openai-chat", {"use_previous_response_id": True}, (RESPONSES, False)),
        ("openai-chat", {"model_name": "gpt-5-pro"}, ("", True)),
        ("openai-chat", {"model_name": "gpt-5-codex"}, ("", True)),
        ("openai-chat", {"model_name": 3}, ("", True)),
        ("openai-chat", {}, ("", True)),
        ("openai", {"model_name": "gpt-3.5-turbo-instruct"}, ("", False)),
        ("anthropic-chat", {"model_name": "x"}, ("", False)),
        (None, {}, ("", False)),
        (["openai-chat"], {}, ("", False)),
    ],
)
def test_the_constructors_arguments_tell_the_api(
    kind: object, arguments: dict[object, object], expected: tuple[str, bool]
) -> None:
    """Where it depends on langchain-openai's version, nothing is said."""
    assert api_of(kind, arguments) == expected


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"model": "gpt-4o-mini"}, False),
        ({"text": {"verbosity": "low"}}, True),
        ({"previous_response_id": "resp_1"}, True),
        ({"tools": [{"type": "function", "function": {"name": "water"}}]}, False),
        ({"tools": [{"type": "web_search"}]}, True),
        ({"tools": [{"name": "water"}, "x", None]}, False),
        ({"tools": "web_search"}, False),
    ],
)
def test_a_calls_parameters_can_ask_for_responses(
    params: dict[object, object], *, expected: bool
) -> None:
    """OpenAI's own tools and some parameters exist in that API only."""
    assert asks_for_responses(params) is expected


@pytest.mark.parametrize(
    ("options", "call"),
    [
        ({}, {}),
        ({"use_responses_api": True}, {}),
        ({"use_responses_api": False}, {"reasoning": {"effort": "low"}}),
        ({"reasoning": {"effort": "low"}}, {}),
        ({"truncation": "auto"}, {}),
        ({"include": ["reasoning.encrypted_content"]}, {}),
        ({"output_version": "responses/v1"}, {}),
        ({}, {"tools": [{"type": "web_search"}]}),
        ({}, {"text": {"verbosity": "low"}}),
        ({}, {"temperature": 0.5}),
    ],
)
def test_it_is_what_langchain_openai_does(
    options: dict[str, Any], call: dict[str, Any]
) -> None:
    """Its own decision, read from the model, is the same."""
    model = ChatOpenAI(model="gpt-4o-mini", api_key="none", **options)
    params = model._get_invocation_params(**call)
    api = api_of(params["_type"], model.to_json()["kwargs"])  # type: ignore[typeddict-item]
    later = api.chosen_by_call and asks_for_responses(params)
    decided = model._use_responses_api({**model._default_params, **call})
    assert (RESPONSES if later else api.type) == (RESPONSES if decided else CHAT)
