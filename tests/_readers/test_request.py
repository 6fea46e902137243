"""What a model call asks for, from the real classes of langchain-openai."""

from __future__ import annotations

import gc
import math
from enum import IntEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_openai import AzureChatOpenAI, AzureOpenAI, ChatOpenAI, OpenAI
from pydantic import BaseModel

from otel_callbacks import _semconv as semconv
from otel_callbacks._readers import request as request_module
from otel_callbacks._readers.request import (
    add_metadata,
    add_parameters,
    model_request,
)
from otel_callbacks._readers.values import identifier, plain
from otel_callbacks._records import Request

if TYPE_CHECKING:
    from conftest import Recorder

    from otel_callbacks._records import AttributeValue
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


@pytest.mark.parametrize(
    ("made_with", "params", "options", "expected"),
    [
        ({"stop_sequences": ["END"]}, {}, {}, ("END",)),
        ({"stop": ["END", "###"]}, {}, {"stop": None}, ("END", "###")),
        ({"stop": "END"}, {}, None, ("END",)),
        ({"stop_sequences": ["END"]}, {"stop": ["now"]}, {}, ("now",)),
        ({"stop_sequences": ["END"]}, {}, {"stop": ["now"]}, ("now",)),
        ({"stop_sequences": [3], "stop": None}, {}, {}, None),
        ({"stop_sequences": []}, {}, {}, None),
    ],
)
def test_the_constructors_stop(
    made_with: Any, params: Any, options: Any, expected: Any
) -> None:
    """As ChatAnthropic keeps it, which a call's own replaces."""
    serialized = {"id": ["anthropic", "ChatAnthropic"], "kwargs": made_with}
    about = {"ls_provider": "anthropic"}
    arguments: Any = (
        "chat",
        serialized,
        {"model": "m", **params},
        options,
        about,
        [],
        1,
        None,
    )
    attributes = model_request(*arguments).attributes
    assert attributes.get("gen_ai.request.stop_sequences") == expected


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
    attributes = _asked(thinking).attributes
    assert attributes["openai.api.type"] == "responses"
    assert attributes["gen_ai.request.reasoning.level"] == "low"


def test_structured_output_is_json() -> None:
    """LangChain hands the class itself over."""

    class Bouquet(BaseModel):
        """Flowers."""

        flowers: list[str]

    model = ChatOpenAI(model="gpt-4o-mini", api_key="none")
    request = _asked(model, {"response_format": Bouquet})
    assert request.attributes["gen_ai.output.type"] == "json"


