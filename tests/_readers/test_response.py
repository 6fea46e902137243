"""What a model gave back, through real models and in the shapes of other providers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models import FakeListChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import (
    ChatGeneration,
    ChatGenerationChunk,
    Generation,
    LLMResult,
)
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel, ValidationError

from otel_callbacks._readers import response as response_module
from otel_callbacks._readers.response import model_response
from otel_callbacks._readers.values import first_of, is_chunk
from otel_callbacks._records import Response, Usage

if TYPE_CHECKING:
    from conftest import Recorder

    from otel_callbacks.testing import FakeOpenAI

QUESTION = "What blooms in May?"


def _chat(server: FakeOpenAI, recorder: Recorder, **options: Any) -> ChatOpenAI:
    """Make a real chat model on the fake provider."""
    return ChatOpenAI(
        model="gpt-4o-mini",
        base_url=server.base_url,
        api_key="sk-test",
        callbacks=[recorder],
        **options,
    )


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


def _spent(server: FakeOpenAI) -> tuple[int, int]:
    """Say what the fake provider has counted itself."""
    return server.total_usage.input, server.total_usage.output


def test_a_chat_call(server: FakeOpenAI, recorder: Recorder) -> None:
    """The provider's own model, id, reasons, numbers and fingerprint."""
    _chat(server, recorder).invoke(QUESTION)
    (response,) = recorder.responses
    assert response.model.startswith("gpt-4o-mini")
    assert response.id.startswith("chatcmpl-")
    assert response.finish_reasons == ("stop",)
    assert response.usage is not None
    assert response.usage[:2] == _spent(server)
    assert response.usage_expected
    assert not response.cache_hit
    assert set(response.attributes) <= {
        "openai.response.service_tier",
        "openai.response.system_fingerprint",
    }


def test_choices_hold_copies_of_one_usage(
    server: FakeOpenAI, recorder: Recorder
) -> None:
    """It is counted once; each choice has its own finish reason."""
    _chat(server, recorder, n=3).invoke(QUESTION)
    (response,) = recorder.responses
    assert response.finish_reasons == ("stop",) * 3
    assert response.id.startswith("chatcmpl-")
    assert response.model.startswith("gpt-4o-mini")
    assert response.usage is not None
    assert response.usage[:2] == _spent(server)


def test_a_stream_with_usage(server: FakeOpenAI, recorder: Recorder) -> None:
    """langchain-openai drops the id of a stream, and LangChain's own is none."""
    list(_chat(server, recorder, stream_usage=True).stream(QUESTION))
    (response,) = recorder.responses
    assert response.id == ""
    assert response.finish_reasons == ("stop",)
    assert response.usage is not None
    assert response.usage[:2] == _spent(server)


def test_a_stream_without_usage(server: FakeOpenAI, recorder: Recorder) -> None:
    """With a ``base_url`` of one's own it is not asked for: missing, not zero."""
    list(_chat(server, recorder).stream(QUESTION))
    (response,) = recorder.responses
    assert response.usage is None
    assert response.usage_expected


def test_a_text_batch(server: FakeOpenAI, recorder: Recorder) -> None:
    """The first run has the usage of all, so the others are not without one."""
    model = OpenAI(
        model="gpt-3.5-turbo-instruct", base_url=server.base_url, api_key="sk-test"
    )
    model.generate(["rose", "tulip", "iris"], callbacks=[recorder])
    first, *others = recorder.responses
    assert first.usage is not None
    assert first.usage[:2] == _spent(server)
    assert first.usage_expected
    assert [each.usage for each in others] == [None, None]
    assert [each.usage_expected for each in others] == [False, False]
    assert {each.finish_reasons for each in recorder.responses} == {("stop",)}
    assert {each.model for each in recorder.responses} == {""}


def test_a_hit_in_langchains_cache(server: FakeOpenAI, recorder: Recorder) -> None:
    """The same answer, saved and not spent."""
    model = _chat(server, recorder, cache=InMemoryCache())
    model.invoke(QUESTION)
    model.invoke(QUESTION)
    spent, saved = recorder.responses
    assert not spent.cache_hit
    assert saved.cache_hit
    assert not saved.usage_expected
    assert (saved.usage, saved.model, saved.id) == (spent.usage, spent.model, spent.id)
    assert len(server.requests) == 1


