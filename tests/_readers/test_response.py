"""What a model gave back, through real models and in the shapes of other providers."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    LLMResult,
)
from pydantic import BaseModel, ValidationError
from reporting import Reporter, tokens

from otel_callbacks import Settings, track_usage
from otel_callbacks.testing import capture

if TYPE_CHECKING:
    from collections.abc import Callable

    from langchain_openai import ChatOpenAI

    from otel_callbacks.testing import Capture, FakeOpenAI

    Read = Callable[..., dict[str, Any]]
    Chat = Callable[..., ChatOpenAI]

QUESTION = "What blooms in May?"


def answered(
    model: str = "",
    response_id: str = "",
    finish_reasons: tuple[str, ...] = (),
    usage: dict[str, int] | None = None,
    **attributes: str,
) -> dict[str, Any]:
    """Return the attributes of a response; what is empty is no attribute."""
    found = {
        "gen_ai.response.model": model,
        "gen_ai.response.id": response_id,
        "gen_ai.response.finish_reasons": finish_reasons,
        **(usage or {}),
        **{
            f"openai.{name.replace('__', '.')}": each
            for name, each in attributes.items()
        },
    }
    return {name: value for name, value in found.items() if value}


def _answer(
    metadata: dict[str, Any],
    info: dict[str, Any] | None = None,
    usage: Any = None,
    kind: type[ChatGeneration] = ChatGeneration,
) -> ChatGeneration:
    """Make a generation as a provider's package does."""
    message = AIMessageChunk if kind is ChatGenerationChunk else AIMessage
    return kind(
        message=message(
            content="a rose", response_metadata=metadata, usage_metadata=usage
        ),
        generation_info=info,
    )


def _result(*generations: Any, llm_output: Any = None) -> LLMResult:
    """Make the result of one prompt."""
    return LLMResult(generations=[list(generations)], llm_output=llm_output)


def _spent(server: FakeOpenAI) -> dict[str, int]:
    """Return the usage that the fake provider has counted itself."""
    return tokens(server.total_usage.input, server.total_usage.output)


def _only(telemetry: Capture) -> dict[str, Any]:
    """Return the attributes of the only span."""
    (span,) = telemetry.spans
    attributes: dict[str, Any] = span["attributes"]
    return attributes


def _has(attributes: dict[str, Any], expected: dict[str, Any]) -> bool:
    """Return whether a span has these attributes."""
    return expected.items() <= attributes.items()


def test_a_chat_call(chat: Chat, server: FakeOpenAI, telemetry: Capture) -> None:
    """The provider's own model, id, reasons, numbers and fingerprint."""
    chat().invoke(QUESTION)
    attributes = _only(telemetry)
    assert attributes["gen_ai.response.model"].startswith("gpt-4o-mini-")
    assert attributes["gen_ai.response.id"].startswith("chatcmpl-")
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert _has(attributes, _spent(server))
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0
    of_response = {name for name in attributes if name.startswith("openai.response")}
    assert of_response <= {
        "openai.response.service_tier",
        "openai.response.system_fingerprint",
    }


def test_choices_hold_copies_of_one_usage(
    chat: Chat, server: FakeOpenAI, telemetry: Capture
) -> None:
    """It is counted once; each choice has its own finish reason."""
    chat(n=3).invoke(QUESTION)
    attributes = _only(telemetry)
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",) * 3
    assert attributes["gen_ai.response.id"].startswith("chatcmpl-")
    assert attributes["gen_ai.response.model"].startswith("gpt-4o-mini")
    assert _has(attributes, _spent(server))


def test_a_stream_with_usage(
    chat: Chat, server: FakeOpenAI, telemetry: Capture
) -> None:
    """langchain-openai drops the id of a stream, and LangChain's own is none."""
    list(chat(stream_usage=True).stream(QUESTION))
    attributes = _only(telemetry)
    assert "gen_ai.response.id" not in attributes
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert _has(attributes, _spent(server))


def test_a_stream_without_usage(chat: Chat, telemetry: Capture) -> None:
    """With a ``base_url`` of one's own it is not requested: missing, not zero."""
    list(chat().stream(QUESTION))
    assert not [name for name in _only(telemetry) if name.startswith("gen_ai.usage")]
    assert telemetry.value("otel_callbacks_usage_missing_total") == 1


def test_a_text_batch(text: Any, server: FakeOpenAI, telemetry: Capture) -> None:
    """The first run has the usage of all, so the others are not without one."""
    text().generate(["rose", "tulip", "iris"])
    spans = [span["attributes"] for span in telemetry.spans]
    has_usage = ["gen_ai.usage.input_tokens" in attributes for attributes in spans]
    assert sorted(has_usage) == [False, False, True]
    assert _has(spans[has_usage.index(True)], _spent(server))
    assert telemetry.value("otel_callbacks_usage_missing_total") == 0
    for attributes in spans:
        assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
        assert "gen_ai.response.model" not in attributes