def test_the_address_comes_from_the_clients_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``OPENAI_BASE_URL`` is in no callback."""
    monkeypatch.setenv("OPENAI_BASE_URL", "http://vllm:8000/v1")
    request = _asked(ChatOpenAI(model="qwen3", api_key="none"))
    assert (request.server_address, request.server_port) == ("vllm", 8000)


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
    parameters = {
        key: value
        for key, value in request.attributes.items()
        if key.startswith(("gen_ai.request.", "openai."))
    }
    assert parameters == expected


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
    for index in range(400):
        serialized = {"kwargs": {"base_url": f"http://host{index}/v1"}}
        request = model_request("chat", serialized, {}, None, {}, None, 1, None)
        assert request.server_address == f"host{index}"
        del serialized
        gc.collect(0)
    # Nothing public shows how much is remembered.
    assert max(len(request_module._models), len(request_module._last)) <= 128


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


def test_a_mapping_of_a_class_of_its_own_is_read_by_what_it_holds() -> None:
    """Its own methods may raise; they are not asked."""
    request = model_request(
        "chat", None, _Unreadable(model="m"), None, _Unreadable(a=1), None, 1, None
    )
    assert request.model == "m"


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
    arguments: tuple[Any, ...] = (
        "chat",
        serialized,
        {"model": "m", "extra": foreign},
        {},
        {},
        [],
        1,
        None,
    )
    first, again = model_request(*arguments), model_request(*arguments)
    assert first is not again
    assert first == again


class _Untouchable:
    """A value that raises when it is compared, hashed, measured or truth-tested."""

    def _raise(self, *_: object) -> Any:
        """Raise."""
        raise RuntimeError

    __eq__ = __ne__ = __hash__ = __len__ = __bool__ = __iter__ = _raise


@pytest.mark.parametrize("foreign", [_Untouchable(), {1, 2}], ids=["object", "set"])
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
    again = model_request(*plain)
    assert again.operation == first.operation
    assert again.model == ("" if place == 2 else "m")


def test_what_differs_from_run_to_run_is_read_for_each() -> None:
    """Two nodes of a graph call one model: only the metadata of theirs differ."""
    serialized = {"id": ["langchain", "chat_models", "openai", "ChatOpenAI"]}
    params = {"model": "m", "temperature": 0.5}
    one, two, none = (
        model_request("chat", serialized, params, {}, about, tags, 1, name)
        for about, tags, name in (
            ({"langgraph_node": "a", "langgraph_step": 1}, ["seen"], None),
            ({"langgraph_node": "b", "thread_id": UUID(int=7)}, None, "named"),
            ({}, [], None),
        )
    )
    assert one.attributes == {
        **none.attributes,
        semconv.LANGGRAPH_NODE: "a",
        semconv.LANGGRAPH_STEP: 1,
        semconv.RUN_TAGS: ("seen",),
    }
    assert two.attributes == {
        **none.attributes,
        semconv.CONVERSATION_ID: str(UUID(int=7)),
        semconv.LANGGRAPH_NODE: "b",
        semconv.RUN_NAME: "named",
    }


def _added(metadata: object, tags: object = None) -> dict[str, AttributeValue]:
    """Read metadata and tags into new attributes."""
    attributes: dict[str, AttributeValue] = {}
    add_metadata(attributes, metadata, tags)
    return attributes


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"thread_id": "t1"}, {"gen_ai.conversation.id": "t1"}),
        (
            {"session_id": "s1"},
            {"gen_ai.conversation.id": "s1", "session.id": "s1"},
        ),
        (
            {"session_id": "s1", "thread_id": "t1", "conversation_id": "c1"},
            {"gen_ai.conversation.id": "c1", "session.id": "s1"},
        ),
        (
            {"session_id": "s1", "thread_id": "t1"},
            {"gen_ai.conversation.id": "t1", "session.id": "s1"},
        ),
        ({"user_id": "u1"}, {"user.id": "u1"}),
        ({"user_id": 42}, {"user.id": "42"}),
        (
            {"thread_id": UUID(int=1)},
            {"gen_ai.conversation.id": "00000000-0000-0000-0000-000000000001"},
        ),
        (
            {
                "langgraph_step": 2,
                "langgraph_node": "agent",
                "langgraph_triggers": ("branch:to:agent",),
                "langgraph_path": ("__pregel_pull", "agent"),
                "langgraph_checkpoint_ns": "agent:8b5f",
            },
            {
                "otel_callbacks.langgraph.node": "agent",
                "otel_callbacks.langgraph.step": 2,
            },
        ),
        ({"langgraph_step": "2", "langgraph_node": 3.5}, {}),
        ({"thread_id": None, "user_id": "", "session_id": ["x"]}, {}),
        ({"ls_provider": "openai", "team": "flowers"}, {}),
        ({}, {}),
        (None, {}),
        ("thread", {}),
    ],
)
def test_metadata_become_attributes(
    metadata: object, expected: dict[str, AttributeValue]
) -> None:
    """Only known keys, and only ids of a sound type."""
    assert _added(metadata) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["flowers", "vip"], ("flowers", "vip")),
        (["seq:step:1", "flowers", "graph:step:2", "map:key:a"], ("flowers",)),
        ("flowers", ("flowers",)),
    ],
)
def test_the_applications_own_tags_are_kept(
    tags: object, expected: tuple[str, ...]
) -> None:
    """LangChain's tags say what the span tree shows."""
    assert _added(None, tags) == {"otel_callbacks.tags": expected}


