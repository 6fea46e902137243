"""What a model call asks for, from the real classes of langchain-openai."""

from __future__ import annotations

import gc
import math
import sys
import weakref
from enum import IntEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
import openai
import pytest
import uuid_utils
from hypothesis import given
from hypothesis import strategies as st
from langchain_core.language_models import FakeListChatModel
from langchain_core.outputs import Generation, LLMResult
from langchain_openai import AzureChatOpenAI, AzureOpenAI, ChatOpenAI, OpenAI
from pydantic import BaseModel

from otel_callbacks.testing import Reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from reporting import Reporter

    from otel_callbacks.testing import Capture, FakeOpenAI

    Attributes = Callable[..., dict[str, Any]]


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the developer's own variables away."""
    for variable in ("OPENAI_API_BASE", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)


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
    made_with: Any, params: Any, options: Any, expected: Any, request_of: Attributes
) -> None:
    """As ChatAnthropic keeps it, which a call's own replaces."""
    attributes = request_of(
        {"model": "m", **params},
        serialized={"id": ["anthropic", "ChatAnthropic"], "kwargs": made_with},
        options=options,
        metadata={"ls_provider": "anthropic"},
    )
    assert attributes.get("gen_ai.request.stop_sequences") == expected


def _of_request(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return a span's attributes without those of the response."""
    return {
        name: value
        for name, value in attributes.items()
        if not name.startswith(
            ("gen_ai.response.", "gen_ai.usage.", "openai.response.")
        )
        and name != "otel_callbacks.cost_usd"
    }


def test_a_chat_call_over_http(
    chat: Callable[..., ChatOpenAI], server: FakeOpenAI, telemetry: Capture
) -> None:
    """All that the payload holds, and nothing else."""
    model = chat(
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
            "metadata": {"thread_id": "t1", "user_id": "u1"},
            "tags": ["shop"],
            "run_name": "advice",
        },
    )
    span = telemetry.span("chat gpt-4o-mini")
    assert _of_request(span["attributes"]) == {
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
    }


def test_a_text_batch_over_http(
    text: Callable[..., OpenAI], server: FakeOpenAI, telemetry: Capture
) -> None:
    """``generate`` of a text model reports no ``ls_provider``; its type decides."""
    text().generate(["rose", "tulip"], stop=["\n"])
    one, two = [_of_request(span["attributes"]) for span in telemetry.spans]
    assert one == two
    assert one == {
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
    }


@pytest.mark.parametrize("kind", [AzureChatOpenAI, AzureOpenAI])
def test_azure_is_named_by_its_deployment(kind: Any, telemetry: Capture) -> None:
    """AzureChatOpenAI knows no model, and AzureOpenAI invents one."""
    model = kind(
        azure_endpoint="http://127.0.0.1:9",
        api_version="2024-10-21",
        azure_deployment="roses",
        api_key="k",
        max_retries=0,
        callbacks=[telemetry.handler],
    )
    with pytest.raises(openai.APIConnectionError):
        model.invoke("Roses?")
    attributes = telemetry.spans[0]["attributes"]
    assert attributes["gen_ai.request.model"] == "roses"
    assert attributes["gen_ai.provider.name"] == "azure.ai.openai"
    assert attributes["server.port"] == 9


def test_the_responses_api(chat: Callable[..., ChatOpenAI], telemetry: Capture) -> None:
    """Chosen by the constructor, or by a parameter of one call."""
    model = chat()
    model.invoke("?")
    model.invoke("?", previous_response_id="resp_1")
    chat(model="o4", reasoning={"effort": "low"}).invoke("?")
    first, later, thinking = [span["attributes"] for span in telemetry.spans]
    assert first["openai.api.type"] == "chat_completions"
    assert later["openai.api.type"] == "responses"
    assert later["gen_ai.request.previous_response.id"] == "resp_1"
    assert thinking["openai.api.type"] == "responses"
    assert thinking["gen_ai.request.reasoning.level"] == "low"


# The first langchain-openai 1.x dumps a parsed answer with a warning of pydantic.
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")
def test_structured_output_is_json(
    chat: Callable[..., ChatOpenAI], server: FakeOpenAI, telemetry: Capture
) -> None:
    """LangChain passes the class itself."""

    class Bouquet(BaseModel):
        """Flowers."""

        flowers: list[str]

    server.script(Reply('{"flowers": ["rose"]}'))
    chat().with_structured_output(Bouquet).invoke("?")
    attributes = telemetry.span("chat gpt-4o-mini")["attributes"]
    assert attributes["gen_ai.output.type"] == "json"