def test_a_hit_in_langchains_cache(
    chat: Chat, server: FakeOpenAI, telemetry: Capture
) -> None:
    """The same answer, saved and not spent."""
    model = chat(cache=InMemoryCache())
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    spent, saved = [span["attributes"] for span in telemetry.spans]
    assert "otel_callbacks.outcome" not in spent
    assert saved["otel_callbacks.outcome"] == "cache_hit"
    for name in ("gen_ai.response.model", "gen_ai.response.id"):
        assert saved[name] == spent[name]
    for kind in ("input_tokens", "output_tokens"):
        saved_tokens = saved[f"otel_callbacks.saved.{kind}"]
        assert saved_tokens == spent[f"gen_ai.usage.{kind}"]
    assert len(server.requests) == 1


def test_two_equal_prompts_of_one_generate(
    chat: Chat, server: FakeOpenAI, telemetry: Capture
) -> None:
    """LangChain marks the object that both results share; only one was free."""
    model = chat(cache=InMemoryCache())
    model.generate([[HumanMessage(QUESTION)], [HumanMessage(QUESTION)]])
    outcomes = [
        span["attributes"].get("otel_callbacks.outcome") for span in telemetry.spans
    ]
    assert outcomes == [None, "cache_hit"]
    assert len(server.requests) == 1


async def test_a_hit_in_the_cache_of_a_model_without_usage(
    telemetry: Capture,
) -> None:
    """Nothing was spent, so nothing is missing."""
    model = FakeListChatModel(responses=["a rose"], cache=InMemoryCache())
    with track_usage() as usage:
        for _ in range(2):
            await model.ainvoke(QUESTION, config={"callbacks": [telemetry.handler]})
    first, second = [span["attributes"] for span in telemetry.spans]
    assert "otel_callbacks.outcome" not in first
    assert second["otel_callbacks.outcome"] == "cache_hit"
    assert usage.unknown_calls == 1


def test_an_answer_that_could_not_be_read_was_paid_for(
    chat: Chat, server: FakeOpenAI, telemetry: Capture
) -> None:
    """LangChain passes the provider's own body to the error callback."""

    class Bouquet(BaseModel):
        """Flowers."""

        flowers: list[str]

    model = chat().with_structured_output(Bouquet)
    with pytest.raises(ValidationError):
        model.invoke(QUESTION)
    (attributes,) = [
        span["attributes"] for span in telemetry.spans if span["kind"] == "CLIENT"
    ]
    assert attributes["gen_ai.response.model"].startswith("gpt-4o-mini")
    assert attributes["gen_ai.response.id"].startswith("chatcmpl-")
    assert attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert _has(attributes, _spent(server))


def test_a_refused_call_spent_nothing(read: Read) -> None:
    """The body of an error is no answer."""
    result = _result(
        _answer(
            {
                "body": {"error": {"code": "rate_limit_exceeded"}, "id": "err_1"},
                "headers": {"retry-after": "1"},
                "status_code": 429,
                "request_id": "req_1",
            }
        )
    )
    assert read(result) == {}


