"""What a model call asks for, from the real classes of langchain-openai."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_openai import AzureChatOpenAI, AzureOpenAI, ChatOpenAI, OpenAI
from pydantic import BaseModel

from otel_callbacks._readers import request as request_module
from otel_callbacks._readers.request import model_request
from otel_callbacks._records import Request

if TYPE_CHECKING:
    from conftest import Recorder

    from otel_callbacks.testing import FakeOpenAI


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the developer's own variables away."""
    for variable in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)


def _asked(model: Any, call: dict[str, Any] | None = None, **metadata: Any) -> Request:
    """Read the request of a real model, with what LangChain would hand over."""
    call = call or {}
    return model_request(
        "chat",
        model.to_json(),
        model._get_invocation_params(**call),
        {"stop": None},
        metadata | model._get_ls_params(**call),
        [],
        1,
        None,
    )


def test_a_chat_call_over_http(server: FakeOpenAI, recorder: Recorder) -> None:
    """All that the payload holds, and nothing else."""
    model = ChatOpenAI(  # type: ignore[call-arg]
        model="gpt-4o-mini",
        base_url=server.base_url,
        api_key="sk-secret",
        temperature=0,
        max_tokens=64,
        stop=["###"],
        seed=7,
        top_p=0.9,
        n=2,
        service_tier="flex",
    )
    model.invoke(
        "What blooms in May?",
        config={
            "callbacks": [recorder],
            "metadata": {"thread_id": "t1", "user_id": "u1"},
            "tags": ["shop"],
            "run_name": "advice",
        },
    )
    assert recorder.requests == [
        Request(
            "chat",
            "gpt-4o-mini",
            "openai",
            "gpt-4o-mini",
            "127.0.0.1",
            server.port,
            {
                "gen_ai.operation.name": "chat",
                "gen_ai.provider.name": "openai",
                "gen_ai.request.model": "gpt-4o-mini",
                "server.address": "127.0.0.1",
                "server.port": server.port,
                "openai.api.type": "chat_completions",
                "gen_ai.request.temperature": 0.0,
                "gen_ai.request.max_tokens": 64,
                "gen_ai.request.stop_sequences": ("###",),
                "gen_ai.request.seed": 7,
                "gen_ai.request.top_p": 0.9,
                "gen_ai.request.choice.count": 2,
                "openai.request.service_tier": "flex",
                "gen_ai.conversation.id": "t1",
                "user.id": "u1",
                "otel_callbacks.tags": ("shop",),
                "otel_callbacks.run_name": "advice",
            },
        )
    ]


def test_a_text_batch_over_http(server: FakeOpenAI, recorder: Recorder) -> None:
    """``generate`` of a text model says no ``ls_provider``; its type does."""
    model = OpenAI(
        model="gpt-3.5-turbo-instruct", base_url=server.base_url, api_key="sk-secret"
    )
    model.generate(["rose", "tulip"], callbacks=[recorder], stop=["\n"])
    expected = Request(
        "text_completion",
        "gpt-3.5-turbo-instruct",
        "openai",
        "gpt-3.5-turbo-instruct",
        "127.0.0.1",
        server.port,
        {
            "gen_ai.operation.name": "text_completion",
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": "gpt-3.5-turbo-instruct",
            "server.address": "127.0.0.1",
            "server.port": server.port,
            "gen_ai.request.temperature": 0.7,
            "gen_ai.request.max_tokens": 256,
            "gen_ai.request.top_p": 1.0,
            "gen_ai.request.frequency_penalty": 0.0,
            "gen_ai.request.presence_penalty": 0.0,
            "gen_ai.request.stop_sequences": ("\n",),
        },
        2,
    )
    assert recorder.requests == [expected, expected]


def test_azure_is_named_by_its_deployment() -> None:
    """AzureChatOpenAI knows no model, and AzureOpenAI invents one."""
    options: Any = {
        "azure_endpoint": "https://shop.openai.azure.com",
        "api_version": "2024-10-21",
        "azure_deployment": "roses",
        "api_key": "k",
    }
    for model in (AzureChatOpenAI(**options), AzureOpenAI(**options)):
        params = (
            model._get_invocation_params()
            if isinstance(model, AzureChatOpenAI)
            else model._invocation_params | {"_type": model._llm_type}
        )
        about = model._get_ls_params()
        found = model_request(
            "chat", model.to_json(), params, None, about, None, 1, None
        )
        assert found[1:6] == (
            "roses",
            "azure.ai.openai",
            "roses",
            "shop.openai.azure.com",
            443,
        )