def test_the_address_comes_from_the_clients_variable(
    monkeypatch: pytest.MonkeyPatch, server: FakeOpenAI, telemetry: Capture
) -> None:
    """``OPENAI_BASE_URL`` is in no callback."""
    monkeypatch.setenv("OPENAI_BASE_URL", server.base_url)
    ChatOpenAI(model="qwen3", api_key="none", callbacks=[telemetry.handler]).invoke("?")
    attributes = telemetry.spans[0]["attributes"]
    assert attributes["server.address"] == "127.0.0.1"
    assert attributes["server.port"] == server.port


def test_a_model_that_is_no_providers(telemetry: Capture) -> None:
    """A name that LangChain derives from the class passes through."""
    model = FakeListChatModel(responses=["a rose"])
    model.invoke("x", config={"callbacks": [telemetry.handler]})
    assert telemetry.span("chat")["attributes"] == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "fakelistchatmodel",
    }


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
    params: object,
    metadata: object,
    options: object,
    expected: dict[str, object],
    request_of: Attributes,
) -> None:
    """The parameters come first; ``openai.*`` is OpenAI's alone."""
    attributes = request_of(params, options=options, metadata=metadata)
    parameters = {
        key: value
        for key, value in attributes.items()
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
    serialized: object,
    params: object,
    metadata: object,
    expected: str,
    reporter: Reporter,
) -> None:
    """Then from LangChain's metadata, then from the constructor."""
    span = reporter.call(serialized=serialized, params=params, metadata=metadata)
    assert span["name"] == f"chat {expected}".strip()
    assert span["attributes"].get("gen_ai.request.model", "") == expected


@pytest.mark.parametrize(
    ("batch_size", "missing"), [(1, 1), (5, 0), (None, 1), (0, 1), (-3, 1), ("5", 1)]
)
def test_only_in_a_batch_may_usage_be_in_another_run(
    batch_size: object, missing: int, reporter: Reporter
) -> None:
    """The first run of a text batch has the usage of all; the others have none."""
    later = LLMResult(
        generations=[[Generation(text="a rose")]], llm_output={"token_usage": {}}
    )
    reporter.completion("rose", later, batch_size=batch_size)
    assert reporter.telemetry.value("otel_callbacks_usage_missing_total") == missing


def test_requests_of_one_model_share_nothing_that_changes(
    reporter: Reporter,
) -> None:
    """The remembered attributes are copied."""
    about = {"serialized": {"id": ["x", "ChatOpenAI"], "kwargs": {"model_name": "a"}}}
    first, second, text, other = [
        span["attributes"]
        for span in (
            reporter.call(params={"seed": 1}, metadata={"user_id": "u"}, **about),
            reporter.call(params={}, metadata={}, **about),
            reporter.completion(invocation_params={}, metadata={}, **about),
            reporter.call(params={}, metadata={"ls_provider": "groq"}, **about),
        )
    ]
    assert first["gen_ai.request.seed"] == 1
    assert "gen_ai.request.seed" not in second
    assert "user.id" not in second
    assert text["gen_ai.operation.name"] == "text_completion"
    assert second["gen_ai.provider.name"] == "openai"
    assert other["gen_ai.provider.name"] == "groq"


class _Serialized(dict[str, object]):
    """A dictionary that can be seen to be freed."""


def test_no_models_address_is_taken_for_anothers(request_of: Attributes) -> None:
    """An id that Python gives out again does not bring the old model back."""
    models = []
    for index in range(400):
        serialized = _Serialized(kwargs={"base_url": f"http://host{index}/v1"})
        attributes = request_of(serialized=serialized)
        assert attributes["server.address"] == f"host{index}"
        models.append(weakref.ref(serialized))
        del serialized
        gc.collect(0)
        assert len([model for model in models if model() is not None]) <= 128


def test_everything_can_be_sent(reporter: Reporter) -> None:
    """Ten million characters, lone surrogates: bounded, and valid UTF-8."""
    odd = "花\ud800" * 5_000_000
    span = reporter.call(
        serialized={"kwargs": {"model": odd, "base_url": odd}, "id": [odd]},
        params={"model": odd, "stop": [odd], "reasoning_effort": odd, "_type": odd},
        options={"stop": odd},
        metadata={"ls_provider": odd, "thread_id": odd, "user_id": odd},
        tags=[odd],
        name=odd,
    )
    for value in (span["name"], *span["attributes"].values()):
        for part in value if isinstance(value, tuple) else (value,):
            assert len(str(part).encode()) <= 4096