USAGE = {"input_tokens": 31, "output_tokens": 5, "total_tokens": 36}


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (
            _result(
                _answer(
                    {
                        "id": "resp_1",
                        "created_at": 1.0,
                        "model": "gpt-4o-2024-08-06",
                        "object": "response",
                        "service_tier": "priority",
                        "status": "completed",
                        "model_provider": "openai",
                        "model_name": "gpt-4o-2024-08-06",
                    },
                    usage=USAGE,
                )
            ),
            answered(
                "gpt-4o-2024-08-06",
                "resp_1",
                ("completed",),
                tokens(31, 5),
                response__service_tier="priority",
                api__type="responses",
            ),
        ),
        (
            _result(
                _answer(
                    {
                        "id": "resp_2",
                        "object": "response",
                        "status": "incomplete",
                        "incomplete_details": {"reason": "max_output_tokens"},
                        "model_provider": "openai",
                    }
                )
            ),
            answered(
                response_id="resp_2",
                finish_reasons=("max_output_tokens",),
                api__type="responses",
            ),
        ),
        (
            _result(
                _answer(
                    {
                        "id": "msg_01",
                        "model": "claude-sonnet-4-5-20250929",
                        "stop_reason": "end_turn",
                        "stop_sequence": None,
                        "usage": {
                            "cache_creation_input_tokens": 0,
                            "cache_read_input_tokens": 20,
                            "input_tokens": 10,
                            "output_tokens": 9,
                            "service_tier": "standard",
                        },
                        "model_name": "claude-sonnet-4-5-20250929",
                        "model_provider": "anthropic",
                    }
                )
            ),
            answered(
                "claude-sonnet-4-5-20250929",
                "msg_01",
                ("end_turn",),
                tokens(30, 9, 20),
            ),
        ),
        (
            _result(
                _answer(
                    {
                        "prompt_feedback": {"safety_ratings": []},
                        "finish_reason": "MAX_TOKENS",
                        "model_name": "gemini-2.5-flash",
                        "safety_ratings": [],
                        "model_provider": "google_genai",
                    },
                    {"finish_reason": "MAX_TOKENS", "safety_ratings": []},
                    {
                        "input_tokens": 9,
                        "output_tokens": 30,
                        "total_tokens": 39,
                        "output_token_details": {"reasoning": 30},
                    },
                )
            ),
            answered(
                "gemini-2.5-flash", "", ("MAX_TOKENS",), tokens(9, 30, reasoning=30)
            ),
        ),
        (
            _result(
                _answer(
                    {
                        "ResponseMetadata": {"RequestId": "r", "HTTPStatusCode": 200},
                        "stopReason": "tool_use",
                        "metrics": {"latencyMs": [900]},
                        "model_name": "amazon.nova-lite-v1:0",
                        "model_provider": "bedrock_converse",
                    },
                    usage=USAGE,
                )
            ),
            answered("amazon.nova-lite-v1:0", "", ("tool_use",), tokens(31, 5)),
        ),
        (
            _result(
                _answer(
                    {
                        "model": "qwen3",
                        "done": True,
                        "done_reason": "length",
                        "prompt_eval_count": 26,
                        "eval_count": 298,
                        "model_name": "qwen3",
                        "model_provider": "ollama",
                    }
                )
            ),
            answered("qwen3", "", ("length",), tokens(26, 298)),
        ),
        (
            _result(
                Generation(
                    text="a rose",
                    generation_info={
                        "model": "qwen3",
                        "done_reason": "stop",
                        "prompt_eval_count": 26,
                        "eval_count": 298,
                    },
                )
            ),
            answered("qwen3", "", ("stop",), tokens(26, 298)),
        ),
        (
            _result(
                _answer({"finish_reason": "stop"}, {"finish_reason": "stop"}),
                llm_output={
                    "token_usage": {"prompt_tokens": 3, "completion_tokens": 4},
                    "model": "mistral-small-latest",
                    "model_provider": "mistralai",
                    "system_fingerprint": "fp_1",
                },
            ),
            answered("mistral-small-latest", "", ("stop",), tokens(3, 4)),
        ),
        (
            _result(
                _answer(
                    {
                        "finish_reason": "tool_callstool_calls",
                        "model_name": "qwen-plusqwen-plus",
                        "model_provider": "openai",
                    },
                    kind=ChatGenerationChunk,
                )
            ),
            answered("qwen-plus", "", ("tool_calls",)),
        ),
        (
            _result(
                _answer({"id": "lc_run--0191-0", "finish_reason": None, "status": "x"})
            ),
            answered(),
        ),
        (_result(_answer({"id": "run-0191"})), answered()),
        (_result(_answer({"status": ["completed"]})), answered()),
    ],
)
def test_each_providers_shape(
    result: LLMResult, expected: dict[str, Any], read: Read
) -> None:
    """What the provider did not send is empty; LangChain's own ids are no ids."""
    assert read(result) == expected


def test_several_prompts_add_up(read: Read) -> None:
    """Where a result was not made flat, each prompt was a call of its own."""
    result = LLMResult(
        generations=[
            [_answer({}, usage=USAGE), _answer({}, usage=USAGE)],
            [_answer({}, usage=USAGE)],
            [],
        ]
    )
    assert read(result) == tokens(62, 10)
    raw = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    result = LLMResult(generations=[[_answer(raw), _answer(raw)], [_answer(raw)]])
    assert read(result) == tokens(6, 8)


def test_what_a_broken_stream_brought_is_counted(read: Read) -> None:
    """Chunks first, then what LangChain says of the error."""
    chunk = _answer(
        {"model_name": "gpt-4o-mini"}, usage=USAGE, kind=ChatGenerationChunk
    )
    error = _answer({"body": None, "headers": {}, "status_code": 500})
    result = LLMResult(generations=[[chunk], [error]])
    found = read(result, error=ConnectionError())
    assert _has(found, answered("gpt-4o-mini", usage=tokens(31, 5)))
    assert found["otel_callbacks.outcome"] == "error"