@pytest.mark.parametrize("tags", [None, [], ["seq:step:1"], [3, None], 7, {"a": 1}])
def test_no_tags_are_no_attribute(tags: object) -> None:
    """There is no empty list of tags."""
    assert _added({}, tags) == {}


def test_an_id_is_bounded() -> None:
    """A number with a million digits is no id."""
    assert identifier(10**100_000) == ""
    odd: object = True
    assert identifier(odd) == ""


def test_an_id_may_be_of_another_packages_class() -> None:
    """Packages for newer versions of UUIDs have subclasses; their text is not asked."""

    class Other(UUID):
        def __str__(self) -> str:
            raise AssertionError

    number = "0190163d-8694-739b-aea5-966c26f8ad91"
    assert identifier(Other(number)) == number
    assert plain({"id": Other(number)}) == {"id": number}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.int64(7), "7"),
        (IntEnum("Customer", {"ROSE": 7}).ROSE, "7"),  # type: ignore[attr-defined]
        (uuid_utils.UUID(int=7), str(UUID(int=7))),
        (np.float64(7), ""),
        (object(), ""),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_id_may_come_from_a_table(value: object, expected: str) -> None:
    """A row's number and another package's UUID are ids; an object is none."""
    assert identifier(value) == expected


@pytest.mark.parametrize(
    "long",
    [
        ["x"] * 10_000,
        dict.fromkeys(map(str, range(10_000)), 1),
        {"rows": list(range(10_000))},
        {"a": {"b": {"c": [1]}}},
    ],
    ids=range(4),
)
def test_what_is_long_or_deep_is_not_copied_for_the_next_call(long: object) -> None:
    """A call would wait for the copy, and the process would keep it."""
    serialized: dict[str, Any] = {"kwargs": {"model_name": "m"}}
    for params in ({"seed": 1}, {"seed": 2, "rows": long}):
        mutable: Any = params
        request = model_request("chat", serialized, mutable, None, {}, None, 1, None)
        assert request.attributes["gen_ai.request.seed"] == params["seed"]
    # Nothing public shows what is remembered.
    assert request_module._last[id(serialized)][1][0] == {"seed": 1}


class _Bouquet(BaseModel):
    """What ``with_structured_output`` is given."""

    flowers: list[str]


def _read(params: dict[object, object]) -> dict[str, AttributeValue]:
    """Read parameters into new attributes."""
    attributes: dict[str, AttributeValue] = {}
    add_parameters(attributes, params)
    return attributes