class _Unreadable(dict[str, object]):
    """A dictionary that raises when it is read."""

    def get(self, *_: object) -> object:  # type: ignore[override]
        """Raise."""
        raise RuntimeError

    items = get  # type: ignore[assignment]


def test_a_mapping_of_a_class_of_its_own_is_read_by_what_it_holds(
    request_of: Attributes,
) -> None:
    """Its own methods may raise; they are not called."""
    attributes = request_of(_Unreadable(model="m"), metadata=_Unreadable(a=1))
    assert attributes["gen_ai.request.model"] == "m"


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


def test_any_payload_gives_a_request(request_of: Attributes) -> None:
    """What a model is called with is never a reason to lose its span."""

    @given(PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS, PAYLOADS, ODD, ODD)
    def report(
        serialized: object,
        params: object,
        options: object,
        metadata: object,
        tags: object,
        size: object,
        name: object,
    ) -> None:
        attributes = request_of(
            params,
            serialized=serialized,
            options=options,
            metadata=metadata,
            tags=tags,
            batch_size=size,
            name=name,
        )
        assert attributes["gen_ai.operation.name"] == "chat"
        for value in attributes.values():
            parts = value if isinstance(value, tuple) else (value,)
            assert all(type(part) in (str, int, float) for part in parts)
            assert all(part.encode() for part in parts if isinstance(part, str))

    report()


OPENAI_MODEL = ["langchain", "chat_models", "openai", "ChatOpenAI"]


@pytest.mark.parametrize(
    "foreign", [object(), {1, 2}, [object()]], ids=["object", "set", "inner"]
)
def test_a_foreign_parameter_changes_nothing(
    foreign: object, request_of: Attributes
) -> None:
    """In a first and in a second call."""
    about = {"serialized": {"id": OPENAI_MODEL}, "options": {}, "metadata": {}}
    params = {"model": "m", "seed": 3, "extra": foreign}
    first, again = [request_of(params, **about) for _ in range(2)]
    assert first == again == request_of({"model": "m", "seed": 3}, **about)


class _Untouchable:
    """A value that raises when it is compared, hashed, measured or truth-tested."""

    def _raise(self, *_: object) -> Any:
        """Raise."""
        raise RuntimeError

    __eq__ = __ne__ = __hash__ = __len__ = __bool__ = __iter__ = _raise


@pytest.mark.parametrize("foreign", [_Untouchable(), {1, 2}], ids=["object", "set"])
@pytest.mark.parametrize(
    "place", ["params", "options", "metadata", "tags", "batch_size", "name"]
)
def test_a_foreign_value_where_a_plain_one_was_is_not_compared(
    foreign: object, place: str, reporter: Reporter
) -> None:
    """After a call that is remembered, anything may be in its place."""
    plain: dict[str, Any] = {
        "serialized": {"id": OPENAI_MODEL},
        "params": {"model": "m"},
        "options": {},
        "metadata": {},
        "tags": [],
        "batch_size": 1,
        "name": None,
    }
    for _ in range(2):
        assert reporter.call(**plain)["name"] == "chat m"
    plain[place] = foreign
    expected = "chat" if place == "params" else "chat m"
    assert reporter.call(**plain)["name"] == expected


def test_what_differs_from_run_to_run_is_read_for_each(request_of: Attributes) -> None:
    """Two nodes of a graph call one model: only the metadata of theirs differ."""
    model = {"serialized": {"id": OPENAI_MODEL}, "options": {}}
    params = {"model": "m", "temperature": 0.5}
    one, two, none = (
        request_of(params, metadata=about, tags=tags, name=name, **model)
        for about, tags, name in (
            ({"langgraph_node": "a", "langgraph_step": 1}, ["seen"], None),
            ({"langgraph_node": "b", "thread_id": UUID(int=7)}, None, "named"),
            ({}, [], None),
        )
    )
    assert one == {
        **none,
        "otel_callbacks.langgraph.node": "a",
        "otel_callbacks.langgraph.step": 1,
        "otel_callbacks.tags": ("seen",),
    }
    assert two == {
        **none,
        "gen_ai.conversation.id": str(UUID(int=7)),
        "otel_callbacks.langgraph.node": "b",
        "otel_callbacks.run_name": "named",
    }


