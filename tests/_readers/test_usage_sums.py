"""Where the token usage of a model call stands, and that it is counted once."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from otel_callbacks._readers.usage import message_usage, total, usage_of
from otel_callbacks._records import Usage

OPENAI = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (OPENAI, Usage(3, 4)),
        ({"token_usage": OPENAI, "model_name": "gpt-4o-mini"}, Usage(3, 4)),
        ({"usage": {"input_tokens": 1, "output_tokens": 2}}, Usage(1, 2)),
        ({"usage_metadata": {"prompt_token_count": 5}}, Usage(5, None)),
        (
            {
                "amazon-bedrock-invocationMetrics": {
                    "inputTokenCount": 11,
                    "outputTokenCount": 41,
                }
            },
            Usage(11, 41),
        ),
        (
            {"meta": {"tokens": {"input_tokens": 43.0, "output_tokens": 12.0}}},
            Usage(43, 12),
        ),
        ({"token_usage": {}, "usage": OPENAI}, Usage(3, 4)),
        ({"prompt_eval_count": 26, "eval_count": 298, "done": True}, Usage(26, 298)),
    ],
)
def test_usage_is_found_where_providers_put_it(
    payload: object, expected: Usage
) -> None:
    """In ``llm_output``, a message's metadata or a generation's info."""
    assert usage_of(payload) == expected


def test_zeros_are_a_usage() -> None:
    """A provider that counted nothing has counted."""
    assert usage_of({"prompt_tokens": 0, "completion_tokens": 0}) == Usage(0, 0)
    zeros = {"input_tokens": 0, "output_tokens": 0, "total_tokens": 0}
    assert message_usage(zeros) == Usage(0, 0)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        {},
        [],
        "usage",
        {"token_usage": None},
        {"token_usage": {}},
        {"token_usage": "7"},
        {"total_tokens": 7},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": "12", "completion_tokens": True},
        {"prompt_tokens": -1, "completion_tokens": 1.5},
        {"prompt_tokens": math.nan, "completion_tokens": 10**30},
    ],
)
def test_no_number_is_no_usage(payload: object) -> None:
    """A total of both alone cannot be shared out, and nothing is guessed."""
    assert usage_of(payload) is None


def test_one_odd_number_does_not_lose_the_other() -> None:
    """Input and output are known apart."""
    assert usage_of({"prompt_tokens": 3, "completion_tokens": "4"}) == Usage(3, None)


def test_a_payload_that_holds_itself_comes_to_an_end() -> None:
    """Depth is bounded."""
    payload: dict[str, Any] = {}
    payload["usage"] = payload["meta"] = payload
    assert usage_of(payload) is None


@pytest.mark.parametrize(
    ("told", "raw", "expected"),
    [
        ({"prompt_tokens": None, "completion_tokens": None}, (0, 0), None),
        ({"prompt_tokens": 5, "completion_tokens": None}, (5, 0), Usage(5, None)),
        ({"prompt_tokens": None, "completion_tokens": 6}, (0, 6), Usage(None, 6)),
        ({"prompt_tokens": 5, "completion_tokens": 0}, (5, 0), Usage(5, 0)),
        ({"prompt_tokens": 0, "completion_tokens": 6}, (0, 6), Usage(None, 6)),
        ({"other": 1}, (0, 0), Usage(0, 0)),
    ],
)
def test_langchain_openais_zero_for_a_missing_number_is_taken_back(
    told: object, raw: tuple[int, int], expected: Usage | None
) -> None:
    """Where the provider's own usage is at hand, it decides."""
    metadata = {"input_tokens": raw[0], "output_tokens": raw[1], "total_tokens": 0}
    assert message_usage(metadata, {}, {"token_usage": told}) == expected


@pytest.mark.parametrize("metadata", [None, {}, [], "x", {"total_cost": 0}, 3])
def test_a_message_without_usage(metadata: object) -> None:
    """The mark of LangChain's cache alone is no usage."""
    assert message_usage(metadata) is None


@pytest.mark.parametrize(
    ("usages", "expected"),
    [
        ([], None),
        ([None, None], None),
        ([Usage(1, 2, 1), None], Usage(1, 2, 1)),
        (
            [Usage(1, None, 1, 0, 0), Usage(3, None, 0, 2, 0)],
            Usage(4, None, 1, 2, 0),
        ),
        ([Usage(1, 2), Usage(None, 5, 0, 0, 4)], Usage(1, 7, 0, 0, 4)),
    ],
)
def test_usages_add_up(usages: list[Usage | None], expected: Usage | None) -> None:
    """What is unknown adds nothing, and does not become zero."""
    assert total(usages) == expected


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(
                ["usage", "token_usage", "input_tokens", "prompt_tokens", "eval_count"]
            ),
            inner,
            max_size=3,
        )
    ),
    max_leaves=8,
)


@given(JSON)
def test_any_payload_gives_a_usage_or_none(payload: object) -> None:
    """A usage says at least one number of tokens."""
    for usage in (usage_of(payload), message_usage(payload, payload, payload)):
        assert usage is None or usage[:2] != (None, None)