OPENAI = {
    "model": "gpt-4o-mini",
    "model_name": "gpt-4o-mini",
    "stream": False,
    "seed": 3,
    "stop": ["###"],
    "temperature": 1,
    "top_p": 0.5,
    "frequency_penalty": 0.1,
    "presence_penalty": -0.1,
    "n": 2,
    "logit_bias": {"50256": -100},
    "reasoning_effort": "low",
    "service_tier": "flex",
    "max_completion_tokens": 12,
    "response_format": {"type": "json_object"},
    "extra_body": {"top_k": 20, "temperature": 9.0, "enable_thinking": True},
    "_type": "openai-chat",
}
ANTHROPIC = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 1024,
    "temperature": 0.2,
    "top_k": 40,
    "top_p": None,
    "stop_sequences": ["Human:"],
    "_type": "anthropic-chat",
}
GEMINI = {
    "model": "gemini-2.5-flash",
    "candidate_count": 3,
    "generation_config": {
        "max_output_tokens": 99,
        "response_mime_type": "application/json",
        "top_k": 40.0,
    },
    "thinking_level": "high",
}
BEDROCK = {
    "model_id": "anthropic.claude-3-haiku",
    "inferenceConfig": {"maxTokens": 7, "topP": 0.9, "stopSequences": ["x"]},
    "additional_model_request_fields": {"top_k": 5},
}
OLLAMA = {"model": "qwen3", "num_predict": 64, "format": "json", "seed": 0}


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        (
            OPENAI,
            {
                "gen_ai.request.seed": 3,
                "gen_ai.request.stop_sequences": ("###",),
                "gen_ai.request.temperature": 1.0,
                "gen_ai.request.top_p": 0.5,
                "gen_ai.request.frequency_penalty": 0.1,
                "gen_ai.request.presence_penalty": -0.1,
                "gen_ai.request.choice.count": 2,
                "gen_ai.request.reasoning.level": "low",
                "openai.request.service_tier": "flex",
                "gen_ai.request.max_tokens": 12,
                "gen_ai.output.type": "json",
                "gen_ai.request.top_k": 20,
            },
        ),
        (
            ANTHROPIC,
            {
                "gen_ai.request.max_tokens": 1024,
                "gen_ai.request.temperature": 0.2,
                "gen_ai.request.top_k": 40,
                "gen_ai.request.stop_sequences": ("Human:",),
            },
        ),
        (
            GEMINI,
            {
                "gen_ai.request.choice.count": 3,
                "gen_ai.request.max_tokens": 99,
                "gen_ai.output.type": "json",
                "gen_ai.request.top_k": 40,
                "gen_ai.request.reasoning.level": "high",
            },
        ),
        (
            BEDROCK,
            {
                "gen_ai.request.max_tokens": 7,
                "gen_ai.request.top_p": 0.9,
                "gen_ai.request.stop_sequences": ("x",),
                "gen_ai.request.top_k": 5,
            },
        ),
        (
            OLLAMA,
            {
                "gen_ai.request.max_tokens": 64,
                "gen_ai.output.type": "json",
                "gen_ai.request.seed": 0,
            },
        ),
    ],
)
def test_each_providers_names_are_known(
    params: dict[object, object], expected: dict[str, AttributeValue]
) -> None:
    """The attributes and their types are the same for all."""
    found = _read(params)
    assert found == expected
    assert {key: type(value) for key, value in found.items()} == {
        key: type(value) for key, value in expected.items()
    }


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "json"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"response_format": _Bouquet}, "json"),
        ({"format": {"type": "object", "properties": {}}}, "json"),
        ({"text": {"format": {"type": "json_schema", "name": "bouquet"}}}, "json"),
        ({"text": {"format": {"type": "text"}}}, "text"),
        ({"response_mime_type": "text/plain"}, "text"),
    ],
)
def test_the_output_type_is_that_of_the_response_format(
    params: dict[object, object], expected: str
) -> None:
    """Wherever the provider wants it to be said."""
    assert _read(params) == {"gen_ai.output.type": expected}


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": "hot", "top_p": True, "top_k": 1.5, "seed": math.nan},
        {"temperature": math.inf, "max_tokens": -1, "seed": 2**70},
        {"n": 1, "stop": [], "service_tier": "auto", "reasoning_effort": ""},
        {"response_format": "xml", "text": {"verbosity": "low"}, "format": ""},
        {"reasoning": {"summary": "auto"}, "response_mime_type": "image/png"},
        {"model_kwargs": ["temperature"], "extra_body": {"top_k": "40", "n": None}},
        {1: 2, None: 3, ("temperature",): 0.5},
    ],
)
def test_what_is_wrong_or_usual_gives_no_attribute(
    params: dict[object, object],
) -> None:
    """One answer is the convention's default; a minus is no limit."""
    assert _read(params) == {}


def test_a_parameter_wins_over_a_nested_one_in_either_order() -> None:
    """LangChain sends the outer one."""
    nested = {"temperature": 0.9}
    expected = {"gen_ai.request.temperature": 0.1}
    assert _read({"temperature": 0.1, "model_kwargs": nested}) == expected
    assert _read({"model_kwargs": nested, "temperature": 0.1}) == expected