@pytest.fixture
def added(request_of: Attributes) -> Attributes:
    """Return what reports a call with metadata and tags, and what they add."""

    def report(metadata: object, tags: object = None) -> dict[str, Any]:
        attributes = request_of(metadata=metadata, tags=tags)
        names = ("gen_ai.operation.name", "gen_ai.provider.name")
        return {key: each for key, each in attributes.items() if key not in names}

    return report


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
        ({"ls_provider": "our-own", "team": "flowers"}, {}),
        ({}, {}),
        (None, {}),
        ("thread", {}),
    ],
)
def test_metadata_become_attributes(
    metadata: object, expected: dict[str, object], added: Attributes
) -> None:
    """Only known keys, and only ids of a sound type."""
    assert added(metadata) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        (["flowers", "vip"], ("flowers", "vip")),
        (["seq:step:1", "flowers", "graph:step:2", "map:key:a"], ("flowers",)),
        ("flowers", ("flowers",)),
    ],
)
def test_the_applications_own_tags_are_kept(
    tags: object, expected: tuple[str, ...], added: Attributes
) -> None:
    """LangChain's own tags repeat what the span tree shows."""
    assert added(None, tags) == {"otel_callbacks.tags": expected}


@pytest.mark.parametrize("tags", [None, [], ["seq:step:1"], [3, None], 7, {"a": 1}])
def test_no_tags_are_no_attribute(tags: object, added: Attributes) -> None:
    """There is no empty list of tags."""
    assert added({}, tags) == {}


def test_an_id_is_bounded(added: Attributes) -> None:
    """A number with a million digits is no id."""
    odd: object = True
    for value in (10**100_000, odd):
        assert added({"user_id": value}) == {}


def test_an_id_may_be_of_another_packages_class(added: Attributes) -> None:
    """Packages for newer versions of UUIDs have subclasses; their text is not read."""

    class Other(UUID):
        def __str__(self) -> str:
            raise AssertionError

    number = "0190163d-8694-739b-aea5-966c26f8ad91"
    assert added({"user_id": Other(number)}) == {"user.id": number}


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
def test_an_id_may_come_from_a_table(
    value: object, expected: str, added: Attributes
) -> None:
    """A row's number and another package's UUID are ids; an object is none."""
    assert added({"user_id": value}).get("user.id", "") == expected


@pytest.mark.parametrize(
    "long",
    [
        lambda word: [word] * 10_000,
        lambda word: dict.fromkeys(map(str, range(10_000)), word),
        lambda word: {"rows": [word] * 10_000},
        lambda word: {"a": {"b": {"c": [word]}}},
    ],
    ids=["list", "dictionary", "list inside", "deep"],
)
def test_what_is_long_or_deep_is_not_copied_for_the_next_call(
    long: Any, request_of: Attributes
) -> None:
    """A call would wait for the copy, and the process would keep it."""
    serialized: dict[str, Any] = {"kwargs": {"model_name": "m"}}
    word = f"rose {id(long)}"
    params = {"seed": 2, "rows": long(word)}
    references = sys.getrefcount(word)
    for number in (1, 2):
        params["seed"] = number
        attributes = request_of(params, serialized=serialized)
        assert attributes["gen_ai.request.seed"] == number
    assert sys.getrefcount(word) == references


class _Bouquet(BaseModel):
    """What ``with_structured_output`` is given."""

    flowers: list[str]


@pytest.fixture
def parameters(request_of: Attributes) -> Attributes:
    """Return what reports a call with parameters, and their attributes."""

    def report(params: object) -> dict[str, Any]:
        return {
            name: value
            for name, value in request_of(params).items()
            if name
            not in {
                "gen_ai.operation.name",
                "gen_ai.provider.name",
                "gen_ai.request.model",
                "openai.api.type",
                "server.address",
                "server.port",
            }
        }

    return report


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
    params: dict[object, object], expected: dict[str, Any], parameters: Attributes
) -> None:
    """The attributes and their types are the same for all."""
    found = parameters(params)
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
    params: dict[object, object], expected: str, parameters: Attributes
) -> None:
    """Wherever the provider wants it."""
    assert parameters(params) == {"gen_ai.output.type": expected}


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
    params: dict[object, object], parameters: Attributes
) -> None:
    """One answer is the convention's default; a minus is no limit."""
    assert parameters(params) == {}


def test_a_parameter_wins_over_a_nested_one_in_either_order(
    parameters: Attributes,
) -> None:
    """LangChain sends the outer one."""
    nested = {"temperature": 0.9}
    expected = {"gen_ai.request.temperature": 0.1}
    assert parameters({"temperature": 0.1, "model_kwargs": nested}) == expected
    assert parameters({"model_kwargs": nested, "temperature": 0.1}) == expected