@pytest.mark.parametrize(
    "result",
    [
        None,
        "a rose",
        3,
        [],
        LLMResult(generations=[]),
        LLMResult(generations=[[]]),
        type("Odd", (), {"generations": [None, 3, [None, "x"]], "llm_output": [1]})(),
        type("Odd", (), {"generations": "abc"})(),
    ],
)
def test_anything_else_is_an_empty_response(result: object, read: Read) -> None:
    """The usage is missing, and none is made up."""
    assert read(result) == {}


class _Unreadable:
    """Raises when it is read."""

    @property
    def generations(self) -> object:
        """Raise."""
        raise RuntimeError


def test_a_payload_that_raises_when_read_is_counted() -> None:
    """The span ends without it."""
    with Reporter(Settings(strict=False)) as reporter:
        span = reporter.call([], _Unreadable())
        assert span["status"] == "UNSET"
        assert reporter.errors == {"response": 1}


def test_everything_can_be_sent(read: Read) -> None:
    """Ten million characters, lone surrogates: bounded, and valid UTF-8."""
    odd = "花\ud800" * 5_000_000
    metadata = {
        "id": odd,
        "model_name": odd,
        "finish_reason": odd,
        "service_tier": odd,
        "system_fingerprint": odd,
    }
    attributes = read(_result(_answer(metadata, kind=ChatGenerationChunk)))
    names = ("model", "id", "finish_reasons")
    assert {f"gen_ai.response.{name}" for name in names} <= attributes.keys()
    for value in attributes.values():
        assert 0 < len(str(value).encode()) <= 4096


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.lists(st.integers(), max_size=2)
)
KEYS = st.sampled_from(
    [
        "id",
        "model",
        "finish_reason",
        "status",
        "usage",
        "token_usage",
        "total_cost",
        "body",
        "status_code",
        "choices",
        "prompt_tokens",
        "object",
        "model_provider",
    ]
)
PAYLOADS = ODD | st.dictionaries(
    KEYS, ODD | st.just(200) | st.dictionaries(KEYS, ODD, max_size=3), max_size=5
)


def test_any_payload_gives_a_response(read: Read) -> None:
    """What a model answered with is never a reason to lose its end."""

    @given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS)
    def report(metadata: object, usage: object, info: object, output: object) -> None:
        message = SimpleNamespace(response_metadata=metadata, usage_metadata=usage)
        generation = SimpleNamespace(message=message, generation_info=info)
        result = SimpleNamespace(generations=[[generation]], llm_output=output)
        for name, value in read(result).items():
            assert str(value).encode(), name

    report()


@pytest.mark.recent
def test_each_piece_of_output_is_a_chunk(telemetry: Capture) -> None:
    """The events around it are none."""
    model = FakeListChatModel(responses=["rose"])
    config: Any = {"callbacks": [telemetry.handler]}
    stream = model.stream_events("x", config=config, version="v3")
    assert "".join(stream.text) == "rose"
    assert _only(telemetry)["otel_callbacks.chunk_count"] == len("rose")


@pytest.mark.parametrize("event", [None, "content-block-delta", {}, {"event": 3}, []])
def test_anything_else_is_no_chunk(event: object, telemetry: Capture) -> None:
    """Odd events are passed over."""
    run_id = uuid4()
    telemetry.handler.on_chat_model_start({}, [[]], run_id=run_id)
    telemetry.handler.on_stream_event(event, run_id=run_id)
    telemetry.handler.on_llm_end(None, run_id=run_id)
    assert "otel_callbacks.chunk_count" not in _only(telemetry)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (["rose"], "rose"),
        ([["rose"]], "rose"),
        ([], None),
        (None, None),
        ("rose", "rose"),
    ],
)
def test_the_payload_of_a_start_is_unwrapped(batch: Any, expected: object) -> None:
    """What is no list stays what it is."""
    settings = Settings(strict=True, capture_content="SPAN_ONLY")
    with capture(settings) as telemetry:
        run_id = uuid4()
        telemetry.handler.on_llm_start({}, batch, run_id=run_id)
        telemetry.handler.on_llm_end(None, run_id=run_id)
        content = _only(telemetry).get("gen_ai.input.messages")
    text = json.loads(content)[0]["parts"][0]["content"] if content else None
    assert text == expected