def test_two_equal_prompts_of_one_generate(
    server: FakeOpenAI, recorder: Recorder
) -> None:
    """LangChain marks the object that both results share; only one was free."""
    model = _chat(server, recorder, cache=InMemoryCache())
    model.generate([[HumanMessage(QUESTION)], [HumanMessage(QUESTION)]])
    assert [each.cache_hit for each in recorder.responses] == [False, True]
    assert len(server.requests) == 1


async def test_a_hit_in_the_cache_of_a_model_without_usage(recorder: Recorder) -> None:
    """Nothing was spent, so nothing is missing."""
    model = FakeListChatModel(responses=["a rose"], cache=InMemoryCache())
    await model.ainvoke(QUESTION, config={"callbacks": [recorder]})
    await model.ainvoke(QUESTION, config={"callbacks": [recorder]})
    assert recorder.responses == [
        Response(),
        Response(usage_expected=False, cache_hit=True),
    ]


def test_an_answer_that_could_not_be_read_was_paid_for(
    server: FakeOpenAI, recorder: Recorder
) -> None:
    """LangChain hands the provider's own body to the error callback."""

    class Bouquet(BaseModel):
        """Flowers."""

        flowers: list[str]

    model = _chat(server, recorder).with_structured_output(Bouquet)
    with pytest.raises(ValidationError):
        model.invoke(QUESTION)
    (response,) = recorder.failed
    assert response.model.startswith("gpt-4o-mini")
    assert response.id.startswith("chatcmpl-")
    assert response.finish_reasons == ("stop",)
    assert response.usage is not None
    assert response.usage[:2] == _spent(server)


def test_a_refused_call_spent_nothing() -> None:
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
    assert model_response(result) == Response()


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
                        "service_tier": "default",
                        "status": "completed",
                        "model_provider": "openai",
                        "model_name": "gpt-4o-2024-08-06",
                    },
                    usage=USAGE,
                )
            ),
            Response(
                "gpt-4o-2024-08-06",
                "resp_1",
                ("completed",),
                Usage(31, 5),
                attributes={
                    "openai.response.service_tier": "default",
                    "openai.api.type": "responses",
                },
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
            Response(
                id="resp_2",
                finish_reasons=("max_output_tokens",),
                attributes={"openai.api.type": "responses"},
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
            Response(
                "claude-sonnet-4-5-20250929",
                "msg_01",
                ("end_turn",),
                Usage(30, 9, 20),
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
            Response(
                "gemini-2.5-flash", "", ("MAX_TOKENS",), Usage(9, 30, reasoning=30)
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
            Response("amazon.nova-lite-v1:0", "", ("tool_use",), Usage(31, 5)),
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
            Response("qwen3", "", ("length",), Usage(26, 298)),
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
            Response("qwen3", "", ("stop",), Usage(26, 298)),
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
            Response("mistral-small-latest", "", ("stop",), Usage(3, 4)),
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
            Response("qwen-plus", "", ("tool_calls",)),
        ),
        (
            _result(
                _answer({"id": "lc_run--0191-0", "finish_reason": None, "status": "x"})
            ),
            Response(),
        ),
        (_result(_answer({"id": "run-0191"})), Response()),
        (_result(_answer({"status": ["completed"]})), Response()),
    ],
)
def test_each_providers_shape(result: LLMResult, expected: Response) -> None:
    """What the provider did not send is empty; LangChain's own ids are no ids."""
    assert model_response(result) == expected


def test_several_prompts_add_up() -> None:
    """Where a result was not made flat, each prompt was a call of its own."""
    result = LLMResult(
        generations=[
            [_answer({}, usage=USAGE), _answer({}, usage=USAGE)],
            [_answer({}, usage=USAGE)],
            [],
        ]
    )
    assert model_response(result).usage == Usage(62, 10)
    raw = {"usage": {"prompt_tokens": 3, "completion_tokens": 4}}
    result = LLMResult(generations=[[_answer(raw), _answer(raw)], [_answer(raw)]])
    assert model_response(result).usage == Usage(6, 8)


def test_what_a_broken_stream_brought_is_counted() -> None:
    """Chunks first, then what LangChain says of the error."""
    chunk = _answer(
        {"model_name": "gpt-4o-mini"}, usage=USAGE, kind=ChatGenerationChunk
    )
    error = _answer({"body": None, "headers": {}, "status_code": 500})
    response = model_response(LLMResult(generations=[[chunk], [error]]))
    assert response == Response("gpt-4o-mini", usage=Usage(31, 5))


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
def test_anything_else_is_an_empty_response(result: object) -> None:
    """No usage is then missing, and none is made up."""
    assert model_response(result) == Response()


class _Unreadable:
    """Raises when it is read."""

    @property
    def generations(self) -> object:
        """Raise."""
        raise RuntimeError


def test_a_payload_that_raises_when_read_raises_here() -> None:
    """The caller logs and counts it, and ends the span."""
    with pytest.raises(RuntimeError):
        model_response(_Unreadable())


def test_everything_can_be_sent() -> None:
    """Ten million characters, lone surrogates: bounded, and valid UTF-8."""
    odd = "花\ud800" * 5_000_000
    metadata = {
        "id": odd,
        "model_name": odd,
        "finish_reason": odd,
        "service_tier": odd,
        "system_fingerprint": odd,
    }
    response = model_response(_result(_answer(metadata, kind=ChatGenerationChunk)))
    for part in (response.model, response.id, *response.finish_reasons):
        assert 0 < len(part.encode()) <= 4096
    assert all(str(value).encode() for value in response.attributes.values())


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


@given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS)
def test_any_payload_gives_a_response(
    metadata: object, usage: object, info: object, output: object
) -> None:
    """What a model answered with is never a reason to lose its end."""
    message = type("M", (), {"response_metadata": metadata, "usage_metadata": usage})()
    generation = type("G", (), {"message": message, "generation_info": info})()
    result = type("R", (), {"generations": [[generation]], "llm_output": output})()
    response = model_response(result)
    assert response.model.encode() or response.model == ""
    assert all(reason.encode() for reason in response.finish_reasons)
    assert response.usage is None or response.usage[:2] != (None, None)