def test_the_responses_api() -> None:
    """Chosen by the constructor, or by a parameter of one call."""
    model = ChatOpenAI(model="gpt-4o-mini", api_key="none")
    assert _asked(model).attributes["openai.api.type"] == "chat_completions"
    later = _asked(model, {"previous_response_id": "resp_1"}).attributes
    assert later["openai.api.type"] == "responses"
    assert later["gen_ai.request.previous_response.id"] == "resp_1"
    thinking = ChatOpenAI(model="o4", api_key="none", reasoning={"effort": "low"})
    told = _asked(thinking).attributes
    assert told["openai.api.type"] == "responses"
    assert told["gen_ai.request.reasoning.level"] == "low"


def test_structured_output_is_json() -> None:
    """LangChain hands the class itself over."""

    class Bouquet(BaseModel):
        """Flowers."""

        flowers: list[str]

    model = ChatOpenAI(model="gpt-4o-mini", api_key="none")
    asked = _asked(model, {"response_format": Bouquet})
    assert asked.attributes["gen_ai.output.type"] == "json"


def test_the_address_comes_from_the_clients_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``OPENAI_BASE_URL`` is in no callback."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://vllm:8000/v1")
    asked = _asked(ChatOpenAI(model="qwen3", api_key="none"))
    assert (asked.server_address, asked.server_port) == ("vllm", 8000)


def test_a_model_that_is_no_providers(recorder: Recorder) -> None:
    """A name that LangChain derives from the class passes through."""
    FakeListChatModel(responses=["a rose"]).invoke(
        "x", config={"callbacks": [recorder]}
    )
    (request,) = recorder.requests
    assert request == Request(
        "chat",
        "",
        "fakelistchatmodel",
        attributes={
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "fakelistchatmodel",
        },
    )


@pytest.mark.parametrize(
    ("params", "metadata", "options", "expected"),
    [
        (
            {},
            {"ls_temperature": 1, "ls_max_tokens": 9, "ls_stop": ["x"]},
            None,
            {
                "gen_ai.request.temperature": 1.0,
                "gen_ai.request.max_tokens": 9,
                "gen_ai.request.stop_sequences": ("x",),
            },
        ),
        (
            {"temperature": 0.5, "max_tokens": 5, "stop": "y"},
            {"ls_temperature": 1, "ls_max_tokens": 9, "ls_stop": ["x"]},
            {"stop": ["z"]},
            {
                "gen_ai.request.temperature": 0.5,
                "gen_ai.request.max_tokens": 5,
                "gen_ai.request.stop_sequences": ("y",),
            },
        ),
        ({}, {}, {"stop": ["z"]}, {"gen_ai.request.stop_sequences": ("z",)}),
        ({}, {"ls_temperature": "hot", "ls_max_tokens": None}, {"stop": [3]}, {}),
        ({"service_tier": "priority"}, {"ls_provider": "anthropic"}, None, {}),
    ],
)
def test_langchains_metadata_fill_the_gaps(
    params: object, metadata: object, options: object, expected: dict[str, object]
) -> None:
    """What the parameters say comes first; ``openai.*`` is OpenAI's alone."""
    request = model_request("chat", None, params, options, metadata, None, 1, None)
    told = {
        key: value
        for key, value in request.attributes.items()
        if key.startswith(("gen_ai.request.", "openai."))
    }
    assert told == expected


@pytest.mark.parametrize(
    ("serialized", "params", "metadata", "expected"),
    [
        (None, {"model": "a"}, {"ls_model_name": "b"}, "a"),
        (None, {"model": None, "model_name": "a"}, {"ls_model_name": "b"}, "a"),
        (None, {"model": 3}, {"ls_model_name": "b"}, "b"),
        ({"kwargs": {"model_id": "c"}}, {}, {}, "c"),
        ({"kwargs": {"azure_deployment": "d"}}, {"model": ""}, None, "d"),
        ({"kwargs": {"model": ["x"]}}, None, None, ""),
        (None, None, None, ""),
    ],
)
def test_the_model_comes_from_the_call_first(
    serialized: object, params: object, metadata: object, expected: str
) -> None:
    """Then from LangChain's metadata, then from the constructor."""
    request = model_request("chat", serialized, params, None, metadata, None, 1, None)
    assert (request.model, request.target) == (expected, expected)
    assert request.attributes.get("gen_ai.request.model", "") == expected


@pytest.mark.parametrize(
    ("given_size", "expected"), [(1, 1), (5, 5), (None, 1), (0, 1), (-3, 1), ("5", 1)]
)
def test_the_batch_size_is_at_least_one(given_size: object, expected: int) -> None:
    """Whatever is handed over."""
    request = model_request("chat", None, None, None, None, None, given_size, None)
    assert request.batch_size == expected