ZEROS: dict[str, Any] = {"audio": 0, "cache_read": 0}
SHAPES: list[tuple[dict[str, Any], dict[str, Any], dict[str, Any]]] = [
    (
        {
            "model_provider": "openai",
            "model_name": "gpt-4o",
            "id": "chatcmpl-1",
            "service_tier": "default",
            "finish_reason": "stop",
            "logprobs": None,
            "token_usage": {"prompt_tokens": 10, "completion_tokens": 20},
        },
        {"finish_reason": "stop"},
        {"model_name": "gpt-4o", "system_fingerprint": "fp_1", "token_usage": {}},
    ),
    (
        {
            "id": "msg_1",
            "model": "claude",
            "stop_reason": "end_turn",
            "usage": {
                "cache_creation": {"ephemeral_1h_input_tokens": 0},
                "server_tool_use": None,
            },
        },
        {},
        {},
    ),
    ({"finish_reason": "STOP", "model_name": "gemini"}, {"safety_ratings": []}, {}),
]
PLACES = ("metadata", "info", "output", "token_usage", "usage", "reported", "details")
UNUSUAL: list[tuple[str, Any]] = [
    ("model_name", "gpt-4o-search-preview"),
    ("model_name", object()),
    ("model", "x" * 2_000),
    ("id", "lc_run--1"),
    ("id", None),
    ("body", {"model": "m", "choices": [{"finish_reason": "length"}]}),
    ("status_code", 200),
    ("status", "incomplete"),
    ("incomplete_details", {"reason": "max_output_tokens"}),
    ("choices", [{"finish_reason": "stop"}]),
    ("prompt_feedback", {"block_reason": "SAFETY"}),
    ("object", "response"),
    ("model_provider", "groq"),
    ("cost", 0.5),
    ("cost", "0.5"),
    ("_hidden_params", {"response_cost": 0.25}),
    ("cost_in_usd_ticks", 10**9),
    ("total_cost", 0),
    ("total_cost", 1.5),
    ("speed", "fast"),
    ("server_tool_use", {"web_search_requests": 2}),
    ("cache_creation", {"ephemeral_1h_input_tokens": 5}),
    ("ephemeral_1h_input_tokens", 7),
    ("ephemeral_1h_input_tokens", 0),
    ("image", 3),
    ("cache_read", 4),
    ("cache_read", True),
    ("input_tokens", 0),
    ("input_tokens", None),
    ("num_sources_used", 2),
    ("grounding_metadata", {"web_search_queries": ["a"]}),
    ("groundingMetadata", None),
    ("token_usage", [1]),
    ("usage", {"output_tokens": 5}),
    ("usage", None),
]


@pytest.mark.parametrize(("key", "value"), UNUSUAL)
@pytest.mark.parametrize("kind", [ChatGeneration, ChatGenerationChunk])
def test_a_known_answer_is_read_as_a_new_one(
    kind: type[ChatGeneration], key: str, value: object, read: Read
) -> None:
    """What is remembered of one answer is never said of another, in any place."""
    for metadata, info, output in SHAPES:
        for place in PLACES:
            details: dict[str, Any] = {**ZEROS}
            reported: dict[str, Any] = {
                "input_tokens": 10,
                "output_tokens": 20,
                "total_tokens": 30,
                "input_token_details": details,
            }
            parts: dict[str, dict[str, Any]] = {
                "metadata": {**metadata},
                "info": {**info},
                "output": {**output},
                "token_usage": {**metadata.get("token_usage", {})},
                "usage": {**metadata.get("usage", {})},
                "reported": reported,
                "details": details,
            }
            if place in {"token_usage", "usage"}:
                parts["metadata"][place] = parts[place]
            answer = _answer(parts["metadata"], parts["info"], reported, kind)
            result = LLMResult(generations=[[answer]], llm_output=parts["output"])
            read(result)
            parts[place][key] = value
            answer.message.response_metadata = parts["metadata"]
            answer.message.usage_metadata = reported  # type: ignore[attr-defined]
            result.llm_output = parts["output"]
            # Only the usual types are read in the short way, which a tuple is not.
            unusual = SimpleNamespace(
                generations=((answer,),), llm_output=parts["output"]
            )
            assert read(result) == read(result) == read(unusual), (metadata, place)


def test_what_is_remembered_of_answers_is_bounded(read: Read) -> None:
    """A provider may name another finish reason in each answer."""

    def answer(reason: str) -> None:
        usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
        result = _result(_answer({"finish_reason": reason}, {}, usage))
        assert read(result)["gen_ai.response.finish_reasons"] == (reason,)

    first = f"{0:0250}"
    references = sys.getrefcount(first)
    answer(first)
    assert sys.getrefcount(first) > references
    for number in range(1, 1_001):
        answer(f"{number:0250}")
    assert sys.getrefcount(first) == references