class _Events(BaseCallbackHandler):
    """Keeps what a stream of protocol events brings."""

    def __init__(self) -> None:
        self.chunks: list[bool] = []

    def on_stream_event(self, event: object, **_: object) -> None:
        """Take an event."""
        self.chunks.append(is_chunk(event))


@pytest.mark.recent
def test_each_piece_of_output_is_a_chunk() -> None:
    """The events around it are none."""
    events = _Events()
    model = FakeListChatModel(responses=["rose"])
    stream = model.stream_events("x", config={"callbacks": [events]}, version="v3")
    assert "".join(stream.text) == "rose"
    assert sum(events.chunks) == len("rose")
    assert not events.chunks[0]


@pytest.mark.parametrize("event", [None, "content-block-delta", {}, {"event": 3}, []])
def test_anything_else_is_no_chunk(event: object) -> None:
    """Odd events are passed over."""
    assert not is_chunk(event)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [(["rose"], "rose"), ([["hi"]], ["hi"]), ([], []), (None, None), ("rose", "rose")],
)
def test_the_payload_of_a_start_is_unwrapped(batch: object, expected: object) -> None:
    """What is no list stays what it is."""
    assert first_of(batch) == expected


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
    kind: type[ChatGeneration], key: str, value: object, monkeypatch: pytest.MonkeyPatch
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
            model_response(result)
            parts[place][key] = value
            answer.message.response_metadata = parts["metadata"]
            answer.message.usage_metadata = reported  # type: ignore[attr-defined]
            known = model_response(result), model_response(result)
            with monkeypatch.context() as patch:
                # The short way must give what the long one gives, which is reached
                # for the same answer without the short one alone.
                patch.setattr(response_module, "_simple_response", lambda *_: None)
                anew = model_response(result)
            assert known == (anew, anew), (metadata, place)


def test_what_is_remembered_of_answers_is_bounded() -> None:
    """A provider may name another model in each answer."""
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    for number in range(1_002):
        answer = _answer({"model_name": f"m{number}"}, {}, usage)
        assert model_response(LLMResult(generations=[[answer]])).model == f"m{number}"
    # Nothing public shows how much is remembered.
    assert len(response_module._known) <= 1_000