def test_requests_of_one_model_share_nothing_that_changes() -> None:
    """The remembered attributes are copied."""
    serialized = {"id": ["x", "ChatOpenAI"], "kwargs": {"model_name": "a"}}
    first = model_request(
        "chat", serialized, {"seed": 1}, None, {"user_id": "u"}, None, 1, None
    )
    second = model_request("chat", serialized, {}, None, {}, None, 1, None)
    text = model_request("text_completion", serialized, {}, None, {}, None, 1, None)
    assert first.attributes["gen_ai.request.seed"] == 1
    assert "gen_ai.request.seed" not in second.attributes
    assert "user.id" not in second.attributes
    assert text.attributes["gen_ai.operation.name"] == "text_completion"
    other = model_request(
        "chat", serialized, {}, None, {"ls_provider": "groq"}, None, 1, None
    )
    assert (second.provider, other.provider) == ("openai", "groq")


def test_no_models_address_is_taken_for_anothers() -> None:
    """An id that Python gives out again does not bring the old model back."""
    for index in range(3 * request_module._MOST_MODELS):
        serialized = {"kwargs": {"base_url": f"http://host{index}/v1"}}
        request = model_request("chat", serialized, {}, None, {}, None, 1, None)
        assert request.server_address == f"host{index}"
        del serialized
        gc.collect(0)
    assert len(request_module._models) <= request_module._MOST_MODELS


def test_everything_can_be_sent() -> None:
    """Ten million characters, lone surrogates: bounded, and valid UTF-8."""
    odd = "花\ud800" * 5_000_000
    request = model_request(
        "chat",
        {"kwargs": {"model": odd, "base_url": odd}, "id": [odd]},
        {"model": odd, "stop": [odd], "reasoning_effort": odd, "_type": odd},
        {"stop": odd},
        {"ls_provider": odd, "thread_id": odd, "user_id": odd},
        [odd],
        1,
        odd,
    )
    for value in (request.target, request.provider, *request.attributes.values()):
        for part in value if isinstance(value, tuple) else (value,):
            assert len(str(part).encode()) <= 4096


class _Unreadable(dict[str, object]):
    """A dictionary that raises when it is read."""

    def get(self, *_: object) -> object:  # type: ignore[override]
        """Raise."""
        raise RuntimeError

    items = get  # type: ignore[assignment]


def test_a_payload_that_raises_when_read_raises_here() -> None:
    """The caller logs and counts it, and starts the span."""
    for odd in ((_Unreadable(a=1), None), (None, _Unreadable(a=1))):
        with pytest.raises(RuntimeError):
            model_request("chat", None, odd[0], None, odd[1], None, 1, None)


ODD = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.lists(st.text(), max_size=2)
)
KEYS = st.sampled_from(
    [
        "model",
        "temperature",
        "stop",
        "n",
        "kwargs",
        "id",
        "_type",
        "thread_id",
        "text",
        "ls_provider",
        "ls_model_name",
        "response_format",
        "base_url",
        "extra_body",
    ]
)
PAYLOADS = ODD | st.dictionaries(
    KEYS | ODD.map(str), ODD | st.dictionaries(KEYS, ODD, max_size=3), max_size=5
)


@given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS, ODD, ODD)
def test_any_payload_gives_a_request(
    serialized: object,
    params: object,
    options: object,
    metadata: object,
    tags: object,
    size: object,
    name: object,
) -> None:
    """What a model is called with is never a reason to lose its span."""
    request = model_request(
        "chat", serialized, params, options, metadata, tags, size, name
    )
    assert request.operation == "chat"
    assert request.batch_size >= 1
    for value in request.attributes.values():
        parts = value if isinstance(value, tuple) else (value,)
        assert all(type(part) in (str, int, float) for part in parts)
        assert all(part.encode() for part in parts if isinstance(part, str))


@pytest.mark.parametrize(
    "foreign", [object(), {1, 2}, [object()]], ids=["object", "set", "inner"]
)
def test_what_may_not_be_compared_is_read_anew(foreign: object) -> None:
    """A remembered request answers only for what is plainly the same."""
    serialized = {"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]}
    given: tuple[Any, ...] = (
        "chat",
        serialized,
        {"model": "m", "extra": foreign},
        {},
        {},
        [],
        1,
        None,
    )
    first, again = model_request(*given), model_request(*given)
    assert first is not again
    assert first == again


@pytest.mark.parametrize("foreign", [object(), {1, 2}], ids=["object", "set"])
@pytest.mark.parametrize("place", range(2, 8))
def test_a_foreign_value_where_a_plain_one_was_is_not_compared(
    foreign: object, place: int
) -> None:
    """After a call that is remembered, anything may be given in its place."""
    serialized = {"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]}
    plain: list[Any] = ["chat", serialized, {"model": "m"}, {}, {}, [], 1, None]
    first = model_request(*plain)
    assert model_request(*plain) is first
    plain[place] = foreign
    assert model_request(*plain) is not first
